"""Refunds that an operator asks for: how much of an order, why, and by whom, on record for good."""

from __future__ import annotations

import hashlib
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Row, bindparam, select

from reference.backend.core import Core
from reference.backend.errors import ApiError
from reference.backend.members.schema import tender_parts
from reference.backend.models import Positive, Text80, Token
from reference.backend.private_numbers import StrictModel
from reference.backend.refunds.schema import refund_requests
from reference.backend.store.database import Transaction
from reference.backend.store.schema import payments, refunds

__all__ = ["RefundAsked", "RefundDesk", "RefundView", "refund_fields"]

_AGAIN = select(refund_requests).where(
    refund_requests.c.order_id == bindparam("of_order"), refund_requests.c.client_token == bindparam("token")
)
_REFUND = select(refunds).where(refunds.c.out_refund_no == bindparam("number"))
_REQUEST = select(refund_requests).where(refund_requests.c.out_refund_no == bindparam("number"))
_PARTS = select(tender_parts).where(
    tender_parts.c.out_trade_no == bindparam("number"), tender_parts.c.state == "taken"
)
_PAYMENT = select(payments).where(payments.c.out_trade_no == bindparam("number")).with_for_update()
# Before these the fuel is not delivered: what is left of a prepayment goes back by itself.
_REFUNDABLE = frozenset({"COMPLETED", "REFUNDING", "REFUNDED"})
_FIELDS = (
    "out_refund_no",
    "out_trade_no",
    "order_id",
    "amount_fen",
    "total_fen",
    "state",
    "held",
    "refund_id",
)


class RefundAsked(StrictModel):
    """An operator's refund. ``client_token`` makes repeating it harmless; a further partial refund takes another."""

    client_token: Token
    amount_fen: Positive
    operator: Text80
    reason: Text80


class RefundView(BaseModel):
    """A refund: what goes back through the gateway (points and the like are back at once). ``state`` SUCCESS means that the money is back, CASH that it was paid out at the station; ABNORMAL and HELD need a person."""

    out_refund_no: str
    out_trade_no: str
    order_id: str
    amount_fen: int
    total_fen: int
    state: str
    held: str | None
    refund_id: str | None


def refund_fields(row: Row[Any]) -> dict[str, Any]:
    """A refund as the API shows it."""
    return {name: getattr(row, name) for name in _FIELDS}


class RefundDesk:
    """Takes operators' refunds."""

    def __init__(self, core: Core) -> None:
        self.core = core

    async def ask(self, order_id: str, body: RefundAsked) -> tuple[bool, dict[str, Any]]:
        """Owe a part of an order's payment: (is it new, the refund). The same token gives the same refund.

        Raises:
            ApiError: 404; 409 ``token_reused`` for another amount, ``not_refundable`` for an order without money or with
                fuel still to come, ``too_much`` for more than is left.
        """
        return await self.core.db.run(lambda tx: self._ask(tx, order_id, body))

    async def _ask(self, tx: Transaction, order_id: str, body: RefundAsked) -> tuple[bool, dict[str, Any]]:
        order = await self.core.orders.lock(tx, order_id)
        if order is None:
            raise ApiError(404, "unknown_order", f"there is no order {order_id}", "order_id")
        known = await tx.first(_AGAIN, {"of_order": order_id, "token": body.client_token})
        if known is not None:
            if known.amount_fen != body.amount_fen:
                raise ApiError(
                    409, "token_reused", f"this token asked for {known.amount_fen} fen", "client_token"
                )
            return False, await self._shown(tx, known.out_refund_no, order_id)
        payment = await tx.first(_PAYMENT, {"number": order.out_trade_no})
        is_over = order.state in _REFUNDABLE or (order.state == "PAID" and order.mode == "postpay")
        # Points, coupon and balance that were worth the whole: no gateway has heard of this order.
        is_of_parts = payment is None and 0 < order.parts_fen == order.paid_fen
        if not is_over or not (is_of_parts or (payment is not None and payment.state == "SUCCESS")):
            raise ApiError(
                409, "not_refundable", f"an order that is {order.state} cannot be refunded by hand"
            )
        through_fen = 0
        if payment is not None:
            through_fen = payment.amount_fen - await self.core.refunds.asked_fen(tx, payment.out_trade_no)
        left_fen = through_fen + sum(
            part.amount_fen - part.returned_fen
            for part in await tx.rows(_PARTS, {"number": order.out_trade_no})
        )
        if body.amount_fen > left_fen:
            raise ApiError(409, "too_much", f"{left_fen} fen are left to give back", "amount_fen")
        if order.state != "REFUNDING":
            order = await self.core.orders.move(tx, order, "REFUNDING")
        word = f"desk{hashlib.sha256(body.client_token.encode()).hexdigest()[:12]}"
        number = self.core.refunds.number(order.out_trade_no, word)
        # What came through the channel goes back there first; the rest in what the customer put in: points at the rate
        # of that day, whatever the settings say now.
        channel_fen = min(body.amount_fen, through_fen)
        if channel_fen < body.amount_fen:
            order = await self._return_parts(tx, order, body.amount_fen - channel_fen)
        if payment is not None and channel_fen:
            await self.core.refunds.write(
                tx, order, payment.out_trade_no, channel_fen, payment.amount_fen, word
            )
        else:
            await self.core.red_letters.level(tx, order, cause=number)
            await self.core.refunds.settle(tx, order)
        await tx.insert(
            refund_requests,
            {
                "out_refund_no": number,
                "order_id": order_id,
                "client_token": body.client_token,
                "operator": body.operator,
                "note": body.reason,
                "amount_fen": body.amount_fen,
                "instance": self.core.instance,
                "asked_us": self.core.clock_us(),
            },
        )
        return True, await self._shown(tx, number, order_id)

    async def _return_parts(self, tx: Transaction, order: Row[Any], amount_fen: int) -> Row[Any]:
        """Points, balance and coupon for so many fen. Raises `ApiError` 409 if they cannot make up just that."""
        before_fen = order.refunded_fen
        channel_fen = order.paid_fen - order.parts_fen
        order, _ = await self.core.members.give_back(tx, order, channel_fen + amount_fen)
        if order.refunded_fen - before_fen != amount_fen:
            told = f"points and coupon do not make up {amount_fen} fen: a coupon goes back whole"
            raise ApiError(409, "parts_indivisible", told, "amount_fen")
        return order

    async def _shown(self, tx: Transaction, number: str, order_id: str) -> dict[str, Any]:
        row = await tx.first(_REFUND, {"number": number})
        if row is not None:
            return refund_fields(row)
        # Nothing of it goes through a gateway, so it is done.
        asked = await tx.first(_REQUEST, {"number": number})
        order = await self.core.orders.lock(tx, order_id)
        assert asked is not None and order is not None  # noqa: S101, PT018 - written before
        return {
            "out_refund_no": number,
            "out_trade_no": order.out_trade_no,
            "order_id": order_id,
            "amount_fen": asked.amount_fen,
            "total_fen": order.paid_fen,
            "state": "SUCCESS",
            "held": None,
            "refund_id": None,
        }
