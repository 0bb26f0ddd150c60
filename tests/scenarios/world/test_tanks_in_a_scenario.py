"""A station with a gauge in virtual time: cars fill up while tankers discharge, water seeps in, the gauge loses its power."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from reference.site.__main__ import gauge_hosts
from reference.site.gauge.reader import GaugeRead, GaugeReader
from scenarios.loader import load
from scenarios.model import Scenario
from scenarios.oracles import judge
from scenarios.runner.virtual import run_once
from scenarios.verdicts import Verdict
from scenarios.world.harvest import harvest
from scenarios.world.keys import run_keys
from scenarios.world.real import RealWorld
from scenarios.world.translate import site_config
from scenarios.world.virtual import VirtualWorld, WorldOptions

L = 1_000
S = 1_000_000


def scenario(
    *, gauge: dict[str, Any] | None = None, events: Any = (), cars: int = 16, **more: Any
) -> Scenario:
    """The smoke station with a gauge, half full, and what happens to its tanks."""
    document = load("smoke").scenario.model_dump(mode="json")
    document["station"]["gauge"] = gauge or {}
    for tank in document["station"]["tanks"]:
        tank["stock_ml"] = 12_000 * L
    document["tank_events"] = list(events)
    document["demand"] |= {"max_cars": cars, "duration_s": 1_500, "arrivals_per_hour": 90}
    document["settle_s"] = 1_200
    document["checks"] += [{"check": "tank.litres-by-gauge"}, {"check": "tank.deliveries-booked"}]
    return Scenario.model_validate(document | more)


def delivery(tank: int, at_s: int, litres: int, **more: Any) -> dict[str, Any]:
    return {"kind": "delivery", "tank": tank, "at_s": at_s, "volume_ml": litres * L, **more}


TANKERS = (
    delivery(1, 240, 9_000, ml_per_min=600_000, pauses=[{"after_ml": 4_000 * L, "for_s": 240}]),
    delivery(2, 1_000, 6_000, ml_per_min=400_000, temperature_mdeg=26_000),
)


def built(of: Scenario, **more: Any) -> VirtualWorld:
    world = VirtualWorld(of, "tanks/1", keys=run_keys(), options=WorldOptions(skip_idle_polls=True))
    world.run()
    return world


@pytest.mark.requirement(
    "tank.delivery-detected-while-selling",
    "tank.delivery-booked-once",
    "tank.sales-equal-book-out",
    "tank.stock-is-fresh",
)
def test_tankers_come_while_pumps_sell_and_the_books_are_right() -> None:
    world = built(scenario(events=TANKERS))
    try:
        record = harvest(world)
        assert len(record.deliveries) >= 14
        sold_meanwhile = [
            d for d in record.deliveries if d.tank == 1 and d.ended_us > 240 * S and d.started_us < 1_380 * S
        ]
        assert sold_meanwhile, "nobody filled up while the tanker discharged: the test shows nothing"
        assert judge(record, "conservation.litres").verdict is Verdict.PASS
        by_gauge = judge(record, "tank.litres-by-gauge")
        assert by_gauge.verdict is Verdict.PASS, by_gauge.message
        booked = judge(record, "tank.deliveries-booked")
        assert booked.verdict is Verdict.PASS, booked.message
        assert [b.group for b in record.booked] == [1, 2]
        # The second tanker came within ten minutes of the first: one site delivery with two lines.
        assert len({b.site_delivery for b in record.booked}) == 1
        # What the site counts at the moment of a reading is what the meters say, to the pulse.
        assert world.site.gauge is not None
        desk = world.site.gauge
        assert sum(desk._drawn_ml.values()) == sum(tank.drawn_ml for tank in world.equipment.tanks.values())
        kinds = [row["kind"] for row in world.read_admin("alarms")]
        assert not [kind for kind in kinds if kind.startswith(("tank", "gauge"))], kinds
        stock = world.instances[0].backend.core.tanks
        assert stock is not None
        for row in world.read_admin("tanks"):
            assert world.kernel.unix_us - row["volume_at_us"] <= 60 * S
    finally:
        world.close()


@pytest.mark.slow
def test_the_gauge_changes_nothing_about_the_sales() -> None:
    """With and without a gauge the same cars get the same litres; without idle polls everything is the same to the us."""
    with_gauge = scenario(cars=12, events=[delivery(1, 300, 5_000)])
    document = with_gauge.model_dump(mode="json")
    document["station"]["gauge"], document["tank_events"] = None, []
    document["checks"] = document["checks"][:-2]
    plain = run_once(Scenario.model_validate(document), "tanks/2", skip_idle_polls=True)
    gauged = run_once(with_gauge, "tanks/2", skip_idle_polls=True)
    full = run_once(with_gauge, "tanks/2", skip_idle_polls=False)
    # The gauge's readings share the site's line to the backend, so a request may take some milliseconds more or less.
    litres = [sorted((d.nozzle, d.volume_ml) for d in run.record.deliveries) for run in (plain, gauged)]
    assert litres[0] == litres[1]
    assert gauged.record.deliveries == full.record.deliveries
    assert gauged.record.ledger == full.record.ledger
    assert gauged.record.tanks == full.record.tanks
    assert gauged.record.booked == full.record.booked
    assert len(gauged.record.booked) == 1
    again = run_once(with_gauge, "tanks/2", skip_idle_polls=True)
    assert again.trace_hash == gauged.trace_hash


@pytest.mark.requirement("tank.water-alarms-and-blocks", "tank.blocked-tank-stops-its-grade")
def test_water_stops_one_grade_and_the_other_goes_on() -> None:
    world = built(
        scenario(events=[{"kind": "water", "tank": 1, "at_s": 120, "ml_per_h": 2_000_000, "for_s": 600}])
    )
    try:
        assert world.gauge is not None
        wet = world.gauge.farm.tanks[1]
        reached_us = next(t for t in range(0, 1_000 * S, S) if wet.table.height_um(wet.water_ml(t)) >= 40_000)
        (blocked,) = [row for row in world.read_admin("alarms") if row["kind"] == "tank_water"]
        assert 0 <= blocked["raised_us"] - world.kernel.epoch_us - reached_us <= 60 * S
        late = [d for d in harvest(world).deliveries if d.started_us > reached_us + 60 * S]
        assert {d.tank for d in late} == {2}
    finally:
        world.close()


@pytest.mark.slow
@pytest.mark.requirement("tank.sudden-drop-alarms")
def test_a_leak_while_pumps_sell_is_alarmed_once() -> None:
    world = built(scenario(events=[{"kind": "leak", "tank": 2, "at_s": 300, "ml_per_h": 200_000}]))
    try:
        alarms = [
            (row["kind"], row["subject"]) for row in world.read_admin("alarms") if row["kind"] == "tank_loss"
        ]
        assert alarms == [("tank_loss", "KM00/2")]
        by_gauge = judge(harvest(world), "tank.litres-by-gauge")
        assert by_gauge.verdict is Verdict.PASS, by_gauge.message
    finally:
        world.close()


@pytest.mark.requirement("tank.offline-gauge-shows-age")
def test_a_gauge_without_power_is_told_once_and_its_stock_grows_old() -> None:
    off = {"kind": "gauge_off", "at_s": 400, "for_s": 700}
    world = built(scenario(events=[off, delivery(1, 450, 4_000)], cars=8))
    try:
        alarms = [row for row in world.read_admin("alarms") if row["kind"] == "gauge_silent"]
        assert len(alarms) == 1
        assert 400 * S < alarms[0]["raised_us"] - world.kernel.epoch_us <= 400 * S + 130 * S
        assert any("does not answer" in text for text in world.site.alarms)
        # A delivery that nobody watched is found in one piece when the gauge is back.
        booked = judge(harvest(world), "tank.deliveries-booked")
        assert booked.verdict is Verdict.PASS, booked.message
    finally:
        world.close()


@pytest.mark.slow
def test_faults_on_the_gauges_line_are_survived() -> None:
    faults = [
        {"target": "wire", "line": "gauge", "kind": "flip_bits", "at_s": 60, "for_s": 700, "share": 0.5},
        {"target": "wire", "line": "gauge", "kind": "drop", "at_s": 800, "for_s": 300, "share": 0.5},
        {"target": "wire", "line": "gauge", "kind": "noise", "at_s": 60, "for_s": 700},
    ]
    world = built(scenario(events=[delivery(1, 300, 6_000)], cars=8, faults=faults))
    try:
        assert world.site.gauge is not None
        assert world.site.gauge.reader.bad_replies + world.site.gauge.reader.timeouts > 5
        record = harvest(world)
        for check in ("tank.litres-by-gauge", "tank.deliveries-booked", "conservation.litres"):
            result = judge(record, check)
            assert result.verdict is Verdict.PASS, result.message
        assert all(fault.landed for fault in record.faults)
    finally:
        world.close()


@pytest.mark.slow
@pytest.mark.requirement("tank.manifolded-tanks-are-a-group")
def test_manifolded_tanks_are_accounted_together() -> None:
    base = load("smoke").scenario.model_dump(mode="json")
    base["station"]["tanks"] = [
        {"tank": 1, "grade": "92", "capacity_ml": 30_000 * L, "stock_ml": 8_000 * L},
        {"tank": 2, "grade": "95", "capacity_ml": 30_000 * L, "stock_ml": 12_000 * L},
        {"tank": 3, "grade": "92", "capacity_ml": 20_000 * L, "stock_ml": 4_000 * L},
    ]
    base["station"]["gauge"] = {"manifolds": [[1, 3]], "units": "us"}
    base["tank_events"] = [delivery(3, 600, 8_000)]
    base["demand"] |= {"max_cars": 15, "duration_s": 1_800}
    base["settle_s"] = 1_500
    world = built(Scenario.model_validate(base))
    try:
        record = harvest(world)
        assert [tank.group for tank in record.tanks] == [1, 2]
        for check in ("tank.litres-by-gauge", "tank.deliveries-booked"):
            result = judge(record, check)
            assert result.verdict is Verdict.PASS, result.message
    finally:
        world.close()


def test_the_gauge_on_a_real_port_is_read_by_the_sites_own_host() -> None:
    async def play() -> GaugeRead:
        world = RealWorld(scenario(gauge={"characters_per_s": 100_000}), "real", run_keys())
        endpoints = await world.start()
        try:
            config = site_config(world.scenario.station, dict(endpoints.lines))
            assert config.gauge is not None
            assert config.gauge.tcp == endpoints.lines["gauge"]
            reader = GaugeReader(config.gauge)
            heard: asyncio.Queue[Any] = asyncio.Queue()
            reader.listener = heard.put_nowait
            (host,) = gauge_hosts(reader)
            host.start()
            await asyncio.wait_for(host.connected.wait(), 10)
            event = await asyncio.wait_for(heard.get(), 20)
            assert reader.timeouts == 0, "what was asked before there was a connection is asked again with it"
            await host.stop()
            return event  # type: ignore[no-any-return]
        finally:
            await world.stop()

    event = asyncio.run(play())
    assert [tank.volume_ml for tank in event.tanks] == pytest.approx([12_000 * L] * 2, abs=5 * L)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tank_events": [delivery(9, 60, 100)]}, "tank 9"),
        (
            {"tank_events": [delivery(1, 60, 100, pauses=[{"after_ml": 200 * L, "for_s": 5}])]},
            "beyond the delivery",
        ),
        ({"tank_events": [delivery(1, 90_000, 100)]}, "after the run has ended"),
    ],
)
def test_impossible_tank_events_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        scenario(events=change["tank_events"])


def test_tank_events_need_a_gauge() -> None:
    document = scenario(events=TANKERS).model_dump(mode="json")
    document["station"]["gauge"] = None
    with pytest.raises(ValueError, match=r"need a station\.gauge"):
        Scenario.model_validate(document)
