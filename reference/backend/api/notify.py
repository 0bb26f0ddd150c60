"""Routes for the gateway's and the tax platform's callbacks. What proves the caller is the signature, not a key."""

from __future__ import annotations

from collections.abc import Awaitable

from fastapi import APIRouter, Request, Response

from reference.backend.api.common import body_of, refusals
from reference.backend.core import Core
from reference.backend.errors import refusal
from reference.backend.gateways.port import GatewayRefusedError, GatewayUnknownError, NoticeRefusedError
from reference.backend.payments.callbacks import Callbacks

__all__ = ["notify_routes"]


def notify_routes(core: Core, callbacks: Callbacks) -> APIRouter:
    """The router."""
    api = APIRouter(prefix="/v1/notify", tags=["callbacks"])
    limit = core.settings.max_body_bytes
    body = {
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
    }

    async def told(taking: Awaitable[None], good: Response) -> Response:
        try:
            await taking
        except NoticeRefusedError as error:
            # The platform's own shape: anything but 200 and 204 makes it try again.
            return refusal(401, "FAIL", str(error))
        except (GatewayUnknownError, GatewayRefusedError) as error:
            # The notice alone does not say where the money is, and the gateway could not be asked.
            return refusal(503, "FAIL", str(error))
        return good

    async def take(request: Request) -> Response:
        raw = await body_of(request, limit)
        return await told(callbacks.take(request.headers, raw), Response(status_code=204))

    @api.post("/wechatpay", status_code=204, responses=refusals(401, 413, 503), openapi_extra=body)
    async def wechatpay(request: Request) -> Response:
        """A payment or refund notice of WeChat Pay."""
        return await take(request)

    @api.post(
        "/unionpay",
        responses={200: {"description": "Taken"}, **refusals(401, 413, 503)},
        response_class=Response,
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/x-www-form-urlencoded": {"schema": {"type": "object"}}},
            }
        },
    )
    async def unionpay(request: Request) -> Response:
        """A notice of UnionPay: a signed form, sent until it is answered 200."""
        raw = await body_of(request, limit)
        return await told(callbacks.take_unionpay(raw), Response(b"ok", media_type="text/plain"))

    @api.post("/fapiao", status_code=204, responses=refusals(401, 413, 503), openapi_extra=body)
    async def fapiao(request: Request) -> Response:
        """An invoice notice (``FAPIAO.*``)."""
        return await take(request)

    return api
