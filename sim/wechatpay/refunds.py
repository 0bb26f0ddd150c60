"""The gateway's refunds: one per merchant refund number, never more than was paid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from protocols.wechatpay import Endpoint, RefundEvent, RefundState, TradeState, move_refund, refusal, rfc3339
from sim.wechatpay.ids import Ids
from sim.wechatpay.ledger import Ledger, Order
from sim.wechatpay.switches import Switches

__all__ = ["RefundBook", "RefundRecord"]

_MAX_REFUNDS = 50
_REFUND_WINDOW_US = 365 * 86_400 * 1_000_000
_ACCOUNT = "支付用户零钱"


@dataclass(slots=True, eq=False)
class RefundRecord:
    """One refund. Money is fen, times are Unix microseconds.

    Attributes:
        history: when it came into which state, from PROCESSING on.
        channel: ORIGINAL, or OTHER_BANKCARD after an abnormal refund was sent on.
        received_account: where the money goes, as people read it; never a whole card number.
    """

    order: Order
    out_refund_no: str
    refund_id: str
    refund_fen: int
    notify_url: str | None
    created_us: int
    state: RefundState = RefundState.PROCESSING
    success_us: int | None = None
    history: list[tuple[int, RefundState]] = field(default_factory=list)
    channel: str = "ORIGINAL"
    received_account: str = _ACCOUNT
    reason: str = ""

    def asks_the_same(self, body: Mapping[str, Any]) -> bool:
        """Whether a request under this refund's number names the same order and the same money."""
        amount, order = body["amount"], self.order
        return (
            amount["refund"] == self.refund_fen
            and amount["total"] == order.total_fen
            and body.get("transaction_id") in {None, order.transaction_id}
            and body.get("out_trade_no") in {None, order.out_trade_no}
        )

    def state_at(self, unix_us: int) -> RefundState:
        """Its state at an instant (PROCESSING before there was any)."""
        states = [state for at_us, state in self.history if at_us <= unix_us]
        return states[-1] if states else RefundState.PROCESSING

    def _common(self) -> dict[str, object]:
        shown: dict[str, object] = {
            "out_refund_no": self.out_refund_no,
            "refund_id": self.refund_id,
            "out_trade_no": self.order.out_trade_no,
            "transaction_id": self.order.transaction_id,
            "user_received_account": self.received_account,
        }
        if self.success_us is not None:
            shown["success_time"] = rfc3339(self.success_us // 1_000_000)
        return shown

    def shown(self) -> dict[str, object]:
        """The refund as reply and query show it (WX-OAPI)."""
        total_fen, refund_fen = self.order.total_fen, self.refund_fen
        return {
            **self._common(),
            "channel": self.channel,
            "create_time": rfc3339(self.created_us // 1_000_000),
            "status": str(self.state),
            "funds_account": "AVAILABLE",
            "amount": {
                "total": total_fen,
                "refund": refund_fen,
                "payer_total": total_fen,
                "payer_refund": refund_fen,
                "settlement_refund": refund_fen,
                "settlement_total": total_fen,
                "discount_refund": 0,
                "currency": "CNY",
            },
            "promotion_detail": [],
        }

    def announced(self) -> dict[str, object]:
        """The refund as its notification shows it: ``refund_status`` instead of ``status`` (WX-OAPI)."""
        return {
            "mchid": self.order.mchid,
            **self._common(),
            "refund_status": str(self.state),
            "amount": {
                "total": self.order.total_fen,
                "refund": self.refund_fen,
                "payer_total": self.order.total_fen,
                "payer_refund": self.refund_fen,
            },
        }


class RefundBook:
    """All refunds of all merchants.

    Args:
        ledger: the orders.
        ids: where numbers come from.
        switches: what sources leave open.
        on_move: called with each refund whose state has just changed.
    """

    def __init__(
        self,
        ledger: Ledger,
        ids: Ids,
        switches: Switches,
        on_move: Callable[[RefundRecord], None] | None = None,
    ) -> None:
        self._switches = switches
        self._ledger = ledger
        self._ids = ids
        self._on_move = on_move
        self._refunds: dict[tuple[str, str], RefundRecord] = {}
        self._by_id: dict[tuple[str, str], RefundRecord] = {}
        self._last_us: dict[tuple[str, str], int] = {}

    @property
    def refunds(self) -> tuple[RefundRecord, ...]:
        """All refunds in the order they were accepted."""
        return tuple(self._refunds.values())

    def request(self, mchid: str, body: Mapping[str, Any], unix_us: int) -> tuple[RefundRecord, bool]:
        """Accept a refund; True beside it when it is new.

        The key is ``out_refund_no``: asked again with the same parameters, the refund made before is the answer.

        Raises:
            ApiError: no such order, not paid, more than 50 refunds, more money than is left, older than a year,
                too soon after the last one, or the number was used with other amounts. Codes of those beyond the endpoint's table are unproven.
        """
        known = self._refunds.get((mchid, body["out_refund_no"]))
        if known is not None:
            if not known.asks_the_same(body):
                raise refusal(
                    Endpoint.REFUND, "INVALID_REQUEST", "订单金额或退款金额与之前请求不一致，请核实后再试"
                )
            return known, False
        order = self._order(mchid, body, unix_us)
        self._check_money(order, body["amount"], unix_us)
        self._ledger.mark_refunded(order)
        record = RefundRecord(
            order=order,
            out_refund_no=body["out_refund_no"],
            refund_id=self._ids.refund_id(unix_us),
            refund_fen=body["amount"]["refund"],
            notify_url=body.get("notify_url"),
            created_us=unix_us,
            reason=body.get("reason", ""),
        )
        record.history.append((unix_us, record.state))
        self._last_us[mchid, order.out_trade_no] = unix_us
        order.refunded_fen += record.refund_fen
        order.refund_count += 1
        self._refunds[mchid, record.out_refund_no] = record
        self._by_id[mchid, record.refund_id] = record
        if self._on_move is not None:
            self._on_move(record)
        return record, True

    def _order(self, mchid: str, body: Mapping[str, Any], unix_us: int) -> Order:
        transaction_id, number = body.get("transaction_id"), body.get("out_trade_no")
        if transaction_id is None and number is None:
            detail: dict[str, object] = {
                "field": "/transaction_id",
                "issue": "必填字段缺失",
                "location": "body",
            }
            message = "transaction_id和out_trade_no不能同时为空"
            raise refusal(Endpoint.REFUND, "PARAM_ERROR", message, detail=detail)
        if transaction_id is not None:
            order = self._ledger.find_paid(mchid, transaction_id)
            if order is not None and number is not None and order.out_trade_no != number:
                raise refusal(Endpoint.REFUND, "INVALID_REQUEST", "transaction_id与out_trade_no不一致")
        else:
            order = self._ledger.find(mchid, str(number), unix_us)
        if order is None:
            raise refusal(Endpoint.REFUND, "RESOURCE_NOT_EXISTS")
        return order

    def _check_money(self, order: Order, amount: Mapping[str, Any], unix_us: int) -> None:
        if order.state not in {TradeState.SUCCESS, TradeState.REFUND} or order.success_us is None:
            raise refusal(Endpoint.REFUND, "INVALID_REQUEST", "订单未支付，不能退款")
        if amount["total"] != order.total_fen:
            raise refusal(
                Endpoint.REFUND, "INVALID_REQUEST", "订单金额或退款金额与之前请求不一致，请核实后再试"
            )
        if unix_us - order.success_us > _REFUND_WINDOW_US:
            raise refusal(Endpoint.REFUND, "TRADE_OVERDUE")
        left_fen = order.total_fen - order.refunded_fen
        if left_fen == 0:
            raise refusal(Endpoint.REFUND, "INVALID_REQUEST", "订单已全额退款")
        if amount["refund"] > left_fen:
            raise refusal(Endpoint.REFUND, "INVALID_REQUEST", "申请退款金额超过订单可退金额")
        if order.refund_count >= _MAX_REFUNDS:
            raise refusal(Endpoint.REFUND, "INVALID_REQUEST", "同一笔订单最多支持50次部分退款")
        last_us = self._last_us.get((order.mchid, order.out_trade_no))
        gap_us = self._switches.refund_gap_s * 1_000_000
        if last_us is not None and unix_us < last_us + gap_us:
            text = "同一笔订单多次退款需间隔1分钟，请稍后再试"
            raise refusal(Endpoint.REFUND, self._switches.rate_limit_code, text)

    def find(self, mchid: str, out_refund_no: str) -> RefundRecord:
        """A refund by the merchant's number.

        Raises:
            ApiError: 404 RESOURCE_NOT_EXISTS.
        """
        record = self._refunds.get((mchid, out_refund_no))
        if record is None:
            raise refusal(Endpoint.REFUND_QUERY, "RESOURCE_NOT_EXISTS", "退款单不存在")
        return record

    def apply(
        self, mchid: str, refund_id: str, out_refund_no: str, received_account: str, unix_us: int
    ) -> tuple[RefundRecord, bool]:
        """The merchant sends an abnormal refund on, to a card; True beside it when it moves by this call.

        Asked again while the bank is at it, the answer is the refund as it stands.

        Raises:
            ApiError: no such refund, another merchant's number, or it is not abnormal (that code is unproven).
        """
        record = self._by_id.get((mchid, refund_id))
        if record is None:
            raise refusal(Endpoint.ABNORMAL_REFUND, "RESOURCE_NOT_EXISTS", "退款单不存在")
        if record.out_refund_no != out_refund_no:
            raise refusal(Endpoint.ABNORMAL_REFUND, "INVALID_REQUEST", "商户退款单号与微信退款单号不一致")
        if record.state is not RefundState.ABNORMAL:
            if record.channel == "ORIGINAL":
                raise refusal(Endpoint.ABNORMAL_REFUND, "INVALID_REQUEST", "退款单状态不是退款异常")
            return record, False
        record.channel, record.received_account = "OTHER_BANKCARD", received_account
        self.move(record, RefundEvent.APPLY, unix_us)
        return record, True

    def move(self, record: RefundRecord, event: RefundEvent, unix_us: int) -> None:
        """The bank's answer has come.

        Raises:
            IllegalMoveError: the state table does not allow it.
        """
        record.state = move_refund(record.state, event)
        record.history.append((unix_us, record.state))
        if record.state is RefundState.SUCCESS:
            record.success_us = unix_us
        elif record.state is RefundState.CLOSED:
            record.order.refunded_fen -= (
                record.refund_fen
            )  # the money may be asked for again, under a new number
        if self._on_move is not None:
            self._on_move(record)
