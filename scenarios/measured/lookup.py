"""Is it still there? Every acknowledged write is looked up afterwards, over the admin API that any oracle may use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx

from scenarios.loadgen.payments import Write
from scenarios.record import AcknowledgedWrite

__all__ = ["Books", "BooksError", "look_up", "read_books"]

_PAGE: Final = 1000
_PAGES_MOST: Final = 10_000


class BooksError(Exception):
    """The admin API did not give its tables."""


Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Books:
    """The backend's tables as its admin API shows them."""

    ledger: Sequence[Row]
    orders: Sequence[Row]
    payments: Sequence[Row]
    invoices: Sequence[Row]


async def read_books(url: str, admin_key: str) -> Books:
    """Read the tables of one backend.

    Raises:
        BooksError: unreachable, or refused.
    """
    headers = {"Authorization": f"Bearer {admin_key}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30.0, trust_env=False) as client:
        tables = {name: await _table(client, name) for name in ("ledger", "orders", "payments", "invoices")}
    return Books(**tables)


async def _table(client: httpx.AsyncClient, name: str) -> list[Row]:
    rows: list[Row] = []
    after: int | None = 0
    for _ in range(_PAGES_MOST):
        try:
            reply = await client.get(f"/v1/admin/{name}", params={"after": after, "limit": _PAGE})
            reply.raise_for_status()
            page = reply.json()
            rows += page["rows"]
            after = page["next"]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise BooksError(f"GET /v1/admin/{name}: {type(error).__name__}: {error}") from error
        if after is None:
            return rows
    raise BooksError(f"GET /v1/admin/{name}: no end after {_PAGES_MOST} pages")


def look_up(writes: Iterable[Write], books: Books, *, epoch_us: int = 0) -> list[AcknowledgedWrite]:
    """Find each write in the books.

    A sale must stand in the ledger with the amount that was acknowledged; an order and a payment under their numbers; an order that
    a phone was shown as PAID must have money on it *and* a payment in the ledger.

    Args:
        writes: what was acknowledged.
        books: what the backend has afterwards.
        epoch_us: start of the run on the clock of the writes.
    """
    sales = {
        f"{row['station']}/{row['nozzle']}/{row['sequence']}": row["amount_fen"]
        for row in books.ledger
        if row["kind"] == "sale"
    }
    orders = {row["order_id"]: row["paid_fen"] for row in books.orders}
    booked = {row["order_id"] for row in books.ledger if row["kind"] == "payment"}
    payments = {row["out_trade_no"] for row in books.payments}

    def is_found(write: Write) -> bool:
        match write.kind:
            case "sale":
                return sales.get(write.key) == write.amount_fen
            case "order":
                return write.key in orders
            case "pay":
                return write.key in payments
            case "paid":
                return orders.get(write.key, 0) > 0 and write.key in booked

    return [
        AcknowledgedWrite(
            key=f"{write.kind} {write.key}", acknowledged_us=write.acked_us - epoch_us, found=is_found(write)
        )
        for write in writes
    ]
