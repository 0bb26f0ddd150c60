"""The merchant's side of WeChat Pay API v3 and of its refined-oil invoices, over an injected HTTP client.

Every 2xx is verified before a word of it is believed; one that does not verify is *unknown*, not *failed*.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, Final, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from protocols.sansio import RemoteProtocolError
from protocols.wechatpay import decrypt_resource
from protocols.wechatpay.signing import authorization_header, pay_sign, verify_reply
from reference.backend.gateway import (
    GatewayRefusedError,
    GatewayUnknownError,
    InvoiceReport,
    Notice,
    NoticeRefusedError,
    RefundReport,
    TradeReport,
)
from reference.backend.identifiers import Identifiers
from reference.backend.settings import BackendSettings

__all__ = ["SessionRefusedError", "WeChatClient"]

T = TypeVar("T")

_CHINA: Final = timezone(timedelta(hours=8))
_FAPIAO: Final = "/v3/new-tax-control-fapiao/fapiao-applications"
# The real service closes idle connections after 8 s; its Java SDK closes at 7 s to be first.
IDLE_S: Final = 7.0


class SessionRefusedError(Exception):
    """`jscode2session` gave an errcode: the code was used, is too old, or is not ours."""

    def __init__(self, errcode: int, errmsg: str) -> None:
        super().__init__(f"errcode {errcode}: {errmsg}")
        self.errcode = errcode


class WeChatClient:
    """Implements `reference.backend.gateway.Gateway`, and the mini-program's log-in.

    Args:
        settings: URLs, time-outs and the merchant's keys.
        client: the HTTP client; its transport decides whether this is a simulation.
        clock_us: Unix time in microseconds.
        ids: nonces.
    """

    def __init__(
        self,
        settings: BackendSettings,
        client: httpx.AsyncClient,
        clock_us: Callable[[], int],
        ids: Identifiers,
    ) -> None:
        self._settings = settings
        self._merchant = settings.merchant
        self._client = client
        self._clock_us = clock_us
        self._ids = ids
        self.calls = 0

    # Payments

    async def prepay(
        self, *, out_trade_no: str, amount_fen: int, openid: str, description: str, expires_us: int
    ) -> str:
        """JSAPI prepay (pay.weixin.qq.com 4012791897)."""
        reply = await self._call(
            "POST",
            "/v3/pay/transactions/jsapi",
            {
                "appid": self._merchant.appid,
                "mchid": self._merchant.mchid,
                "description": description,
                "out_trade_no": out_trade_no,
                "time_expire": _rfc3339(expires_us),
                "notify_url": f"{self._settings.notify_url}/v1/notify/wechatpay",
                "amount": {"total": amount_fen, "currency": "CNY"},
                "payer": {"openid": openid},
            },
        )
        prepay_id = reply.get("prepay_id")
        if not isinstance(prepay_id, str) or not prepay_id:
            raise GatewayUnknownError("the gateway answered without a prepay_id")
        return prepay_id

    async def query(self, out_trade_no: str) -> TradeReport | None:
        """Query by the merchant's number."""
        path = f"/v3/pay/transactions/out-trade-no/{out_trade_no}?mchid={self._merchant.mchid}"
        try:
            return _trade(await self._call("GET", path))
        except GatewayRefusedError as error:
            if error.code in {"ORDER_NOT_EXIST", "ORDERNOTEXIST"}:
                return None
            raise

    async def close(self, out_trade_no: str) -> None:
        """Close; the answer is an empty, signed 204."""
        path = f"/v3/pay/transactions/out-trade-no/{out_trade_no}/close"
        await self._call("POST", path, {"mchid": self._merchant.mchid})

    async def refund(
        self, *, out_trade_no: str, out_refund_no: str, amount_fen: int, total_fen: int, reason: str
    ) -> RefundReport:
        """Refund; the answer says PROCESSING as a rule, and a notice or a query the end."""
        reply = await self._call(
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
        return _refund(reply)

    async def query_refund(self, out_refund_no: str) -> RefundReport | None:
        """Query a refund by the merchant's number."""
        try:
            return _refund(await self._call("GET", f"/v3/refund/domestic/refunds/{out_refund_no}"))
        except GatewayRefusedError as error:
            if error.code == "RESOURCE_NOT_EXISTS":
                return None
            raise

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
        await self._call("POST", f"{_FAPIAO}/issue-refined-oil", application)

    async def query_invoice(self, fapiao_apply_id: str) -> InvoiceReport | None:
        """Query an application; its latest invoice is the one reported."""
        try:
            reply = await self._call("GET", f"{_FAPIAO}/{quote(fapiao_apply_id, safe='')}")
        except GatewayRefusedError as error:
            if error.status == 404:
                return None
            raise
        return _invoice(reply, fapiao_apply_id)

    # Callbacks

    def open_notice(self, headers: Mapping[str, str], body: bytes) -> Notice:
        """Verify over the raw bytes, decrypt, and dispatch by event type (invoice notices have no original_type)."""
        try:
            verify_reply(self._merchant.trust, headers, body, now_s=self._clock_us() // 1_000_000)
            envelope = msgspec.json.decode(body, type=_Envelope)
            if envelope.resource.algorithm != "AEAD_AES_256_GCM":
                raise NoticeRefusedError(f"algorithm {envelope.resource.algorithm!r} is not supported")
            plain = decrypt_resource(
                envelope.resource.ciphertext,
                apiv3_key=self._merchant.apiv3_key,
                nonce=envelope.resource.nonce,
                associated_data=envelope.resource.associated_data,
            )
            content = msgspec.json.decode(plain, type=dict[str, Any])
            return _notice(envelope, content)
        except (RemoteProtocolError, msgspec.DecodeError) as error:
            raise NoticeRefusedError(str(error)) from error
        except (KeyError, TypeError, ValueError) as error:
            raise NoticeRefusedError(f"the decrypted notice lacks or spoils a field: {error}") from error

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
        response = await self._send("GET", f"{self._settings.wechat_url}/sns/jscode2session?{query}", b"", {})
        try:
            reply = msgspec.json.decode(response.content, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise GatewayUnknownError("jscode2session did not answer in JSON") from error
        if reply.get("errcode"):
            raise SessionRefusedError(int(reply["errcode"]), str(reply.get("errmsg", "")))
        openid = reply.get("openid")
        if not isinstance(openid, str) or not 0 < len(openid) <= 64:
            raise GatewayUnknownError("jscode2session answered without an openid")
        return openid

    # Transport

    async def _call(self, method: str, path: str, content: Mapping[str, Any] | None = None) -> dict[str, Any]:
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
            "Accept": "application/json",
            "User-Agent": "forecourt",
        }
        if content is not None:
            headers["Content-Type"] = "application/json"
        if self._merchant.public_key_id is not None:
            headers["Wechatpay-Serial"] = self._merchant.public_key_id
        response = await self._send(method, self._settings.pay_url + path, body, headers)
        if response.status_code >= 500 or response.status_code == 429:
            raise GatewayUnknownError(f"the gateway answered {response.status_code}")
        if response.status_code >= 400:
            raise _refused(response)
        try:
            verify_reply(
                self._merchant.trust,
                response.headers,
                response.content,
                now_s=self._clock_us() // 1_000_000,
            )
            return msgspec.json.decode(response.content, type=dict[str, Any]) if response.content else {}
        except (RemoteProtocolError, msgspec.DecodeError) as error:
            raise GatewayUnknownError(f"the gateway's answer cannot be believed: {error}") from error

    async def _send(self, method: str, url: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        self.calls += 1
        try:
            async with asyncio.timeout(self._settings.call_timeout_s):
                return await self._client.request(method, url, content=body, headers=headers)
        except TimeoutError as error:
            raise GatewayUnknownError(f"no answer within {self._settings.call_timeout_s} s") from error
        except httpx.HTTPError as error:
            raise GatewayUnknownError(f"{type(error).__name__}: {error}") from error


class _Resource(msgspec.Struct):
    algorithm: str
    ciphertext: str
    nonce: str
    associated_data: str | None = None


class _Envelope(msgspec.Struct):
    id: str
    event_type: str
    resource: _Resource


def _refused(response: httpx.Response) -> GatewayRefusedError:
    # 404 and 405 come with an empty body from the real gateway, so JSON is not taken for granted.
    try:
        reply = msgspec.json.decode(response.content, type=dict[str, Any])
    except msgspec.DecodeError:
        reply = {}
    return GatewayRefusedError(
        response.status_code, str(reply.get("code", "")), str(reply.get("message", ""))[:500]
    )


def _trade(reply: Mapping[str, Any]) -> TradeReport:
    amount = reply.get("amount") or {}
    try:
        return TradeReport(
            out_trade_no=str(reply["out_trade_no"]),
            state=str(reply["trade_state"]),
            mchid=str(reply["mchid"]),
            appid=str(reply["appid"]),
            transaction_id=reply.get("transaction_id"),
            amount_fen=int(amount["total"]) if "total" in amount else None,
            currency=str(amount.get("currency", "CNY")),
            openid=(reply.get("payer") or {}).get("openid"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise GatewayUnknownError(f"a transaction without {error}") from error


def _refund(reply: Mapping[str, Any]) -> RefundReport:
    try:
        return RefundReport(
            out_refund_no=str(reply["out_refund_no"]),
            # A notice calls it refund_status, an answer status.
            state=str(reply.get("refund_status") or reply["status"]),
            refund_id=reply.get("refund_id"),
            amount_fen=int(reply["amount"]["refund"]),
            out_trade_no=reply.get("out_trade_no"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise GatewayUnknownError(f"a refund without {error}") from error


def _invoice(reply: Mapping[str, Any], fapiao_apply_id: str) -> InvoiceReport:
    entries = reply.get("fapiao_information") or []
    last = entries[-1] if entries else {}
    blue = last.get("blue_fapiao") or {}
    return InvoiceReport(
        fapiao_apply_id=fapiao_apply_id,
        fapiao_id=last.get("fapiao_id"),
        state=str(last.get("status") or last.get("fapiao_status") or ""),
        number=blue.get("fapiao_number") or last.get("fapiao_number"),
        reason=last.get("fail_reason") or last.get("reason"),
    )


def _notice(envelope: _Envelope, content: Mapping[str, Any]) -> Notice:
    kind = envelope.event_type
    if kind.startswith("TRANSACTION."):
        return Notice(envelope.id, kind, trade=_checked(_trade, content))
    if kind.startswith("REFUND."):
        return Notice(envelope.id, kind, refund=_checked(_refund, content))
    if kind.startswith("FAPIAO."):
        return Notice(envelope.id, kind, invoice=_invoice(content, str(content["fapiao_apply_id"])))
    return Notice(envelope.id, kind)


def _checked(read: Callable[[Mapping[str, Any]], T], content: Mapping[str, Any]) -> T:
    try:
        return read(content)
    except GatewayUnknownError as error:
        raise NoticeRefusedError(str(error)) from error


def _rfc3339(unix_us: int) -> str:
    return datetime.fromtimestamp(unix_us // 1_000_000, _CHINA).isoformat()
