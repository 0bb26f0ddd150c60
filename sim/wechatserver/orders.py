"""How WeChat's server sees what was paid at the simulated payment platform."""

from __future__ import annotations

from protocols.wechatpay import TradeState
from sim.wechatpay import Ledger, Order
from sim.wechatserver.shipping import FindOrder, PaidOrder

__all__ = ["orders_of"]


_GIVEN_BACK = (TradeState.REFUND, TradeState.REVOKED)


def orders_of(ledger: Ledger, mchids: tuple[str, ...]) -> FindOrder:
    """Look paid orders up in a gateway's books.

    Args:
        ledger: the gateway's.
        mchids: merchants whose orders these mini-programs may see.
    """

    def find(mchid: str, number: str, transaction_id: str) -> PaidOrder | None:
        if transaction_id:
            found = (ledger.find_paid(one, transaction_id) for one in mchids)
            return next((_paid(order) for order in found if order is not None), None)
        # The instant only decides about orders that nobody paid, and those are none here.
        order = ledger.find(mchid, number, 0) if mchid in mchids else None
        return None if order is None else _paid(order)

    return find


def _paid(order: Order) -> PaidOrder | None:
    if order.transaction_id is None or order.success_us is None:
        return None
    return PaidOrder(
        order.mchid,
        order.appid,
        order.out_trade_no,
        order.transaction_id,
        order.openid,
        order.total_fen,
        order.success_us,
        is_refunded=order.state in _GIVEN_BACK and order.refunded_fen >= order.total_fen,
    )
