"""The gateway's books: orders, prepay ids, refunds. No time passes in here and nothing is sent; callers pass the time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from protocols.wechatpay import (
    TRADE_STATE_TEXT,
    ApiError,
    Endpoint,
    IllegalMoveError,
    TradeEvent,
    TradeState,
    move_trade,
    refusal,
    rfc3339,
    unix_s_of_rfc3339,
)
from sim.wechatpay.ids import Ids
from sim.wechatpay.material import MerchantAccount
from sim.wechatpay.profile import Switches

__all__ = ["Ledger", "Order", "PaymentRefusedError", "fingerprint"]

_MAX_PREPAY_IDS = 64  # re-asked prepay ids kept per order; the oldest are forgotten, as if they had expired


class PaymentRefusedError(Exception):
    """The payer's phone shows that this cannot be paid.

    Attributes:
        reason: ``unknown-prepay-id``, ``expired``, ``closed``, ``paid``, ``other-payer`` or ``pay-sign``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True, eq=False)
class Order:
    """One order. Money is fen, times are Unix microseconds."""

    mchid: str
    appid: str
    out_trade_no: str
    openid: str
    total_fen: int
    attach: str | None
    notify_url: str
    created_us: int
    expire_us: int
    fingerprint: bytes
    state: TradeState = TradeState.NOTPAY
    transaction_id: str | None = None
    success_us: int | None = None
    prepay_ids: dict[str, int] = field(default_factory=dict)
    refunded_fen: int = 0
    refund_count: int = 0

    def shown(self) -> dict[str, object]:
        """The order as query and notification show it; fields that do not apply yet are absent (WX-OAPI)."""
        amount: dict[str, object] = {"total": self.total_fen, "currency": "CNY"}
        shown: dict[str, object] = {
            "mchid": self.mchid,
            "appid": self.appid,
            "out_trade_no": self.out_trade_no,
            "trade_state": str(self.state),
            "trade_state_desc": TRADE_STATE_TEXT[self.state],
            "amount": amount,
            "promotion_detail": [],
            "scene_info": {"device_id": ""},
        }
        if self.attach is not None:
            shown["attach"] = self.attach
        if self.transaction_id is not None and self.success_us is not None:
            amount |= {"payer_total": self.total_fen, "payer_currency": "CNY"}
            shown |= {
                "transaction_id": self.transaction_id,
                "trade_type": "JSAPI",
                "bank_type": "OTHERS",
                "success_time": rfc3339(self.success_us // 1_000_000),
                "payer": {"openid": self.openid},
            }
        return shown


def fingerprint(body: Mapping[str, Any], *, without: tuple[str, ...] = ()) -> bytes:
    """What "same parameters" compares: the body without the fields that may differ, whatever their order."""
    return msgspec.json.encode({k: v for k, v in body.items() if k not in without}, order="sorted")


class Ledger:
    """All orders of all merchants.

    Args:
        ids: where numbers come from.
        switches: what sources leave open.
        on_move: called with each order whose state has just changed.
    """

    def __init__(self, ids: Ids, switches: Switches, on_move: Callable[[Order], None] | None = None) -> None:
        self._ids = ids
        self._switches = switches
        self._on_move = on_move
        self._orders: dict[tuple[str, str], Order] = {}
        self._by_prepay: dict[str, Order] = {}
        self._by_transaction: dict[tuple[str, str], Order] = {}

    @property
    def orders(self) -> tuple[Order, ...]:
        """All orders in the order they were made."""
        return tuple(self._orders.values())

    def _move(self, order: Order, event: TradeEvent) -> None:
        before = order.state
        order.state = move_trade(before, event)
        if order.state is not before and self._on_move is not None:
            self._on_move(order)

    def _expire(self, order: Order, unix_us: int) -> None:
        # Lazily: nobody can see an order between its expiry and the next touch.
        if order.state is TradeState.NOTPAY and unix_us >= order.expire_us:
            self._move(order, TradeEvent.EXPIRE)

    def find(self, mchid: str, out_trade_no: str, unix_us: int) -> Order | None:
        """An order by the merchant's number."""
        order = self._orders.get((mchid, out_trade_no))
        if order is not None:
            self._expire(order, unix_us)
        return order

    def find_paid(self, mchid: str, transaction_id: str) -> Order | None:
        """An order by the platform's number, which exists only after payment."""
        return self._by_transaction.get((mchid, transaction_id))

    def prepay(self, account: MerchantAccount, body: Mapping[str, Any], unix_us: int) -> tuple[Order, str]:
        """Make an order, or re-enter one: same number and same parameters (but for ``time_expire``) give a new prepay_id.

        Raises:
            ApiError: appid not bound, impossible ``time_expire``, number closed, changed or paid.
        """
        if body["appid"] not in account.appids:
            raise refusal(Endpoint.PREPAY, "APPID_MCHID_NOT_MATCH")
        expire_us = self._expire_us(body, unix_us)
        print_ = fingerprint(body, without=("time_expire",))
        number = body["out_trade_no"]
        order = self.find(account.mchid, number, unix_us)
        if order is None:
            order = Order(
                mchid=account.mchid,
                appid=body["appid"],
                out_trade_no=number,
                openid=body["payer"]["openid"],
                total_fen=body["amount"]["total"],
                attach=body.get("attach"),
                notify_url=body["notify_url"],
                created_us=unix_us,
                expire_us=expire_us,
                fingerprint=print_,
            )
            self._orders[account.mchid, number] = order
            if self._on_move is not None:
                self._on_move(order)
        else:
            self._check_reuse(order, print_)
            order.expire_us = expire_us
        prepay_id = self._ids.prepay_id(unix_us)
        order.prepay_ids[prepay_id] = unix_us + self._switches.prepay_life_s * 1_000_000
        self._by_prepay[prepay_id] = order
        if len(order.prepay_ids) > _MAX_PREPAY_IDS:
            oldest = next(iter(order.prepay_ids))
            del order.prepay_ids[oldest], self._by_prepay[oldest]
        return order, prepay_id

    def _expire_us(self, body: Mapping[str, Any], unix_us: int) -> int:
        ceiling_us = unix_us + self._switches.unpaid_life_s * 1_000_000
        text = body.get("time_expire")
        if text is None:
            return ceiling_us
        detail: dict[str, object] = {"field": "/time_expire", "value": text, "location": "body"}
        try:
            expire_us = unix_s_of_rfc3339(text) * 1_000_000
        except (ValueError, OverflowError):
            detail["issue"] = "时间格式不符合rfc3339标准"
            raise refusal(Endpoint.PREPAY, "PARAM_ERROR", "time_expire时间格式错误", detail=detail) from None
        if not unix_us < expire_us <= ceiling_us:
            detail["issue"] = "时间超出允许范围"
            raise refusal(Endpoint.PREPAY, "PARAM_ERROR", "time_expire时间过期", detail=detail)
        return expire_us

    def _check_reuse(self, order: Order, print_: bytes) -> None:
        if order.state is TradeState.CLOSED:
            raise refusal(Endpoint.PREPAY, "ORDER_CLOSED")  # a closed number is dead
        if order.fingerprint != print_:
            if self._switches.reused_number == "INVALID_REQUEST":
                raise refusal(Endpoint.PREPAY, "INVALID_REQUEST", "201 商户订单号重复")
            raise refusal(Endpoint.PREPAY, "OUT_TRADE_NO_USED")
        if order.state is not TradeState.NOTPAY:
            raise refusal(Endpoint.PREPAY, "INVALID_REQUEST", "该订单已支付")  # text and code unproven

    def payable(self, prepay_id: str, openid: str, unix_us: int) -> Order:
        """The order a phone is about to pay.

        Raises:
            PaymentRefusedError: with its reason.
        """
        order = self._by_prepay.get(prepay_id)
        if order is None:
            raise PaymentRefusedError("unknown-prepay-id")
        self._expire(order, unix_us)
        if order.openid != openid:
            raise PaymentRefusedError("other-payer")
        if order.state is TradeState.CLOSED:
            raise PaymentRefusedError("closed")
        if order.state is not TradeState.NOTPAY:
            raise PaymentRefusedError("paid")
        if unix_us >= order.prepay_ids[prepay_id]:
            raise PaymentRefusedError("expired")
        return order

    def pay(self, prepay_id: str, openid: str, unix_us: int) -> Order:
        """The payer's money has moved.

        Raises:
            PaymentRefusedError: it cannot; nothing has changed.
        """
        order = self.payable(prepay_id, openid, unix_us)
        order.transaction_id = self._ids.transaction_id(unix_us)
        order.success_us = unix_us
        self._by_transaction[order.mchid, order.transaction_id] = order
        self._move(order, TradeEvent.PAY)
        return order

    def query(self, order: Order | None) -> dict[str, object]:
        """The order as shown, or the refusal.

        Raises:
            ApiError: 404 ORDER_NOT_EXIST.
        """
        if order is None:
            raise refusal(Endpoint.QUERY, "ORDER_NOT_EXIST")
        return order.shown()

    def close(self, mchid: str, out_trade_no: str, unix_us: int) -> Order:
        """Close an unpaid order; its number is dead from then on.

        Raises:
            ApiError: no such order, or it is paid; closed already, when the switch says so.
        """
        order = self.find(mchid, out_trade_no, unix_us)
        if order is None:
            raise refusal(Endpoint.CLOSE, "ORDER_NOT_EXIST")
        if order.state is TradeState.CLOSED:
            if self._switches.close_closed == "refuse":
                raise refusal(Endpoint.CLOSE, "ORDER_CLOSED")
            return order
        try:
            self._move(order, TradeEvent.CLOSE)
        except IllegalMoveError:
            # The endpoint's table has TRADE_ERROR; that a paid order gives just this code is unproven.
            raise refusal(Endpoint.CLOSE, "TRADE_ERROR", "订单已支付，不能关闭") from None
        return order

    def mark_refunded(self, order: Order) -> None:
        """An order that has any refund shows REFUND.

        Raises:
            ApiError: the order is not paid (403 or 400 in reality is unproven).
        """
        try:
            self._move(order, TradeEvent.REFUND)
        except IllegalMoveError:
            raise ApiError(400, "INVALID_REQUEST", "订单未支付，不能退款") from None
