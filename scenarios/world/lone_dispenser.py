"""A station that is nothing but one dispenser on one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from scenarios.loader import load
from scenarios.model import Station

__all__ = ["LINE", "dispenser_station"]

LINE: Final = "line"
"""Name of the one wire, in the control API and in captures."""

_FIRST_ADDRESS: Final = {"dart": 0x50, "ifsf": 0x21}
"""Line address of the first fuelling point; 1 for all other protocols."""


def dispenser_station(
    protocol: str,
    *,
    points: int,
    prices_fen_per_l: Mapping[str, int],
    first_address: int | None,
    baud: int,
    framing: Literal["serial", "tcp"],
) -> Station:
    """A station that is nothing but one dispenser: each fuelling point has a nozzle for each grade.

    On AA FF, where a gun is one nozzle, the fuelling points take turns with the grades.

    Args:
        protocol: of the line.
        points: how many fuelling points.
        prices_fen_per_l: grade to unit price; the grades' order gives the logical numbers of the nozzles.
        first_address: line address of fuelling point 1, the others follow it; None for the protocol's first.
        baud: of the line.
        framing: ``tcp`` for Modbus TCP and IFSF.

    Raises:
        ValueError: it cannot be (an address out of range, an unknown protocol); pydantic's own, one line a field.
    """
    grades = list(prices_fen_per_l)
    tanks = [
        {"tank": number, "grade": grade, "capacity_ml": 30_000_000, "stock_ml": 24_000_000}
        for number, grade in enumerate(grades, start=1)
    ]
    sides = [
        {
            "fuelling_point": point,
            "nozzles": [
                {"nozzle": (point - 1) * len(grades) + tank, "grade": grade, "tank": tank}
                for tank, grade in enumerate(grades, start=1)
                if protocol != "aaff" or (point - tank) % len(grades) == 0
            ],
        }
        for point in range(1, points + 1)
    ]
    first = _FIRST_ADDRESS.get(protocol, 1) if first_address is None else first_address
    # A cabinet has four sides at most.
    cabinets = [
        {"name": f"dispenser-{start // 4 + 1}", "fuelling_points": sides[start : start + 4]}
        for start in range(0, points, 4)
    ]
    line = {
        "name": LINE,
        "protocol": protocol,
        "framing": framing,
        "baud": baud,
        "poll_period_ms": 10_000,  # nobody of ours polls it
        "points": [{"fuelling_point": n, "address": first + n - 1} for n in range(1, points + 1)],
    }
    parts = load("smoke").scenario.station.model_dump(mode="json")
    parts |= {
        "tanks": tanks,
        "dispensers": cabinets,
        "lines": [line],
        "prices_fen_per_l": dict(prices_fen_per_l),
    }
    return Station.model_validate(parts)
