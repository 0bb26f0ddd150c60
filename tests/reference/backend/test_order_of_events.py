"""Events of a delivery that come in another order: an order goes forward only, and a sale is never shown before its start."""

from __future__ import annotations

import itertools
import json

import pytest

from reference.backend.events import order_events

RANK = {"CREATED": 0, "AUTHORISED": 1, "FUELLING": 2, "PAYABLE": 3}


@pytest.mark.requirement("fc-sale.sale-follows-its-events")
@pytest.mark.parametrize("order", list(itertools.permutations(("result", "flow", "sale"))), ids="-".join)
def test_whatever_comes_first_nothing_that_comes_after_it_takes_it_back(play_sqlite, order):
    async def scene(w):
        await w.declare()
        made = await w.order(1)
        states = [made["state"]]
        fuel = {"nozzle": 1, "state": "FUELLING", "volume_ml": 5_000, "amount_fen": 3_905}
        sale = w.sale(1, order_id=made["order_id"])
        at_us = w.now_us
        for event in order:
            w.now_us += 200_000
            if event == "result":
                await w.answer_command("authorise")
            elif event == "flow":
                await w.site("POST", "/nozzles/live", {"at_us": at_us, "nozzles": [fuel]}, status=204)
            else:
                await w.site("POST", "/sales", sale, status=201)
            states.append((await w.show(made))["state"])
        assert [RANK[state] for state in states] == sorted(RANK[state] for state in states)
        shown = await w.show(made)
        assert (shown["state"], shown["amount_fen"]) == ("PAYABLE", sale["amount_fen"])
        # The phone's stream: with the sale on it there are no live figures any more, however late they come.
        stream = order_events(w.core, shown)
        first = await anext(stream)
        assert json.loads(first.split(b"data: ")[1])["sale_id"] == shown["sale_id"]
        await w.site("POST", "/nozzles/live", {"at_us": w.now_us, "nozzles": [fuel]}, status=204)
        await w.pay(made)
        second = await anext(stream)
        assert second.startswith(b"event: order"), "not the late figures"
        await stream.aclose()
        assert await w.violations() == []

    play_sqlite(scene)
