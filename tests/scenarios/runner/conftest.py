"""Small scenarios out of the library's, quick enough to run many times."""

from __future__ import annotations

import pytest

from scenarios.loader import load
from scenarios.model import Scenario, Swarm


@pytest.fixture(scope="session")
def two_islands() -> Scenario:
    """A DART island and a Modbus island of `bad-hour`, two backends, a quarter of an hour, no faults."""
    whole = load("bad-hour").scenario
    station = whole.station.model_copy(
        update={
            "dispensers": (whole.station.dispensers[0], whole.station.dispensers[-1]),
            "lines": (whole.station.lines[0], whole.station.lines[-1]),
        }
    )
    demand = whole.demand.model_copy(
        update={
            "arrivals_per_hour": 90,
            "duration_s": 900,
            "grade_mix": {"92": 0.6, "95": 0.3, "diesel": 0.1},
        }
    )
    return whole.model_copy(
        update={"name": "two-islands", "station": station, "demand": demand, "faults": (), "replications": 0}
    )


@pytest.fixture(scope="session")
def swarm(two_islands: Scenario) -> Scenario:
    """The same with a dozen faults drawn from the seed, anywhere in the chain."""
    drawn = Swarm(
        targets=("wire", "http", "gateway", "tax", "printer", "backend"),
        faults=12,
        longest_s=120,
        heal_before_end_s=0,
    )
    return two_islands.model_copy(update={"name": "swarm", "swarm": drawn})
