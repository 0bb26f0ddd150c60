"""WeChat's own server, ``api.weixin.qq.com``: login, access tokens, phone numbers, subscribe messages, shipping information."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.types import ASGIApp

from sim.kernel import Kernel
from sim.latency import LatencyProfile
from sim.webapi import Call, CallFault, Reply, Route, WebService, Words
from sim.wechatserver.control import control_of
from sim.wechatserver.errors import ERRORS, WeChatError
from sim.wechatserver.shipping import FindOrder, PaidOrder, ShippingBook
from sim.wechatserver.templates import Template
from sim.wechatserver.tokens import AccessTokens, TokenRules
from sim.wechatserver.users import Consents, OneTimeCodes

__all__ = ["MiniProgram", "SentMessage", "WeChatServer"]

_CODES_PER_MINUTE: Final = 100
_AT_ONCE: Final = LatencyProfile.constant(0)
_JSON: Final = "application/json; encoding=utf-8"  # sic: readers that look for a charset find none
_PLAIN: Final = "text/plain"
"""What everything below ``/sns`` comes as, JSON though it is: clients that go by the type fail (reports of Spring users)."""

_GET: Final = ("GET",)
_POST: Final = ("POST",)


@dataclass(frozen=True)
class MiniProgram:
    """A mini-program's account.

    Attributes:
        appid, secret: its credentials.
        templates: its subscribe-message templates.
        pages: pages that a message may open; empty takes every one.
        has_unionid: whether it is bound to an open-platform account, so that logins bring a ``unionid``.
    """

    appid: str
    secret: str = field(repr=False)
    templates: tuple[Template, ...] = ()
    pages: tuple[str, ...] = ()
    has_unionid: bool = False


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A subscribe message that reached its user; ``at_us`` is Unix time."""

    appid: str
    openid: str
    template_id: str
    data: dict[str, Any]
    page: str
    msgid: int
    at_us: int


