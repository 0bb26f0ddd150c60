"""The rules of members' accounts and of mixed tenders, asked of the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from reference.backend.members.schema import coupons, member_entries, members, tender_parts
from reference.backend.store.database import Transaction

__all__ = ["Parts", "audit_members", "parts_of"]

Parts = Sequence[Any]
"""Rows of ``tender_parts``."""


async def parts_of(tx: Transaction) -> Parts:
    """All parts of all tenders."""
    return await tx.rows(select(tender_parts).order_by(tender_parts.c.out_trade_no, tender_parts.c.kind))


async def audit_members(
    tx: Transaction, parts: Parts, all_orders: Any, all_payments: Any, found: list[str]
) -> None:
    """Accounts are the sums of their entries; parts share the fate of the leg that decides."""
    points: Counter[str] = Counter()
    balance_fen: Counter[str] = Counter()
    for entry in await tx.rows(select(member_entries)):
        points[entry.openid] += entry.points
        balance_fen[entry.openid] += entry.balance_fen
    for account in await tx.rows(select(members).order_by(members.c.openid)):
        if (account.points, account.balance_fen) != (points[account.openid], balance_fen[account.openid]):
            found.append("an account is not the sum of its entries")
        if account.points < 0 or account.balance_fen < 0:
            found.append("an account is overdrawn")
    _tenders(parts, all_orders, {row.out_trade_no: row for row in all_payments}, found)
    state_of = {(part.coupon_id, part.out_trade_no): part.state for part in parts if part.coupon_id}
    for coupon in await tx.rows(select(coupons).order_by(coupons.c.coupon_id)):
        state = state_of.get((coupon.coupon_id, coupon.out_trade_no))
        wanted = {"free": None, "held": "held", "used": "taken"}[coupon.state]
        if state != wanted:
            found.append(f"coupon {coupon.coupon_id} is {coupon.state}, its part {state}")


def _tenders(parts: Parts, all_orders: Any, payments: dict[str, Any], found: list[str]) -> None:
    sums: Counter[tuple[str, str]] = Counter()
    for part in parts:
        sums[part.out_trade_no, part.state] += part.amount_fen
        payment = payments.get(part.out_trade_no)
        fate = "SUCCESS" if payment is None else payment.state
        held = {"OPEN": {"held"}, "CLOSED": {"released"}, "SUCCESS": {"taken", "returned"}}[fate]
        if part.state not in held and not (fate == "SUCCESS" and part.state == "released"):
            found.append(f"{part.kind} of {part.out_trade_no} is {part.state}, its payment {fate}")
    for order_id, order in all_orders.items():
        if not order.parts_fen or not order.paid_fen:
            continue
        number = order.out_trade_no
        spent_fen = sums[number, "taken"] + sums[number, "returned"]
        payment = payments.get(number)
        charged_fen = payment.amount_fen if payment is not None else 0
        if spent_fen != order.parts_fen or spent_fen + charged_fen != order.payable_fen:
            found.append(
                f"order {order_id}: {spent_fen} fen of parts and {charged_fen} fen charged do not make {order.payable_fen}"
            )
