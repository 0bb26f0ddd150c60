"""Cars fill at a station whose pumps hang on an AA FF line."""

from __future__ import annotations

import pytest

from scenarios.loader import load
from scenarios.model import Line, Scenario
from scenarios.model.station import Dispenser
from scenarios.oracles import judge_all
from scenarios.runner.virtual import run_once
from scenarios.verdicts import Verdict


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


def test_cars_fill_and_everything_adds_up() -> None:
    scenario = aaff_station()
    fine = {Verdict.PASS, Verdict.INFO, Verdict.NOT_APPLICABLE}
    runs = [run_once(scenario, "1", skip_idle_polls=skip) for skip in (True, False)]
    for run in runs:
        results = judge_all(run.record, [(check.check, check.limits) for check in scenario.checks])
        assert [f"{r.verdict} {r.check}: {r.message}" for r in results if r.verdict not in fine] == []
        assert sum(r.verdict is Verdict.PASS for r in results) >= 5
    skipped, full = (run.record for run in runs)
    assert skipped == full or str(skipped.deliveries) == str(full.deliveries)