class WeChatServer:
    """The server as a mini-program's backend sees it. Errors come with status 200, their ``errmsg`` ends with a ``rid``.

    Args:
        kernel: clock, streams and trace.
        apps: the mini-programs that it knows.
        find_order: looks paid orders up at the payment platform; None: nothing has ever been paid.
        rules: how long tokens live.
        latency: its own share of a call's time; an assumption, nothing is published.
        shipping_knows_after: how long after a payment the shipping service has heard of it.
        faults: its schedule of faults.
        entity: its name in streams and trace.

    Attributes:
        app: the host's application.
        control_app: users, codes, consents, messages, shipments, faults; see `sim.wechatserver.control`.
        tokens, consents, shipping: the books. login_codes, phone_codes: codes that users can give out.
        messages: what users have received.

    Raises:
        ValueError: two mini-programs with one appid.
    """

    def __init__(
        self,
        kernel: Kernel,
        apps: Iterable[MiniProgram],
        *,
        find_order: FindOrder | None = None,
        rules: TokenRules | None = None,
        latency: LatencyProfile = _AT_ONCE,
        shipping_knows_after: LatencyProfile = _AT_ONCE,
        faults: Iterable[CallFault] = (),
        entity: str = "wechat-server",
    ) -> None:
        self.kernel = kernel
        self.entity = entity
        self.apps: dict[str, MiniProgram] = {}
        for one in apps:
            if one.appid in self.apps:
                raise ValueError(f"two mini-programs have the appid {one.appid}")
            self.apps[one.appid] = one

        def clock() -> int:
            return kernel.unix_us

        self.words = Words(kernel.streams.get(entity, "words"))
        self.tokens = AccessTokens(self.words, clock, rules or TokenRules())
        self.login_codes = OneTimeCodes("js", r"[A-Za-z0-9_-]{1,64}", self.words, clock)
        self.phone_codes = OneTimeCodes("phone", r"\+?\d{5,15}", self.words, clock)
        self.consents = Consents()
        self.messages: list[SentMessage] = []
        self.shipping = ShippingBook(
            find_order or _no_order,
            knows_after=shipping_knows_after,
            rng=kernel.streams.get(entity, "shipping"),
            unix_us=clock,
        )
        self.blocked: set[str] = set()  # openids; only ever asked for membership
        self._logins: dict[str, list[int]] = {}
        order = "/wxa/sec/order"
        served: tuple[tuple[str, tuple[str, ...], str, Callable[[Call], Reply]], ...] = (
            ("/sns/jscode2session", _GET, "code2session", self._code2session),
            ("/cgi-bin/token", _GET, "token", self._token),
            ("/cgi-bin/stable_token", _POST, "stable_token", self._stable_token),
            ("/wxa/business/getuserphonenumber", _POST, "phone", self._with_app(self._phone)),
            ("/cgi-bin/message/subscribe/send", _POST, "send", self._with_app(self._send)),
            (f"{order}/upload_shipping_info", _POST, "upload", self._with_app(self._upload)),
            (f"{order}/get_order", _POST, "get_order", self._with_app(self._get_order)),
        )
        self.service = WebService(
            kernel,
            entity,
            [
                Route(path, methods, name, self._guarded(work), _PLAIN if path.startswith("/sns/") else "")
                for path, methods, name, work in served
            ],
            refuse=self._refused,
            unknown=self._unknown,
            latency=latency,
            faults=faults,
            end_token=lambda call: self.tokens.end(call.query.get("access_token", "")),
            content_type=_JSON,
        )
        self.faults = self.service.faults
        self.app: ASGIApp = self.service
        self.control_app: ASGIApp = control_of(self)

    def knows(self, openid: str) -> bool:
        """Whether this user has logged in."""
        return openid in self._logins

    def _guarded(self, work: Callable[[Call], Reply]) -> Callable[[Call], Reply]:
        def done(call: Call) -> Reply:
            try:
                return work(call)
            except WeChatError as error:
                self.kernel.trace.emit("wechat.refused", self.entity, call=call.name, errcode=error.code)
                return self._refused(error.code, error.detail)

        return done

    def _with_app(self, work: Callable[[MiniProgram, Call], Reply]) -> Callable[[Call], Reply]:
        """For calls that need an access token and a JSON body."""

        def done(call: Call) -> Reply:
            app = self.apps[self.tokens.check(call.query.get("access_token", ""))]
            if not call.is_json:
                raise WeChatError(47001)
            return work(app, call)

        return done

    def _refused(self, code: int, detail: str = "") -> Reply:
        text = ERRORS.get(code or -1, "unknown error")
        rid = "-".join(self.words.hex(8) for _ in range(3))
        return {"errcode": code or -1, "errmsg": f"{text} {detail}".rstrip() + f" rid: {rid}"}

    def _unknown(self, _path: str, methods: tuple[str, ...]) -> tuple[int, Reply]:
        return 200, self._refused(40066 if not methods else 43001 if methods == _GET else 43002)

    def _identified(self, appid: str, secret: str) -> MiniProgram:
        for value, missing in ((appid, 41002), (secret, 41004)):
            if not value:
                raise WeChatError(missing)
        app = self.apps.get(appid)
        if app is None:
            raise WeChatError(40013)
        if secret != app.secret:
            raise WeChatError(40125)
        return app

    def _token(self, call: Call) -> Reply:
        if call.query.get("grant_type") != "client_credential":
            raise WeChatError(40002)
        app = self._identified(call.query.get("appid", ""), call.query.get("secret", ""))
        word, life_s = self.tokens.fetch(app.appid)
        self.kernel.trace.emit("wechat.token", self.entity, appid=app.appid, stable=False)
        return {"access_token": word, "expires_in": life_s}

    def _stable_token(self, call: Call) -> Reply:
        if not call.is_json:
            raise WeChatError(47001)
        if call.text("grant_type") != "client_credential":
            raise WeChatError(40002)
        app = self._identified(call.text("appid"), call.text("secret"))
        word, left_s = self.tokens.stable(app.appid, force=call.body.get("force_refresh") is True)
        self.kernel.trace.emit("wechat.token", self.entity, appid=app.appid, stable=True)
        return {"access_token": word, "expires_in": left_s}

    def _code2session(self, call: Call) -> Reply:
        query = call.query
        app = self._identified(query.get("appid", ""), query.get("secret", ""))
        if not query.get("js_code"):
            raise WeChatError(41008)
        if query.get("grant_type") != "authorization_code":
            raise WeChatError(40002)
        openid = self.login_codes.take(app.appid, query["js_code"])
        if openid in self.blocked:
            raise WeChatError(40226)
        now_us = self.kernel.now_us
        recent = [at_us for at_us in self._logins.get(openid, []) if now_us - at_us < 60_000_000]
        self._logins[openid] = recent
        if len(recent) >= _CODES_PER_MINUTE:
            raise WeChatError(45011)
        recent.append(now_us)
        self.kernel.trace.emit("wechat.login", self.entity, appid=app.appid, openid=openid)
        key = base64.b64encode(self.words.bytes(16)).decode("ascii")
        # No errcode on success, as the platform mostly answers.
        reply: Reply = {"session_key": key, "openid": openid}
        if app.has_unionid:
            reply["unionid"] = f"u{openid}"
        return reply

    def _phone(self, app: MiniProgram, call: Call) -> Reply:
        number = self.phone_codes.take(app.appid, call.text("code"))
        country = "86"
        pure = number.removeprefix("+86")
        self.kernel.trace.emit("wechat.phone", self.entity, appid=app.appid, phone=f"****{pure[-4:]}")
        watermark = {"timestamp": self.kernel.unix_us // 1_000_000, "appid": app.appid}
        shown = {
            "phoneNumber": pure,
            "purePhoneNumber": pure,
            "countryCode": country,
            "watermark": watermark,
        }
        return {"errcode": 0, "errmsg": "ok", "phone_info": shown}

    def _send(self, app: MiniProgram, call: Call) -> Reply:
        """One message. In which order the platform looks at the fields is *unproven*; the consent comes last here."""
        openid, template_id, page = call.text("touser"), call.text("template_id"), call.text("page")
        if not openid:
            raise WeChatError(40003)
        template = next((one for one in app.templates if one.template_id == template_id), None)
        if template is None:
            raise WeChatError(40037)
        if page and app.pages and page.partition("?")[0].lstrip("/") not in app.pages:
            raise WeChatError(41030)
        data = call.body.get("data")
        if problem := template.problem(data):
            raise WeChatError(47003, problem)
        self.consents.spend(app.appid, openid, template_id)
        msgid = self.words.number(18)
        self.messages.append(
            SentMessage(app.appid, openid, template_id, data or {}, page, msgid, self.kernel.unix_us)
        )
        self.kernel.trace.emit(
            "wechat.message", self.entity, appid=app.appid, openid=openid, template=template_id
        )
        return {"errcode": 0, "errmsg": "ok", "msgid": msgid}

    def _upload(self, app: MiniProgram, call: Call) -> Reply:
        shipment = self.shipping.upload(app.appid, call.body)
        self.kernel.trace.emit(
            "wechat.shipping",
            self.entity,
            out_trade_no=shipment.order.out_trade_no,
            logistics_type=shipment.logistics_type,
            finished=shipment.is_finished,
        )
        return {"errcode": 0, "errmsg": "ok"}

    def _get_order(self, app: MiniProgram, call: Call) -> Reply:
        key = call.text("merchant_id"), call.text("merchant_trade_no"), call.text("transaction_id")
        if not key[2] and not (key[0] and key[1]):
            raise WeChatError(47001)
        order = self.shipping.look(app.appid, *key)
        shown: dict[str, Any] = {
            "transaction_id": order.transaction_id,
            "merchant_id": order.mchid,
            "merchant_trade_no": order.out_trade_no,
            "paid_amount": order.paid_fen,
            "openid": order.openid,
            "pay_time": order.success_us // 1_000_000,
            "order_state": self.shipping.state(order),
            "in_complaint": False,
        }
        shipment = self.shipping.shipments.get(order.transaction_id)
        if shipment is not None:
            shown["shipping"] = shipment.shown()
        return {"errcode": 0, "errmsg": "ok", "order": shown}


def _no_order(_mchid: str, _number: str, _transaction_id: str) -> PaidOrder | None:
    return None
