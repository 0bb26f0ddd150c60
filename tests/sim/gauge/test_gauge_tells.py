"""What the console tells of tanks: levels, water, deliveries, leaks, alarms."""

from __future__ import annotations

from datetime import timedelta

import pytest

from protocols.tls import (
    ActiveAlarm,
    TankAlarm,
    read_active_alarms,
    read_alarm_events,
    read_alarm_history,
    read_deliveries,
    read_inventory,
    read_leak_tests,
    read_mass_inventory,
    read_shifts,
    read_status,
)
from sim.gauge import Probe
from sim.tanks import Flow, TankerDelivery

from .gauge_bench import START, S, station, tank

MINUTE = 60 * S


HOUR = 3_600 * S


def test_the_gauge_tells_what_is_in_the_tank() -> None:
    full = tank(water_ml=12_000, temperature_mdeg=-7_250)
    bench = station(full, tank(2, 1_000, "diesel"))
    first, second = read_inventory(bench.data("i201"))
    assert first.volume == pytest.approx(15_000, abs=0.1)
    assert first.temperature == -7.25
    assert first.tc_volume == pytest.approx(15_000 * (1 + 0.0012 * 27.25), rel=1e-4)
    assert (first.volume or 0) + (first.ullage or 0) + (first.water_volume or 0) == pytest.approx(
        30_000, abs=0.1
    )
    assert second.volume == pytest.approx(1_000, abs=0.1)
    full.tank.draw(1_234)
    bench.until(bench.now_us + 20 * S)
    assert read_inventory(bench.data("i201", 1))[0].volume == pytest.approx(14_987.66, abs=0.05)
    (ullage_95,) = read_inventory(bench.data("i21A", 1))
    assert ullage_95.ullage == pytest.approx((first.ullage or 0) + 12.34 - 1_500, abs=0.1)
    (mass,) = read_mass_inventory(bench.data("i214", 1))
    assert mass.density == 745.0


def test_a_missing_tank_is_told_in_question_marks() -> None:
    bench = station(tank())
    (missing,) = read_inventory(bench.data("i201", 9))
    assert (missing.tank, missing.product, missing.status, missing.volume) == (9, "?", None, None)


@pytest.mark.requirement("tank.high-level-alarms", "tank.water-alarms-and-blocks")
@pytest.mark.parametrize(
    ("stock_l", "water_ml", "expected"),
    [
        (15_000, 0, ()),
        (26_990, 0, ()),
        (27_010, 0, (TankAlarm.OVERFILL,)),
        (28_510, 0, (TankAlarm.OVERFILL, TankAlarm.HIGH_PRODUCT)),
        (29_500, 0, (TankAlarm.OVERFILL, TankAlarm.HIGH_PRODUCT, TankAlarm.MAXIMUM_PRODUCT)),
        (2_900, 0, (TankAlarm.LOW_PRODUCT,)),
        (15_000, 150_000, (TankAlarm.HIGH_WATER, TankAlarm.HIGH_WATER_WARNING)),
    ],
)
def test_alarms_follow_from_the_tank(stock_l: int, water_ml: int, expected: tuple[int, ...]) -> None:
    bench = station(tank(stock_l=stock_l, water_ml=water_ml))
    (status,) = read_status(bench.data("i205"))
    assert status.alarms == tuple(sorted(expected))
    assert {a.kind for a in read_active_alarms(bench.data("i101"))} == set(expected)


@pytest.mark.requirement("tank.water-alarms-and-blocks")
def test_rising_water_alarms_within_a_minute_of_reaching_its_limit() -> None:
    wet = tank(water_flows=[Flow(60_000)])
    bench = station(wet)
    limit_ml = wet.table.volume_ml(40_000)
    reached_us = next(t for t in range(0, 5 * HOUR, S) if wet.water_ml(t) >= limit_ml)
    told: list[int] = []
    bench.console.on_alarm = lambda n, kind, on: (
        told.append(bench.now_us) if kind == TankAlarm.HIGH_WATER else None
    )
    bench.until(reached_us + MINUTE)
    assert len(told) == 1
    assert reached_us - MINUTE < told[0] <= reached_us + MINUTE


