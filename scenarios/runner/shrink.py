"""Making a failing scenario small: fewer faults, then fewer pumps, then shorter, as long as it still fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from pydantic import ValidationError

from scenarios.model import Dispenser, Scenario, WireFault
from scenarios.world.faults import plan_faults

__all__ = ["pinned", "shrink"]

Fails = Callable[[Scenario], bool]
Item = TypeVar("Item")

_SHORTEST_S = 60


def pinned(scenario: Scenario, seed: str) -> Scenario:
    """The same run with the faults that the seed drew written out, so that single ones can be taken away."""
    faults = tuple(planned.spec for planned in plan_faults(scenario, seed).faults)
    return scenario.model_copy(update={"faults": faults, "swarm": None, "replications": 0})


def shrink(scenario: Scenario, seed: str, fails: Fails) -> Scenario:
    """The smallest failing scenario that greedy removal finds.

    Args:
        scenario: one that fails under ``seed``.
        seed: its seed.
        fails: runs a scenario under that seed; False also when there is no time left to try.

    Returns:
        A scenario with its faults written out. It is the pinned one itself when nothing could be taken away.
    """
    found = pinned(scenario, seed)
    if not fails(found):
        return found
    kept = _fewest(found.faults, lambda faults: fails(found.model_copy(update={"faults": faults})))
    found = found.model_copy(update={"faults": tuple(kept)})
    for smaller in _fewer_pumps(found):
        if fails(smaller(found)):
            found = smaller(found)
    return _shorter(found, fails)


def _fewest(items: Sequence[Item], fails: Callable[[tuple[Item, ...]], bool]) -> list[Item]:
    """Delta debugging (Zeller and Hildebrandt, 2002): take away ever smaller pieces."""
    kept = list(items)
    if kept and fails(()):
        return []
    piece = max(1, len(kept) // 2)
    while kept:
        start = 0
        while start < len(kept):
            without = kept[:start] + kept[start + piece :]
            if len(without) < len(kept) and fails(tuple(without)):
                kept = without
            else:
                start += piece
        if piece == 1:
            return kept
        piece = max(1, piece // 2)
    return kept


def _fewer_pumps(scenario: Scenario) -> Iterator[Callable[[Scenario], Scenario]]:
    """One step for each fuelling point: the scenario without it. The last pump of a grade that is asked for stays."""
    for dispenser in scenario.station.dispensers:
        for point in dispenser.fuelling_points:
            yield lambda found, number=point.fuelling_point: _without_point(found, number)  # type: ignore[misc]


def _without_point(scenario: Scenario, number: int) -> Scenario:
    station = scenario.station
    dispensers = tuple(
        left for dispenser in station.dispensers if (left := _without_side(dispenser, number)) is not None
    )
    lines = tuple(
        line.model_copy(update={"points": points})
        for line in station.lines
        if (points := tuple(p for p in line.points if p.fuelling_point != number))
    )
    names = {line.name for line in lines}
    changed = {
        **scenario.model_dump(mode="json"),
        "station": {
            **station.model_dump(mode="json"),
            "dispensers": [d.model_dump(mode="json") for d in dispensers],
            "lines": [line.model_dump(mode="json") for line in lines],
        },
        "faults": [
            fault.model_dump(mode="json")
            for fault in scenario.faults
            if not isinstance(fault, WireFault) or fault.line in names
        ],
    }
    try:
        return Scenario.model_validate(changed)
    except ValidationError:
        return scenario  # it cannot be without this one


def _without_side(dispenser: Dispenser, number: int) -> Dispenser | None:
    left = tuple(point for point in dispenser.fuelling_points if point.fuelling_point != number)
    return dispenser.model_copy(update={"fuelling_points": left}) if left else None


def _shorter(scenario: Scenario, fails: Fails) -> Scenario:
    found = scenario
    while (half_s := found.demand.duration_s // 2) >= _SHORTEST_S:
        last_s = half_s + found.settle_s
        shorter = found.model_copy(
            update={
                "demand": found.demand.model_copy(update={"duration_s": half_s}),
                "faults": tuple(fault for fault in found.faults if fault.at_s < last_s),
                "tank_events": tuple(event for event in found.tank_events if event.at_s < last_s),
                "price_changes": tuple(change for change in found.price_changes if change.at_s < last_s),
                "shift_changes": tuple(change for change in found.shift_changes if change.at_s < last_s),
                "test_deliveries": tuple(test for test in found.test_deliveries if test.at_s < last_s),
            }
        )
        if not fails(shorter):
            return found
        found = shorter
    return found
