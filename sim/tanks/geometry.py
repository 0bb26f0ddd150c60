"""Height and volume of a tank, in whole micrometres and millilitres.

Everything that asks goes through a strapping table: rising points with straight lines between them. So height to volume is
monotone by construction, needs no float while a run is under way, and goes back and forth within one step of either unit.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

__all__ = ["StrappingTable", "cylinder_table", "cylinder_volume_ml", "usual_cylinder"]

_UM3_PER_ML: Final = 10**12
_POINTS: Final = 400
_USUAL_DIAMETERS_UM: Final = ((12_000_000, 2_000_000), (30_000_000, 2_500_000), (1 << 62, 2_900_000))
"""Up to a capacity (ml), a diameter (um): sizes that underground tanks are commonly made in (EN 12285-1 lists them)."""


class StrappingTable:
    """A tank's calibration table.

    Args:
        points: (height above the bottom in um, volume below it in ml), beginning with (0, 0).

    Raises:
        ValueError: fewer than two points, not beginning at (0, 0), or not strictly rising.
    """

    __slots__ = ("_heights", "_volumes")

    def __init__(self, points: Iterable[tuple[int, int]]) -> None:
        rows = list(points)
        self._heights: list[int] = [height for height, _ in rows]
        self._volumes: list[int] = [volume for _, volume in rows]
        if len(self._heights) < 2 or (self._heights[0], self._volumes[0]) != (0, 0):
            raise ValueError("a strapping table begins with (0, 0) and has a second point")
        for column in (self._heights, self._volumes):
            for low, high in pairwise(column):
                if high <= low:
                    raise ValueError(f"a strapping table rises: {high} follows {low}")

    @property
    def capacity_ml(self) -> int:
        """Volume of the full tank."""
        return self._volumes[-1]

    @property
    def diameter_um(self) -> int:
        """Height of the full tank."""
        return self._heights[-1]

    def volume_ml(self, height_um: int) -> int:
        """Volume below a height; what lies outside the tank counts as its bottom or its top."""
        return _interpolate(self._heights, self._volumes, height_um)

    def height_um(self, volume_ml: int) -> int:
        """Height that a volume reaches; see `volume_ml`."""
        return _interpolate(self._volumes, self._heights, volume_ml)


def _interpolate(xs: list[int], ys: list[int], x: int) -> int:
    if x <= 0:
        return 0
    if x >= xs[-1]:
        return ys[-1]
    at = bisect_right(xs, x) - 1
    span, rise = xs[at + 1] - xs[at], ys[at + 1] - ys[at]
    return ys[at] + (rise * (x - xs[at]) + span // 2) // span


def cylinder_volume_ml(diameter_um: int, length_um: int, height_um: int) -> int:
    """Volume below a height in a horizontal cylinder with flat ends: circular segment times length."""
    radius = diameter_um / 2
    height = min(max(height_um, 0), diameter_um)
    segment = radius * radius * math.acos((radius - height) / radius) - (radius - height) * math.sqrt(
        max(0.0, 2 * radius * height - height * height)
    )
    return round(segment * length_um / _UM3_PER_ML)


def cylinder_table(diameter_um: int, length_um: int, *, points: int = _POINTS) -> StrappingTable:
    """The strapping table of a horizontal cylinder with flat ends.

    Heights follow a cosine, so that they lie closest at bottom and top, where the walls are flattest.

    Raises:
        ValueError: a size that is not positive, or so small that two points coincide.
    """
    if diameter_um <= 0 or length_um <= 0 or points < 2:
        raise ValueError("a cylinder has a positive diameter and length, and a table at least two points")
    heights = [round(diameter_um * (1 - math.cos(math.pi * n / points)) / 2) for n in range(points + 1)]
    return StrappingTable((height, cylinder_volume_ml(diameter_um, length_um, height)) for height in heights)


def usual_cylinder(capacity_ml: int) -> StrappingTable:
    """A cylinder of a usual diameter for its capacity, just as long as it takes.

    Raises:
        ValueError: the capacity is not positive.
    """
    if capacity_ml <= 0:
        raise ValueError("a tank's capacity is positive")
    diameter_um = next(diameter for most, diameter in _USUAL_DIAMETERS_UM if capacity_ml <= most)
    length_um = round(capacity_ml * _UM3_PER_ML * 4 / (math.pi * diameter_um * diameter_um))
    return cylinder_table(diameter_um, length_um)
