"""Routes for the operator: sales whose figures contradict each other."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Request

from reference.backend.api.common import EntityId, refusals, secured
from reference.backend.core import Core
from reference.backend.models import Release, SaleView
from reference.backend.sessions import Sessions

__all__ = ["quarantine_routes"]


def quarantine_routes(core: Core, sessions: Sessions) -> APIRouter:
    """The router."""
    api = APIRouter(prefix="/v1/admin", tags=["admin"])

    @api.post(
        "/sales/{sale_id}/release",
        response_model=SaleView,
        responses=refusals(401, 404, 409, 422, 503),
        openapi_extra=secured(),
    )
    async def release(request: Request, sale_id: EntityId, body: Annotated[Release, Body()]) -> Any:
        """A person has looked at a quarantined sale: it counts as the pump told it."""
        sessions.admin(request)
        return await core.sales.release(sale_id, body.reason)

    return api
