"""Routes for the operator's refunds (admin key)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Request, Response

from reference.backend.api.common import EntityId, json_response, refusals, secured
from reference.backend.core import Core
from reference.backend.refunds.by_hand import PaidInCash, RefundRemedies, SentOn
from reference.backend.refunds.desk import RefundAsked, RefundDesk, RefundView
from reference.backend.sessions import Sessions

__all__ = ["refund_routes"]

_RefundNo = Annotated[str, Path(pattern=r"^[0-9A-Za-z_|*@-]{1,64}$")]


def refund_routes(core: Core, sessions: Sessions) -> APIRouter:
    """The router."""
    api = APIRouter(prefix="/v1/admin", tags=["admin"])
    desk, remedies = RefundDesk(core), RefundRemedies(core)
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
        return json_response(await remedies.try_again(out_refund_no))

    @api.post(
        "/refunds/{out_refund_no}/elsewhere",
        status_code=202,
        responses=refusals(401, 404, 409, 422, 502, 503),
        **docs,
    )
    async def send_on(
        out_refund_no: _RefundNo, request: Request, body: Annotated[SentOn, Body()]
    ) -> Response:
        """Have the gateway pay an abnormal refund to another account. A card is taken only as encrypted for the platform."""
        sessions.admin(request)
        return json_response(await remedies.send_on(out_refund_no, body), 202)

    @api.post(
        "/refunds/{out_refund_no}/cash",
        status_code=201,
        responses=refusals(401, 404, 409, 422, 502, 503),
        **docs,
    )
    async def pay_cash(
        out_refund_no: _RefundNo, request: Request, body: Annotated[PaidInCash, Body()]
    ) -> Response:
        """A held or abnormal refund was paid out at the station: it counts as given back (200 when this token said so already)."""
        sessions.admin(request)
        is_new, shown = await remedies.pay_cash(out_refund_no, body)
        return json_response(shown, 201 if is_new else 200)

    return api
