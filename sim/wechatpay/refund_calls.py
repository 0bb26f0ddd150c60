"""The calls under ``/v3/refund``, and how a refund goes on at the bank."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from protocols.wechatpay import (
    ABNORMAL_REFUND_FIELDS,
    REFUND_FIELDS,
    ApiError,
    Endpoint,
    RefundEvent,
    RefundState,
    ResourceError,
    decrypt_sensitive,
    parse_body,
    refusal,
    validate,
)
from sim.wechatpay.calls import Commit, Done, Route
from sim.wechatpay.faults import FaultKind
from sim.wechatpay.gate import RawRequest
from sim.wechatpay.material import MerchantAccount
from sim.wechatpay.refunds import RefundRecord

if TYPE_CHECKING:
    from sim.wechatpay.gateway import WeChatPayGateway

__all__ = ["RefundCalls"]

_REFUNDS = "/v3/refund/domestic/refunds"
_CARD = re.compile(r"[0-9]{8,30}")


def _bad_field(name: str, issue: str) -> ApiError:
    detail: dict[str, object] = {"field": f"/{name}", "issue": issue, "location": "body"}
    return refusal(Endpoint.ABNORMAL_REFUND, "PARAM_ERROR", issue, detail=detail)


class RefundCalls:
    """Checks such requests, commits them to a gateway's books and lets the bank answer."""

    def __init__(self, gateway: WeChatPayGateway) -> None:
        self._gateway = gateway

    def routes(self) -> Sequence[Route]:
        """All of them."""
        return (
            Route(_REFUNDS, "POST", Endpoint.REFUND, self._refund),
            Route(f"{_REFUNDS}/{{}}", "GET", Endpoint.REFUND_QUERY, self._query),
            Route(
                f"{_REFUNDS}/{{}}/apply-abnormal-refund",
                "POST",
                Endpoint.ABNORMAL_REFUND,
                self._apply,
            ),
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

    def _apply(self, account: MerchantAccount, request: RawRequest, refund_id: str) -> Commit:
        gateway = self._gateway
        body = parse_body(request.body)
        validate(body, ABNORMAL_REFUND_FIELDS)
        received = self._card(request, body) if body["type"] == "USER_BANK_CARD" else "商户银行账户"

        def commit() -> Done:
            record, is_new = gateway.refunds.apply(
                account.mchid, refund_id, body["out_refund_no"], received, gateway.kernel.unix_us
            )
            if is_new:
                gateway.kernel.spawn(self._settle_later(record), f"refund-{record.refund_id}")
            return Done(record.shown())

        return commit

    def _card(self, request: RawRequest, body: Mapping[str, Any]) -> str:
        """What people may read of the payer's card: the bank and four digits."""
        for name, label in (
            ("bank_type", "开户银行"),
            ("bank_account", "收款银行卡号"),
            ("real_name", "收款用户姓名"),
        ):
            if not body.get(name):
                raise _bad_field(name, f"退款到用户银行卡时{label}必填")
        key = self._gateway.signer.key(request.headers.get("wechatpay-serial", ""))
        if key is None:
            raise refusal(
                Endpoint.ABNORMAL_REFUND,
                "PARAM_ERROR",
                "Http头Wechatpay-Serial不是有效的平台证书序列号或公钥ID",
            )
        digits = ""
        for name in ("real_name", "bank_account"):
            try:
                digits = decrypt_sensitive(body[name], key.private_key, self._gateway.switches.oaep_hash)
            except ResourceError:
                raise _bad_field(name, "敏感信息解密失败") from None
        if _CARD.fullmatch(digits) is None:
            raise _bad_field("bank_account", "银行卡号格式错误")
        return f"{body['bank_type'].partition('_')[0]}{digits[-4:]}"

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
        if record.state is RefundState.SUCCESS and record.channel == "ORIGINAL":
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
