"""Routes for tanks: readings from the site, stock for everyone, the stock book for the site."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response

from reference.backend.api.common import (
    AfterQuery,
    StationPath,
    body_of,
    json_response,
    raw_body,
    refusals,
    secured,
)
from reference.backend.core import Core
from reference.backend.sessions import Sessions
from reference.backend.tanks.posts import TanksPost
from reference.backend.tanks.views import ReadingAccepted, StockBook, StockView

__all__ = ["tank_routes"]

_READING = msgspec.json.Decoder(TanksPost)


def tank_routes(core: Core, sessions: Sessions) -> APIRouter:
    """The router."""
    api = APIRouter(prefix="/v1/stations/{station}", tags=["tanks"])
    limit = core.settings.max_body_bytes

    @api.post(
        "/tanks",
        status_code=201,
        responses={
            201: {"model": ReadingAccepted},
            200: {"model": ReadingAccepted, "description": "Known already"},
            **refusals(401, 404, 409, 413, 422, 503),
        },
        openapi_extra=secured(**raw_body(TanksPost)),
    )
    async def reading(request: Request, station: StationPath) -> Response:
        """A round of readings of the tank gauge; repeat it until it is answered."""
        sessions.station(request, station)
        is_new = await core.tanks.take(station, _READING.decode(await body_of(request, limit)))
        return json_response({"new": is_new}, 201 if is_new else 200)

    @api.get("/stock", response_model=StockView, responses=refusals(404, 422, 503))
    async def stock(station: StationPath) -> Any:
        """Stock by grade, with its age."""
        return {"grades": await core.tanks.stock(station)}

    @api.get(
        "/stock/book",
        response_model=StockBook,
        responses=refusals(401, 404, 422, 503),
        openapi_extra=secured(),
    )
    async def book(
        request: Request,
        station: StationPath,
        after: AfterQuery = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    ) -> Any:
        """Openings and deliveries as they were booked, the accounts of the tanks, and what was sold from each."""
        sessions.station(request, station)
        return await core.tanks.book(station, after, limit)

    return api
