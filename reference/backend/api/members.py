"""Routes about members: what they hold (session token), and who gives it to them (admin key)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Request, Response

from reference.backend.api.common import json_response, refusals, secured
from reference.backend.core import Core
from reference.backend.errors import ApiError
from reference.backend.payments.models import ContractView, Grant, MemberView, NewCoupon
from reference.backend.sessions import Sessions

__all__ = ["member_routes"]


def member_routes(core: Core, sessions: Sessions) -> APIRouter:
    """The router."""
    api = APIRouter(prefix="/v1", tags=["members"])

    @api.get("/me", response_model=MemberView, responses=refusals(401, 422, 503), openapi_extra=secured())
    async def show(request: Request) -> Response:
        """Points, balance and coupons of the phone that asks."""
        return json_response(await core.members.view(await sessions.phone(request)))

    @api.post(
        "/me/contract",
        response_model=ContractView,
        responses=refusals(401, 404, 409, 422, 503),
        openapi_extra=secured(),
    )
    async def sign(request: Request) -> Response:
        """Begin a contract for debits, or come back to it; the phone takes it to WeChat's signing page."""
        return json_response(await core.contracts.sign(await sessions.phone(request)))

    @api.get(
        "/me/contract",
        response_model=ContractView,
        responses=refusals(401, 404, 422, 503),
        openapi_extra=secured(),
    )
    async def contract(request: Request) -> Response:
        """The contract of this phone: ``active`` once the gateway says that it is signed."""
        return json_response(await core.contracts.view(await sessions.phone(request)))

    @api.delete(
        "/me/contract",
        status_code=204,
        responses=refusals(401, 404, 422, 503),
        openapi_extra=secured(),
    )
    async def end_contract(request: Request) -> Response:
        """End the contract."""
        await core.contracts.end(await sessions.phone(request))
        return Response(status_code=204)

    @api.post(
        "/admin/grants",
        status_code=201,
        responses={200: {"description": "This client_token did it before"}, **refusals(401, 409, 422, 503)},
        openapi_extra=secured(),
    )
    async def grant(request: Request, body: Annotated[Grant, Body()]) -> Response:
        """Give a member points and balance, or take some."""
        sessions.admin(request)
        is_new = await core.members.grant(
            body.openid, body.client_token, body.points, body.balance_fen, body.reason
        )
        return json_response({}, 201 if is_new else 200)

    @api.post(
        "/admin/coupons", status_code=201, responses=refusals(401, 409, 422, 503), openapi_extra=secured()
    )
    async def coupon(request: Request, body: Annotated[NewCoupon, Body()]) -> Response:
        """Give a member a coupon."""
        sessions.admin(request)
        if not await core.members.add_coupon(body.model_dump()):
            raise ApiError(409, "coupon_known", "there is a coupon of this name", "coupon_id")
        return json_response({}, 201)

    return api
