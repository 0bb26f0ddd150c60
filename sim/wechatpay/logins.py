"""The mini-program's login, ``jscode2session``, for runs without the whole of WeChat's own server."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from protocols.wechatpay import encode_json

if TYPE_CHECKING:
    from sim.wechatpay.gateway import WeChatPayGateway

__all__ = ["LoginDesk"]

_JS_CODE = re.compile(r"js-([A-Za-z0-9_-]{1,64})(?:\.[A-Za-z0-9]{1,16})?")
_CODES_PER_MINUTE = 100


class LoginDesk:
    """All logins of one gateway's payers.

    ``app`` answers ``GET /sns/jscode2session`` (developers.weixin.qq.com): a ``js_code`` reads
    ``js-<openid>``, or ``js-<openid>.<anything>`` for a further login, and works once. It also gives out what
    ``GET /cgi-bin/token`` does, since common clients (wechatpy) ask for an access token before their first call.
    """

    def __init__(self, gateway: WeChatPayGateway) -> None:
        self._gateway = gateway
        self._used_codes: set[str] = set()  # only ever asked for membership, never iterated
        self._logins: dict[str, list[int]] = {}
        self.app = Starlette(
            routes=[
                Route("/sns/jscode2session", self._jscode2session, methods=["GET"]),
                Route("/cgi-bin/token", self._token, methods=["GET"]),
            ]
        )

    def knows(self, openid: str) -> bool:
        """Whether this openid has logged in."""
        return openid in self._logins

    def _stranger(self, query: Mapping[str, str]) -> Response | None:
        """The refusal of a mini-program that is none of ours, or None."""
        accounts = [a for a in self._gateway.accounts.values() if query["appid"] in a.appids]
        if not accounts:
            return self._wx_error(40013, "invalid appid")
        if query["secret"] not in {account.app_secret for account in accounts}:
            return self._wx_error(40125, "invalid appsecret")
        return None

    async def _token(self, request: Request) -> Response:
        query = request.query_params
        if query.get("grant_type") != "client_credential":
            return self._wx_error(40002, "invalid grant_type")
        for name, errcode in (("appid", 41002), ("secret", 41004)):
            if not query.get(name):
                return self._wx_error(errcode, f"{name} missing")
        # Nothing here asks for the token again: jscode2session goes by the secret.
        return self._stranger(query) or _answer(
            {"access_token": self._gateway.ids.nonce(136), "expires_in": 7200}
        )

    async def _jscode2session(self, request: Request) -> Response:
        query = request.query_params
        gateway = self._gateway
        for name, errcode in (("appid", 41002), ("secret", 41004), ("js_code", 41008)):
            if not query.get(name):
                return self._wx_error(errcode, f"{name} missing")
        if (refused := self._stranger(query)) is not None:
            return refused
        code = query["js_code"]
        match = _JS_CODE.fullmatch(code)
        if match is None or code in self._used_codes:
            return self._wx_error(40029, "invalid code")
        openid = match[1]
        now_us = gateway.kernel.now_us
        recent = [at_us for at_us in self._logins.get(openid, []) if now_us - at_us < 60_000_000]
        if len(recent) >= _CODES_PER_MINUTE:
            return self._wx_error(45011, "api minute-quota reach limit  mustslower  retry next minute")
        self._used_codes.add(code)
        self._logins[openid] = [*recent, now_us]
        session_key = base64.b64encode(gateway.ids.key_bytes(16)).decode("ascii")
        # No errcode on success, as the platform mostly answers.
        return _answer({"session_key": session_key, "openid": openid})

    def _wx_error(self, errcode: int, text: str) -> Response:
        # The platform answers errors with 200 as well; errmsg ends with the request's id.
        rid = self._gateway.ids.nonce(8).lower()
        return _answer({"errcode": errcode, "errmsg": f"{text}, rid: {rid}"})


def _answer(data: dict[str, object]) -> Response:
    return Response(encode_json(data), 200, media_type="application/json")
