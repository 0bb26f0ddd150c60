"""Routes for the site controller and the cashier (station key)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Body, Path, Query, Request, Response

from reference.backend.api.ahead import LivePosts
from reference.backend.api.common import (
    AfterQuery,
    EntityId,
    StationPath,
    body_of,
    json_response,
    raw_body,
    refusals,
    secured,
)
from reference.backend.core import Core
from reference.backend.live import LivePost
from reference.backend.models import (
    CommandList,
    CommandResult,
    SaleAccepted,
    SaleList,
    SalePost,
    SaleView,
    Settlement,
    StationSetup,
    StationView,
)
from reference.backend.sessions import Sessions

__all__ = ["site_routes"]

# This body is read by msgspec: about twice as many requests a second as with the framework's own reading.
_SALE = msgspec.json.Decoder(SalePost)
_NO_CONTENT = 204


def site_routes(core: Core, sessions: Sessions, posts: LivePosts) -> APIRouter:
    """The router."""
    api = APIRouter(prefix="/v1/stations/{station}", tags=["site"])
    limit = core.settings.max_body_bytes

    @api.post(
        "/nozzles/live",
        status_code=_NO_CONTENT,
        responses=refusals(401, 413, 422, 503),
        openapi_extra=secured(**raw_body(LivePost)),
    )
    async def live(request: Request, station: StationPath) -> Response:
        """Readings of the nozzles, a few times a second. They are shown, not stored."""
        return await posts.route(request, station)

    @api.put("", response_model=StationView, responses=refusals(401, 422, 503), openapi_extra=secured())
    async def declare(request: Request, station: StationPath, setup: Annotated[StationSetup, Body()]) -> Any:
        """Declare a station and its nozzles; what was declared before is replaced."""
        sessions.station(request, station)
        await core.stations.declare(station, setup)
        return await core.stations.view(station)

    @api.get("", response_model=StationView, responses=refusals(404, 422, 503))
    async def show(station: StationPath) -> Any:
        """A station with its prices and live readings."""
        return await core.stations.view(station)

    @api.post(
        "/sales",
        status_code=201,
        responses={
            201: {"model": SaleAccepted},
            200: {"model": SaleAccepted, "description": "Known already"},
            **refusals(401, 404, 409, 413, 422, 503),
        },
        openapi_extra=secured(**raw_body(SalePost)),
    )
    async def sale(request: Request, station: StationPath) -> Response:
        """Upload a finished delivery; repeat it until it is answered."""
        sessions.station(request, station)
        post = _SALE.decode(await body_of(request, limit))
        is_new, sale_id, state = await core.sales.take(station, post)
        return json_response({"sale_id": sale_id, "state": state}, 201 if is_new else 200)

    @api.get("/sales", response_model=SaleList, responses=refusals(401, 422, 503), openapi_extra=secured())
    async def list_sales(
        request: Request,
        station: StationPath,
        state: Literal["payable", "locked", "cleared", "test", "quarantined"] = "payable",
    ) -> Any:
        """Up to 500 sales in a state, newest first."""
        await sessions.till(request, station)
        return {"sales": await core.sales.in_state(station, state)}

    @api.post(
        "/sales/{sale_id}/settle",
        response_model=SaleView,
        responses=refusals(401, 404, 409, 422, 503),
        openapi_extra=secured(),
    )
    async def settle(
        request: Request, station: StationPath, sale_id: EntityId, body: Annotated[Settlement, Body()]
    ) -> Any:
        """The cashier has taken the money."""
        attendant, _ = await sessions.till(request, station)
        return await core.sales.settle(station, sale_id, body, attendant)

    @api.get(
        "/commands",
        response_model=CommandList,
        responses=refusals(401, 422, 503),
        openapi_extra=secured(),
    )
    async def commands(
        request: Request,
        station: StationPath,
        after: AfterQuery = 0,
        wait_ms: Annotated[int, Query(ge=0, le=30_000)] = 0,
    ) -> Response:
        """Commands that are not answered yet, after a number; waits for the first up to ``wait_ms``."""
        sessions.station(request, station)
        return json_response({"commands": await core.commands.poll(station, after, wait_ms)})

    @api.post(
        "/commands/{number}/result",
        status_code=_NO_CONTENT,
        responses=refusals(401, 404, 409, 422, 503),
        openapi_extra=secured(),
    )
    async def result(
        request: Request,
        station: StationPath,
        number: Annotated[int, Path(ge=1, le=2**53)],
        body: Annotated[CommandResult, Body()],
    ) -> Response:
        """The site's answer to a command."""
        sessions.station(request, station)
        await core.commands.result(station, number, ok=body.ok, reason=body.reason)
        return Response(status_code=_NO_CONTENT)

    return api
