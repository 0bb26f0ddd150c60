"""When cars come: a non-homogeneous Poisson process by thinning (Lewis and Shedler 1979), in whole microseconds.

Candidates come at the busiest hour's rate; each stays with the probability (weight of its hour / largest weight). Gaps and
coins are separate streams, and a car keeps its candidate's number, so that changing the shape takes cars away without changing
those that stay. Gaps are unit exponentials scaled by the rate: another rate gives the same pattern, stretched.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from sim.people.profile import HOUR_US, DemandProfile

__all__ = ["arrivals"]


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
