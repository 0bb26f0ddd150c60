"""Routes for shifts and test deliveries: handovers from the site, words of the attendant, reports for everyone in charge."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Body, Path, Query, Request, Response

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
from reference.backend.errors import ApiError
from reference.backend.models import AdminPage, SaleView
from reference.backend.sessions import Sessions
from reference.backend.shifts.views import (
    DayView,
    Handover,
    HandoverAccepted,
    HandoverPost,
    HandoverStarted,
    ShiftList,
    ShiftView,
    TestMark,
)

__all__ = ["shift_routes"]

_HANDOVER = msgspec.json.Decoder(HandoverPost)
_Limit = Annotated[int, Query(ge=1, le=200)]


def shift_routes(core: Core, sessions: Sessions) -> APIRouter:
    """The router."""
    api = APIRouter(tags=["shifts"])
    limit = core.settings.max_body_bytes
    station_path = "/v1/stations/{station}"

    @api.post(
        f"{station_path}/shifts",
        status_code=201,
        responses={
            201: {"model": HandoverAccepted},
            200: {"model": HandoverAccepted, "description": "Known already"},
            **refusals(401, 404, 409, 413, 422, 503),
        },
        openapi_extra=secured(**raw_body(HandoverPost)),
    )
    async def take(request: Request, station: StationPath) -> Response:
        """A handover with the readings of every nozzle; repeat it until it is answered."""
        sessions.station(request, station)
        is_new = await core.shifts.take(station, _HANDOVER.decode(await body_of(request, limit)))
        return json_response({"new": is_new}, 201 if is_new else 200)

    @api.post(
        f"{station_path}/shifts/handover",
        status_code=202,
        response_model=HandoverStarted,
        responses=refusals(401, 404, 409, 422, 503),
        openapi_extra=secured(),
    )
    async def ask(request: Request, station: StationPath, body: Annotated[Handover, Body()]) -> Any:
        """An attendant takes over: the site reads its pumps, and the shift is closed with what it read."""
        await sessions.till(request, station)
        await core.shifts.ask(station, body)
        return {"closes": body.closes}

    @api.get(
        f"{station_path}/shifts",
        response_model=ShiftList,
        responses=refusals(401, 404, 422, 503),
        openapi_extra=secured(),
    )
    async def listed(
        request: Request, station: StationPath, after: AfterQuery = 0, limit: _Limit = 50
    ) -> Response:
        """Closed shifts after a number, oldest first, and the open one."""
        await sessions.till(request, station)
        return json_response(await core.shifts.listed(station, after, limit))

    @api.get(
        f"{station_path}/shifts/{{shift}}",
        response_model=ShiftView,
        responses=refusals(401, 404, 422, 503),
        openapi_extra=secured(),
    )
    async def one(
        request: Request, station: StationPath, shift: Annotated[int, Path(ge=1, le=2**31)]
    ) -> Response:
        """The report of a closed shift, and the dated corrections to it."""
        await sessions.till(request, station)
        return json_response(await core.shifts.one(station, shift))

    @api.get(
        f"{station_path}/days/{{day}}",
        response_model=DayView,
        responses=refusals(401, 404, 422, 503),
        openapi_extra=secured(),
    )
    async def day_of(request: Request, station: StationPath, day: date) -> Response:
        """What a station sold on a business day, by its own midnight."""
        await sessions.till(request, station)
        return json_response(await core.days.report(station, day))

    @api.post(
        f"{station_path}/sales/{{sale_id}}/return",
        response_model=SaleView,
        responses=refusals(401, 403, 404, 409, 422, 503),
        openapi_extra=secured(),
    )
    async def give_back(
        request: Request, station: StationPath, sale_id: EntityId, body: Annotated[TestMark, Body()]
    ) -> Any:
        """An unpaid sale was a test delivery, and its fuel is in the tank again. It takes a sale out of the books: no attendant may."""
        who, role = await sessions.till(request, station)
        if role == "attendant":
            raise ApiError(
                403, "not_allowed", "an attendant may not take a sale out of the books: ask a manager"
            )
        return await core.proving.mark(station, sale_id, body, who=who, role=role)

    @api.get(
        "/v1/admin/shifts",
        response_model=AdminPage,
        responses=refusals(401, 422, 503),
        openapi_extra=secured(),
        tags=["admin"],
    )
    async def of_all(
        request: Request, after: AfterQuery = 0, limit: Annotated[int, Query(ge=1, le=1000)] = 200
    ) -> Response:
        """Closed shifts of all stations with their corrections. ``after`` is how many to skip."""
        sessions.admin(request)
        rows = await core.shifts.all(after, limit)
        return json_response({"rows": rows, "next": after + limit if len(rows) == limit else None})

    return api
