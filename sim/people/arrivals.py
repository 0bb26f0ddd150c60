"""When cars come: a non-homogeneous Poisson process by thinning (Lewis and Shedler 1979), in whole microseconds.

Candidates come at the busiest hour's rate; each stays with the probability (weight of its hour / largest weight). Gaps and
coins are separate streams, and a car keeps its candidate's number, so that changing the shape takes cars away without changing
those that stay. The cars of a rush come beside these, with numbers of their own. Gaps are unit exponentials scaled by the rate: another rate gives the same pattern, stretched.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator

from sim.people.profile import HOUR_US, DemandProfile

__all__ = ["arrivals"]

_FIRST_OF_A_RUSH = 1_000_001
"""Beyond all others, so that a rush moves nobody's draws."""


def arrivals(
    profile: DemandProfile, seed: str, *, start_hour_us: int, duration_us: int
) -> Iterator[tuple[int, int]]:
    """Yield (car number, arrival µs since the start of the run), in order.

    Args:
        profile: rate, shape and the largest number of cars.
        seed: the run's seed; streams ``arrivals/gaps`` and ``arrivals/coins`` are taken from it.
        start_hour_us: local time of day at which the run starts, microseconds since midnight.
        duration_us: no car comes at or after this instant.
    """
    alone = _poisson(profile, seed, start_hour_us=start_hour_us, duration_us=duration_us)
    if not profile.rushes:
        return alone
    return heapq.merge(alone, _rushes(profile), key=lambda car: (car[1], car[0]))


def _rushes(profile: DemandProfile) -> list[tuple[int, int]]:
    times = [
        first_us + over_us * place // max(1, cars - 1)
        for first_us, cars, over_us in profile.rushes
        for place in range(cars)
    ]
    return sorted(enumerate(times, _FIRST_OF_A_RUSH), key=lambda car: (car[1], car[0]))


def _poisson(
    profile: DemandProfile, seed: str, *, start_hour_us: int, duration_us: int
) -> Iterator[tuple[int, int]]:
    gaps = random.Random(f"{seed}/arrivals/gaps")
    coins = random.Random(f"{seed}/arrivals/coins")
    mean_gap_us = HOUR_US / profile.arrivals_per_hour
    largest = max(profile.hourly_shape)
    at_us = 0
    number = 0
    taken = 0
    while profile.max_cars is None or taken < profile.max_cars:
        at_us += max(1, round(gaps.expovariate(1.0) * mean_gap_us))
        if at_us >= duration_us:
            return
        number += 1
        hour = (start_hour_us + at_us) // HOUR_US % 24
        if coins.random() * largest < profile.hourly_shape[hour]:
            taken += 1
            yield number, at_us
