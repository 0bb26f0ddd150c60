from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sim.dispenser import DispenserProfile, FuellingPoint, Nozzle, Tank

MakePoint = Callable[..., FuellingPoint]


def make_point(number: int = 1, *, prices: tuple[int, ...] = (760, 812), **profile: Any) -> FuellingPoint:
    """One fuelling point; nozzle k of it sells grade k from tank 10*number + k."""
    grades = ("92", "95", "98", "diesel")
    nozzles = [
        Nozzle(
            logical=logical,
            nozzle_id=10 * number + logical,
            grade=grades[logical - 1],
            tank=Tank(10 * number + logical, grades[logical - 1]),
            price_fen_per_l=price,
        )
        for logical, price in enumerate(prices, start=1)
    ]
    return FuellingPoint(number, nozzles, profile=DispenserProfile(**profile))


@pytest.fixture(name="make_point")
def _make_point() -> MakePoint:
    return make_point
