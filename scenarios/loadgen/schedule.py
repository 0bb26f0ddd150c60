"""The arrival schedule of a load run: drawn before anything starts, so that a slow system cannot slow its own load.

Closed-loop users wait for the answer before they come again; a stalled server then meets fewer of them and its
percentiles look fine ("coordinated omission", as wrk2's documentation names it). Here every arrival has an intended
instant that nothing can move.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Arrival", "ArrivalSchedule", "draw_schedule"]

_RATE_LIMIT_PER_S = 10_000
_DURATION_LIMIT_S = 86_400


@dataclass(frozen=True, slots=True)
class Arrival:
    """One payment to come.

    Attributes:
        number: 0, 1, 2, … in order of time.
        intended_us: when it should start, microseconds after the start of the run.
        station: index of the station, 0-based.
        volume_ml: what was pumped, whole 10 ml pulses.
    """

    number: int
    intended_us: int
    station: int
    volume_ml: int


@dataclass(frozen=True, slots=True)
class ArrivalSchedule:
    """All arrivals of a run, in order of time."""

    arrivals: tuple[Arrival, ...]
    duration_us: int

    @property
    def digest(self) -> str:
        """SHA-256 over the schedule, 64 hexadecimal digits; it stands in the report."""
        digest = hashlib.sha256()
        for arrival in self.arrivals:
            digest.update(f"{arrival.intended_us} {arrival.station} {arrival.volume_ml}\n".encode())
        return digest.hexdigest()


def draw_schedule(
    seed: str | int,
    *,
    per_s: float,
    duration_s: int,
    stations: int,
    volumes_ml: Sequence[int] = (20_000, 30_000, 40_000),
) -> ArrivalSchedule:
    """Draw a Poisson stream of payments.

    Args:
        seed: the run's seed.
        per_s: mean arrivals a second, over all stations.
        duration_s: length of the stream, seconds.
        stations: how many stations share it evenly.
        volumes_ml: volumes drawn from with equal weight.

    Raises:
        ValueError: a rate, duration or number of stations that makes no sense.
    """
    if not 0 < per_s <= _RATE_LIMIT_PER_S:
        raise ValueError(f"arrivals a second must lie in (0, {_RATE_LIMIT_PER_S}], not {per_s}")
    if not 0 < duration_s <= _DURATION_LIMIT_S:
        raise ValueError(f"duration must lie in (0, {_DURATION_LIMIT_S}] s, not {duration_s}")
    if stations < 1:
        raise ValueError(f"at least one station is needed, not {stations}")
    gaps = random.Random(f"{seed}/load/arrivals")
    picks = random.Random(f"{seed}/load/stations")
    volumes = random.Random(f"{seed}/load/volumes")
    duration_us = duration_s * 1_000_000
    arrivals: list[Arrival] = []
    at_us = round(gaps.expovariate(per_s) * 1_000_000)
    while at_us < duration_us:
        arrivals.append(Arrival(len(arrivals), at_us, picks.randrange(stations), volumes.choice(volumes_ml)))
        at_us += round(gaps.expovariate(per_s) * 1_000_000)
    return ArrivalSchedule(tuple(arrivals), duration_us)
