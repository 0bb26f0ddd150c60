"""A look inside the gateway over HTTP, and faults by hand; for servers and for oracles in other processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from protocols.unionpay import code_table
from sim.faults import FaultError
from sim.unionpay.faults import GatewayFault
from sim.unionpay.gate import REFUSAL_ORDER, read_body

if TYPE_CHECKING:
    from sim.unionpay.gateway import UnionPayGateway

__all__ = ["control_app"]


def control_app(gateway: UnionPayGateway) -> Starlette:
    """The gateway's control API.

    ``GET /trades``, ``GET /notices``, ``GET /tables``, ``GET /faults``; ``POST /faults`` (a `GatewayFault` as JSON, with a
    name), ``DELETE /faults/{name}``, ``POST /rotate`` ``{"signer": 1}``. It shows no key and no card number.
    """
    control = _Control(gateway)
    return Starlette(
        routes=[
            Route("/trades", control.trades),
            Route("/notices", control.notices),
            Route("/tables", control.tables),
            Route("/faults", control.faults, methods=["GET"]),
            Route("/faults", control.arm, methods=["POST"]),
            Route("/faults/{name}", control.disarm, methods=["DELETE"]),
            Route("/rotate", control.rotate, methods=["POST"]),
        ]
    )


class _Control:
    def __init__(self, gateway: UnionPayGateway) -> None:
        self._gateway = gateway

    async def trades(self, _request: Request) -> Response:
        return JSONResponse(
            [
                {
                    "mer_id": trade.mer_id,
                    "order_id": trade.order_id,
                    "txn_time": trade.txn_time,
                    "kind": trade.kind,
                    "state": str(trade.state),
                    "code": trade.code,
                    "amount_fen": trade.amount_fen,
                    "refunded_fen": trade.reserved_fen,
                    "cancelled": trade.is_cancelled,
                    "completed": trade.is_completed,
                    "query_id": trade.query_id,
                    "original_query_id": trade.original.query_id if trade.original is not None else None,
                    "acc_no": trade.acc_no,
                    "created_us": trade.created_us,
                    "done_us": trade.done_us,
                }
                for trade in self._gateway.ledger.trades
            ]
        )

    async def notices(self, _request: Request) -> Response:
        return JSONResponse(
            [
                {
                    "order_id": notice.order_id,
                    "kind": notice.kind,
                    "forged": notice.is_forged,
                    "attempts": [{"at_us": at_us, "outcome": outcome} for at_us, outcome in notice.attempts],
                    "delivered_us": notice.delivered_us,
                    "given_up": notice.given_up,
                }
                for notice in self._gateway.notifier.notices
            ]
        )

    async def tables(self, _request: Request) -> Response:
        order = [{"code": code, "when": when, "proof": "unproven"} for code, when in REFUSAL_ORDER]
        return JSONResponse({"codes": code_table(), "refusal_order": order})

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

    async def disarm(self, request: Request) -> Response:
        try:
            self._gateway.faults.disarm(request.path_params["name"])
        except KeyError as error:
            return _bad(404, f"no fault {error} is at work")
        return Response(status_code=204)

    async def rotate(self, request: Request) -> Response:
        number = (await _json(request) or {}).get("signer")
        if not isinstance(number, int) or isinstance(number, bool):
            return _bad(400, "signer must be a whole number")
        try:
            self._gateway.rotate(number)
        except ValueError as error:
            return _bad(400, str(error))
        return Response(status_code=204)


async def _json(request: Request) -> dict[str, object] | None:
    try:
        data = msgspec.json.decode(await read_body(request.receive))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return data if isinstance(data, dict) else None


def _bad(status: int, message: str) -> Response:
    return JSONResponse({"code": "BAD_REQUEST", "message": message}, status)
