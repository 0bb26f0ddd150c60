"""The platform's HTTP side: paths, raw bytes for the signature, replies. Async only, no threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from protocols.fapiao import APPLICATIONS_PATH, ISSUE_PATH, FapiaoState
from protocols.wechatpay import ApiError, encode_json, rfc3339
from sim.taxplatform.asgi import asgi_app, read_body, target_of
from sim.taxplatform.registry import Application, Fapiao, Seller

if TYPE_CHECKING:
    from sim.taxplatform.platform import TaxPlatform

__all__ = ["SignReply", "TaxApp", "VerifyRequest"]

VerifyRequest = Callable[[str, str, Mapping[str, str], bytes], str]
"""(method, path with query, headers with names in lower case, raw body) -> merchant number; raises `ApiError`."""

SignReply = Callable[[int, bytes, Mapping[str, str]], Mapping[str, str]]
"""(status, raw reply body, request headers) -> headers to add: signature and the platform's own."""

_JSON: Final = "application/json; charset=utf-8"
_MAX_BODY_BYTES: Final = 64 * 1024


class TaxApp:
    """An ASGI application; mounted behind the payment platform's host for every path under ``/v3/new-tax-control-fapiao``."""

    def __init__(self, platform: TaxPlatform, verify_request: VerifyRequest, sign_reply: SignReply) -> None:
        self._platform = platform
        self._verify = verify_request
        self._sign = sign_reply
        self._app = asgi_app(self._answer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        await self._app(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in request.headers.raw
        }
        body = await read_body(request, _MAX_BODY_BYTES)
        path = request.scope["path"]
        handler = self._route(request.method, path)
        if isinstance(handler, int):
            return Response(b"", handler)
        if body is None:
            return _refusal(ApiError(400, "PARAM_ERROR", "请求报文过长"))
        try:
            mchid = self._verify(request.method, target_of(request.scope), headers, body)
            until_us = self._platform.bureau.accept_stalled_until_us()
            if until_us is not None:
                await asyncio.sleep((until_us - self._platform.kernel.now_us) / 1_000_000)
            status, reply = handler(mchid, body)
            late_us = self._platform.bureau.reply_late_us("call") if request.method == "POST" else 0
            if late_us:
                await asyncio.sleep(late_us / 1_000_000)
        except ApiError as error:
            return _refusal(error)
        signed = dict(self._sign(status, reply, headers))
        if reply:
            signed.setdefault("Content-Type", _JSON)
        return Response(reply, status, signed)

    def _route(self, method: str, path: str) -> Callable[[str, bytes], tuple[int, bytes]] | int:
        """The handler, or 404 or 405 (both have an empty body on the live platform)."""
        if path == ISSUE_PATH:
            return self._issue if method == "POST" else 405
        rest = path.removeprefix(APPLICATIONS_PATH + "/")
        if rest == path or not rest:
            return 404
        apply_id, _, action = rest.partition("/")
        apply_id = unquote(apply_id)
        if not action:
            if method != "GET":
                return 405
            return lambda mchid, _body: (200, self._query(mchid, apply_id))
        if action == "reverse":
            return (lambda mchid, body: self._reverse(mchid, apply_id, body)) if method == "POST" else 405
        return 404

    def _issue(self, mchid: str, body: bytes) -> tuple[int, bytes]:
        self._platform.issue(mchid, body)
        return 202, b""

    def _reverse(self, mchid: str, apply_id: str, body: bytes) -> tuple[int, bytes]:
        self._platform.reverse(mchid, apply_id, body)
        return 202, b""

    def _query(self, mchid: str, apply_id: str) -> bytes:
        application = self._platform.find(mchid, apply_id)
        return encode_json(query_reply(application, self._platform.sellers[mchid]))


def _refusal(error: ApiError) -> Response:
    """Unsigned, as 4xx replies of the live platform are (probed)."""
    return Response(encode_json(error.body()), error.status, {"Content-Type": _JSON})


def query_reply(application: Application, seller: Seller) -> dict[str, object]:
    """The body of the query reply; buyers' names are not repeated in it."""
    entries = [_entry(fapiao, seller) for fapiao in application.fapiaos.values()]
    return {"total_count": len(entries), "fapiao_information": entries}


def _entry(fapiao: Fapiao, seller: Seller) -> dict[str, object]:
    request = fapiao.request
    entry: dict[str, object] = {
        "fapiao_id": request.fapiao_id,
        "status": str(fapiao.state),
        "total_amount": request.gross_fen,
        "seller_information": {"name": seller.name, "taxpayer_id": seller.taxpayer_id},
    }
    if fapiao.state is FapiaoState.ISSUE_FAILED:
        entry["fail_reason"] = fapiao.reason
    if fapiao.issued_unix_us is None:
        return entry
    entry |= {
        "blue_fapiao": {
            "fapiao_number": fapiao.number,
            "fapiao_time": rfc3339(fapiao.issued_unix_us // 1_000_000),
        },
        "amount": fapiao.net_fen,
        "tax_amount": fapiao.tax_fen,
        "items": [
            {
                **line.body(),
                "unit_price": figures.net_price_e8,
                "amount": figures.net_fen,
                "tax_amount": figures.tax_fen,
            }
            for line, figures in zip(request.lines, fapiao.figures, strict=True)
        ],
    }
    if fapiao.red_number:
        entry["red_fapiao"] = {"fapiao_number": fapiao.red_number}
    return entry