def test_alarms_stay_until_acknowledged_and_stand_in_the_histories() -> None:
    wet = tank(water_ml=150_000)
    bench = station(wet)
    bench.until(MINUTE)
    wet._water_ml = 0
    bench.until(2 * MINUTE)
    assert read_status(bench.data("i205"))[0].alarms == ()
    assert ActiveAlarm(2, 3, 1) in read_active_alarms(bench.data("i101"))
    bench.data("s003")
    assert read_active_alarms(bench.data("i101")) == ()
    priority = read_alarm_events(bench.data("i111"))
    assert [(e.kind, e.state) for e in priority] == [(3, 1), (3, 2)]
    assert [e.kind for e in read_alarm_events(bench.data("i112"))] == [10, 10]
    (history,) = read_alarm_history(bench.data("i206"))
    assert sorted(kind for _, kind in history.alarms) == [3, 10]
    assert any("HIGH WATER ALARM" in line for line in bench.lines("I206", 1))


def test_a_silent_probe_gives_no_figures_and_an_alarm() -> None:
    bench = station(tank(), probes={1: Probe(is_out=True)})
    (row,) = read_inventory(bench.data("i201"))
    assert row.volume is None
    assert row.status == 4
    assert read_status(bench.data("i205"))[0].alarms == (TankAlarm.PROBE_OUT,)


@pytest.mark.requirement("tank.delivery-detected-while-selling")
def test_a_delivery_shows_while_it_runs_and_is_reported_after_it() -> None:
    full = tank(stock_l=8_000, deliveries=[TankerDelivery(10_000_000, 500_000, 10 * MINUTE)])
    bench = station(full)
    assert read_inventory(bench.data("i201"))[0].status == 0
    bench.until(15 * MINUTE)
    assert read_inventory(bench.data("i201"))[0].status == 1
    bench.until(45 * MINUTE)
    assert read_inventory(bench.data("i201"))[0].status == 0
    ((report,),) = (t.deliveries for t in read_deliveries(bench.data("i202")))
    assert (report.values[4] or 0) - (report.values[0] or 0) == pytest.approx(10_000, rel=0.002)
    assert START + timedelta(minutes=9) <= report.start <= START + timedelta(minutes=11)
    bench.data("s051")
    assert read_deliveries(bench.data("i202"))[0].deliveries == ()


def test_reconciled_deliveries_count_what_was_sold_meanwhile() -> None:
    full = tank(stock_l=8_000, deliveries=[TankerDelivery(10_000_000, 500_000, 10 * MINUTE)])
    bench = station(full, has_bir=True)
    bench.until(20 * MINUTE)
    full.tank.draw(30_000)
    bench.until(45 * MINUTE)
    ((report,),) = (t.deliveries for t in read_deliveries(bench.data("i21B", 0, "05"), has_product=False))
    assert len(report.values) == 21
    assert report.values[18] == 300.0
    assert report.values[2] == pytest.approx(10_000, rel=0.002)
    assert station(tank()).ask(b"\x01i21B0005") == b"\x019999FF1B\x03"


@pytest.mark.requirement("tank.sudden-drop-alarms")
def test_a_leak_test_finds_a_leak() -> None:
    tight, leaky = station(tank()), station(tank(leaks=[Flow(2_000, from_us=HOUR)]))
    for bench, passed in ((tight, "01"), (leaky, "02")):
        bench.until(HOUR)
        assert bench.data("s052", 1) == "011"
        assert TankAlarm.LEAK_TEST_ACTIVE in (read_status(bench.data("i205"))[0].alarms or (20,))
        bench.until(5 * HOUR)
        (running,) = read_leak_tests(bench.data("i203"))
        assert running.hours == 4
        assert len(running.hourly) >= 3
        assert bench.data("s053", 1) == "010"
        result = bench.data("i208")
        assert result[:8] == "01010000"
        assert result[18:20] == passed
        assert bench.data("i207").startswith("0102" if passed == "01" else "0100")
        assert any(word in " ".join(bench.lines("I208")) for word in ("PASSED", "FAILED"))


def test_a_leak_test_during_sales_is_invalid() -> None:
    full = tank()
    bench = station(full)
    bench.data("s052", 1)
    full.tank.draw(1_000)
    bench.until(5 * HOUR)
    bench.data("s053", 1)
    assert bench.data("i208")[18:20] == "00"


def test_shift_totals() -> None:
    full = tank()
    bench = station(full)
    bench.until(MINUTE)
    full.tank.draw(20_000)
    bench.until(HOUR)
    (shift,) = read_shifts(bench.data("i204"))
    assert len(shift.values) == 13
    assert shift.values[12] == pytest.approx(200, abs=0.2)
