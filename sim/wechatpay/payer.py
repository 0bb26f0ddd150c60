"""The payer's phone: it logs in, and it confirms, cancels or dawdles over the password box."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from protocols.wechatpay import encode_json, verify_pay_sign
from sim.wechatpay.faults import CONFIRM, FaultKind
from sim.wechatpay.ledger import Order, PaymentRefusedError

if TYPE_CHECKING:
    from sim.wechatpay.gateway import WeChatPayGateway

__all__ = ["PayerDesk"]

_OK = "requestPayment:ok"
_CANCEL = "requestPayment:fail cancel"
_MAX_DAWDLE_US = 86_400 * 1_000_000
_JS_CODE = re.compile(r"js-([A-Za-z0-9_-]{1,64})(?:\.[A-Za-z0-9]{1,16})?")
_CODES_PER_MINUTE = 100
_ACTIONS = ("confirm", "cancel", "dawdle")


class PayerDesk:
    """All payers of one gateway.

    ``app`` takes ``POST /payers/{openid}/confirm|cancel|dawdle`` with ``{"prepay_id": …}`` and optionally
    ``"pay_sign"``: the six fields the mini-program hands to ``wx.requestPayment``; they are checked with the merchant's
    certificate as the real phone does. The answer is what the phone's callback shows, ``{"err_msg":
    "requestPayment:ok"}``, 409 with ``requestPayment:fail (…)`` and a ``reason``, or 202 for ``dawdle``, which
    goes on by itself: ``{"delay_us": …, "then": "confirm"|"cancel"|"nothing"}``. An ok on the phone proves nothing to
    the merchant.

    ``jscode_app`` answers ``GET /sns/jscode2session`` (developers.weixin.qq.com): a ``js_code`` reads
    ``js-<openid>``, or ``js-<openid>.<anything>`` for a further login, and works once. It also gives out what
    ``GET /cgi-bin/token`` does, since common clients (wechatpy) ask for an access token before their first call.
    """

    def __init__(self, gateway: WeChatPayGateway) -> None:
        self._gateway = gateway
        self._used_codes: set[str] = set()  # only ever asked for membership, never iterated
        self._logins: dict[str, list[int]] = {}
        route = Route("/payers/{openid}/{action}", self._act, methods=["POST"])
        self.app = Starlette(routes=[route])
        self.jscode_app = Starlette(
            routes=[
                Route("/sns/jscode2session", self._jscode2session, methods=["GET"]),
                Route("/cgi-bin/token", self._token, methods=["GET"]),
            ]
        )

    def knows(self, openid: str) -> bool:
        """Whether this openid has logged in."""
        return openid in self._logins

    async def _act(self, request: Request) -> Response:
        openid, action = request.path_params["openid"], request.path_params["action"]
        if action not in _ACTIONS:
            return _bad(404, f"a payer can {', '.join(_ACTIONS)}, not {action[:40]!r}")
        try:
            body = msgspec.json.decode(await request.body())
        except (msgspec.DecodeError, UnicodeDecodeError):
            return _bad(400, "the body is not JSON")
        if not isinstance(body, dict) or not isinstance(body.get("prepay_id"), str):
            return _bad(400, "prepay_id is missing")
        prepay_id: str = body["prepay_id"]
        try:
            order = self._look(openid, prepay_id, body.get("pay_sign"))
        except PaymentRefusedError as refused:
            return self._failed(openid, refused.reason)
        if action == "cancel":
            self._trace(openid, order.out_trade_no, "cancel")
            return _answer({"err_msg": _CANCEL})
        if action == "dawdle":
            return self._dawdle(openid, prepay_id, order, body)
        return await self._confirm(openid, prepay_id)

    def _look(self, openid: str, prepay_id: str, pay_sign: object) -> Order:
        gateway = self._gateway
        order = gateway.ledger.payable(prepay_id, openid, gateway.kernel.unix_us)
        if pay_sign is None and not gateway.switches.require_pay_sign:
            return order
        account = gateway.accounts[order.mchid]
        if (
            not isinstance(pay_sign, Mapping)
            or pay_sign.get("appId") != order.appid
            or pay_sign.get("package") != f"prepay_id={prepay_id}"
            or not all(isinstance(value, str) for value in pay_sign.values())
            or not any(verify_pay_sign(key, pay_sign) for key in account.certificates.values())
        ):
            raise PaymentRefusedError("pay-sign")
        return order

    async def _confirm(self, openid: str, prepay_id: str) -> Response:
        gateway = self._gateway
        await gateway.pass_time(gateway.profile.confirm, CONFIRM)
        try:
            order = gateway.ledger.pay(prepay_id, openid, gateway.kernel.unix_us)
        except PaymentRefusedError as refused:
            return self._failed(openid, refused.reason)
        self._trace(openid, order.out_trade_no, "confirm")
        early = gateway.faults.draw(FaultKind.CALLBACK_BEFORE_REPLY, place=CONFIRM)
        if early is None:
            gateway.announce_paid(order)
        else:
            gateway.faults.land(early, endpoint=CONFIRM)
            await gateway.announce_paid(order, at_once=True).wait()
        return _answer({"err_msg": _OK})

    def _dawdle(self, openid: str, prepay_id: str, order: Order, body: Mapping[str, Any]) -> Response:
        delay_us, then = body.get("delay_us", 0), body.get("then", "nothing")
        if not isinstance(delay_us, int) or isinstance(delay_us, bool) or not 0 <= delay_us <= _MAX_DAWDLE_US:
            return _bad(400, f"delay_us must be a whole number from 0 to {_MAX_DAWDLE_US}")
        if then not in {"confirm", "cancel", "nothing"}:
            return _bad(400, "then must be confirm, cancel or nothing")
        self._trace(openid, order.out_trade_no, "dawdle", delay_us=delay_us)
        if then != "nothing":
            self._gateway.kernel.spawn(
                self._dawdle_on(openid, prepay_id, order, delay_us, then), f"dawdle-{prepay_id}"
            )
        return _answer({"err_msg": None, "waiting_us": delay_us}, 202)

    async def _dawdle_on(self, openid: str, prepay_id: str, order: Order, delay_us: int, then: str) -> None:
        await asyncio.sleep(delay_us / 1_000_000)
        if then == "cancel":
            self._trace(openid, order.out_trade_no, "cancel")
        else:
            await self._confirm(openid, prepay_id)

    def _failed(self, openid: str, reason: str) -> Response:
        self._trace(openid, None, "failed", reason=reason)
        return _answer({"err_msg": f"requestPayment:fail ({reason})", "reason": reason}, 409)

    def _trace(self, openid: str, out_trade_no: str | None, action: str, **fields: object) -> None:
        self._gateway.kernel.trace.emit(
            "wechatpay.payer",
            self._gateway.entity,
            openid=openid,
            out_trade_no=out_trade_no,
            action=action,
            **fields,
        )

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


def _answer(data: dict[str, object], status: int = 200) -> Response:
    return Response(encode_json(data), status, media_type="application/json")


def _bad(status: int, message: str) -> Response:
    return JSONResponse({"code": "BAD_REQUEST", "message": message}, status)
