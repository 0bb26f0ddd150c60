"""Routes for the phone (session token)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response
from fastapi.responses import StreamingResponse

from reference.backend.api.common import EntityId, json_response, refusals, secured
from reference.backend.channels import Parts, Wish
from reference.backend.core import Core
from reference.backend.events import OrderStream, is_over
from reference.backend.models import (
    ClientResult,
    InvoiceTitle,
    NewOrder,
    OrderView,
    SessionRequest,
    SessionView,
)
from reference.backend.payments.models import PayRequest, PayView
from reference.backend.sessions import Sessions

__all__ = ["phone_routes"]


def phone_routes(core: Core, sessions: Sessions) -> APIRouter:
    """The router."""
    api = APIRouter(prefix="/v1", tags=["phone"])

    @api.post("/sessions", response_model=SessionView, responses=refusals(401, 422, 503))
    async def log_in(body: Annotated[SessionRequest, Body()]) -> Any:
        """Exchange the mini-program's log-in code for a bearer token."""
        token, openid = await sessions.log_in(body.js_code)
        return {"token": token, "openid": openid}

    @api.post(
        "/orders",
        status_code=201,
        responses={
            201: {"model": OrderView},
            200: {"model": OrderView, "description": "This client_token made it before"},
            **refusals(401, 404, 409, 422, 503),
        },
        openapi_extra=secured(),
    )
    async def create(request: Request, body: Annotated[NewOrder, Body()]) -> Response:
        """A new order. Postpay at a nozzle with a finished, unpaid sale pays for that sale."""
        is_new, order = await core.orders.create(await sessions.phone(request), body)
        return json_response(order, 201 if is_new else 200)

    @api.get(
        "/orders/{order_id}",
        response_model=OrderView,
        responses=refusals(401, 404, 422, 503),
        openapi_extra=secured(),
    )
    async def show(request: Request, order_id: EntityId) -> Response:
        """An order of this phone."""
        return json_response(await core.orders.view(order_id, await sessions.phone(request)))

    @api.get(
        "/orders/{order_id}/events",
        response_class=StreamingResponse,
        responses={
            200: {
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
                "description": "`event: order` with the order at each change, `event: live` with the nozzle's readings",
            },
            204: {"description": "`Last-Event-ID` is that of the order's end: there is no more to come"},
            **refusals(401, 404, 422, 503),
        },
        openapi_extra=secured(),
    )
    async def events(request: Request, order_id: EntityId) -> Response:
        """Server-sent events until the order has come to its end."""
        openid = await sessions.phone(request)
        first = await core.orders.view(order_id, openid)
        if is_over(first, request.headers.get("last-event-id")):
            return Response(status_code=204)
        return OrderStream(core, first)

    @api.post(
        "/orders/{order_id}/pay",
        response_model=PayView,
        responses=refusals(401, 404, 409, 422, 502, 503),
        openapi_extra=secured(),
    )
    async def pay(request: Request, order_id: EntityId, body: Annotated[PayRequest, Body()]) -> Response:
        """Open a payment; after a 503 ask again: the same `out_trade_no` is used.

        Another channel, or other parts, come in the place of what was open, once that is over at its gateway.
        """
        parts = Parts(**body.parts.model_dump()) if body.parts is not None else Parts()
        openid = await sessions.phone(request)
        return json_response(await core.attempts.pay(openid, order_id, Wish(body.channel, parts)))

    @api.post(
        "/orders/{order_id}/cancel",
        response_model=OrderView,
        responses=refusals(401, 404, 409, 422, 503),
        openapi_extra=secured(),
    )
    async def cancel(request: Request, order_id: EntityId) -> Response:
        """Cancel as far as possible; once fuel has flowed it is refused."""
        return json_response(await core.orders.cancel(await sessions.phone(request), order_id))

    @api.post(
        "/orders/{order_id}/client-result",
        response_model=OrderView,
        responses=refusals(401, 404, 422, 503),
        openapi_extra=secured(),
    )
    async def client_result(
        request: Request, order_id: EntityId, body: Annotated[ClientResult, Body()]
    ) -> Response:
        """What the payment app told the phone. It changes nothing; the gateway is asked at once."""
        del body  # proves nothing, whatever it says
        openid = await sessions.phone(request)
        await core.attempts.ask_now(openid, order_id)
        return json_response(await core.orders.view(order_id, openid))

    @api.post(
        "/orders/{order_id}/invoice",
        response_model=OrderView,
        responses=refusals(401, 404, 409, 422, 503),
        openapi_extra=secured(),
    )
    async def invoice(
        request: Request, order_id: EntityId, body: Annotated[InvoiceTitle, Body()]
    ) -> Response:
        """Ask for an invoice, before or after paying."""
        openid = await sessions.phone(request)
        await core.invoices.ask_for(openid, order_id, body)
        return json_response(await core.orders.view(order_id, openid))

    return api
