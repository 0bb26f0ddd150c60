"""Routes for the operator's refunds (admin key)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Request, Response

from reference.backend.api.common import EntityId, json_response, refusals, secured
from reference.backend.core import Core
from reference.backend.refunds.desk import RefundAsked, RefundDesk, RefundView
from reference.backend.sessions import Sessions

__all__ = ["refund_routes"]

_RefundNo = Annotated[str, Path(pattern=r"^[0-9A-Za-z_|*@-]{1,64}$")]


def refund_routes(core: Core, sessions: Sessions) -> APIRouter:
    """The router."""
    api = APIRouter(prefix="/v1/admin", tags=["admin"])
    desk = RefundDesk(core)
    docs: dict[str, Any] = {"response_model": RefundView, "openapi_extra": secured()}

    @api.post(
        "/orders/{order_id}/refunds", status_code=201, responses=refusals(401, 404, 409, 422, 503), **docs
    )
    async def ask(order_id: EntityId, request: Request, body: Annotated[RefundAsked, Body()]) -> Response:
        """Give back a part or all of a paid order (200 when this token has asked already). Accepted is not refunded."""
        sessions.admin(request)
        is_new, shown = await desk.ask(order_id, body)
        return json_response(shown, 201 if is_new else 200)

    @api.post("/refunds/{out_refund_no}/retry", responses=refusals(401, 404, 422, 503), **docs)
    async def retry(out_refund_no: _RefundNo, request: Request) -> Response:
        """Let a held refund go on, or look again at an abnormal one."""
        sessions.admin(request)
        return json_response(await desk.try_again(out_refund_no))

    return api
