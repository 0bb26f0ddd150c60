"""The probes: what a console measures in its tanks, with the errors of a real float on a real rod."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from sim.tanks import StrappingTable, TankFarm, corrected_ml

__all__ = ["Measured", "Probe", "ProbeSource", "TankSource"]

_DAY_US: Final = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Measured:
    """What a console knows of a tank at an instant: fuel, volume at reference temperature, room, height, water."""

    fuel_ml: int
    corrected_ml: int
    ullage_ml: int
    height_um: int
    water_um: int
    water_ml: int
    temperature_mdeg: int


class TankSource(Protocol):
    """Where a console's measurements come from."""

    def measure(self, tank: int, now_us: int) -> Measured | None:
        """The tank now; None while its probe is silent."""

    def table(self, tank: int) -> StrappingTable:
        """The table that the console turns heights into volumes with."""

    def recalibrate(self, tank: int, table: StrappingTable) -> None:
        """Use another table from now on."""

    def set_expansion(self, tank: int, ppm_per_deg: int) -> None:
        """Correct volumes to the reference temperature with this coefficient from now on."""

    def drawn_ml(self, tank: int) -> int:
        """What the pumps have drawn, for consoles that reconcile (BIR)."""


@dataclass(slots=True)
class Probe:
    """A probe's errors. They are the gauge's declared error as far as one reading goes.

    Attributes:
        offset_um: a float that sits too high or too low.
        drift_um_per_day: and more so each day.
        noise_um: one reading is off by up to this, either way, evenly.
        resolution_um: readings are whole multiples of it.
        is_out: no signal.
        stuck_um: the float hangs at this height; None when it is free.
    """

    offset_um: int = 0
    drift_um_per_day: int = 0
    noise_um: int = 25
    resolution_um: int = 10
    is_out: bool = False
    stuck_um: int | None = None

    def height_um(self, true_um: int, now_us: int, rng: random.Random) -> int:
        """What the probe tells of a true height."""
        if self.stuck_um is not None:
            return self.stuck_um
        noise_um = rng.randint(-self.noise_um, self.noise_um) if self.noise_um else 0
        off_um = self.offset_um + self.drift_um_per_day * now_us // _DAY_US + noise_um
        step = max(1, self.resolution_um)
        return max(0, (true_um + off_um + step // 2) // step * step)


class ProbeSource:
    """Probes in the tanks of a farm.

    Args:
        farm: the tanks.
        rng: a named stream of the run, for the noise of readings.
        probes: by tank; a missing one is an ordinary probe.
    """

    def __init__(
        self,
        farm: TankFarm,
        rng: random.Random,
        *,
        probes: Mapping[int, Probe] | None = None,
    ) -> None:
        self.farm = farm
        self.probes = {number: (probes or {}).get(number) or Probe() for number in farm.tanks}
        self._tables = {number: tank.table for number, tank in farm.tanks.items()}
        self._expansion = {number: tank.expansion_ppm_per_deg for number, tank in farm.tanks.items()}
        self._rng = rng

    def measure(self, tank: int, now_us: int) -> Measured | None:
        """See `TankSource`."""
        probe, table = self.probes[tank], self._tables[tank]
        levels = self.farm.levels(tank, now_us)
        height_um = probe.height_um(levels.height_um + levels.ripple_um, now_us, self._rng)
        if probe.is_out:
            return None
        water_ml = table.volume_ml(levels.water_um)
        fuel_ml = max(0, table.volume_ml(height_um) - water_ml)
        return Measured(
            fuel_ml,
            corrected_ml(fuel_ml, levels.temperature_mdeg, self._expansion[tank]),
            table.capacity_ml - fuel_ml - water_ml,
            min(height_um, table.diameter_um),
            levels.water_um,
            water_ml,
            levels.temperature_mdeg,
        )

    def table(self, tank: int) -> StrappingTable:
        """See `TankSource`."""
        return self._tables[tank]

    def recalibrate(self, tank: int, table: StrappingTable) -> None:
        """See `TankSource`."""
        self._tables[tank] = table

    def set_expansion(self, tank: int, ppm_per_deg: int) -> None:
        """See `TankSource`."""
        self._expansion[tank] = ppm_per_deg

    def drawn_ml(self, tank: int) -> int:
        """See `TankSource`."""
        return self.farm.tanks[tank].tank.drawn_ml
