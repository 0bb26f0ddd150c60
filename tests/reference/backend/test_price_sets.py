"""A sale keeps the price set it was sold under; what an older site sends is the same sale before and after its update."""

from __future__ import annotations

import json

import pytest


@pytest.mark.requirement("fd-price.sale-stores-price-set")
def test_price_set_and_its_activation_are_stored_shown_and_part_of_the_sale(play):
    async def scene(w):
        since_us = w.now_us - 3_600_000_000
        body = w.sale(price_set=7, price_since_us=since_us)
        taken = await w.site("POST", "/sales", body, status=201)
        (shown,) = (await w.site("GET", "/sales", status=200))["sales"]
        assert (shown["price_fen_per_l"], shown["price_set"], shown["price_since_us"]) == (781, 7, since_us)
        (row,) = (await w.admin("sales"))["rows"]
        assert (row["price_set"], row["price_since_us"]) == (7, since_us)
        (entry,) = [e for e in (await w.admin("ledger"))["rows"] if e["kind"] == "sale"]
        told = json.loads(entry["content"])
        assert (told["price_set"], told["price_since_us"]) == (7, since_us), "what the ledger keeps for ever"
        assert await w.site("POST", "/sales", body, status=200) == taken
        other = await w.site("POST", "/sales", {**body, "price_set": 8}, status=409)
        assert other["code"] == "sale_differs"

    play(scene)


def test_a_site_that_does_not_know_price_sets_is_understood_as_before(play_sqlite):
    async def scene(w):
        body = w.sale()
        taken = await w.site("POST", "/sales", body, status=201)
        assert await w.site("POST", "/sales", body, status=200) == taken
        (row,) = (await w.admin("sales"))["rows"]
        assert (row["price_set"], row["price_since_us"]) == (None, None)
        (entry,) = (await w.admin("ledger"))["rows"]
        assert "price_set" not in json.loads(entry["content"])
        for wrong in ({"price_set": -1}, {"price_set": "7"}, {"price_since_us": 1.5}):
            await w.site("POST", "/sales", {**w.sale(), **wrong}, status=422)

    play_sqlite(scene)
