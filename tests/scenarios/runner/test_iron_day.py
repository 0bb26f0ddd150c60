"""The shipped `iron-day`: five protocols under fire, in pieces by default, whole and as a swarm in the slow environment."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from scenarios.loader import load
from scenarios.model import Scenario, WireFault
from scenarios.model.services import WireKind
from scenarios.oracles import judge_all
from scenarios.runner.swarm import SwarmOptions, run_swarm, with_faults
from scenarios.runner.virtual import run_once
from scenarios.verdicts import Verdict
from scenarios.world.faults import plan_faults

FINE = {Verdict.PASS, Verdict.INFO, Verdict.NOT_APPLICABLE}


def piece(
    *, start: str, duration_s: int, faults: list[dict[str, Any]], tests: list[dict[str, Any]] | None = None
) -> Scenario:
    """A part of the day at the same station, without tankers and price changes; the staff change in the middle of it."""
    day = load("iron-day").scenario.model_dump(mode="json")
    day["station"]["start_local"] = start
    day["demand"] |= {"duration_s": duration_s, "rushes": []}
    for check in day["checks"]:
        if check["check"] == "liveness.settled":
            check["limits"] = {"settle_us": 900_000_000}
    return Scenario.model_validate(
        {
            **day,
            "faults": faults,
            "tank_events": [],
            "price_changes": [],
            "shift_changes": [
                {"at_s": at_s, "attendant": f"A{at_s}"} for at_s in (0, duration_s // 2, duration_s)
            ],
            "test_deliveries": tests or [],
            "settle_s": 1_200,
        }
    )


def judged(scenario: Scenario, seed: str, *, leave_out: tuple[str, ...] = ()) -> list[str]:
    run = run_once(scenario, seed, skip_idle_polls=True)
    asked = [(check.check, check.limits) for check in scenario.checks if check.check not in leave_out]
    return [
        f"{r.verdict} {r.check}: {r.message}" for r in judge_all(run.record, asked) if r.verdict not in FINE
    ]


@pytest.mark.timeout(120)
def test_a_quarter_of_an_hour_with_every_kind_of_iron_cut_off() -> None:
    faults: list[dict[str, Any]] = [
        {"target": "dispenser", "dispenser": name, "kind": "power_cut", "at_s": at_s, "for_s": 15}
        for name, at_s in (("D1", 300), ("D4", 400), ("D6", 500), ("D7", 600), ("D8", 700))
    ]
    faults += [
        {"target": "wire", "line": line, "kind": "cut", "at_s": at_s, "for_s": 20}
        for line, at_s in (
            ("dart-2", 350),
            ("modbus-1", 450),
            ("two-wire-1", 550),
            ("ifsf-1", 650),
            ("aa-ff-1", 750),
        )
    ]
    tests = [{"at_s": 100, "nozzle": nozzle, "volume_ml": 20_000} for nozzle in (1, 9, 17, 25, 29)]
    scenario = piece(start="2026-03-06T23:00:00", duration_s=900, faults=faults, tests=tests)
    # In so short a time some kinds of operation may not come up at all, and no tanker comes.
    assert judged(scenario, "3", leave_out=("operations.succeeded", "tank.deliveries-booked")) == []


@pytest.mark.requirement("fd-price.price-holds-for-a-delivery")
def test_the_price_changes_at_midnight_while_the_whole_station_is_at_it() -> None:
    whole = load("iron-day").scenario
    (rush,), (change,) = whole.demand.rushes, whole.price_changes
    before_s = change.at_s - rush.at_s
    day = piece(start="2026-03-06T23:55:00", duration_s=400, faults=[]).model_dump(mode="json")
    day["demand"] |= {
        "arrivals_per_hour": 30,
        "rushes": [{**rush.model_dump(mode="json"), "at_s": 300 - before_s}],
    }
    day["price_changes"] = [{**change.model_dump(mode="json"), "at_s": 300}]
    run = run_once(Scenario.model_validate(day), "1", skip_idle_polls=True)
    at_us = 300_000_000
    running = [d for d in run.record.deliveries if d.started_us < at_us < d.ended_us]
    later = [d for d in run.record.deliveries if d.started_us > at_us + 60_000_000]
    assert len({d.nozzle for d in running}) >= 12, (
        "of 18 positions; at the others a nozzle is just out or back"
    )
    old, new = whole.station.prices_fen_per_l, dict(change.prices_fen_per_l)
    assert all(d.price_fen_per_l == old[d.grade] for d in running)
    assert later
    assert all(d.price_fen_per_l == new.get(d.grade, old[d.grade]) for d in later)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.requirement("shift.crossing-delivery-in-one-shift", "shift.close-is-atomic")
def test_a_handover_a_minute_while_everything_goes_wrong() -> None:
    tests = [{"at_s": 100, "nozzle": nozzle, "volume_ml": 20_000} for nozzle in (1, 9, 17, 25, 29)]
    day = piece(start="2026-03-06T23:00:00", duration_s=900, faults=[], tests=tests).model_dump(mode="json")
    day["shift_changes"] = [{"at_s": at_s, "attendant": f"A{at_s}"} for at_s in range(0, 1_300, 60)]
    scenario = with_faults(Scenario.model_validate(day), 24)
    result = run_swarm(
        scenario, SwarmOptions(seeds=20, prefix="shifts", shrink_s=0), lambda _stage, _share: None
    )
    assert [(seed.seed, seed.violations) for seed in result.failing] == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", ["1", "2"])
def test_the_whole_day(seed: str) -> None:
    assert judged(load("iron-day").scenario, seed) == []


def one_dispenser_of_each_protocol() -> Scenario:
    """Ten busy minutes around midnight at ten positions: what a swarm can afford a thousand times.

    The staff and the prices change in the middle of it, while cars are at the pumps.
    """
    day = piece(start="2026-03-06T23:55:00", duration_s=600, faults=[]).model_dump(mode="json")
    (change,) = load("iron-day").scenario.price_changes
    day["price_changes"] = [{**change.model_dump(mode="json"), "at_s": 300}]
    station = day["station"]
    station["dispensers"] = [d for d in station["dispensers"] if d["name"] in ("D1", "D3", "D5", "D7", "D8")]
    points = {point["fuelling_point"] for d in station["dispensers"] for point in d["fuelling_points"]}
    station["lines"] = [line for line in station["lines"] if line["points"][0]["fuelling_point"] in points]
    day["demand"] |= {"arrivals_per_hour": 90, "hourly_shape": [1] * 24}
    day["demand"]["grade_mix"] = {"92": 0.5, "95": 0.2, "98": 0.15, "diesel": 0.15}
    return with_faults(Scenario.model_validate(day), 12)


def test_the_swarm_draws_every_kind_of_fault_on_every_protocol() -> None:
    scenario = one_dispenser_of_each_protocol()
    assert {line.protocol for line in scenario.station.lines} == {"dart", "modbus", "twowire", "ifsf", "aaff"}
    protocols = {line.name: line.protocol for line in scenario.station.lines}
    drawn = set()
    for number in range(1, 401):
        for planned in plan_faults(scenario, f"swarm-{number}").faults:
            spec = planned.spec
            where = protocols[spec.line] if isinstance(spec, WireFault) else ""
            drawn.add((spec.target, str(getattr(spec, "kind", "")), where))
    assert {(kind, where) for target, kind, where in drawn if target == "wire"} == {
        (kind, protocol) for kind in get_args(WireKind) for protocol in protocols.values()
    }
    assert {target for target, _, _ in drawn} == {
        "wire", "http", "gateway", "tax", "printer", "dispenser", "backend",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_thousand_seeds() -> None:
    scenario = one_dispenser_of_each_protocol()
    result = run_swarm(scenario, SwarmOptions(seeds=1_000, shrink_s=0), lambda _stage, _share: None)
    assert len(result.seeds) == 1_000
    assert [(seed.seed, seed.violations) for seed in result.failing] == []
    # Most faults land, and every run has fuel flow under them.
    assert sum(seed.landed for seed in result.seeds) > 6 * len(result.seeds)
    assert all(seed.deliveries for seed in result.seeds)
