"""Routes for payments at the pump (station key), and the page that a browser comes back to."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Request, Response

from reference.backend.api.common import EntityId, StationPath, json_response, refusals, secured
from reference.backend.core import Core
from reference.backend.models import OrderView
from reference.backend.payments.models import CodePayment
from reference.backend.sessions import Sessions

__all__ = ["pump_routes"]

_PAGE = (
    "<!doctype html><meta charset=utf-8><title>支付结果确认中</title>"
    "<p>支付结果以加油站收到的通知为准，请返回小程序查看。"
)


def pump_routes(core: Core, sessions: Sessions) -> APIRouter:
    """The router."""
    api = APIRouter(prefix="/v1", tags=["pump"])

    @api.post(
        "/stations/{station}/sales/{sale_id}/pay-code",
        response_model=OrderView,
        responses=refusals(401, 404, 409, 422, 502, 503),
        openapi_extra=secured(),
    )
    async def pay_code(
        request: Request, station: StationPath, sale_id: EntityId, body: Annotated[CodePayment, Body()]
    ) -> Response:
        """The attendant has scanned the payer's code. While the order is PAYING the payer types a password: look again."""
        await sessions.till(request, station)
        return json_response(await core.pump_codes.pay(station, sale_id, body))

    @api.get(
        "/stations/{station}/orders/{order_id}",
        response_model=OrderView,
        responses=refusals(401, 404, 422, 503),
        openapi_extra=secured(),
    )
    async def show(request: Request, station: StationPath, order_id: EntityId) -> Response:
        """An order of this station."""
        await sessions.till(request, station)
        return json_response(await core.pump_codes.show(station, order_id))

    @api.post(
        "/stations/{station}/orders/{order_id}/cancel",
        response_model=OrderView,
        responses=refusals(401, 404, 409, 422, 503),
        openapi_extra=secured(),
    )
    async def cancel(request: Request, station: StationPath, order_id: EntityId) -> Response:
        """Give up a payment at the pump: reversed first. A 503 means that it is being reversed still."""
        await sessions.till(request, station)
        return json_response(await core.pump_codes.cancel(station, order_id))

    async def came_back() -> Response:
        """UnionPay's cashier brings the browser here. Whatever it brings along decides nothing."""
        return Response(_PAGE, media_type="text/html")

    for method in ("GET", "POST"):
        api.add_api_route(
            "/return/unionpay",
            came_back,
            methods=[method],
            response_class=Response,
            name=f"came_back_{method}",
        )
    return api
