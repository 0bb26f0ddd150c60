"""What a refund became is asked in two places: a cancel that was refused says nothing of the refund that went in its place."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from protocols.unionpay import Outcome
from reference.backend.gateways.unionpay import UnionPayClient, follow_up_id

NUMBER = "BTSXKLT6MHNUI24S73JNHQ36GRZSUPIH-desk-1"


def on_record(trade: Outcome):
    return SimpleNamespace(fields={"queryId": "7", "txnAmt": "9600"}, trade=trade)


@pytest.mark.requirement("rfd.refunds-never-exceed-paid")
@pytest.mark.parametrize(
    ("cancel", "refund", "state"),
    [
        (None, None, None),
        (None, Outcome.SUCCESS, "SUCCESS"),
        (Outcome.REFUSED, Outcome.SUCCESS, "SUCCESS"),
        (Outcome.REFUSED, Outcome.ACCEPTED, "PROCESSING"),
        (Outcome.REFUSED, Outcome.REFUSED, "CLOSED"),
        (Outcome.REFUSED, None, "CLOSED"),
        (Outcome.SUCCESS, None, "SUCCESS"),
        (Outcome.ACCEPTED, None, "PROCESSING"),
    ],
)
def test_the_one_that_is_alive_decides(monkeypatch, cancel, refund, state):
    known = {follow_up_id("31", NUMBER): cancel, follow_up_id("04", NUMBER): refund}

    async def query(self, order_id, at_us):
        trade = known[order_id]
        return None if trade is None else on_record(trade)

    monkeypatch.setattr(UnionPayClient, "_query", query)
    client = UnionPayClient(
        None, None, None, url="https://gateway", acquirer_url=None, back_url="https://us", clock_us=lambda: 0
    )
    report = asyncio.run(client.query_refund(NUMBER, 0))
    assert (report and report.state) == state
