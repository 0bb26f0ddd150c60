"""Seeds and fault schedules that once broke a station, each under the name of what went wrong."""

from __future__ import annotations

from typing import Any

from scenarios.loader import load
from scenarios.model import Scenario
from scenarios.runner.swarm import SwarmSeed, violations


def small_station(faults: list[dict[str, Any]], **demand: Any) -> Scenario:
    """`smoke`, a quarter of an hour and six cars of it, with these faults."""
    smoke = load("smoke").scenario.model_dump(mode="json")
    smoke["demand"] |= {"duration_s": 900, "max_cars": 6, **demand}
    return Scenario.model_validate({**smoke, "settle_s": 600, "faults": faults})


def held(result: SwarmSeed) -> bool:
    assert result.violations == ()
    return result.deliveries > 0 and result.landed == result.faults


def test_a_head_that_obeyed_its_own_echo_sells_again_when_the_echo_is_gone() -> None:
    """It took its nozzle report for a preset, and no authorisation until a RESET; the driver went on, her order stayed."""
    faults = [
        {"target": "wire", "line": "pumps", "kind": "cut_short", "at_s": 39, "for_s": 7, "share": 0.2},
        {"target": "wire", "line": "pumps", "kind": "echo", "at_s": 33, "for_s": 29},
    ]
    result = violations(small_station(faults), "w0")
    assert held(result)
    assert result.deliveries == 6
