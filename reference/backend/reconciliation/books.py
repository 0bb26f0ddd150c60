"""Our books as a bill sees them: payments and refunds with what the ledger says of each."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, bindparam, select

from reference.backend.reconciliation.match import Key, Ours
from reference.backend.store.database import Transaction
from reference.backend.store.schema import ledger, payments, refunds

__all__ = ["PAYMENT", "PAYMENT_BY_THEIRS", "look_up", "look_up_theirs", "ours_of_payment", "ours_of_refund"]

PAYMENT = select(payments).where(payments.c.out_trade_no == bindparam("number"))
PAYMENT_BY_THEIRS = select(payments).where(payments.c.transaction_id == bindparam("number"))
_REFUND = select(refunds).where(refunds.c.out_refund_no == bindparam("number"))
_REFUND_BY_THEIRS = select(refunds).where(refunds.c.refund_id == bindparam("number"))
_BOOKED = select(ledger.c.amount_fen).where(ledger.c.entry_key == bindparam("key"))


async def look_up(tx: Transaction, key: Key, into: dict[Key, Ours]) -> None:
    """Put in what our books have under a number of ours, unless it is there already."""
    if key not in into:
        subject, number = key
        if subject == "payment":
            row = await tx.first(PAYMENT, {"number": number})
        else:
            row = await tx.first(_REFUND, {"number": number}) if number != "0" else None
        if row is not None:
            into[key] = await (ours_of_payment if subject == "payment" else ours_of_refund)(tx, row)


async def look_up_theirs(tx: Transaction, key: Key, into: dict[Key, Ours]) -> None:
    """The same by a number of the platform's."""
    if key not in into:
        subject, number = key
        statement = PAYMENT_BY_THEIRS if subject == "payment" else _REFUND_BY_THEIRS
        row = await tx.first(statement, {"number": number})
        if row is not None:
            into[key] = await (ours_of_payment if subject == "payment" else ours_of_refund)(tx, row)


async def ours_of_payment(tx: Transaction, row: Row[Any]) -> Ours:
    """A row of ``payments`` with its ledger entry."""
    booked = await tx.first(_BOOKED, {"key": f"payment/{row.out_trade_no}"})
    return Ours(
        "payment",
        row.out_trade_no,
        row.transaction_id,
        row.amount_fen,
        row.state,
        0 if booked is None else booked.amount_fen,
    )


async def ours_of_refund(tx: Transaction, row: Row[Any]) -> Ours:
    """A row of ``refunds`` with its ledger entry."""
    booked = await tx.first(_BOOKED, {"key": f"refund/{row.out_refund_no}"})
    return Ours(
        "refund",
        row.out_refund_no,
        row.refund_id,
        row.amount_fen,
        row.state,
        0 if booked is None else booked.amount_fen,
        row.out_trade_no,
    )
