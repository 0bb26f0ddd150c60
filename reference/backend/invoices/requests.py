"""Merged and split invoices: several orders in one, one order in several, each fen in one of them."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from sqlalchemy import Row, bindparam, select

from reference.backend.core import Core
from reference.backend.errors import ApiError
from reference.backend.invoices.models import InvoiceItem, InvoiceRequest, InvoiceWish
from reference.backend.invoices.money import Slice, free_slices, held_of, money_of, slices_of, volume_of
from reference.backend.invoices.schema import invoice_requests
from reference.backend.store.database import Transaction
from reference.backend.store.schema import invoices

__all__ = ["InvoiceRequests"]

_KNOWN = select(invoice_requests).where(
    invoice_requests.c.openid == bindparam("who"), invoice_requests.c.client_token == bindparam("token")
)
_ONE = select(invoices).where(invoices.c.fapiao_apply_id == bindparam("wanted"))

Use = tuple[str, str | None, int, int, int]


class InvoiceRequests:
    """Makes invoices over any part of any paid orders of one phone."""

    def __init__(self, core: Core) -> None:
        self.core = core

    async def ask(self, openid: str, body: InvoiceRequest) -> tuple[bool, list[dict[str, Any]]]:
        """All the invoices of a request, or none: (is it new, the invoices). The same token gives the same invoices.

        Raises:
            ApiError: 404 an order is not there, or another phone's; 409 ``token_reused``, ``nothing_to_invoice`` for an order
                that is not paid, ``already_invoiced`` if there is not so much left, ``several_stations`` in one invoice,
                ``too_small`` for less than a millilitre of fuel.
        """
        digest = hashlib.sha256(body.model_dump_json(exclude={"client_token"}).encode()).hexdigest()
        return await self.core.db.run(lambda tx: self._ask(tx, openid, body, digest))

    async def _ask(
        self, tx: Transaction, openid: str, body: InvoiceRequest, digest: str
    ) -> tuple[bool, list[dict[str, Any]]]:
        known = await tx.first(_KNOWN, {"who": openid, "token": body.client_token})
        if known is None:
            row = {
                "openid": openid,
                "client_token": body.client_token,
                "digest": digest,
                "content": "[]",
                "created_us": self.core.clock_us(),
            }
            # Whoever inserts it first makes the invoices; the other waits for that here, and reads them.
            if await tx.insert_new(invoice_requests, row):
                return True, await self._make(tx, openid, body)
            known = await tx.first(_KNOWN, {"who": openid, "token": body.client_token})
            assert known is not None  # noqa: S101 - the insert has just met it
        if known.digest != digest:
            raise ApiError(409, "token_reused", "this client_token asked for other invoices", "client_token")
        return False, await self._shown(tx, msgspec.json.decode(known.content))

    async def _make(self, tx: Transaction, openid: str, body: InvoiceRequest) -> list[dict[str, Any]]:
        # Locks in one order, whatever the order of the items: two requests must not wait for each other.
        wanted = sorted({item.order_id for wish in body.invoices for item in wish.items})
        books = {order_id: await self._open(tx, openid, order_id) for order_id in wanted}
        made = [await self._one(tx, wish, books) for wish in body.invoices]
        await tx.execute(
            invoice_requests.update()
            .where(
                invoice_requests.c.openid == bindparam("who"),
                invoice_requests.c.client_token == bindparam("token"),
            )
            .values(content=bindparam("made")),
            {"who": openid, "token": body.client_token, "made": msgspec.json.encode(made).decode()},
        )
        for book in books.values():
            title = book.order.title if book.order.title is not None else "{}"
            await self.core.orders.move(tx, book.order, book.order.state, title=title)
        return await self._shown(tx, made)

    async def _open(self, tx: Transaction, openid: str, order_id: str) -> _Book:
        order = await self.core.orders.lock_own(tx, order_id, openid)
        is_paid = order.state in {"COMPLETED", "REFUNDING"} or (
            order.state == "PAID" and order.mode == "postpay"
        )
        if not is_paid or order.sale_id is None:
            raise ApiError(
                409, "nothing_to_invoice", f"an order that is {order.state} has no invoice", "order_id"
            )
        sale = await self.core.sales.lock(tx, order.sale_id)
        money_fen = await money_of(tx, sale, order)
        if money_fen <= 0 or sale.state == "test":
            raise ApiError(409, "nothing_to_invoice", f"order {order_id} has nothing to invoice", "order_id")
        held, held_ml = await held_of(tx, sale.sale_id)
        return _Book(order, sale, money_fen, free_slices(money_fen, held), sale.volume_ml - held_ml)

    async def _one(self, tx: Transaction, wish: InvoiceWish, books: dict[str, _Book]) -> str:
        stations = {books[item.order_id].sale.station for item in wish.items}
        if len(stations) > 1:
            raise ApiError(409, "several_stations", "the orders of one invoice are of one station")
        uses = [use for item in wish.items for use in books[item.order_id].take(item)]
        serial = self.core.invoices.new_serial()
        await self.core.invoices.create(tx, serial, stations.pop(), wish.title.model_dump(), uses)
        return serial

    async def _shown(self, tx: Transaction, made: list[str]) -> list[dict[str, Any]]:
        found = []
        for apply_id in made:
            row = await tx.first(_ONE, {"wanted": apply_id})
            if row is not None:
                found.append(await self.core.invoice_desk.shown(tx, row))
        return found


class _Book:
    """An order's money within one request."""

    def __init__(
        self, order: Row[Any], sale: Row[Any], money_fen: int, free: list[Slice], left_ml: int
    ) -> None:
        self.order = order
        self.sale = sale
        self._money_fen = money_fen
        self._free = free
        self._left_ml = left_ml

    def take(self, item: InvoiceItem) -> list[Use]:
        """Lines over the first fen that are free."""
        left_fen = sum(count for _, count in self._free)
        amount_fen = left_fen if item.amount_fen is None else item.amount_fen
        if amount_fen > left_fen or amount_fen == 0:
            raise ApiError(
                409,
                "already_invoiced",
                f"order {self.order.order_id} has {left_fen} fen that are in no invoice",
                "amount_fen",
            )
        taken = slices_of(self._free, amount_fen)
        self._free = free_slices(self._money_fen, [*_complement(self._free, self._money_fen), *taken])
        uses: list[Use] = []
        for first, count in taken:
            volume_ml = min(volume_of((first, count), self._money_fen, self.sale.volume_ml), self._left_ml)
            if not self._free and (first, count) == taken[-1]:
                volume_ml = self._left_ml  # with the last fen goes the last of the fuel
            self._left_ml -= volume_ml
            uses.append((self.sale.sale_id, self.order.order_id, first, count, volume_ml))
        if any(use[4] <= 0 for use in uses):
            raise ApiError(409, "too_small", "so few fen buy no fuel to speak of", "amount_fen")
        return uses


def _complement(free: list[Slice], money_fen: int) -> list[Slice]:
    return free_slices(money_fen, free)
