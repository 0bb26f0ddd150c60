"""A look inside the gateway over HTTP, and faults by hand; for ``serve`` and for oracles in other processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from protocols.wechatpay import IllegalMoveError, refusal_table, state_tables
from sim.faults import FaultError
from sim.latency import LatencyError
from sim.wechatpay.failures import failures
from sim.wechatpay.faults import GatewayFault
from sim.wechatpay.material import generate_keys
from sim.wechatpay.profile import GatewayProfile

if TYPE_CHECKING:
    from sim.wechatpay.gateway import WeChatPayGateway

__all__ = ["control_app"]


def control_app(gateway: WeChatPayGateway) -> Starlette:
    """The gateway's control API.

    ``GET /orders``, ``GET /refunds``, ``GET /notices``, ``GET /tables``, ``GET /faults``, ``GET /contracts``,
    ``GET /combined``, ``GET /trust``;
    ``POST /faults`` (a `GatewayFault` as JSON, with a name), ``DELETE /faults/{name}``, ``POST /failures/{profile}`` (all
    faults of ``rough`` or ``storm``, once), ``PUT /latencies`` (`GatewayProfile.from_dict`);
    ``POST /refunds/{mchid}/{out_refund_no}/settle`` (an abnormal refund is paid out at last);
    ``POST /certificates`` (a new one is listed), ``POST /rotate`` ``{"serial": …}`` (it signs),
    ``DELETE /certificates/{serial}`` (an old one goes); ``POST /switch-over`` with optionally ``{"day_s": …}`` (callbacks
    begin to move to the public key), ``DELETE /switch-over`` (rolled back). It never shows a private key.
    """
    control = _Control(gateway)
    return Starlette(
        routes=[
            Route("/orders", control.orders),
            Route("/refunds", control.refunds),
            Route("/refunds/{mchid}/{number}/settle", control.settle, methods=["POST"]),
            Route("/notices", control.notices),
            Route("/tables", control.tables),
            Route("/faults", control.faults, methods=["GET"]),
            Route("/faults", control.arm, methods=["POST"]),
            Route("/failures/{profile}", control.worsen, methods=["POST"]),
            Route("/latencies", control.slow, methods=["PUT"]),
            Route("/faults/{name:path}", control.disarm, methods=["DELETE"]),
            Route("/contracts", control.contracts),
            Route("/combined", control.combined),
            Route("/trust", control.trust),
            Route("/certificates", control.add_certificate, methods=["POST"]),
            Route("/certificates/{serial}", control.retire, methods=["DELETE"]),
            Route("/rotate", control.rotate, methods=["POST"]),
            Route("/switch-over", control.begin_switch_over, methods=["POST"]),
            Route("/switch-over", control.end_switch_over, methods=["DELETE"]),
        ]
    )


class _Control:
    def __init__(self, gateway: WeChatPayGateway) -> None:
        self._gateway = gateway
        self._added: list[str] = []

    async def orders(self, _request: Request) -> Response:
        return JSONResponse(
            [
                {
                    **order.shown(),
                    "refunded_fen": order.refunded_fen,
                    "created_us": order.created_us,
                    "success_us": order.success_us,
                }
                for order in self._gateway.ledger.orders
            ]
        )

    async def refunds(self, _request: Request) -> Response:
        return JSONResponse([record.shown() for record in self._gateway.refunds.refunds])

    async def notices(self, _request: Request) -> Response:
        return JSONResponse(
            [
                {
                    "id": notice.id,
                    "event_type": notice.event_type,
                    "subject": notice.subject,
                    "attempts": [{"at_us": at_us, "outcome": outcome} for at_us, outcome in notice.attempts],
                    "delivered_us": notice.delivered_us,
                    "given_up": notice.given_up,
                }
                for notice in self._gateway.notifier.notices
            ]
        )

    async def tables(self, _request: Request) -> Response:
        return JSONResponse({"states": state_tables(), "refusals": refusal_table()})

    async def faults(self, _request: Request) -> Response:
        return JSONResponse(
            {"faults": self._gateway.faults.report(), "refused_requests": self._gateway.gate.refused}
        )

    async def arm(self, request: Request) -> Response:
        data = await _json(request)
        try:
            if data is None:
                raise FaultError("the body is not a JSON object")  # noqa: TRY301 - one way out for all bad bodies
            self._gateway.faults.arm(GatewayFault.from_dict(data))
        except (FaultError, TypeError) as error:
            return _bad(400, str(error))
        return Response(status_code=204)

    async def worsen(self, request: Request) -> Response:
        try:
            for fault in failures(request.path_params["profile"]):
                self._gateway.faults.arm(fault)
        except FaultError as error:
            return _bad(400, str(error))
        return Response(status_code=204)

    async def slow(self, request: Request) -> Response:
        data = await _json(request)
        if data is None:
            return _bad(400, "the body is not a JSON object")
        try:
            self._gateway.profile = GatewayProfile.from_dict(data)
        except LatencyError as error:
            return _bad(400, str(error))
        return Response(status_code=204)

    async def disarm(self, request: Request) -> Response:
        try:
            self._gateway.faults.disarm(request.path_params["name"])
        except KeyError as error:
            return _bad(404, f"no fault {error} is at work")
        return Response(status_code=204)

    async def rotate(self, request: Request) -> Response:
        data = await _json(request)
        try:
            self._gateway.rotate(str((data or {}).get("serial", "")))
        except ValueError as error:
            return _bad(400, str(error))
        return Response(status_code=204)

    async def contracts(self, _request: Request) -> Response:
        return JSONResponse(
            [
                {**contract.shown(), "limit_fen": contract.limit_fen, "day_limit_fen": contract.day_limit_fen}
                for contract in self._gateway.contracts.contracts
            ]
        )

    async def combined(self, _request: Request) -> Response:
        return JSONResponse([combined.shown() for combined in self._gateway.combined.orders])

    async def trust(self, _request: Request) -> Response:
        gateway = self._gateway
        keys = gateway.signer.keys
        return JSONResponse(
            {
                "certificates": [key.serial for key in keys.certificates],
                "signs": gateway.signer.active.serial,
                "public_key_id": keys.public.serial if keys.public is not None else None,
                "callback_public_key_permille": gateway.switch_over.permille(gateway.kernel.unix_us),
            }
        )

    async def add_certificate(self, _request: Request) -> Response:
        signer = self._gateway.signer
        number = len(self._added) + 1
        key = generate_keys(
            f"platform/added/{number}", valid_from_unix_s=self._gateway.kernel.unix_us // 1_000_000
        )
        signer.add(key)
        self._added.append(key.serial)
        return JSONResponse({"serial": key.serial}, 201)

    async def retire(self, request: Request) -> Response:
        try:
            self._gateway.signer.retire(request.path_params["serial"])
        except ValueError as error:
            return _bad(409, str(error))
        return Response(status_code=204)

    async def begin_switch_over(self, request: Request) -> Response:
        day_s = (await _json(request) or {}).get("day_s", 86_400)
        if type(day_s) is not int or not 1 <= day_s <= 86_400:
            return _bad(400, "day_s must be a whole number from 1 to 86400")
        if self._gateway.signer.keys.public is None:
            return _bad(409, "this platform has no public key")
        self._gateway.switch_over.begin(self._gateway.kernel.unix_us, day_s)
        return Response(status_code=204)

    async def end_switch_over(self, _request: Request) -> Response:
        self._gateway.switch_over.stop()
        return Response(status_code=204)

    async def settle(self, request: Request) -> Response:
        wanted = (request.path_params["mchid"], request.path_params["number"])
        for record in self._gateway.refunds.refunds:
            if (record.order.mchid, record.out_refund_no) == wanted:
                try:
                    self._gateway.settle_refund(record)
                except IllegalMoveError as error:
                    return _bad(409, str(error))
                return Response(status_code=204)
        return _bad(404, "no such refund")


async def _json(request: Request) -> dict[str, object] | None:
    try:
        data = msgspec.json.decode(await request.body())
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return data if isinstance(data, dict) else None


def _bad(status: int, message: str) -> Response:
    return JSONResponse({"code": "BAD_REQUEST", "message": message}, status)
