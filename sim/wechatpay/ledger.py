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
from sim.wechatpay.switches import Switches

__all__ = ["Ledger", "Order", "PaymentRefusedError", "check_payable", "fingerprint"]

_MAX_PREPAY_IDS = 64  # re-asked prepay ids kept per order; the oldest are forgotten, as if they had expired


_EXPIRING = frozenset({TradeState.NOTPAY, TradeState.USERPAYING})


class PaymentRefusedError(Exception):
    """The payer's phone shows that this cannot be paid.

    Attributes:
        reason: ``unknown-prepay-id``, ``expired``, ``closed``, ``paid``, ``other-payer``, ``balance`` or ``pay-sign``;
            of a pay code ``unknown-code`` or ``not-asked`` as well.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True, eq=False)
class Order:
    """One order. Money is fen, times are Unix microseconds.

    ``openid`` is empty as long as anybody may pay (a code to scan); ``notify_url`` is None where no notice is sent (pay
    codes). ``state_text`` says more than the state does, of a payment that failed; ``is_repaid`` belongs to debits
    that the platform has advanced.
    """

    mchid: str
    appid: str
    out_trade_no: str
    openid: str
    total_fen: int
    attach: str | None
    notify_url: str | None
    created_us: int
    expire_us: int
    fingerprint: bytes
    state: TradeState = TradeState.NOTPAY
    transaction_id: str | None = None
    success_us: int | None = None
    prepay_ids: dict[str, int] = field(default_factory=dict)
    refunded_fen: int = 0
    refund_count: int = 0
    trade_type: str = "JSAPI"
    description: str = ""
    device_id: str = ""
    state_text: str | None = None
    reversed_us: int | None = None
    reversal_id: str = ""
    combined_in: str | None = None
    bank_type: str = "OTHERS"
    is_repaid: bool | None = None

    def shown(self) -> dict[str, object]:
        """The order as query and notification show it; fields that do not apply yet are absent (WX-OAPI)."""
        amount: dict[str, object] = {"total": self.total_fen, "currency": "CNY"}
        shown: dict[str, object] = {
            "mchid": self.mchid,
            "appid": self.appid,
            "out_trade_no": self.out_trade_no,
            "trade_state": str(self.state),
            "trade_state_desc": self.state_text or TRADE_STATE_TEXT[self.state],
            "amount": amount,
            "promotion_detail": [],
            "scene_info": {"device_id": self.device_id},
        }
        if self.attach is not None:
            shown["attach"] = self.attach
        if self.transaction_id is not None and self.success_us is not None:
            amount |= {"payer_total": self.total_fen, "payer_currency": "CNY"}
            shown |= {
                "transaction_id": self.transaction_id,
                "trade_type": self.trade_type,
                "bank_type": self.bank_type,
                "success_time": rfc3339(self.success_us // 1_000_000),
                "payer": {"openid": self.openid},
            }
        return shown


def fingerprint(body: Mapping[str, Any], *, without: tuple[str, ...] = ()) -> bytes:
    """What "same parameters" compares: the body without the fields that may differ, whatever their order."""
    return msgspec.json.encode({k: v for k, v in body.items() if k not in without}, order="sorted")


def check_payable(payer: str, state: TradeState, *, openid: str, is_over: bool) -> None:
    """Whether a phone may pay now.

    Args:
        payer: whom the order was made for; empty for anybody.
        state: the order's.
        openid: the phone's.
        is_over: what the phone was handed is too old.

    Raises:
        PaymentRefusedError: with its reason.
    """
    if payer not in {"", openid}:
        raise PaymentRefusedError("other-payer")
    if state is TradeState.CLOSED:
        raise PaymentRefusedError("closed")
    if state is not TradeState.NOTPAY:
        raise PaymentRefusedError("paid")
    if is_over:
        raise PaymentRefusedError("expired")


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

    def add(self, order: Order) -> None:
        """Enter a new order."""
        self._orders[order.mchid, order.out_trade_no] = order
        if self._on_move is not None:
            self._on_move(order)

    def move(self, order: Order, event: TradeEvent) -> None:
        """Something happens to an order.

        Raises:
            IllegalMoveError: the state table does not allow it.
        """
        before = order.state
        order.state = move_trade(before, event)
        if order.state is not before and self._on_move is not None:
            self._on_move(order)

    def _expire(self, order: Order, unix_us: int) -> None:
        # Lazily: nobody can see an order between its expiry and the next touch.
        if unix_us >= order.expire_us and order.state in _EXPIRING:
            self.move(order, TradeEvent.EXPIRE)

    def find(self, mchid: str, out_trade_no: str, unix_us: int) -> Order | None:
        """An order by the merchant's number."""
        order = self._orders.get((mchid, out_trade_no))
        if order is not None:
            self._expire(order, unix_us)
        return order

    def find_paid(self, mchid: str, transaction_id: str) -> Order | None:
        """An order by the platform's number, which exists only after payment."""
        return self._by_transaction.get((mchid, transaction_id))

    def prepay(
        self,
        account: MerchantAccount,
        body: Mapping[str, Any],
        unix_us: int,
        endpoint: Endpoint = Endpoint.PREPAY,
    ) -> tuple[Order, str]:
        """Make an order, or re-enter one: same number and same parameters (but for ``time_expire``) give a new prepay_id.

        For `Endpoint.NATIVE` it is a new ``code_url`` instead, for anybody to scan.

        Raises:
            ApiError: appid not bound, impossible ``time_expire``, number closed, changed or paid.
        """
        is_native = endpoint is Endpoint.NATIVE
        if body["appid"] not in account.appids:
            raise refusal(endpoint, "APPID_MCHID_NOT_MATCH")
        expire_us = self.expire_us(body, unix_us, endpoint)
        print_ = fingerprint(body, without=("time_expire",))
        number = body["out_trade_no"]
        order = self.find(account.mchid, number, unix_us)
        if order is None:
            order = Order(
                mchid=account.mchid,
                appid=body["appid"],
                out_trade_no=number,
                openid="" if is_native else body["payer"]["openid"],
                total_fen=body["amount"]["total"],
                attach=body.get("attach"),
                notify_url=body["notify_url"],
                created_us=unix_us,
                expire_us=expire_us,
                fingerprint=print_,
                trade_type="NATIVE" if is_native else "JSAPI",
                description=body.get("description", ""),
            )
            self.add(order)
        else:
            self.check_reuse(order, print_, endpoint)
            order.expire_us = expire_us
        handle = self._ids.code_url() if is_native else self._ids.prepay_id(unix_us)
        order.prepay_ids[handle] = unix_us + self._switches.prepay_life_s * 1_000_000
        self._by_prepay[handle] = order
        if len(order.prepay_ids) > _MAX_PREPAY_IDS:
            oldest = next(iter(order.prepay_ids))
            del order.prepay_ids[oldest], self._by_prepay[oldest]
        return order, handle

    def expire_us(self, body: Mapping[str, Any], unix_us: int, endpoint: Endpoint) -> int:
        """When an order that a request makes is over: its ``time_expire``, or the longest life.

        Raises:
            ApiError: 400 PARAM_ERROR: not a time, in the past or too far away.
        """
        ceiling_us = unix_us + self._switches.unpaid_life_s * 1_000_000
        text = body.get("time_expire")
        if text is None:
            return ceiling_us
        detail: dict[str, object] = {"field": "/time_expire", "value": text, "location": "body"}
        try:
            expire_us = unix_s_of_rfc3339(text) * 1_000_000
        except (ValueError, OverflowError):
            detail["issue"] = "时间格式不符合rfc3339标准"
            raise refusal(endpoint, "PARAM_ERROR", "time_expire时间格式错误", detail=detail) from None
        if not unix_us < expire_us <= ceiling_us:
            detail["issue"] = "时间超出允许范围"
            raise refusal(endpoint, "PARAM_ERROR", "time_expire时间过期", detail=detail)
        return expire_us

    def check_reuse(self, order: Order, print_: bytes, endpoint: Endpoint) -> None:
        """Whether a request may take up an order that has its number.

        Raises:
            ApiError: the number is closed, was used with other parameters, or is paid.
        """
        if order.state is TradeState.CLOSED:
            raise refusal(endpoint, "ORDER_CLOSED")  # a closed number is dead
        self.check_same(order, print_, endpoint)
        if order.state is not TradeState.NOTPAY:
            raise refusal(endpoint, "INVALID_REQUEST", "该订单已支付")  # text and code unproven

    def check_same(self, order: Order, print_: bytes, endpoint: Endpoint) -> None:
        """Whether a request has the parameters that made the order.

        Raises:
            ApiError: it has others.
        """
        if order.fingerprint != print_:
            if self._switches.reused_number == "INVALID_REQUEST":
                raise refusal(endpoint, "INVALID_REQUEST", "201 商户订单号重复")
            raise refusal(endpoint, "OUT_TRADE_NO_USED")

    def payable(self, prepay_id: str, openid: str, unix_us: int) -> Order:
        """The order a phone is about to pay.

        Raises:
            PaymentRefusedError: with its reason.
        """
        order = self._by_prepay.get(prepay_id)
        if order is None:
            raise PaymentRefusedError("unknown-prepay-id")
        self._expire(order, unix_us)
        check_payable(
            order.openid, order.state, openid=openid, is_over=unix_us >= order.prepay_ids[prepay_id]
        )
        return order

    def of_handle(self, handle: str) -> Order:
        """The order of a ``prepay_id`` or ``code_url``.

        Raises:
            KeyError: there is none.
        """
        return self._by_prepay[handle]

    def pay(self, prepay_id: str, openid: str, unix_us: int) -> Order:
        """The payer's money has moved.

        Raises:
            PaymentRefusedError: it cannot; nothing has changed.
        """
        order = self.payable(prepay_id, openid, unix_us)
        order.openid = openid
        self.settle(order, unix_us)
        return order

    def settle(self, order: Order, unix_us: int) -> None:
        """The payer's money has moved for this order, whatever its product.

        Raises:
            IllegalMoveError: it cannot be paid; nothing has changed.
        """
        move_trade(order.state, TradeEvent.PAY)
        order.transaction_id = self._ids.transaction_id(unix_us)
        order.success_us = unix_us
        self._by_transaction[order.mchid, order.transaction_id] = order
        order.state_text = None
        self.move(order, TradeEvent.PAY)

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
        # Combinations close as a whole (WX-OAPI), pay codes are reversed (WXDOC v2 4011937125); codes and texts unproven.
        if order.combined_in is not None:
            raise refusal(Endpoint.CLOSE, "TRADE_ERROR", "合单支付订单请使用合单关单接口")
        if order.trade_type == "MICROPAY":
            raise refusal(Endpoint.CLOSE, "TRADE_ERROR", "付款码支付订单请使用撤销接口")
        try:
            self.move(order, TradeEvent.CLOSE)
        except IllegalMoveError:
            # The endpoint's table has TRADE_ERROR; that a paid order gives just this code is unproven.
            text = "订单支付中，不能关闭" if order.transaction_id is None else "订单已支付，不能关闭"
            raise refusal(Endpoint.CLOSE, "TRADE_ERROR", text) from None
        return order

    def mark_refunded(self, order: Order) -> None:
        """An order that has any refund shows REFUND.

        Raises:
            ApiError: the order is not paid (403 or 400 in reality is unproven).
        """
        try:
            self.move(order, TradeEvent.REFUND)
        except IllegalMoveError:
            raise ApiError(400, "INVALID_REQUEST", "订单未支付，不能退款") from None
