"""A card goes from the phone to the vault; the backend has a token, six digits and four, whatever happens on the way."""

from __future__ import annotations

import base64
import json
import secrets

import httpx
import pytest
from sqlalchemy import select

from reference.backend.gateways.outgoing import Outgoing
from reference.backend.members.card_schema import cards
from reference.backend.members.cards import VaultClient
from reference.vault import VaultSettings, create_vault

CARD = "6222021234567894"
OTHER = "4242424242424242"
KEY = "backend-key-0123456"
_ALL = select(cards)


class Shop:
    """The backend of a test's world, with a vault beside it that can be away."""

    def __init__(self, world):
        self.world = world
        settings = VaultSettings.model_validate(
            {
                "database": ":memory:",
                "keys": {"k1": base64.b64encode(secrets.token_bytes(32)).decode()},
                "clients": [{"merchant": "reference", "key": KEY}],
            }
        )
        self.vault = create_vault(settings, clock_us=lambda: world.now_us)
        self.away = False
        self.said: bytes | None = None
        self.heard: list[bytes] = []
        inner = httpx.ASGITransport(self.vault.app)
        shop = self

        class Wire(httpx.AsyncBaseTransport):
            async def handle_async_request(self, request):
                shop.heard.append(await request.aread())
                if shop.away:
                    raise httpx.ConnectError("away")
                if shop.said is not None:
                    return httpx.Response(200, content=shop.said)
                return await inner.handle_async_request(request)

        core = world.core
        outgoing = Outgoing(Wire(), core.clock_us, core.ids, 5.0, 4.0)
        core.cards.vault = VaultClient(outgoing, "https://vault.station", KEY)

    async def phone(self, method, path, *, who="zhang", status):
        await self.world.phone("GET", "/none", who=who)  # logs in
        return await self.world.call(
            method, f"/v1/cards{path}", key=self.world.tokens[f"{who}-real"], status=status
        )

    async def hand_in(self, announced, number, status=200):
        transport = httpx.ASGITransport(self.vault.app)
        async with httpx.AsyncClient(transport=transport) as client:
            reply = await client.post(
                announced["url"],
                json={"card_number": number},
                headers={"Authorization": f"Bearer {announced['secret']}"},
            )
        assert reply.status_code == status

    async def bind(self, number, *, who="zhang", status=201):
        announced = await self.phone("POST", "", who=who, status=201)
        await self.hand_in(announced, number)
        return await self.phone("POST", f"/{announced['binding']}/confirm", who=who, status=status)


@pytest.mark.requirement("sec.tokens-need-the-vault", "sec.no-card-number-anywhere")
def test_a_card_is_bound_and_the_backend_never_hears_its_number(play):
    async def scene(w):
        shop = Shop(w)
        card = await shop.bind(CARD)
        assert card == {"card_id": card["card_id"], "bin": "622202", "last4": "7894", "network": "unionpay"}
        assert await shop.phone("GET", "", status=200) == {"cards": [card]}
        assert await shop.phone("GET", "", who="li", status=200) == {"cards": []}
        assert await shop.bind(CARD, status=200) == card  # the same card again is the same
        assert len((await shop.phone("GET", "", status=200))["cards"]) == 1
        assert all(CARD.encode() not in heard for heard in shop.heard)
        token = (await w.core.db.single(_ALL))[0].token
        assert token.startswith("ct_")
        refused = await w.call(
            "POST", "/v1/sessions", {"js_code": "js-zhang", "card_number": CARD}, status=422
        )
        assert CARD not in json.dumps(refused)

    play(scene)


def test_a_binding_is_its_members_own(play_sqlite):
    async def scene(w):
        shop = Shop(w)
        announced = await shop.phone("POST", "", status=201)
        await shop.phone("POST", f"/{announced['binding']}/confirm", status=409)  # nothing was handed in
        await shop.hand_in(announced, CARD)
        await shop.phone("POST", f"/{announced['binding']}/confirm", who="li", status=404)
        await shop.phone("POST", f"/{announced['binding']}/confirm", status=201)
        await shop.phone("POST", "/cb_nothing/confirm", status=404)

    play_sqlite(scene)


def test_a_forgotten_card_leaves_the_vault_when_nobody_else_has_it(play_sqlite):
    async def scene(w):
        shop = Shop(w)
        mine, theirs = await shop.bind(CARD), await shop.bind(CARD, who="li")
        token = (await w.core.db.single(_ALL))[0].token
        await shop.phone("DELETE", f"/{mine['card_id']}", who="li", status=404)
        await shop.phone("DELETE", f"/{mine['card_id']}", status=204)
        await shop.phone("DELETE", f"/{mine['card_id']}", status=404)
        await w.run_due()
        assert shop.vault.desk.store.of_token("reference", token) is not None
        await shop.phone("DELETE", f"/{theirs['card_id']}", who="li", status=204)
        shop.away = True
        await w.run_due()
        shop.away = False
        assert shop.vault.desk.store.of_token("reference", token) is not None
        await w.run_due(later_s=61)
        assert shop.vault.desk.store.of_token("reference", token) is None

    play_sqlite(scene)


def test_without_an_answer_of_the_vault_nothing_is_bound(play_sqlite):
    async def scene(w):
        shop = Shop(w)
        announced = await shop.phone("POST", "", status=201)
        await shop.hand_in(announced, CARD)
        place = f"/{announced['binding']}/confirm"
        shop.away = True
        await shop.phone("POST", "", status=503)
        await shop.phone("POST", place, status=503)
        shop.away = False
        # A vault that shows the whole number is not believed, and nothing of it is kept.
        view = {"token": "ct_" + "a" * 32, "bin": CARD[:6], "last4": CARD[-4:], "network": "unionpay"}
        for wrong in (
            {**view, "bin": CARD},
            {**view, "last4": CARD},
            {**view, "token": CARD},
            {**view, "network": CARD},
            {"token": view["token"]},
            [],
        ):
            shop.said = json.dumps(wrong).encode()
            await shop.phone("POST", place, status=503)
        shop.said = None
        assert (await shop.phone("GET", "", status=200)) == {"cards": []}
        await shop.phone("POST", place, status=201)

    play_sqlite(scene)


def test_a_service_without_a_vault_says_so(play_sqlite):
    async def scene(w):
        await w.phone("GET", "/none")
        token = w.tokens["zhang-real"]
        assert (await w.call("POST", "/v1/cards", key=token, status=409))["code"] == "no_vault"
        assert await w.call("GET", "/v1/cards", key=token, status=200) == {"cards": []}
        await w.call("POST", "/v1/cards", status=401)

    play_sqlite(scene)


def test_a_member_binds_twenty_cards_at_most(play_sqlite, monkeypatch):
    monkeypatch.setattr("reference.backend.members.cards._MOST", 2)

    async def scene(w):
        shop = Shop(w)
        await shop.bind(CARD)
        await shop.bind(OTHER)
        assert (await shop.phone("POST", "", status=409))["code"] == "too_many_cards"

    play_sqlite(scene)
