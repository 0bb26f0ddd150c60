"""The crowd sends each car of the plan, whenever the station opens."""

from __future__ import annotations

from typing import Any

from scenarios.demand import demand_profile, positions, prices_by_nozzle
from scenarios.loader import load
from sim.people import Crowd, PlainHand, PlainPhone, PlainTill, PlainWorld, StationFloor

S = 1_000_000


def arrivals(opens_us: int) -> list[int]:
    """When the cars of a busy hour arrive at a station whose doors open at an instant."""
    peak = load("kunming-peak").scenario
    world = PlainWorld("125")
    events: list[dict[str, Any]] = []
    world.trace.listen(events.append)
    crowd = Crowd(
        world,
        StationFloor(world.env, positions(peak), cashiers=1),
        demand_profile(peak.demand, arrivals_per_hour=240).at_constant_rate(),
        hand=PlainHand(world.env, prices_by_nozzle(peak)),
        phone=PlainPhone(world.env),
        till=PlainTill(world.env),
        start_hour_us=0,
        duration_us=3_600 * S,
    )
    world.env.run(until=opens_us)
    crowd.start()
    world.env.run(until=3_600 * S)
    return [event["t_us"] for event in events if event["kind"] == "car.arrived"]


def test_cars_that_come_before_the_doors_are_open_wait_outside() -> None:
    at_once = arrivals(1)
    late = arrivals(300 * S)
    assert at_once[0] < 300 * S, "the case must have an early car"
    assert late == [max(300 * S, t_us) for t_us in at_once]
