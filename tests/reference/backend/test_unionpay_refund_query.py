"""What a refund became is asked in two places: a cancel that was refused says nothing of the refund that went in its place."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from protocols.unionpay import Outcome
from reference.backend.gateways.unionpay import UnionPayClient, follow_up_id

NUMBER = "BTSXKLT6MHNUI24S73JNHQ36GRZSUPIH-desk-1"


TOO_LATE = "39"
"""How the clearing day's end refuses a cancel; then a refund goes in its place at once."""


def on_record(told):
    trade, code = (Outcome.REFUSED, told) if told == TOO_LATE else (told, "00")
    return SimpleNamespace(fields={"queryId": "7", "txnAmt": "9600", "origRespCode": code}, trade=trade)


@pytest.mark.requirement("rfd.refunds-never-exceed-paid")
@pytest.mark.parametrize(
    ("cancel", "refund", "state"),
    [
        (None, None, None),
        (None, Outcome.SUCCESS, "SUCCESS"),
        (TOO_LATE, Outcome.SUCCESS, "SUCCESS"),
        (TOO_LATE, Outcome.ACCEPTED, "PROCESSING"),
        (TOO_LATE, Outcome.REFUSED, "CLOSED"),
        (TOO_LATE, None, None),  # on its way, or lost: it goes again under its own number
        (Outcome.REFUSED, Outcome.SUCCESS, "SUCCESS"),
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
