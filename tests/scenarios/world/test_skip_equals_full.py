"""A run that leaves idle polls out is the run that sends them all: same sales, same times, same frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from scenarios.loader import load
from scenarios.model import Scenario
from scenarios.world.keys import run_keys
from scenarios.world.virtual import VirtualWorld, WorldOptions
from sim.kernel import Trace


@dataclass(frozen=True)
class Outcome:
    """What one run left behind."""

    events: list[dict[str, Any]]
    trace_hash: str
    sales: list[dict[str, Any]]
    deliveries: list[Any]
    frames: dict[str, set[tuple[int, str, bytes]]]
    outcomes: dict[str, int]


def six_minutes() -> Scenario:
    """Six minutes of the peak, with grades mixed so that the two Modbus lines are as busy as the six DART lines."""
    peak = load("kunming-peak").scenario
    mix = {"92": 0.4, "95": 0.2, "98": 0.2, "diesel": 0.2}
    demand = peak.demand.model_copy(update={"duration_s": 360, "grade_mix": mix})
    return peak.model_copy(update={"demand": demand, "settle_s": 60})


def run(scenario: Scenario, *, skip: bool) -> Outcome:
    events: list[dict[str, Any]] = []
    trace = Trace()
    trace.listen(events.append)
    options = WorldOptions(skip_idle_polls=skip, captures=True)
    world = VirtualWorld(scenario, 7, keys=run_keys(), trace=trace, options=options)
    try:
        world.run()
        return Outcome(
            events=events,
            trace_hash=trace.hexdigest(),
            sales=world.read_admin("sales"),
            deliveries=[d for point in world.equipment.points.values() for d in point.journal],
            frames={
                capture.wire: {(frame.t_us, frame.sender, frame.data) for frame in capture}
                for capture in world.captures
            },
            outcomes=dict(world.crowd.outcomes),
        )
    finally:
        world.close()


@pytest.fixture(scope="module")
def runs() -> tuple[Outcome, Outcome]:
    scenario = six_minutes()
    return run(scenario, skip=False), run(scenario, skip=True)


def test_the_runs_are_worth_comparing(runs: tuple[Outcome, Outcome]) -> None:
    full, skipped = runs
    assert len(full.sales) >= 15
    points = {sale["fuelling_point"] for sale in full.sales}
    assert points & set(range(1, 13)), "no sale on a DART line"
    assert points & set(range(13, 17)), "no sale on a Modbus line"
    for wire, frames in full.frames.items():
        if wire.startswith("island-"):
            # Two points, four polls a second each, a poll and an answer: what is left out is most of it.
            seconds = max(t_us for t_us, _, _ in frames) // 1_000_000
            assert len(frames) > 2 * 4 * 2 * (seconds - 5)
            assert len(skipped.frames[wire]) < 0.6 * len(frames)


def test_same_sales_in_all_fields(runs: tuple[Outcome, Outcome]) -> None:
    full, skipped = runs
    assert skipped.sales == full.sales


def test_same_deliveries_at_the_pumps(runs: tuple[Outcome, Outcome]) -> None:
    full, skipped = runs
    assert skipped.deliveries == full.deliveries
    assert len(full.deliveries) == len(full.sales)


def test_same_cars_at_the_same_instants(runs: tuple[Outcome, Outcome]) -> None:
    full, skipped = runs

    def cars(outcome: Outcome) -> list[dict[str, Any]]:
        return [event for event in outcome.events if event["kind"].startswith(("car.", "phone."))]

    assert cars(skipped) == cars(full)
    assert skipped.outcomes == full.outcomes == {"paid": len(full.sales)}


def test_same_trace(runs: tuple[Outcome, Outcome]) -> None:
    """Whatever else the trace holds (HTTP, callbacks, invoices) is the same too, to the byte."""
    full, skipped = runs
    assert skipped.trace_hash == full.trace_hash


def test_what_is_not_left_out_is_on_the_wire_at_the_same_instant(runs: tuple[Outcome, Outcome]) -> None:
    full, skipped = runs
    for wire, frames in skipped.frames.items():
        assert frames <= full.frames[wire], f"{wire}: a frame of the skipped run is not in the full one"
