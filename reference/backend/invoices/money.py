"""How much of a sale can be invoiced, and which of its fen are free.

What counts is what was paid in money and kept: points and coupons are a discount, a refund takes money back, balance is
money. The fen of a sale are numbered from 0; an invoice holds a range of them while it is valid or on its way, so no fen is
in two. Litres go with the fen: their shares add up to the pump's figure exactly.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Row, bindparam, func, select

from reference.backend.invoices.schema import invoice_uses
from reference.backend.members.schema import tender_parts
from reference.backend.store.database import Transaction
from reference.backend.store.schema import refunds

__all__ = ["Slice", "free_slices", "held_of", "money_of", "slices_of", "volume_of"]

_PARTS = select(tender_parts.c.kind, tender_parts.c.amount_fen, tender_parts.c.returned_fen).where(
    tender_parts.c.out_trade_no == bindparam("number"), tender_parts.c.state != "released"
)
_REFUNDED = select(func.coalesce(func.sum(refunds.c.amount_fen), 0).label("fen")).where(
    refunds.c.order_id == bindparam("of_order"), refunds.c.state != "CLOSED"
)
_HELD = (
    select(invoice_uses.c.held_from, invoice_uses.c.amount_fen, invoice_uses.c.volume_ml)
    .where(invoice_uses.c.sale_id == bindparam("of_sale"), invoice_uses.c.held_from.is_not(None))
    .order_by(invoice_uses.c.held_from)
)
_MONEY: Final = "balance"

Slice = tuple[int, int]
"""(first fen, how many)."""


async def money_of(tx: Transaction, sale: Row[Any], order: Row[Any] | None) -> int:
    """What was paid in money for a sale and is kept, in fen. For an ordinary order this asks the store nothing."""
    if order is None:
        return int(sale.amount_fen)
    paid_fen, most_fen = order.paid_fen, sale.amount_fen
    if order.parts_fen:
        paid_fen -= order.parts_fen
        for part in await tx.rows(_PARTS, {"number": order.out_trade_no}):
            kept_fen = part.amount_fen - part.returned_fen
            if part.kind == _MONEY:
                paid_fen += kept_fen
            else:
                most_fen -= kept_fen
    if order.state == "REFUNDING" or order.refunded_fen:
        row = await tx.first(_REFUNDED, {"of_order": order.order_id})
        paid_fen -= int(row.fen) if row is not None else 0
    return max(0, int(min(paid_fen, most_fen)))


async def held_of(tx: Transaction, sale_id: str) -> tuple[list[Slice], int]:
    """The fen of a sale that invoices hold, in order, and the millilitres with them. The caller holds the sale's lock."""
    rows = await tx.rows(_HELD, {"of_sale": sale_id})
    return [(row.held_from, row.amount_fen) for row in rows], sum(row.volume_ml for row in rows)


def free_slices(money_fen: int, held: Iterable[Slice]) -> list[Slice]:
    """What is left of 0 <= fen < ``money_fen``."""
    free, at = [], 0
    for first, count in sorted(held):
        if first > at:
            free.append((at, min(first, money_fen) - at))
        at = max(at, first + count)
    if at < money_fen:
        free.append((at, money_fen - at))
    return [(first, count) for first, count in free if count > 0]


def slices_of(free: Iterable[Slice], amount_fen: int) -> list[Slice]:
    """The first ``amount_fen`` of the free fen; fewer if there are not so many."""
    taken = []
    for first, count in free:
        if amount_fen <= 0:
            break
        taken.append((first, min(count, amount_fen)))
        amount_fen -= count
    return taken


def volume_of(part: Slice, money_fen: int, volume_ml: int) -> int:
    """The millilitres that go with some fen. Over all the fen of a sale they add up to its volume."""

    def up_to(fen: int) -> int:
        return (2 * volume_ml * fen + money_fen) // (2 * money_fen)

    return up_to(part[0] + part[1]) - up_to(part[0])
