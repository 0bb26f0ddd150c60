"""What phones show of a busy station against what its pumps do at that moment: states, and the running figures.

The truth is the dispensers' own, read in between without a wire: so the poll of the line, the site, the uplink, the backend and the
phone's network are all in the delay.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import pytest
from simpy.events import Event

from scenarios.loader import load
from scenarios.model import Scenario
from scenarios.statistics import judge_percentile
from scenarios.verdicts import Verdict
from scenarios.world.keys import run_keys
from scenarios.world.virtual import VirtualWorld, WorldOptions
from sim.dispenser import DeliveryEnded, FpEvent, FpState, FuellingPoint, NozzleReturned, StateChanged
from sim.kernel import Trace

S = 1_000_000
SAMPLE_US = 50_000


@dataclass
class Seen:
    """States of each fuelling point since when, its figures in steps of `SAMPLE_US`, ends of deliveries, what phones told."""

    states: dict[int, list[tuple[int, FpState]]] = field(default_factory=lambda: defaultdict(list))
    volumes: dict[int, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    ends: list[DeliveryEnded] = field(default_factory=list)
    returns: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    phones: list[dict[str, Any]] = field(default_factory=list)
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    most_busy: int = 0

    def told(self, event: dict[str, Any]) -> None:
        if event["kind"] == "car.position":
            self.places[event["entity"]] = (event["fuelling_point"], event["nozzle"])
        elif event["kind"] in {"phone.state", "phone.live"}:
            self.phones.append(event)

    def true_states(self, point: int, from_us: int, until_us: int) -> set[FpState]:
        rows = self.states[point]
        first = max(0, bisect_right(rows, (from_us, FpState.FUELLING)) - 1)
        return {state for at_us, state in rows[first:] if at_us <= until_us}


def rush_hour() -> Scenario:
    """Every position of the peak's station taken at once, all of them paying on the phone, ordered before they fuel."""
    told = load("kunming-peak").scenario.model_dump(mode="json")
    told["demand"] |= {
        "duration_s": 240,
        "adoption": 1.0,
        "phone_mix": {"order_first": 1.0},
        "rushes": [{"at_s": 0, "cars": 48, "over_s": 20}],
        "grade_mix": {"92": 0.4, "95": 0.2, "98": 0.2, "diesel": 0.2},
    }
    return Scenario.model_validate({**told, "settle_s": 60, "replications": 0})


@pytest.fixture(scope="module")
def seen() -> Seen:
    found = Seen()
    trace = Trace()
    trace.listen(found.told)
    world = VirtualWorld(
        rush_hour(), 3, keys=run_keys(), trace=trace, options=WorldOptions(skip_idle_polls=True)
    )
    points = world.equipment.points

    def heard(event: FpEvent) -> None:
        if isinstance(event, StateChanged):
            found.states[event.fuelling_point].append((event.at_us, event.new))
        elif isinstance(event, NozzleReturned):
            found.returns[event.fuelling_point].append(event.at_us)
        elif isinstance(event, DeliveryEnded) and event.delivery.volume_ml:
            found.ends.append(event)

    def watch(point: FuellingPoint) -> None:
        found.states[point.number].append((0, point.state))
        point.listeners.append(heard)

    def sample() -> Generator[Event, Any, None]:
        while True:
            now_us = world.kernel.now_us
            busy = [point for point in points.values() if point.state is FpState.FUELLING]
            found.most_busy = max(found.most_busy, len(busy))
            for point in busy:
                found.volumes[point.number].append((now_us, point.reading(now_us).volume_ml))
            yield world.kernel.env.timeout(SAMPLE_US)

    for point in points.values():
        watch(point)
    world.kernel.process(sample())
    try:
        world.run()
    finally:
        world.close()
    return found


def test_the_station_is_as_busy_as_it_can_be(seen: Seen) -> None:
    assert seen.most_busy >= 14
    assert len(seen.ends) > 25


@pytest.mark.requirement("perf.live-amount-latency")
def test_running_figures_are_on_the_phone_within_a_second(seen: Seen) -> None:
    """The delay of a figure: since the pump began to show the one after it."""
    delays = []
    for event in seen.phones:
        if event["kind"] != "phone.live" or not event["volume_ml"]:
            continue
        point, _ = seen.places[event["entity"]]
        rows = seen.volumes[point]
        # Samples of the delivery that runs: back to where the counter was at zero.
        last = bisect_left(rows, (event["t_us"] + 1, 0))
        first = last
        while first > 0 and (first == last or rows[first - 1][1] <= rows[first][1]):
            first -= 1
        passed = next(
            (at_us for at_us, volume_ml in rows[first:last] if volume_ml > event["volume_ml"]), None
        )
        delays.append(0 if passed is None else event["t_us"] - passed + SAMPLE_US)
    assert len(delays) > 1_000
    for quantile, limit_us in ((0.95, S), (0.99, 2 * S)):
        verdict = judge_percentile(delays, quantile, limit_us)
        assert verdict.verdict is Verdict.PASS, verdict.message
    assert max(delays) > 100_000, "delays that are too good to be measured"


@pytest.mark.requirement("fd-state.phone-state-is-fresh")
def test_what_a_phone_shows_was_true_within_the_last_second(seen: Seen) -> None:
    true_of = {
        "AUTHORISED": {FpState.IDLE, FpState.CALLING, FpState.AUTHORISED, FpState.STARTED, FpState.FUELLING},
        "FUELLING": {FpState.FUELLING},
    }
    judged = 0
    for event in seen.phones:
        wanted = true_of.get(event.get("state", ""))
        if event["kind"] != "phone.state" or wanted is None:
            continue
        point, _ = seen.places[event["entity"]]
        true = seen.true_states(point, event["t_us"] - S, event["t_us"])
        assert true & wanted, (event, true)
        judged += 1
    assert judged > 50


@pytest.mark.requirement("fd-state.phone-state-is-fresh")
def test_no_phone_shows_fuelling_for_three_seconds_once_the_nozzle_is_idle(seen: Seen) -> None:
    """Idle: the delivery is over and the nozzle in its boot. One that stopped at a preset hangs in the car until its driver comes."""
    by_place: dict[tuple[int, int], list[tuple[int, str]]] = defaultdict(list)
    for event in seen.phones:
        if event["kind"] == "phone.state":
            by_place[seen.places[event["entity"]]].append((event["t_us"], event["state"]))
    delays = []
    for end in seen.ends:
        rows = by_place[end.fuelling_point, end.delivery.nozzle_id]
        idle_us = next((at_us for at_us in seen.returns[end.fuelling_point] if at_us >= end.at_us), end.at_us)
        before = [state for at_us, state in rows if at_us <= idle_us]
        if before and before[-1] == "FUELLING":
            delays.append(
                next(at_us for at_us, state in rows if at_us > idle_us and state != "FUELLING") - idle_us
            )
    assert len(delays) > 25
    assert 0 < max(delays) <= 3 * S
