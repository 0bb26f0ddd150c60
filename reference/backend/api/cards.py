"""Routes about a member's cards (session token). None of them takes a card number; the vault does."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from reference.backend.api.common import EntityId, json_response, refusals, secured
from reference.backend.core import Core
from reference.backend.sessions import Sessions

__all__ = ["card_routes"]


class CardBinding(BaseModel):
    """Where the phone hands the number in, and its bearer key there, good for one card."""

    binding: str
    url: str
    secret: str
    expires_us: int


class CardView(BaseModel):
    """What may be shown of a card."""

    card_id: str
    bin: str
    last4: str
    network: str


class CardList(BaseModel):
    """Cards of a member."""

    cards: list[CardView]


def card_routes(core: Core, sessions: Sessions) -> APIRouter:
    """The router."""
    api = APIRouter(prefix="/v1/cards", tags=["cards"])

    @api.post(
        "",
        status_code=201,
        response_model=CardBinding,
        responses=refusals(401, 409, 422, 503),
        openapi_extra=secured(),
    )
    async def announce(request: Request) -> Response:
        """A card is to be bound: hand its number to the vault, then confirm."""
        return json_response(await core.cards.announce(await sessions.phone(request)), 201)

    @api.post(
        "/{binding}/confirm",
        status_code=201,
        response_model=CardView,
        responses={
            200: {"model": CardView, "description": "Bound before"},
            **refusals(401, 404, 409, 422, 503),
        },
        openapi_extra=secured(),
    )
    async def confirm(request: Request, binding: EntityId) -> Response:
        """The number was handed in: bind the card."""
        is_new, card = await core.cards.confirm(await sessions.phone(request), binding)
        return json_response(card, 201 if is_new else 200)

    @api.get("", response_model=CardList, responses=refusals(401, 422, 503), openapi_extra=secured())
    async def mine(request: Request) -> Response:
        """Cards of the phone that asks."""
        return json_response({"cards": await core.cards.mine(await sessions.phone(request))})

    @api.delete(
        "/{card_id}", status_code=204, responses=refusals(401, 404, 422, 503), openapi_extra=secured()
    )
    async def remove(request: Request, card_id: EntityId) -> Response:
        """Forget a card."""
        await core.cards.remove(await sessions.phone(request), card_id)
        return Response(status_code=204)

    return api
