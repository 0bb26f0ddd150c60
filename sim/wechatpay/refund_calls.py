"""The calls under ``/v3/refund``, and how a refund goes on at the bank."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from protocols.wechatpay import REFUND_FIELDS, Endpoint, RefundEvent, RefundState, parse_body, validate
from sim.wechatpay.calls import Commit, Done, Route
from sim.wechatpay.faults import FaultKind
from sim.wechatpay.gate import RawRequest
from sim.wechatpay.material import MerchantAccount
from sim.wechatpay.refunds import RefundRecord

if TYPE_CHECKING:
    from sim.wechatpay.gateway import WeChatPayGateway

__all__ = ["RefundCalls"]

_REFUNDS = "/v3/refund/domestic/refunds"


class RefundCalls:
    """Checks such requests, commits them to a gateway's books and lets the bank answer."""

    def __init__(self, gateway: WeChatPayGateway) -> None:
        self._gateway = gateway

    def routes(self) -> Sequence[Route]:
        """All of them."""
        return (
            Route(_REFUNDS, "POST", Endpoint.REFUND, self._refund),
            Route(f"{_REFUNDS}/{{}}", "GET", Endpoint.REFUND_QUERY, self._query),
        )

    def _refund(self, account: MerchantAccount, request: RawRequest, _argument: str) -> Commit:
        gateway = self._gateway
        body = parse_body(request.body)
        validate(body, REFUND_FIELDS)

        def commit() -> Done:
            record, is_new = gateway.refunds.request(account.mchid, body, gateway.kernel.unix_us)
            shown = record.shown()
            if not is_new:
                return Done(shown)
            early = gateway.faults.draw(FaultKind.CALLBACK_BEFORE_REPLY, place=Endpoint.REFUND)
            if early is None:
                gateway.kernel.spawn(self._settle_later(record), f"refund-{record.refund_id}")
                return Done(shown)
            gateway.faults.land(early, endpoint=str(Endpoint.REFUND))
            return Done(shown, self._settle(record))

        return commit

    def _query(self, account: MerchantAccount, _request: RawRequest, number: str) -> Commit:
        return lambda: Done(self._gateway.refunds.find(account.mchid, number).shown())

    async def _settle_later(self, record: RefundRecord) -> None:
        await self._gateway.pass_time(self._gateway.profile.refund_settle, "refund-settle")
        self._settle(record)

    def _settle(self, record: RefundRecord) -> asyncio.Event | None:
        faults = self._gateway.faults
        event, summary = RefundEvent.SETTLE, "退款成功"
        for kind, other, text in (
            (FaultKind.REFUND_CLOSED, RefundEvent.CLOSE, "退款关闭"),
            (FaultKind.REFUND_ABNORMAL, RefundEvent.BOUNCE, "退款异常"),
        ):
            fault = faults.draw(kind)
            if fault is not None:
                faults.land(fault, subject=record.out_refund_no)
                event, summary = other, text
                break
        return self.settle(record, event, summary)

    def settle(self, record: RefundRecord, event: RefundEvent, summary: str) -> asyncio.Event | None:
        """The bank has answered: move the refund and announce it, if the merchant gave a URL.

        Raises:
            IllegalMoveError: the refund's state does not allow it.
        """
        gateway = self._gateway
        gateway.refunds.move(record, event, gateway.kernel.unix_us)
        if record.state is RefundState.SUCCESS:
            gateway.wallets.give(record.order.openid, record.refund_fen)
        if record.notify_url is None or record.state is RefundState.PROCESSING:
            return None
        return gateway.notifier.announce(
            gateway.accounts[record.order.mchid],
            record.notify_url,
            event_type=f"REFUND.{record.state}",
            summary=summary,
            resource=record.announced(),
            subject=record.out_refund_no,
            original_type="refund",
        )
