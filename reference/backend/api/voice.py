"""Announcements for the phones of a station's staff."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from reference.backend.api.common import AfterQuery, StationPath, json_response, refusals, secured
from reference.backend.core import Core
from reference.backend.sessions import Sessions

__all__ = ["voice_routes"]


class StaffAnnouncement(BaseModel):
    """One payment; ``state`` is what became of it at the loudspeaker: queued, sending, unknown, sent or dropped."""

    id: int
    state: str
    message: dict[str, Any]


class StaffAnnouncements(BaseModel):
    """At most 100, in the order of their numbers."""

    announcements: list[StaffAnnouncement]


def voice_routes(core: Core, sessions: Sessions) -> APIRouter:
    """The router."""
    api = APIRouter(prefix="/v1/stations/{station}", tags=["voice"])

    @api.get(
        "/announcements",
        response_model=StaffAnnouncements,
        responses=refusals(401, 404, 422, 503),
        openapi_extra=secured(),
    )
    async def announcements(
        request: Request,
        station: StationPath,
        after: AfterQuery = 0,
        wait_ms: Annotated[int, Query(ge=0, le=30_000)] = 0,
    ) -> Response:
        """What the staff's app shows and says, as one message for every kind of phone; a long poll."""
        sessions.station(request, station)
        return json_response({"announcements": await core.announcer.for_staff(station, after, wait_ms)})

    return api
