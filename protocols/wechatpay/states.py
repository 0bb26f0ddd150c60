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
    """``trade_state`` of an order (WX-OAPI). The last three belong to pay codes only."""

    NOTPAY = "NOTPAY"
    SUCCESS = "SUCCESS"
    REFUND = "REFUND"
    CLOSED = "CLOSED"
    USERPAYING = "USERPAYING"
    PAYERROR = "PAYERROR"
    REVOKED = "REVOKED"


class TradeEvent(StrEnum):
    """What happens to an order."""

    PAY = "pay"
    CLOSE = "close"
    EXPIRE = "expire"
    REFUND = "refund"
    FAIL = "fail"
    REVERSE = "reverse"


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


class IllegalMoveError(LocalProtocolError):
    """The state table does not allow this event now."""


TRADE_MOVES: Final = MappingProxyType(
    {
        (TradeState.NOTPAY, TradeEvent.PAY): TradeState.SUCCESS,
        (TradeState.NOTPAY, TradeEvent.CLOSE): TradeState.CLOSED,
        (TradeState.NOTPAY, TradeEvent.EXPIRE): TradeState.CLOSED,
        (TradeState.USERPAYING, TradeEvent.PAY): TradeState.SUCCESS,
        (TradeState.USERPAYING, TradeEvent.FAIL): TradeState.PAYERROR,
        (TradeState.USERPAYING, TradeEvent.REVERSE): TradeState.REVOKED,
        (TradeState.SUCCESS, TradeEvent.REFUND): TradeState.REFUND,
        (TradeState.SUCCESS, TradeEvent.REVERSE): TradeState.REVOKED,
        (TradeState.REFUND, TradeEvent.REFUND): TradeState.REFUND,
    }
)
"""Legal moves of an order (WX-OAPI, WX-GO). Nothing leaves CLOSED or REVOKED: unproven, but no source shows a way out."""

REFUND_MOVES: Final = MappingProxyType(
    {
        (RefundState.PROCESSING, RefundEvent.SETTLE): RefundState.SUCCESS,
        (RefundState.PROCESSING, RefundEvent.CLOSE): RefundState.CLOSED,
        (RefundState.PROCESSING, RefundEvent.BOUNCE): RefundState.ABNORMAL,
        (RefundState.ABNORMAL, RefundEvent.SETTLE): RefundState.SUCCESS,
    }
)
"""Legal moves of a refund. ABNORMAL (the payer's card is gone) is settled by the abnormal-refund call."""

TRADE_STATE_TEXT: Final = MappingProxyType(
    {
        TradeState.NOTPAY: "订单未支付",
        TradeState.SUCCESS: "支付成功",
        TradeState.REFUND: "订单发生过退款，退款详情请查询退款单",
        TradeState.CLOSED: "订单已关闭",
        TradeState.USERPAYING: "用户支付中",
        TradeState.PAYERROR: "支付失败",
        TradeState.REVOKED: "订单已撤销",
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
