"""Routes for attendants: the operator enters them, their cards log them in and out."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Request, Response

from reference.backend.api.common import StationPath, refusals, secured
from reference.backend.attendants.views import (
    AttendantList,
    AttendantLogin,
    AttendantPost,
    AttendantView,
    LoggedIn,
)
from reference.backend.core import Core
from reference.backend.sessions import Sessions

__all__ = ["attendant_routes"]

_Attendant = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,16}$")]


def attendant_routes(core: Core, sessions: Sessions) -> APIRouter:
    """The router."""
    api = APIRouter(tags=["attendants"])

    @api.put(
        "/v1/admin/stations/{station}/attendants/{attendant}",
        response_model=AttendantView,
        responses=refusals(401, 404, 409, 422, 503),
        openapi_extra=secured(),
        tags=["admin"],
    )
    async def enrol(
        request: Request, station: StationPath, attendant: _Attendant, body: Annotated[AttendantPost, Body()]
    ) -> Any:
        """Enter an attendant, give them another card, or take them out of service."""
        sessions.admin(request)
        return await core.attendants.enrol(station, attendant, body)

    @api.get(
        "/v1/admin/stations/{station}/attendants",
        response_model=AttendantList,
        responses=refusals(401, 422, 503),
        openapi_extra=secured(),
        tags=["admin"],
    )
    async def listed(request: Request, station: StationPath) -> Any:
        """Who works there."""
        sessions.admin(request)
        return {"attendants": await core.attendants.listed(station)}

    @api.post(
        "/v1/stations/{station}/attendants/login",
        response_model=LoggedIn,
        responses=refusals(401, 422, 503),
    )
    async def log_in(station: StationPath, body: Annotated[AttendantLogin, Body()]) -> Any:
        """A card (or its QR code) was read: sales at these fuelling points are its holder's from now on."""
        return await core.attendants.log_in(station, body)

    @api.post(
        "/v1/stations/{station}/attendants/logout",
        status_code=204,
        responses=refusals(401, 422, 503),
        openapi_extra=secured(),
    )
    async def log_out(request: Request, station: StationPath) -> Response:
        """The holder of this token goes off duty."""
        await core.attendants.log_out(station, request.headers.get("authorization", ""))
        return Response(status_code=204)

    return api
