"""The part of a control API that every platform has: faults by hand and counters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as HttpRoute

from sim.faults import FaultError
from sim.webapi.faults import CallFault
from sim.webapi.service import WebService

__all__ = ["ControlError", "control_app", "json_object", "refuse_control"]


class ControlError(Exception):
    """A control request that cannot be done; the text is for the person who sent it."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


async def json_object(request: Request) -> dict[str, Any]:
    """The body of a control request; an empty one is an empty object.

    Raises:
        ControlError: not a JSON object.
    """
    body = await request.body()
    if not body.strip():
        return {}
    try:
        data = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise ControlError("the body is not a JSON object")
    return data


async def refuse_control(_request: Request, error: Exception) -> Response:
    """What a `ControlError` looks like: an exception handler of Starlette's, async since threads are not allowed in a run."""
    status = error.status if isinstance(error, ControlError) else 400
    return JSONResponse({"code": "BAD_REQUEST", "message": str(error)}, status)


def control_app(service: WebService, routes: Iterable[HttpRoute] = ()) -> Starlette:
    """A platform's control API.

    ``GET /faults``, ``POST /faults`` (a `CallFault` with a name), ``DELETE /faults/{name}``, ``GET /calls``, and the routes
    of the platform's own, which may raise `ControlError`.
    """

    async def show(_request: Request) -> Response:
        return JSONResponse({"faults": service.faults.report()})

    async def calls(_request: Request) -> Response:
        return JSONResponse(service.counts)

    async def arm(request: Request) -> Response:
        try:
            service.faults.arm(CallFault.from_dict(await json_object(request)))
        except (FaultError, TypeError) as error:
            raise ControlError(str(error)) from None
        return Response(status_code=204)

    async def disarm(request: Request) -> Response:
        try:
            service.faults.disarm(request.path_params["name"])
        except KeyError as error:
            raise ControlError(f"no fault {error} is at work", 404) from None
        return Response(status_code=204)

    common = [
        HttpRoute("/faults", show, methods=["GET"]),
        HttpRoute("/faults", arm, methods=["POST"]),
        HttpRoute("/faults/{name}", disarm, methods=["DELETE"]),
        HttpRoute("/calls", calls, methods=["GET"]),
    ]
    return Starlette(routes=[*common, *routes], exception_handlers={ControlError: refuse_control})
