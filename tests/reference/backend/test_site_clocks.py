"""Clocks that disagree: site against backend by every live post, pump against site by the sale; and clocks that are set."""

from __future__ import annotations

import json

import pytest

from reference.backend.site_clocks import SiteClocks

S = 1_000_000


async def live(w, off_us, *, state="IDLE", volume_ml=0, posts=1):
    for _ in range(posts):
        w.now_us += S // 2
        reading = {"nozzle": 1, "state": state, "volume_ml": volume_ml, "amount_fen": volume_ml}
        await w.site("POST", "/nozzles/live", {"at_us": w.now_us + off_us, "nozzles": [reading]}, status=204)


async def skews(w):
    return [
        (a["subject"], a["detail"]) for a in (await w.admin("alarms"))["rows"] if a["kind"] == "clock_skew"
    ]


@pytest.mark.requirement("clk.skew-alarms")
@pytest.mark.parametrize("off_s", [-600, -3, 3, 600])
def test_a_site_clock_that_is_off_by_more_than_two_seconds_alarms_once(play_sqlite, off_s):
    async def scene(w):
        await w.declare()
        await live(w, 0, posts=20)
        assert await skews(w) == []
        await live(w, off_s * S, posts=30)
        word = "ahead of" if off_s > 0 else "behind"
        ((subject, detail),) = await skews(w)
        assert (subject, detail) == ("KM01", f"the site's clock is {abs(off_s):.1f} s {word} ours")
        await live(w, 0, posts=20)
        await live(w, off_s * S, posts=20)
        assert len(await skews(w)) == 2, "it was right in between"

    play_sqlite(scene)


@pytest.mark.requirement("clk.skew-alarms")
@pytest.mark.parametrize("late_us", [0, 1_900_000])
def test_posts_that_are_slow_on_their_way_are_no_skew(late_us):
    now_us = [10_000 * S]
    clocks = SiteClocks(lambda: now_us[0])
    for number in range(200):
        now_us[0] += S // 2
        jam_us = 30 * S if number % 8 else late_us  # seven of eight stood in a jam
        assert clocks.heard("KM01", now_us[0] - jam_us) == 0


@pytest.mark.requirement("clk.skew-alarms")
def test_a_sale_keeps_the_pumps_the_sites_and_our_own_time(play):
    async def scene(w):
        pump_us = w.now_us - 40 * S
        await w.site("POST", "/sales", w.sale(pump_ended_us=pump_us, flags=["clock_skew"]), status=201)
        (entry,) = [e for e in (await w.admin("ledger"))["rows"] if e["kind"] == "sale"]
        told = json.loads(entry["content"])
        assert (told["pump_ended_us"], told["ended_us"], entry["recorded_us"]) == (
            pump_us,
            w.now_us,
            w.now_us,
        )
        ((subject, detail),) = await skews(w)
        assert subject == entry["sale_id"]
        assert detail == "KM01: the clock of fuelling point 1 is wrong"
        assert await w.violations() == []

    play(scene)


@pytest.mark.requirement("fd-state.phone-state-is-fresh")
@pytest.mark.parametrize("back_s", [8, 600, 86_400])
def test_a_site_clock_that_is_set_back_freezes_no_screen(play_sqlite, back_s):
    """A nozzle that is idle again is shown so within three seconds, though its post says that it was yesterday."""

    async def scene(w):
        await w.declare()
        await live(w, 0, state="FUELLING", volume_ml=5_000)
        await live(w, -back_s * S, state="IDLE")
        station = await w.call("GET", "/v1/stations/KM01", status=200)
        assert station["nozzles"][0]["live"]["state"] == "IDLE"

    play_sqlite(scene)


def test_a_report_that_was_overtaken_changes_nothing(play_sqlite):
    async def scene(w):
        await w.declare()
        await live(w, 0, state="FUELLING", volume_ml=5_000)
        await live(w, -2 * S, state="IDLE")
        station = await w.call("GET", "/v1/stations/KM01", status=200)
        assert station["nozzles"][0]["live"]["volume_ml"] == 5_000

    play_sqlite(scene)
