"""The lives of an order and of a refund, as tables: state × event → state."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final

from protocols.sansio import LocalProtocolError

__all__ = [
    "REFUND_MOVES",
    "TRADE_MOVES",
    "TRADE_STATE_TEXT",
    "IllegalMoveError",
    "RefundEvent",
    "RefundState",
    "TradeEvent",
    "TradeState",
    "move_refund",
    "move_trade",
    "state_tables",
]


class TradeState(StrEnum):
    """``trade_state`` of an order (WX-OAPI).

    USERPAYING, PAYERROR and REVOKED belong to pay codes; ACCEPTED and PAY_FAIL to debits by contract or plate, where
    only the parking pages publish them (for entrusted debits they are *unproven*).
    """

    NOTPAY = "NOTPAY"
    SUCCESS = "SUCCESS"
    REFUND = "REFUND"
    CLOSED = "CLOSED"
    USERPAYING = "USERPAYING"
    PAYERROR = "PAYERROR"
    REVOKED = "REVOKED"
    ACCEPTED = "ACCEPTED"
    PAY_FAIL = "PAY_FAIL"


class TradeEvent(StrEnum):
    """What happens to an order."""

    PAY = "pay"
    CLOSE = "close"
    EXPIRE = "expire"
    REFUND = "refund"
    FAIL = "fail"
    REVERSE = "reverse"
    ASK = "ask"
    ACCEPT = "accept"


class RefundState(StrEnum):
    """``status`` of a refund (WX-OAPI)."""

    PROCESSING = "PROCESSING"
    SUCCESS = "SUCCESS"
    CLOSED = "CLOSED"
    ABNORMAL = "ABNORMAL"


class RefundEvent(StrEnum):
    """How a refund goes on at the bank."""

    SETTLE = "settle"
    CLOSE = "close"
    BOUNCE = "bounce"
    APPLY = "apply"


class IllegalMoveError(LocalProtocolError):
    """The state table does not allow this event now."""


TRADE_MOVES: Final = MappingProxyType(
    {
        (TradeState.NOTPAY, TradeEvent.PAY): TradeState.SUCCESS,
        (TradeState.NOTPAY, TradeEvent.CLOSE): TradeState.CLOSED,
        (TradeState.NOTPAY, TradeEvent.EXPIRE): TradeState.CLOSED,
        (TradeState.NOTPAY, TradeEvent.ASK): TradeState.USERPAYING,
        (TradeState.NOTPAY, TradeEvent.FAIL): TradeState.PAYERROR,
        (TradeState.NOTPAY, TradeEvent.ACCEPT): TradeState.ACCEPTED,
        (TradeState.USERPAYING, TradeEvent.PAY): TradeState.SUCCESS,
        (TradeState.USERPAYING, TradeEvent.FAIL): TradeState.PAYERROR,
        (TradeState.USERPAYING, TradeEvent.REVERSE): TradeState.REVOKED,
        (TradeState.USERPAYING, TradeEvent.EXPIRE): TradeState.REVOKED,
        (TradeState.ACCEPTED, TradeEvent.PAY): TradeState.SUCCESS,
        (TradeState.ACCEPTED, TradeEvent.FAIL): TradeState.PAY_FAIL,
        (TradeState.PAY_FAIL, TradeEvent.ACCEPT): TradeState.ACCEPTED,
        (TradeState.PAY_FAIL, TradeEvent.CLOSE): TradeState.CLOSED,
        (TradeState.SUCCESS, TradeEvent.REFUND): TradeState.REFUND,
        (TradeState.SUCCESS, TradeEvent.REVERSE): TradeState.REVOKED,
        (TradeState.REFUND, TradeEvent.REFUND): TradeState.REFUND,
    }
)
"""Legal moves of an order (WX-OAPI, WX-GO). Nothing leaves CLOSED or REVOKED: unproven, but no source shows a way out.

ASK is the password box of a pay code; its box is shut from outside after 45 seconds (EXPIRE). A debit that failed may be
asked for again under its own number (ACCEPT)."""

REFUND_MOVES: Final = MappingProxyType(
    {
        (RefundState.PROCESSING, RefundEvent.SETTLE): RefundState.SUCCESS,
        (RefundState.PROCESSING, RefundEvent.CLOSE): RefundState.CLOSED,
        (RefundState.PROCESSING, RefundEvent.BOUNCE): RefundState.ABNORMAL,
        (RefundState.ABNORMAL, RefundEvent.SETTLE): RefundState.SUCCESS,
        (RefundState.ABNORMAL, RefundEvent.APPLY): RefundState.PROCESSING,
    }
)
"""Legal moves of a refund. ABNORMAL (the payer's card is gone) goes on by the abnormal-refund call (APPLY), or is
settled by hand in the merchant's console."""

TRADE_STATE_TEXT: Final = MappingProxyType(
    {
        TradeState.NOTPAY: "订单未支付",
        TradeState.SUCCESS: "支付成功",
        TradeState.REFUND: "订单发生过退款，退款详情请查询退款单",
        TradeState.CLOSED: "订单已关闭",
        TradeState.USERPAYING: "用户支付中",
        TradeState.PAYERROR: "支付失败",
        TradeState.REVOKED: "订单已撤销",
        TradeState.ACCEPTED: "已受理，等待扣款",
        TradeState.PAY_FAIL: "支付失败，请重新下单支付",
    }
)
"""``trade_state_desc``: for people; never branch on it."""


def move_trade(state: TradeState, event: TradeEvent) -> TradeState:
    """The next state of an order.

    Raises:
        IllegalMoveError: the table has no such move.
    """
    try:
        return TRADE_MOVES[state, event]
    except KeyError:
        raise IllegalMoveError(f"an order in {state} does not allow {event}") from None


def move_refund(state: RefundState, event: RefundEvent) -> RefundState:
    """The next state of a refund.

    Raises:
        IllegalMoveError: the table has no such move.
    """
    try:
        return REFUND_MOVES[state, event]
    except KeyError:
        raise IllegalMoveError(f"a refund in {state} does not allow {event}") from None


def state_tables() -> dict[str, list[dict[str, str]]]:
    """Both tables as plain data: ``{"trade": [{"from", "event", "to"}, …], "refund": […]}``."""
    return {
        "trade": [
            {"from": str(a), "event": str(event), "to": str(b)} for (a, event), b in TRADE_MOVES.items()
        ],
        "refund": [
            {"from": str(a), "event": str(event), "to": str(b)} for (a, event), b in REFUND_MOVES.items()
        ],
    }
