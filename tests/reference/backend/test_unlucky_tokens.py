"""Tokens that would pass for a card or phone number: none is made here, and whoever sends one is told how not to."""

from __future__ import annotations

import asyncio
import random

import pytest

from protocols.cards import holds_card_number, holds_phone_number
from reference.backend.identifiers import Identifiers
from sim.people.members import MembersDesk, Wallet

from .refund_rig import ADMIN_KEY, ask, body

PHONE = "13812345678"
LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"


class Unlucky(random.Random):
    """Draws identifiers that read as a phone number, then as a card, then as anything."""

    def __init__(self, *texts):
        super().__init__(1)
        self.texts = [text.ljust(20, "x") for text in texts]

    def getrandbits(self, count):
        if not self.texts:
            return super().getrandbits(count)
        return sum(LETTERS.index(letter) * 36**place for place, letter in enumerate(self.texts.pop(0)))


def test_an_identifier_that_reads_as_a_number_is_drawn_again():
    ids = Identifiers(Unlucky(PHONE, f"abc{PHONE}", "6222021234567890128", "23812345678"))
    assert ids.make("ord") == "ord_23812345678xxxxxxxxx", "eleven digits that are no such number stay"
    usual, drawn = Identifiers(random.Random(7)), random.Random(7)
    value = drawn.getrandbits(120)
    assert usual.text(20) == "".join(LETTERS[value // 36**place % 36] for place in range(20))


@pytest.mark.parametrize("token", [PHONE, f"till-{PHONE}", "till_138.1234.5678"])
def test_a_token_that_reads_as_a_number_is_refused_with_the_way_out(play_sqlite, token):
    async def scene(w):
        order = await w.paid_order()
        path = f"/v1/admin/orders/{order['order_id']}/refunds"
        refused = await w.call("POST", path, body(100, token), key=ADMIN_KEY, status=422)
        assert "client_token holds a phone number" in refused["message"]
        assert "take a UUID, or letters between the digits" in refused["message"]
        assert PHONE not in str(refused)
        reason = await w.call("POST", path, body(100) | {"reason": PHONE}, key=ADMIN_KEY, status=422)
        assert "UUID" not in reason["message"]
        await ask(w, order, 100, "01890a5d-ac96-774b-bcce-b302099a8057")
        await ask(w, order, 100, "a138b12345678")

    play_sqlite(scene)


class Desk:
    """Writes down what it is asked."""

    def __init__(self):
        self.bodies = []

    async def call(self, method, path, *, json):
        self.bodies.append(json)


def test_simulated_members_tokens_hold_no_number():
    api = Desk()
    desk = MembersDesk(api)

    async def scene():
        for number in range(3000):
            await desk.give(f"o{number}", Wallet(points=1, coupon_fen=1))

    asyncio.run(scene())
    tokens = [body.get("client_token") or body["coupon_id"] for body in api.bodies]
    assert len(set(tokens)) == 3000
    assert not [token for token in tokens if holds_phone_number(token) or holds_card_number(token)]
