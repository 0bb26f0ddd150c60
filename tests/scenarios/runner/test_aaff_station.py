"""Cars fill at a station whose pumps hang on an AA FF line."""

from __future__ import annotations

from typing import Any

import pytest

from scenarios.loader import load
from scenarios.model import Line, Scenario, WireFault
from scenarios.model.station import Dispenser
from scenarios.oracles import judge_all
from scenarios.runner.virtual import run_once
from scenarios.verdicts import Verdict
from scenarios.world.lone_dispenser import dispenser_station


def aaff_station() -> Scenario:
    """`smoke` with a second cabinet, all four guns on one line at the usual pace, and sixteen cars."""
    smoke = load("smoke").scenario
    second = Dispenser.model_validate(
        {
            "name": "D2",
            "fuelling_points": (
                {"fuelling_point": 3, "nozzles": ({"nozzle": 3, "grade": "92", "tank": 1},)},
                {"fuelling_point": 4, "nozzles": ({"nozzle": 4, "grade": "95", "tank": 2},)},
            ),
        }
    )
    points = tuple({"fuelling_point": number, "address": number} for number in (1, 2, 3, 4))
    line = Line.model_validate({"name": "guns", "protocol": "aaff", "points": points})
    station = smoke.station.model_copy(
        update={"dispensers": (*smoke.station.dispensers, second), "lines": (line,)}
    )
    demand = smoke.demand.model_copy(update={"arrivals_per_hour": 120, "max_cars": 16, "duration_s": 600})
    return smoke.model_copy(update={"name": "aaff", "station": station, "demand": demand})


def test_the_usual_pace_unless_the_file_says_otherwise() -> None:
    line = aaff_station().station.lines[0]
    assert (line.baud, line.poll_period_ms) == (38_400, 800)
    slow = Line.model_validate({**line.model_dump(), "baud": 9600, "poll_period_ms": 1_000})
    assert (slow.baud, slow.poll_period_ms) == (9600, 1_000)


@pytest.mark.parametrize(
    ("change", "why"),
    [({"baud": 115_200}, "4800 to 38400 baud"), ({"framing": "tcp"}, "an AA FF line is serial")],
)
def test_impossible_lines(change: dict[str, object], why: str) -> None:
    line = aaff_station().station.lines[0]
    with pytest.raises(ValueError, match=why):
        Line.model_validate({**line.model_dump(), **change})


def test_one_dispenser_on_one_wire_has_a_nozzle_for_each_gun() -> None:
    station = dispenser_station(
        "aaff",
        points=3,
        prices_fen_per_l={"92": 700, "95": 750},
        first_address=None,
        baud=38_400,
        framing="serial",
    )
    assert [point.nozzles[0].grade for point in station.fuelling_points()] == ["92", "95", "92"]
    assert [point.address for point in station.lines[0].points] == [1, 2, 3]
    with pytest.raises(ValueError, match="an AA FF gun is one nozzle; fuelling point 1 has several"):
        type(station).model_validate(_two_nozzles(station.model_dump(mode="json")))


def _two_nozzles(station: dict[str, Any]) -> dict[str, Any]:
    station["dispensers"][0]["fuelling_points"][0]["nozzles"].append({"nozzle": 99, "grade": "95", "tank": 2})
    return station


@pytest.mark.parametrize("skip_idle_polls", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_cars_fill_and_everything_adds_up(skip_idle_polls: bool) -> None:
    scenario = aaff_station()
    run = run_once(scenario, "1", skip_idle_polls=skip_idle_polls)
    results = judge_all(run.record, [(check.check, check.limits) for check in scenario.checks])
    fine = {Verdict.PASS, Verdict.INFO, Verdict.NOT_APPLICABLE}
    assert [f"{r.verdict} {r.check}: {r.message}" for r in results if r.verdict not in fine] == []
    assert sum(r.verdict is Verdict.PASS for r in results) >= 5
    assert {delivery.nozzle for delivery in run.record.deliveries} == {1, 2, 3, 4}


@pytest.mark.slow
def test_a_run_that_leaves_idle_polls_out_is_the_same_run() -> None:
    with_all, without = (
        run_once(aaff_station(), "2", skip_idle_polls=skip_idle_polls) for skip_idle_polls in (False, True)
    )
    assert with_all.record.deliveries == without.record.deliveries
    assert with_all.receipts_us == without.receipts_us


@pytest.mark.requirement("fc-sale.lossy-transport-converges")
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=() if kind == "drop" else pytest.mark.slow)
        for kind in (
            "drop", "delay", "duplicate", "cut", "flip_bits", "noise", "swap", "replay", "cut_short", "glue", "split",
            "babble", "wrong_address", "echo",
        )
    ],
)  # fmt: skip
def test_a_bad_line_loses_no_sale(kind: str) -> None:
    for_s = 60 if kind == "cut" else 900
    more = {} if kind in {"cut", "noise", "babble"} else {"share": 0.05}
    fault = WireFault(target="wire", line="guns", kind=kind, at_s=60, for_s=for_s, **more)
    scenario = aaff_station().model_copy(update={"faults": (fault,)})
    run = run_once(scenario, "1", skip_idle_polls=False)
    results = judge_all(run.record, [(check.check, check.limits) for check in scenario.checks])
    bad = {Verdict.FAIL, Verdict.HARNESS_ERROR}
    assert [f"{r.verdict} {r.check}: {r.message}" for r in results if r.verdict in bad] == []
    assert len(run.record.journal) == len(run.record.deliveries) >= 10
