"""The merchant's side of WeChat Pay API v3 and of its refined-oil invoices, over an injected HTTP client.

Every 2xx is verified before a word of it is believed; one that does not verify is *unknown*, not *failed*.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import httpx
import msgspec

from protocols.fapiao import (
    APPLICATIONS_PATH,
    ISSUE_PATH,
)
from protocols.sansio import RemoteProtocolError
from protocols.wechatpay import (
    SignatureRefusedError,
    authorization_header,
    open_notification,
    pay_sign,
    rfc3339,
    verify_reply,
)
from reference.backend.gateways.bills import fetch_bill
from reference.backend.gateways.outgoing import Outgoing
from reference.backend.gateways.platform_keys import CERTIFICATES_PATH, PlatformKeys
from reference.backend.gateways.port import (
    GatewayRefusedError,
    GatewayUnknownError,
    InvoiceReport,
    Notice,
    NoticeRefusedError,
    RefundReport,
    TradeReport,
)
from reference.backend.gateways.wechat_answers import (
    about,
    believed,
    invoice_of,
    notice_of,
    prepay_id_of,
    refund_of,
    refusal_of,
    trade_of,
)
from reference.backend.identifiers import Identifiers
from reference.backend.settings import BackendSettings

__all__ = ["SessionRefusedError", "WeChatClient"]

# The real service closes idle connections after 8 s; its Java SDK closes at 7 s to be first.
IDLE_S: Final = 7.0


class SessionRefusedError(Exception):
    """`jscode2session` gave an errcode: the code was used, is too old, or is not ours."""

    def __init__(self, errcode: int, errmsg: str) -> None:
        super().__init__(f"errcode {errcode}: {errmsg}")
        self.errcode = errcode


_WHO = {"Accept": "application/json", "User-Agent": "forecourt"}


class WeChatClient:
    """Implements `reference.backend.gateways.port.Gateway`, and the mini-program's log-in.

    Args:
        settings: URLs, time-outs and the merchant's keys.
        transport: carries the requests; it decides whether this is a simulation.
        clock_us: Unix time in microseconds.
        ids: nonces.
    """

    def __init__(
        self,
        settings: BackendSettings,
        transport: httpx.AsyncBaseTransport,
        clock_us: Callable[[], int],
        ids: Identifiers,
    ) -> None:
        self._settings = settings
        self._merchant = settings.merchant
        self._clock_us = clock_us
        self._ids = ids
        # Invoices live on the payment host, and yet trouble with them must not slow a payment down.
        self._pay, self._tax, self._platform = (
            Outgoing(transport, clock_us, ids, settings.call_timeout_s, settings.busy_qps) for _ in range(3)
        )
        self.keys = PlatformKeys(self._merchant, clock_us, partial(self._ask, "GET", CERTIFICATES_PATH))

    # Payments

    async def prepay(
        self, *, out_trade_no: str, amount_fen: int, openid: str, description: str, expires_us: int
    ) -> str:
        """JSAPI prepay (pay.weixin.qq.com 4012791897)."""
        raw = await self.call(
            "POST",
            "/v3/pay/transactions/jsapi",
            {
                "appid": self._merchant.appid,
                "mchid": self._merchant.mchid,
                "description": description,
                "out_trade_no": out_trade_no,
                "time_expire": rfc3339(expires_us // 1_000_000),
                "notify_url": f"{self._settings.notify_url}/v1/notify/wechatpay",
                "amount": {"total": amount_fen, "currency": "CNY"},
                "payer": {"openid": openid},
            },
        )
        return believed(prepay_id_of, raw)

    async def query(self, out_trade_no: str) -> TradeReport | None:
        """Query by the merchant's number."""
        path = f"/v3/pay/transactions/out-trade-no/{out_trade_no}?mchid={self._merchant.mchid}"
        try:
            return about(believed(trade_of, await self.call("GET", path)), out_trade_no)
        except GatewayRefusedError as error:
            if error.code in {"ORDER_NOT_EXIST", "ORDERNOTEXIST"}:
                return None
            raise

    async def close(self, out_trade_no: str) -> None:
        """Close; the answer is an empty, signed 204."""
        path = f"/v3/pay/transactions/out-trade-no/{out_trade_no}/close"
        await self.call("POST", path, {"mchid": self._merchant.mchid})

    async def pay_code(
        self, *, out_trade_no: str, amount_fen: int, auth_code: str, description: str, store_id: str
    ) -> TradeReport:
        """Charge a scanned code: 200, or 202 with USERPAYING; either is the order itself (WX-OAPI)."""
        raw = await self.call(
            "POST",
            "/v3/pay/transactions/codepay",
            {
                "appid": self._merchant.appid,
                "mchid": self._merchant.mchid,
                "description": description,
                "out_trade_no": out_trade_no,
                "amount": {"total": amount_fen, "currency": "CNY"},
                "payer": {"auth_code": auth_code},
                "scene_info": {"store_info": {"out_id": store_id}},
            },
        )
        return about(believed(trade_of, raw), out_trade_no)

    async def reverse(self, out_trade_no: str) -> None:
        """End a pay-code order, whatever became of it (WX-OAPI)."""
        path = f"/v3/pay/transactions/out-trade-no/{out_trade_no}/reverse"
        await self.call("POST", path, {"appid": self._merchant.appid, "mchid": self._merchant.mchid})

    async def refund(
        self, *, out_trade_no: str, out_refund_no: str, amount_fen: int, total_fen: int, reason: str
    ) -> RefundReport:
        """Refund; the answer says PROCESSING as a rule, and a notice or a query the end."""
        raw = await self.call(
            "POST",
            "/v3/refund/domestic/refunds",
            {
                "out_trade_no": out_trade_no,
                "out_refund_no": out_refund_no,
                "reason": reason,
                # Named here, because one that is set on the platform only is announced in v2 XML.
                "notify_url": f"{self._settings.notify_url}/v1/notify/wechatpay",
                "amount": {"refund": amount_fen, "total": total_fen, "currency": "CNY"},
            },
        )
        return about(believed(refund_of, raw), out_refund_no)

    async def query_refund(self, out_refund_no: str) -> RefundReport | None:
        """Query a refund by the merchant's number."""
        try:
            raw = await self.call("GET", f"/v3/refund/domestic/refunds/{out_refund_no}")
        except GatewayRefusedError as error:
            if error.code == "RESOURCE_NOT_EXISTS":
                return None
            raise
        return about(believed(refund_of, raw), out_refund_no)

    def pay_sign(self, prepay_id: str) -> dict[str, str]:
        """The six fields for the phone."""
        return dict(
            pay_sign(
                self._merchant.private_key,
                app_id=self._merchant.appid,
                prepay_id=prepay_id,
                timestamp_s=self._clock_us() // 1_000_000,
                nonce=self._ids.nonce(),
            )
        )

    # Invoices

    async def issue_invoice(self, application: Mapping[str, Any]) -> None:
        """Hand in a refined-oil application (WXDOC 4016760559); 202 means accepted."""
        await self.call("POST", ISSUE_PATH, application)

    async def query_invoice(self, fapiao_apply_id: str) -> InvoiceReport | None:
        """Query an application; its latest invoice is the one reported."""
        try:
            raw = await self.call("GET", f"{APPLICATIONS_PATH}/{fapiao_apply_id}")
        except GatewayRefusedError as error:
            if error.status == 404:
                return None
            raise
        return believed(lambda body: invoice_of(body, fapiao_apply_id), raw)

    async def reverse_invoice(self, fapiao_apply_id: str, reason: str) -> None:
        """Reverse an application; 202 means accepted."""
        path = f"{APPLICATIONS_PATH}/{fapiao_apply_id}/reverse"
        await self.call("POST", path, {"reverse_reason": reason})

    # Bills

    async def bill(self, bill: str, day: str) -> bytes | None:
        """A day's trade or fund bill; see `fetch_bill`."""
        return await fetch_bill(partial(self.call, "GET"), bill, day)

    # Callbacks

    def open_notice(self, headers: Mapping[str, str], body: bytes) -> Notice:
        """Verify over the raw bytes, decrypt, and dispatch by event type (invoice notices have no original_type)."""
        now_s = self._clock_us() // 1_000_000
        try:
            opened = open_notification(
                self.keys.trust, headers, body, apiv3_key=self._merchant.apiv3_key, now_s=now_s
            )
            notice = notice_of(opened)
        except SignatureRefusedError as error:
            raise NoticeRefusedError(str(error), may_learn=error.reason == "unknown-serial") from error
        except RemoteProtocolError as error:
            raise NoticeRefusedError(str(error)) from error
        if notice.mchid not in {None, self._merchant.mchid}:
            raise NoticeRefusedError("the notice names another merchant")
        return notice

    async def learn_keys(self) -> None:
        """A notice came with a certificate that is not known: perhaps the platform has a new one."""
        await self.keys.learn()

    # Log-in

    async def openid_of(self, js_code: str) -> str:
        """`jscode2session`. On success the platform usually leaves `errcode` out.

        Raises:
            SessionRefusedError: the platform refused the code.
            GatewayUnknownError: no usable answer.
        """
        query = httpx.QueryParams(
            appid=self._merchant.appid,
            secret=self._merchant.app_secret,
            js_code=js_code,
            grant_type="authorization_code",
        )
        response = await self._platform.send(
            "GET", f"{self._settings.wechat_url}/sns/jscode2session?{query}", b"", _WHO
        )
        try:
            reply = msgspec.json.decode(response.content, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise GatewayUnknownError("jscode2session did not answer in JSON") from error
        if reply.get("errcode"):
            raise SessionRefusedError(int(reply["errcode"]), str(reply.get("errmsg", "")))
        openid = reply.get("openid")
        # "@" begins the names of payers at the pump, whom no phone may pass for.
        if not isinstance(openid, str) or not 0 < len(openid) <= 64 or openid.startswith("@"):
            raise GatewayUnknownError("jscode2session answered without an openid")
        return openid

    # Transport

    async def call(
        self,
        method: str,
        path: str,
        content: Mapping[str, Any] | None = None,
        *,
        is_signed: bool = True,
        sealed_for: str | None = None,
    ) -> bytes:
        """A signed call; gives the body of a verified 2xx. Raises `GatewayUnknownError` or `GatewayRefusedError`.

        ``sealed_for`` is the serial number of the platform's key that fields of the content are encrypted for.
        """
        response = await self._ask(method, path, content, sealed_for)
        if not is_signed:
            return response.content
        try:
            await self._verify(response)
        except RemoteProtocolError as error:
            raise GatewayUnknownError(f"the gateway's answer cannot be believed: {error}") from error
        return response.content

    async def _verify(self, response: httpx.Response) -> None:
        try:
            self._verify_once(response)
        except SignatureRefusedError as error:
            if error.reason != "unknown-serial":
                raise
            await self.keys.learn()
            self._verify_once(response)

    def _verify_once(self, response: httpx.Response) -> None:
        now_s = self._clock_us() // 1_000_000
        verify_reply(self.keys.trust, response.headers, response.content, now_s=now_s)

    async def _ask(
        self,
        method: str,
        path: str,
        content: Mapping[str, Any] | None = None,
        sealed_for: str | None = None,
    ) -> httpx.Response:
        """A signed call; gives a 2xx as it came, not verified yet."""
        body = msgspec.json.encode(content) if content is not None else b""
        now_s = self._clock_us() // 1_000_000
        headers = {
            "Authorization": authorization_header(
                mchid=self._merchant.mchid,
                serial_no=self._merchant.serial_no,
                key=self._merchant.private_key,
                method=method,
                target=path,
                body=body,
                timestamp_s=now_s,
                nonce=self._ids.nonce(),
            ),
            **_WHO,
        }
        if content is not None:
            headers["Content-Type"] = "application/json"
        serial = sealed_for or self._merchant.public_key_id
        if serial is not None:
            headers["Wechatpay-Serial"] = serial
        outgoing = self._tax if path.startswith(APPLICATIONS_PATH) else self._pay
        response = await outgoing.send(method, self._settings.pay_url + path, body, headers)
        if response.status_code >= 500 or response.status_code == 429:
            raise GatewayUnknownError(f"the gateway answered {response.status_code}")
        if response.status_code >= 400:
            raise refusal_of(response)
        return response
