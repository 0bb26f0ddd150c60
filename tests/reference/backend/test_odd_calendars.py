"""Leap seconds, summer time, the end of 32 bits: books that do not notice them, under time zones that have them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest

from protocols.aaff import decode_time, encode_time
from protocols.unionpay import txn_time
from protocols.wechatpay import rfc3339
from reference.site.journal import Journal, Sale
from reference.site.pumps.witness import Witness

from .shift_rig import Pumps, report

S = 1_000_000
INSTANTS = {
    "the leap second of 2016": datetime(2016, 12, 31, 23, 59, 58, tzinfo=UTC),
    "a leap day": datetime(2028, 2, 29, 15, 59, 58, tzinfo=UTC),
    "spring forward in New York": datetime(2026, 3, 8, 6, 59, 58, tzinfo=UTC),
    "fall back in New York": datetime(2026, 11, 1, 5, 59, 58, tzinfo=UTC),
    "midnight in China": datetime(2026, 12, 31, 15, 59, 58, tzinfo=UTC),
    "the last second of 32 bits": datetime(2038, 1, 19, 3, 14, 6, tzinfo=UTC),
}


@pytest.fixture(params=["America/New_York", "right/UTC"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process's own time zone: one with summer time, one whose clock counts leap seconds."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


@pytest.mark.requirement("clk.odd-calendars-are-harmless")
@pytest.mark.parametrize("moment", INSTANTS.values(), ids=INSTANTS)
def test_sales_and_shifts_across_an_odd_moment(play_sqlite, zone, moment):
    async def scene(w):
        w.now_us = start_us = int(moment.timestamp()) * S
        pumps = Pumps(w)
        await w.declare()
        await pumps.hand_over(1)
        ends = []
        for _ in range(4):  # one a minute, on both sides of it
            await pumps.sell(1)
            ends.append(w.now_us)
        reading = {"nozzle": 1, "state": "FUELLING", "volume_ml": 10, "amount_fen": 8}
        await w.site("POST", "/nozzles/live", {"at_us": w.now_us, "nozzles": [reading]}, status=204)
        order = await w.paid_order(
            2, invoice={"title_type": "INDIVIDUAL", "name": "张三", "taxpayer_id": None}
        )
        assert order["state"] == "PAID"
        await w.run_due(later_s=5)
        pumps.sequence[2] = 5
        await pumps.hand_over(2)
        rows = [row for row in (await w.admin("sales"))["rows"] if row["nozzle"] == 1]
        assert [(row["sequence"], row["ended_us"]) for row in rows] == [
            (n + 1, at) for n, at in enumerate(ends)
        ]
        assert all(row["shift"] == 1 for row in rows)
        shown = await report(w, 1)
        assert (shown["sales"], shown["opened_us"]) == (5, start_us + S)
        assert [
            row["live"]["age_us"] >= 0 for row in (await w.call("GET", "/v1/stations/KM01"))["nozzles"][:1]
        ] == [True]
        assert await w.violations() == []

    play_sqlite(scene)


@pytest.mark.requirement("clk.odd-calendars-are-harmless")
@pytest.mark.parametrize("moment", INSTANTS.values(), ids=INSTANTS)
def test_a_pumps_clock_and_a_sites_journal_across_an_odd_moment(zone, moment):
    unix_us = int(moment.timestamp()) * S
    journal = Journal(":memory:")
    for second in range(-3, 4):
        at_us = unix_us + second * S
        shown = encode_time(at_us)
        assert decode_time(shown) == at_us, f"set to {shown.hex()}"
        local = (moment + timedelta(seconds=second)).astimezone(timezone(timedelta(hours=8)))
        assert shown.hex() == local.strftime("%y%m%d%H%M%S")
        assert rfc3339(at_us // S) == local.isoformat(), "as WeChat Pay is told"
        assert txn_time(at_us // S) == local.strftime("%Y%m%d%H%M%S"), "as UnionPay is told"
        sale = Sale(1, 0, 1, "92", 1000, 781, 781, at_us - S, at_us, 1, 1, None, ())
        journal.record_sales([(sale, Witness(1, 1))])
    stored = journal.all_sales()
    assert [(sale.sequence, sale.ended_us) for sale in stored] == [
        (n, unix_us + (n - 4) * S) for n in range(1, 8)
    ]
    journal.close()
