"""A storage tank with a shape, a temperature and water in it, on top of the book-keeping that dispensers draw from.

`sim.dispenser.Tank` counts what the pumps take, pulse by pulse, and goes on doing so. What else happens to the fuel is
added here: tankers, leaks, thermal expansion, water; in whole numbers, and nothing has to happen while it runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sim.dispenser import Tank

from .flows import Flow, TankerDelivery, flowed_ml
from .geometry import StrappingTable, usual_cylinder

__all__ = ["EXPANSION_PPM_PER_DEG", "REFERENCE_MDEG", "StorageTank", "corrected_ml"]

EXPANSION_PPM_PER_DEG: Final = {"92": 1_200, "95": 1_200, "98": 1_200, "diesel": 830}
"""Thermal expansion of a litre for each degree, in millionths. Usual figures (API 2540 table 54B at 0.74 and 0.84 kg/l)."""

REFERENCE_MDEG: Final = 20_000
"""Temperature to which volumes are corrected: 20 degrees, the standard one in China (GB/T 1885); 15 elsewhere."""

_RIPPLE_PERIOD_US: Final = 3_700_000
_HOUR_US: Final = 3_600_000_000


def corrected_ml(volume_ml: int, temperature_mdeg: int, expansion_ppm_per_deg: int) -> int:
    """A volume at the reference temperature."""
    off_mdeg = temperature_mdeg - REFERENCE_MDEG
    return volume_ml - volume_ml * expansion_ppm_per_deg * off_mdeg // 1_000_000_000


class StorageTank:
    """One tank.

    Args:
        tank: the book-keeping; its capacity is the tank's.
        table: its shape; by default a cylinder of a usual diameter.
        deliveries: tankers, in order of time.
        leaks: fuel that leaves without being sold.
        water_ml: water at the bottom from the start.
        water_flows: water that seeps in.
        temperature_mdeg: of the fuel at the start, thousandths of a degree Celsius.
        drift_mdeg_per_h: how the fuel's temperature drifts.
        expansion_ppm_per_deg: by default that of the grade.
        ripple_um: the surface's amplitude while a tanker discharges.
        ripple_settles_us: it has died down so long after the tanker has ended.

    Raises:
        ValueError: the table holds another volume than the tank, or a delivery does not fit in any order of events.
    """

    def __init__(
        self,
        tank: Tank,
        *,
        table: StrappingTable | None = None,
        deliveries: Iterable[TankerDelivery] = (),
        leaks: Iterable[Flow] = (),
        water_ml: int = 0,
        water_flows: Iterable[Flow] = (),
        temperature_mdeg: int = 18_000,
        drift_mdeg_per_h: int = 0,
        expansion_ppm_per_deg: int | None = None,
        ripple_um: int = 4_000,
        ripple_settles_us: int = 180_000_000,
    ) -> None:
        self.tank = tank
        self.table = usual_cylinder(tank.capacity_ml) if table is None else table
        if abs(self.table.capacity_ml - tank.capacity_ml) > tank.capacity_ml // 1_000:
            raise ValueError(
                f"tank {tank.tank_id} holds {tank.capacity_ml} ml, its strapping table {self.table.capacity_ml} ml"
            )
        self.deliveries = tuple(sorted(deliveries, key=lambda delivery: delivery.start_us))
        self.leaks = list(leaks)
        self.water_flows = list(water_flows)
        self.drift_mdeg_per_h = drift_mdeg_per_h
        self.expansion_ppm_per_deg = (
            EXPANSION_PPM_PER_DEG.get(tank.grade, 1_200)
            if expansion_ppm_per_deg is None
            else expansion_ppm_per_deg
        )
        self._water_ml = water_ml
        self._ripple_um = ripple_um
        self._ripple_settles_us = ripple_settles_us
        self._temperature_mdeg = temperature_mdeg
        self._expansion_nl = 0
        self._at_us = 0
        self._mixed_ml = [0] * len(self.deliveries)

    def __repr__(self) -> str:
        return f"StorageTank({self.tank.tank_id}, {self.tank.grade!r}, at_us={self._at_us})"

    @property
    def tank_id(self) -> int:
        """Number of the tank in the station."""
        return self.tank.tank_id

    def deliver(self, delivery: TankerDelivery) -> None:
        """A tanker that comes while the run is under way.

        Raises:
            ValueError: it would begin in the past.
        """
        if delivery.start_us < self._at_us:
            raise ValueError(f"tank {self.tank_id}: a delivery cannot begin in the past")
        self.deliveries = (*self.deliveries, delivery)
        self._mixed_ml.append(0)

    def leaked_ml(self, now_us: int) -> int:
        """Fuel that has left without being sold."""
        return flowed_ml(self.leaks, now_us)

    def received_ml(self, now_us: int) -> int:
        """Fuel that tankers have brought."""
        return sum(delivery.ml(now_us) for delivery in self.deliveries)

    def water_ml(self, now_us: int) -> int:
        """Water at the bottom."""
        return self._water_ml + flowed_ml(self.water_flows, now_us)

    @property
    def temperature_mdeg(self) -> int:
        """Temperature of the fuel at the last `advance`."""
        return self._temperature_mdeg

    @property
    def expansion_ml(self) -> int:
        """What warming has added (negative: cooling has taken) up to the last `advance`."""
        return self._expansion_nl // 1_000_000

    def book_ml(self, now_us: int) -> int:
        """Fuel by the books: what was there, what tankers brought, less what pumps drew (as far as they have settled)."""
        return self.tank.level_ml + self.received_ml(now_us)

    def fuel_ml(self, now_us: int) -> int:
        """Fuel that is really there, between empty and full."""
        self.advance(now_us)
        fuel_ml = self.book_ml(now_us) - self.leaked_ml(now_us) + self.expansion_ml
        return min(max(0, fuel_ml), self.table.capacity_ml - self.water_ml(now_us))

    def advance(self, now_us: int) -> None:
        """Bring temperature and expansion up to a time; times in the past change nothing."""
        passed_us = now_us - self._at_us
        if passed_us <= 0:
            return
        drift_mdeg = (
            self.drift_mdeg_per_h * now_us // _HOUR_US - self.drift_mdeg_per_h * self._at_us // _HOUR_US
        )
        # A load mixes in at its own temperature: the two volumes add up, only the mixture's temperature is new.
        for number, delivery in enumerate(self.deliveries):
            new_ml = delivery.ml(now_us) - self._mixed_ml[number]
            if new_ml:
                self._mixed_ml[number] += new_ml
                before_ml = max(0, self.book_ml(now_us) - new_ml)
                self._temperature_mdeg += (
                    (delivery.temperature_mdeg - self._temperature_mdeg) * new_ml // (before_ml + new_ml)
                )
        self._at_us = now_us
        if drift_mdeg:
            self._temperature_mdeg += drift_mdeg
            fuel_ml = max(0, self.book_ml(now_us))
            self._expansion_nl += fuel_ml * self.expansion_ppm_per_deg * drift_mdeg // 1_000

    def ripple_um(self, now_us: int) -> int:
        """How far the surface at the probe is off its mean: a wave while a tanker discharges, dying down after it."""
        off_um = 0
        for delivery in self.deliveries:
            since_us = now_us - delivery.end_us
            if now_us < delivery.start_us or since_us >= self._ripple_settles_us:
                continue
            left_us = self._ripple_settles_us - max(0, since_us)
            amplitude_um = self._ripple_um * left_us // self._ripple_settles_us
            phase_us = (now_us - delivery.start_us) % _RIPPLE_PERIOD_US
            # A triangle from -1 over +1 back to -1 within one period.
            place = abs(2 * phase_us - _RIPPLE_PERIOD_US) * 2 - _RIPPLE_PERIOD_US
            off_um += amplitude_um * place // _RIPPLE_PERIOD_US
        return off_um
