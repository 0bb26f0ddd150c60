"""Making a failing scenario small: what is needed for the failure stays, all the rest goes."""

from __future__ import annotations

import pytest

from scenarios.loader import load
from scenarios.model import Scenario
from scenarios.runner.shrink import pinned, shrink
from scenarios.runner.swarm import with_faults
from scenarios.world.faults import plan_faults


@pytest.fixture(scope="module")
def peak() -> Scenario:
    return with_faults(load("kunming-peak").scenario, 30)


def points(scenario: Scenario) -> set[int]:
    return {point.fuelling_point for line in scenario.station.lines for point in line.points}


def test_a_pinned_scenario_has_the_faults_that_its_seed_would_draw(peak):
    fixed = pinned(peak, "7")
    assert fixed.swarm is None
    drawn, written = plan_faults(peak, "7"), plan_faults(fixed, "another seed")
    assert [(f.name, f.spec, f.at_us, f.healed_us) for f in drawn.faults] == [
        (f.name, f.spec, f.at_us, f.healed_us) for f in written.faults
    ]
    assert len(drawn.faults) == 30


def test_what_does_not_matter_is_taken_away(peak):
    culprits = [fault for fault in pinned(peak, "7").faults if fault.target in {"gateway", "printer"}]
    needed = {culprits[0].model_dump_json(), culprits[-1].model_dump_json()}
    tried = []

    def fails(scenario: Scenario) -> bool:
        tried.append(scenario)
        there = {fault.model_dump_json() for fault in scenario.faults}
        return needed <= there and {3, 11} <= points(scenario)

    small = shrink(peak, "7", fails)
    assert {fault.model_dump_json() for fault in small.faults} == needed
    # Beside those two only the last pumps of the other grades that drivers ask for are left.
    assert {3, 11} <= points(small)
    assert len(points(small)) <= 4 < len(points(peak))
    assert {p.fuelling_point for d in small.station.dispensers for p in d.fuelling_points} == points(small)
    assert small.demand.duration_s < peak.demand.duration_s
    assert fails(small)
    assert Scenario.model_validate(small.model_dump(mode="json")) == small
    assert len(tried) < 150


def test_a_failure_without_any_fault_needs_none(peak):
    small = shrink(peak, "7", lambda _scenario: True)
    assert small.faults == ()
    assert small.demand.duration_s < 120
    # The last pump of each grade that drivers ask for stays.
    assert {nozzle.grade for _, nozzle in small.station.nozzles()} >= {
        grade for grade, weight in peak.demand.grade_mix.items() if weight
    }


def test_what_does_not_fail_again_is_left_as_it_is(peak):
    assert shrink(peak, "7", lambda _scenario: False) == pinned(peak, "7")
