"""Combined orders: up to 50 orders under one payment (WX-OAPI ``combine-transactions``). No time passes in here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from protocols.wechatpay import (
    Endpoint,
    IllegalMoveError,
    TradeEvent,
    TradeState,
    move_trade,
    refusal,
)
from sim.wechatpay.ids import Ids
from sim.wechatpay.ledger import Ledger, Order, check_payable, fingerprint
from sim.wechatpay.material import MerchantAccount
from sim.wechatpay.switches import Switches

__all__ = ["CombinedBook", "CombinedOrder"]


@dataclass(slots=True, eq=False)
class CombinedOrder:
    """One combination; its orders stand in the ledger like others and are refunded one by one.

    ``openid`` is empty as long as anybody may pay (a code to scan).
    """

    mchid: str
    appid: str
    number: str
    openid: str
    notify_url: str
    orders: tuple[Order, ...]
    fingerprint: bytes
    device_id: str = ""
    handles: dict[str, int] = field(default_factory=dict)

    @property
    def total_fen(self) -> int:
        """What the payer pays in all."""
        return sum(order.total_fen for order in self.orders)

    def shown(self) -> dict[str, object]:
        """The combination as query and notice show it (WX-OAPI); fields that do not apply yet are absent."""
        shown: dict[str, object] = {
            "combine_appid": self.appid,
            "combine_mchid": self.mchid,
            "combine_out_trade_no": self.number,
            "scene_info": {"device_id": self.device_id},
            "sub_orders": [_shown(order) for order in self.orders],
        }
        if self.openid:
            shown["combine_payer_info"] = {"openid": self.openid}
        return shown


def _shown(order: Order) -> dict[str, object]:
    common = order.shown()
    amount: dict[str, object] = {"total_amount": order.total_fen, "currency": "CNY"}
    if order.transaction_id is not None:
        amount |= {"payer_amount": order.total_fen, "payer_currency": "CNY"}
    kept = ("mchid", "trade_type", "trade_state", "bank_type", "attach", "success_time", "transaction_id")
    return {
        **{name: common[name] for name in kept if name in common},
        "out_trade_no": order.out_trade_no,
        "amount": amount,
    }


class CombinedBook:
    """All combinations.

    Args:
        ledger: the orders.
        accounts: merchants by number: each order of a combination has its own.
        ids: where numbers come from; a stream of its own.
        switches: what sources leave open.
    """

    def __init__(
        self, ledger: Ledger, accounts: Mapping[str, MerchantAccount], ids: Ids, switches: Switches
    ) -> None:
        self._ledger = ledger
        self._accounts = accounts
        self._ids = ids
        self._switches = switches
        self._orders: dict[tuple[str, str], CombinedOrder] = {}
        self._by_handle: dict[str, CombinedOrder] = {}

    @property
    def orders(self) -> tuple[CombinedOrder, ...]:
        """All combinations in the order they were made."""
        return tuple(self._orders.values())

    def owns(self, handle: str) -> bool:
        """Whether this ``prepay_id`` or ``code_url`` is a combination's."""
        return handle in self._by_handle

    def of_handle(self, handle: str) -> CombinedOrder:
        """The combination of a ``prepay_id`` or ``code_url``.

        Raises:
            KeyError: there is none.
        """
        return self._by_handle[handle]

    def prepay(
        self, account: MerchantAccount, body: Mapping[str, Any], unix_us: int, *, native: bool
    ) -> tuple[CombinedOrder, str]:
        """Make a combination, or re-enter one: a new ``prepay_id`` (or ``code_url``).

        Raises:
            ApiError: appid not bound, an order's merchant unknown, a number changed, used or closed.
        """
        if body["combine_appid"] not in account.appids:
            raise refusal(Endpoint.COMBINE, "APPID_MCHID_NOT_MATCH")
        expire_us = self._ledger.expire_us(body, unix_us, Endpoint.COMBINE)
        print_ = fingerprint(body, without=("time_expire",))
        known = self.find(account.mchid, body["combine_out_trade_no"], unix_us)
        if known is None:
            known = self._make(account, body, unix_us, expire_us, print_, native=native)
        else:
            for order in known.orders:
                if order.state is TradeState.CLOSED:
                    raise refusal(Endpoint.COMBINE, "ORDER_CLOSED")
            if known.fingerprint != print_:
                raise refusal(Endpoint.COMBINE, "OUT_TRADE_NO_USED")
            if known.orders[0].state is not TradeState.NOTPAY:
                raise refusal(Endpoint.COMBINE, "INVALID_REQUEST", "该订单已支付")
            for order in known.orders:
                order.expire_us = expire_us
        handle = self._ids.code_url() if native else self._ids.prepay_id(unix_us)
        known.handles[handle] = unix_us + self._switches.prepay_life_s * 1_000_000
        self._by_handle[handle] = known
        return known, handle

    def _make(
        self,
        account: MerchantAccount,
        body: Mapping[str, Any],
        unix_us: int,
        expire_us: int,
        print_: bytes,
        *,
        native: bool,
    ) -> CombinedOrder:
        subs = body["sub_orders"]
        keys = {(sub["mchid"], sub["out_trade_no"]) for sub in subs}
        if len(keys) != len(subs) or any(self._ledger.find(*key, unix_us) for key in sorted(keys)):
            raise refusal(Endpoint.COMBINE, "OUT_TRADE_NO_USED")
        if any(sub["mchid"] not in self._accounts for sub in subs):
            raise refusal(Endpoint.COMBINE, "NO_AUTH")
        openid = "" if native else body["combine_payer_info"]["openid"]
        orders = tuple(
            Order(
                mchid=sub["mchid"],
                appid=body["combine_appid"],
                out_trade_no=sub["out_trade_no"],
                openid=openid,
                total_fen=sub["amount"]["total_amount"],
                attach=sub["attach"],
                notify_url=None,
                created_us=unix_us,
                expire_us=expire_us,
                fingerprint=print_,
                trade_type="NATIVE" if native else "JSAPI",
                description=sub["description"],
                combined_in=body["combine_out_trade_no"],
            )
            for sub in subs
        )
        combined = CombinedOrder(
            mchid=account.mchid,
            appid=body["combine_appid"],
            number=body["combine_out_trade_no"],
            openid=openid,
            notify_url=body["notify_url"],
            orders=orders,
            fingerprint=print_,
            device_id=body.get("scene_info", {}).get("device_id", ""),
        )
        self._orders[account.mchid, combined.number] = combined
        for order in orders:
            self._ledger.add(order)
        return combined

    def find(self, mchid: str, number: str, unix_us: int) -> CombinedOrder | None:
        """A combination by the merchant's number."""
        combined = self._orders.get((mchid, number))
        if combined is not None:
            for order in combined.orders:
                self._ledger.find(order.mchid, order.out_trade_no, unix_us)
        return combined

    def query(self, mchid: str, number: str, unix_us: int) -> dict[str, object]:
        """A combination as shown.

        Raises:
            ApiError: 404 ORDER_NOT_EXIST.
        """
        combined = self.find(mchid, number, unix_us)
        if combined is None:
            raise refusal(Endpoint.COMBINE_QUERY, "ORDER_NOT_EXIST")
        return combined.shown()

    def close(self, mchid: str, number: str, body: Mapping[str, Any], unix_us: int) -> None:
        """Close a whole combination; closed already, nothing changes.

        Raises:
            ApiError: no such combination, other orders named than it has, or paid.
        """
        combined = self.find(mchid, number, unix_us)
        if combined is None:
            raise refusal(Endpoint.COMBINE_CLOSE, "ORDER_NOT_EXIST")
        named = {(sub["mchid"], sub["out_trade_no"]) for sub in body.get("sub_orders", [])}
        if named and named != {(order.mchid, order.out_trade_no) for order in combined.orders}:
            raise refusal(Endpoint.COMBINE_CLOSE, "INVALID_REQUEST", "子单信息与合单订单不一致")
        open_ = [order for order in combined.orders if order.state is not TradeState.CLOSED]
        try:
            for order in open_:
                move_trade(order.state, TradeEvent.CLOSE)
        except IllegalMoveError:
            raise refusal(Endpoint.COMBINE_CLOSE, "TRADE_ERROR", "订单已支付，不能关闭") from None
        for order in open_:
            self._ledger.move(order, TradeEvent.CLOSE)

    def payable(self, handle: str, openid: str, unix_us: int) -> CombinedOrder:
        """The combination a phone is about to pay.

        Raises:
            PaymentRefusedError: with its reason.
        """
        combined = self._by_handle[handle]
        self.find(combined.mchid, combined.number, unix_us)
        first = combined.orders[0]
        check_payable(
            combined.openid, first.state, openid=openid, is_over=unix_us >= combined.handles[handle]
        )
        return combined

    def pay(self, handle: str, openid: str, unix_us: int) -> CombinedOrder:
        """The payer's money has moved: all orders are paid, or none.

        Raises:
            PaymentRefusedError: it cannot; nothing has changed.
        """
        combined = self.payable(handle, openid, unix_us)
        combined.openid = openid
        for order in combined.orders:
            order.openid = openid
            self._ledger.settle(order, unix_us)
        return combined
