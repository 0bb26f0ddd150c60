"""Routes about invoices beside asking for one: look, correct, merge, split, deliver, delete, take back."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Body, Path, Request, Response

from reference.backend.api.common import EntityId, body_of, json_response, refusals, secured
from reference.backend.core import Core
from reference.backend.errors import ApiError
from reference.backend.invoices.models import (
    InvoiceCorrection,
    InvoiceDetail,
    InvoiceList,
    InvoiceRequest,
    InvoiceReversal,
    NewDelivery,
)
from reference.backend.sessions import Sessions

__all__ = ["invoice_routes"]

ApplyId = Annotated[str, Path(pattern=r"^[0-9A-Za-z_|-]{1,40}$")]
RedId = Annotated[str, Path(pattern=r"^[0-9A-Z]{1,20}$")]


def invoice_routes(core: Core, sessions: Sessions) -> APIRouter:
    """The router."""
    api = APIRouter(prefix="/v1", tags=["invoices"])
    _phone(api, core, sessions)
    _desk(api, core, sessions)
    _hints(api, core)
    return api


def _phone(api: APIRouter, core: Core, sessions: Sessions) -> None:
    shown = {"model": InvoiceList}

    async def listed(request: Request, order_id: str, status: int = 200) -> Response:
        found = await core.invoice_desk.view(await sessions.phone(request), order_id)
        return json_response({"invoices": found}, status)

    @api.get(
        "/orders/{order_id}/invoice",
        response_model=InvoiceList,
        responses=refusals(401, 404, 422, 503),
        openapi_extra=secured(),
    )
    async def look(request: Request, order_id: EntityId) -> Response:
        """The invoices that an order is in, with their red letters and deliveries."""
        return await listed(request, order_id)

    @api.delete(
        "/orders/{order_id}/invoice",
        status_code=204,
        responses=refusals(401, 404, 422, 503),
        openapi_extra=secured(),
    )
    async def forget(request: Request, order_id: EntityId) -> Response:
        """Delete title and addresses; number and sums of what was issued stay. Before payment this withdraws the wish."""
        await core.invoice_desk.forget(await sessions.phone(request), order_id)
        return Response(status_code=204)

    @api.post(
        "/orders/{order_id}/invoice/correction",
        status_code=202,
        responses={202: shown, **refusals(401, 404, 409, 422, 503)},
        openapi_extra=secured(),
    )
    async def correct(
        request: Request, order_id: EntityId, body: Annotated[InvoiceCorrection, Body()]
    ) -> Response:
        """The title was wrong: the invoice is taken back, and another one for this title follows."""
        found = await core.invoice_desk.correct(await sessions.phone(request), order_id, body)
        return json_response({"invoices": found}, 202)

    @api.post(
        "/orders/{order_id}/invoice/deliveries",
        status_code=202,
        responses={202: shown, **refusals(401, 404, 409, 422, 503)},
        openapi_extra=secured(),
    )
    async def deliver(request: Request, order_id: EntityId, body: Annotated[NewDelivery, Body()]) -> Response:
        """Send the invoice, or send it again. Nothing is issued by that."""
        await core.deliveries.ask(await sessions.phone(request), order_id, body)
        return await listed(request, order_id, 202)

    @api.post(
        "/invoices",
        status_code=201,
        responses={
            201: shown,
            200: {**shown, "description": "This client_token asked for them before"},
            **refusals(401, 404, 409, 422, 503),
        },
        openapi_extra=secured(),
    )
    async def ask(request: Request, body: Annotated[InvoiceRequest, Body()]) -> Response:
        """One invoice over several orders, or several over one: all of them or none, each fen in one of them."""
        is_new, found = await core.invoice_requests.ask(await sessions.phone(request), body)
        return json_response({"invoices": found}, 201 if is_new else 200)


def _desk(api: APIRouter, core: Core, sessions: Sessions) -> None:
    @api.post(
        "/admin/invoices/{apply_id}/reversal",
        status_code=202,
        responses={202: {"model": InvoiceDetail}, **refusals(401, 404, 409, 422, 503)},
        openapi_extra=secured(),
    )
    async def reverse(
        request: Request, apply_id: ApplyId, body: Annotated[InvoiceReversal, Body()]
    ) -> Response:
        """Take a whole invoice back. It takes some seconds, and up to 72 hours if the buyer has to agree."""
        sessions.admin(request)
        return json_response(await core.invoice_desk.reverse(apply_id, body), 202)

    @api.delete(
        "/admin/invoices/{apply_id}/title",
        status_code=204,
        responses=refusals(401, 404, 422, 503),
        openapi_extra=secured(),
    )
    async def forget(request: Request, apply_id: ApplyId) -> Response:
        """Delete title and addresses at the wish of a customer who paid at the desk; number and sums stay."""
        sessions.admin(request)
        await core.invoice_desk.forget_one(apply_id)
        return Response(status_code=204)

    @api.post(
        "/admin/red-letters/{red_id}/retry",
        status_code=202,
        responses={202: {"model": InvoiceDetail}, **refusals(401, 404, 409, 422, 503)},
        openapi_extra=secured(),
    )
    async def ask_again(request: Request, red_id: RedId) -> Response:
        """Ask again for a red letter that ended without success, once; what is asked for is a letter of its own."""
        sessions.admin(request)
        return json_response(await core.invoice_desk.ask_again(red_id), 202)

    @api.post(
        "/admin/red-letters/{red_id}/revocation",
        status_code=202,
        responses=refusals(401, 404, 422, 502, 503),
        openapi_extra=secured(),
    )
    async def revoke(request: Request, red_id: RedId) -> Response:
        """Take a red letter's confirmation form back, while the platform allows it."""
        sessions.admin(request)
        await core.invoice_desk.revoke(red_id)
        return json_response({}, 202)


def _hints(api: APIRouter, core: Core) -> None:
    @api.post(
        "/notify/nuonuo",
        responses=refusals(413, 422, 503),
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/x-www-form-urlencoded": {"schema": {"type": "object"}}},
            }
        },
    )
    async def nuonuo(request: Request) -> Response:
        """Nuonuo's push of a result. It is not signed, so nothing in it is believed: the platform is asked, soon."""
        raw = await body_of(request, core.settings.max_body_bytes)
        try:
            fields = parse_qs(raw.decode(), max_num_fields=50)
        except ValueError:
            raise ApiError(422, "invalid", "the body is not a form") from None
        number = fields.get("orderno", [""])[0]
        if not number:
            raise ApiError(422, "invalid", "the push names no order", "orderno")
        if number.isascii() and number.isalnum():
            await core.invoices.hinted(number)
        return json_response({"status": "0000", "message": "同步成功"})
