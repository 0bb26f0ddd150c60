"""The control API of WeChat's server: what its users do, and what they have received."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sim.webapi import ControlError, control_app, json_object

if TYPE_CHECKING:
    from sim.wechatserver.server import WeChatServer

__all__ = ["control_of"]

_MAX_TIMES = 1_000


def control_of(server: WeChatServer) -> Starlette:
    """Its control API, beside what `control_app` has.

    - ``POST /users/{openid}/login-code`` → ``{"js_code": …}``, what ``wx.login`` gives; good for five minutes, once.
    - ``POST /users/{openid}/phone-code`` ``{"phone": …}`` → ``{"code": …}``, what the phone-number button gives.
    - ``POST /users/{openid}/consents`` ``{"template_id": …, "times": 1}`` → how many messages the user now takes;
      ``{"muted": true}`` switches all messages off.
    - ``POST /users/{openid}/block`` ``{"blocked": true}``: logins are refused as high-risk.
    - ``GET /messages``, ``GET /shipments``, ``GET /tokens``; ``POST /tokens/{appid}/end`` ends the tokens, as a fetch by
      another process does.

    All of them take ``"appid"``, which may be left out when there is only one mini-program. No key or token is ever shown.
    """
    control = _Control(server)
    return control_app(
        server.service,
        [
            Route("/users/{openid}/login-code", control.login_code, methods=["POST"]),
            Route("/users/{openid}/phone-code", control.phone_code, methods=["POST"]),
            Route("/users/{openid}/consents", control.consent, methods=["POST"]),
            Route("/users/{openid}/block", control.block, methods=["POST"]),
            Route("/messages", control.messages, methods=["GET"]),
            Route("/shipments", control.shipments, methods=["GET"]),
            Route("/tokens", control.tokens, methods=["GET"]),
            Route("/tokens/{appid}/end", control.end_tokens, methods=["POST"]),
        ],
    )


class _Control:
    def __init__(self, server: WeChatServer) -> None:
        self._server = server

    def _appid(self, data: dict[str, Any]) -> str:
        apps = self._server.apps
        appid = data.get("appid", next(iter(apps)) if len(apps) == 1 else None)
        if not isinstance(appid, str) or appid not in apps:
            raise ControlError(f"appid must be one of {', '.join(apps)}")
        return appid

    async def login_code(self, request: Request) -> Response:
        appid = self._appid(await json_object(request))
        return JSONResponse({"js_code": self._server.login_codes.make(appid, request.path_params["openid"])})

    async def phone_code(self, request: Request) -> Response:
        data = await json_object(request)
        phone = data.get("phone")
        if not isinstance(phone, str) or not phone.removeprefix("+").isdecimal() or not 5 <= len(phone) <= 16:
            raise ControlError("phone must be a text of 5 to 15 digits")
        return JSONResponse({"code": self._server.phone_codes.make(self._appid(data), phone)})

    async def consent(self, request: Request) -> Response:
        data, openid = await json_object(request), request.path_params["openid"]
        appid, consents = self._appid(data), self._server.consents
        if "muted" in data:
            consents.mute(appid, openid, muted=data["muted"] is True)
            return Response(status_code=204)
        template_id, times = data.get("template_id"), data.get("times", 1)
        known = [template.template_id for template in self._server.apps[appid].templates]
        if template_id not in known:
            raise ControlError(
                f"template_id must be one of {', '.join(known) or 'none: there are no templates'}"
            )
        if not isinstance(times, int) or isinstance(times, bool) or not 1 <= times <= _MAX_TIMES:
            raise ControlError(f"times must be a whole number from 1 to {_MAX_TIMES}")
        return JSONResponse({"left": consents.accept(appid, openid, template_id, times)})

    async def block(self, request: Request) -> Response:
        data, openid = await json_object(request), request.path_params["openid"]
        if data.get("blocked", True) is True:
            self._server.blocked.add(openid)
        else:
            self._server.blocked.discard(openid)
        return Response(status_code=204)

    async def messages(self, _request: Request) -> Response:
        return JSONResponse(
            [
                {
                    "appid": sent.appid,
                    "touser": sent.openid,
                    "template_id": sent.template_id,
                    "page": sent.page,
                    "data": sent.data,
                    "msgid": sent.msgid,
                    "at_us": sent.at_us,
                }
                for sent in self._server.messages
            ]
        )

    async def shipments(self, _request: Request) -> Response:
        return JSONResponse(
            [
                {
                    "out_trade_no": shipment.order.out_trade_no,
                    "transaction_id": shipment.order.transaction_id,
                    "uploads_us": shipment.uploads_us,
                    **shipment.shown(),
                }
                for shipment in self._server.shipping.shipments.values()
            ]
        )

    async def tokens(self, _request: Request) -> Response:
        return JSONResponse({"given": self._server.tokens.given})

    async def end_tokens(self, request: Request) -> Response:
        self._server.tokens.end_all(self._appid({"appid": request.path_params["appid"]}))
        return Response(status_code=204)
