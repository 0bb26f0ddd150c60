"""Kiosk against mini-program over arrival rates: a curve, because a single point flatters.

Drawn with the plain floor model: the same cars, floor and steps as in the full run, without bytes and backend. Both ways of
paying see the same cars (same seeds, same draws); only the way of paying differs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from scenarios.demand import demand_profile, positions, prices_by_nozzle
from scenarios.model import Scenario
from scenarios.timings import CarLog, FloorFigures, floor_figures
from sim.people import Crowd, PlainHand, PlainPhone, PlainTill, PlainWorld, StationFloor

__all__ = ["CurvePoint", "CurveTask", "PayMode", "curve", "curve_point", "curve_tasks", "plain_run"]

PayMode = Literal["kiosk", "mini_program"]


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Figures at one arrival rate, one way of paying, one seed."""

    mode: PayMode
    arrivals_per_hour: int
    seed: str
    figures: FloorFigures


def plain_run(
    scenario: Scenario,
    seed: str,
    *,
    mode: PayMode,
    arrivals_per_hour: float,
    duration_s: int,
    warm_up_s: int = 0,
) -> FloorFigures:
    """One run of the plain floor model at a constant arrival rate."""
    world = PlainWorld(seed)
    log = CarLog()
    world.trace.listen(log)
    profile = demand_profile(
        scenario.demand, arrivals_per_hour=arrivals_per_hour, adoption=0.0 if mode == "kiosk" else None
    ).at_constant_rate()
    floor = StationFloor(world.env, positions(scenario), cashiers=scenario.station.cashiers)
    duration_us = duration_s * 1_000_000
    Crowd(
        world,
        floor,
        profile,
        hand=PlainHand(world.env, prices_by_nozzle(scenario)),
        phone=PlainPhone(world.env),
        till=PlainTill(world.env),
        start_hour_us=0,
        duration_us=duration_us,
    ).start()
    world.env.run(until=duration_us)
    return floor_figures(log, from_us=warm_up_s * 1_000_000, until_us=duration_us)


@dataclass(frozen=True, slots=True)
class CurveTask:
    """One point to draw; points are independent, so they can be drawn in any process."""

    mode: PayMode
    arrivals_per_hour: int
    seed: str


def curve_tasks(scenario: Scenario, seed: str | int) -> Iterator[CurveTask]:
    """The points of a scenario's curve, in the order of the report; nothing when it asks for none."""
    asked = scenario.curve
    if asked is None:
        return
    modes: tuple[PayMode, ...] = ("kiosk", "mini_program")
    for arrivals_per_hour in asked.arrivals_per_hour:
        for mode in modes:
            for number in range(asked.seeds):
                yield CurveTask(mode, arrivals_per_hour, f"{seed}/curve/{number}")


def curve_point(scenario: Scenario, task: CurveTask) -> CurvePoint:
    """Draw one point.

    Raises:
        ValueError: the scenario has no curve.
    """
    asked = scenario.curve
    if asked is None:
        raise ValueError(f"scenario {scenario.name} has no curve")
    figures = plain_run(
        scenario,
        task.seed,
        mode=task.mode,
        arrivals_per_hour=task.arrivals_per_hour,
        duration_s=asked.duration_s,
        warm_up_s=asked.warm_up_s,
    )
    return CurvePoint(task.mode, task.arrivals_per_hour, task.seed, figures)


def curve(scenario: Scenario, seed: str | int) -> Iterator[CurvePoint]:
    """All points of a scenario's curve, one at a time."""
    for task in curve_tasks(scenario, seed):
        yield curve_point(scenario, task)
