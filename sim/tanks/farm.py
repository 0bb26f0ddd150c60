"""All tanks of a station, and the pipes that join some of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .storage import StorageTank

__all__ = ["Levels", "TankFarm"]


@dataclass(frozen=True, slots=True)
class Levels:
    """What is in a tank at an instant.

    Attributes:
        fuel_ml: fuel, water not counted.
        water_ml: water below it.
        height_um: surface of the fuel above the bottom, at rest.
        water_um: surface of the water.
        ripple_um: how far the surface at the probe is off.
        temperature_mdeg: of the fuel.
    """

    fuel_ml: int
    water_ml: int
    height_um: int
    water_um: int
    ripple_um: int
    temperature_mdeg: int


class TankFarm:
    """The tanks of a station.

    Args:
        tanks: in the order of their numbers as a gauge shows them.
        manifolds: groups of tank numbers that a siphon joins: their surfaces stand at one height. They level out at once,
            which a siphon takes some minutes for.
        settle: books what the pumps have drawn by an instant; called before anything is read.

    Raises:
        ValueError: a number stands twice, a manifold names an unknown tank or a tank of another grade.
    """

    def __init__(
        self,
        tanks: Iterable[StorageTank],
        *,
        manifolds: Iterable[Iterable[int]] = (),
        settle: Callable[[int], None] | None = None,
    ) -> None:
        self.tanks: dict[int, StorageTank] = {}
        for tank in tanks:
            if self.tanks.setdefault(tank.tank_id, tank) is not tank:
                raise ValueError(f"two tanks are number {tank.tank_id}")
        self._settle = settle
        self._group: dict[int, tuple[int, ...]] = {number: (number,) for number in self.tanks}
        for manifold in manifolds:
            group = tuple(sorted(manifold))
            unknown = [number for number in group if number not in self.tanks]
            if unknown:
                raise ValueError(f"a manifold joins tank {unknown[0]}, and there is none")
            if len({self.tanks[number].tank.grade for number in group}) > 1:
                raise ValueError(f"a manifold joins tanks {group}, which hold different grades")
            if any(len(self._group[number]) > 1 for number in group):
                raise ValueError(f"tanks {group} are joined twice")
            self._group.update(dict.fromkeys(group, group))

    def group(self, number: int) -> tuple[int, ...]:
        """The tanks that a tank is joined with, itself included. Raises KeyError for an unknown one."""
        return self._group[number]

    def levels(self, number: int, now_us: int) -> Levels:
        """What is in a tank now. Raises KeyError for an unknown one."""
        if self._settle is not None:
            self._settle(now_us)
        tank = self.tanks[number]
        fuel_ml = self._fuel_ml(number, now_us)
        water_ml = tank.water_ml(now_us)
        return Levels(
            fuel_ml,
            water_ml,
            tank.table.height_um(fuel_ml + water_ml),
            tank.table.height_um(water_ml),
            sum(self.tanks[other].ripple_um(now_us) for other in self._group[number]),
            tank.temperature_mdeg,
        )

    def _fuel_ml(self, number: int, now_us: int) -> int:
        group = self._group[number]
        if len(group) == 1:
            return self.tanks[number].fuel_ml(now_us)
        tanks = [self.tanks[other] for other in group]
        whole_ml = sum(tank.fuel_ml(now_us) for tank in tanks)
        height_um = _common_height_um(tanks, whole_ml, now_us)
        shares = {tank.tank_id: _above_water_ml(tank, height_um, now_us) for tank in tanks}
        # What the common height leaves over by rounding belongs to the last of them, so that the sum is kept.
        shares[group[-1]] += whole_ml - sum(shares.values())
        return shares[number]


def _above_water_ml(tank: StorageTank, height_um: int, now_us: int) -> int:
    return max(0, tank.table.volume_ml(height_um) - tank.water_ml(now_us))


def _common_height_um(tanks: list[StorageTank], whole_ml: int, now_us: int) -> int:
    """The greatest height at which the tanks together hold no more than there is."""
    low, high = 0, max(tank.table.diameter_um for tank in tanks)
    while low < high:
        middle = (low + high + 1) // 2
        if sum(_above_water_ml(tank, middle, now_us) for tank in tanks) <= whole_ml:
            low = middle
        else:
            high = middle - 1
    return low
