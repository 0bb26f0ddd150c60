"""What the controller does with the gauge: readings for the backend, blocked tanks, and what the pumps drew meanwhile."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from reference.site.config import FuellingPointConfig, NozzleConfig, SiteConfig
from reference.site.gauge.config import GaugeConfig, GaugeTankConfig
from reference.site.gauge.reader import GaugeEvent, GaugeReader, GaugeSilent, TankReading
from reference.site.journal import Journal, Sale
from reference.site.pumps.driver import PumpDriver
from reference.site.pumps.events import PointState
from reference.site.uplink import Uplink

__all__ = ["GaugeDesk", "GaugeOwner"]

_HIGH_WATER: Final = 3
_WATER_GOES_PER_MILLE: Final = 900
"""A tank is free again when the water has fallen to this share of its limit."""


class GaugeOwner(Protocol):
    """What the desk asks of the controller."""

    config: SiteConfig
    journal: Journal
    clock_us: Callable[[], int]
    on_sale: list[Callable[[Sale], None]]
    uplink: Uplink
    points: dict[int, FuellingPointConfig]
    nozzles: dict[int, NozzleConfig]
    driver_of: dict[int, PumpDriver]
    blocked: set[int]

    def alarm(self, text: str) -> None:
        """Tell a person."""

    def stop_pump(self, fuelling_point: int) -> bool:
        """Stop a fuelling point."""


class GaugeDesk:
    """Listens to a `GaugeReader`.

    A reading carries what the pumps have drawn from its tank at the very moment: all captured sales and the running
    deliveries. So whoever gets two readings knows what must have gone out between them, and needs no sale for it.

    Args:
        config: the gauge.
        owner: the controller.
    """

    def __init__(self, config: GaugeConfig, owner: GaugeOwner) -> None:
        self.config = config
        self.reader = GaugeReader(config)
        self.reader.listener = self._hear
        self.reader.on_inventory = self._look
        self._owner = owner
        self._at_us = 0
        self._drawn_ml: Mapping[int, int] = {}
        self._unsure: frozenset[int] = frozenset()
        self._captured_ml: Counter[int] = Counter()
        self._running_ml: dict[
            int, tuple[int, int]
        ] = {}  # fuelling point -> nozzle, ml of the delivery under way
        for sale in owner.journal.all_sales():
            self._captured_ml[sale.nozzle] += sale.volume_ml
        owner.on_sale.append(self._on_sale)

    @classmethod
    def of(cls, owner: GaugeOwner) -> GaugeDesk | None:
        """The desk of a controller; None for a station without a gauge."""
        return None if owner.config.gauge is None else cls(owner.config.gauge, owner)

    def _on_sale(self, sale: Sale) -> None:
        """A sale was captured."""
        self._captured_ml[sale.nozzle] += sale.volume_ml
        self._running_ml.pop(sale.fuelling_point, None)

    def snapshot(self) -> dict[str, Any]:
        """For the status page."""
        reader = self.reader
        return {
            "silent": reader.silent,
            "read_at_us": None if reader.latest is None else reader.latest.at_us,
            "bad_replies": reader.bad_replies,
            "timeouts": reader.timeouts,
            "blocked_nozzles": sorted(self._owner.blocked),
        }

    # --- what has been drawn ------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Note what has gone through each nozzle by now, and of which that is not known."""
        drawn = Counter(self._captured_ml)
        unsure: set[int] = set()
        for number, point in self._owner.points.items():
            status = self._owner.driver_of[number].status(number)
            if status.delivering is not None:
                self._running_ml[number] = (status.delivering, status.volume_ml)
            elif not status.settling:
                self._running_ml.pop(number, None)
            if number in self._running_ml:
                nozzle, volume_ml = self._running_ml[number]
                drawn[nozzle] += volume_ml
            if status.state is PointState.OFFLINE:
                unsure |= {nozzle.nozzle for nozzle in point.nozzles}
        self._at_us, self._drawn_ml, self._unsure = self._owner.clock_us(), drawn, frozenset(unsure)

    # --- readings -----------------------------------------------------------------------------------------------

    def _hear(self, event: GaugeEvent) -> None:
        if isinstance(event, GaugeSilent):
            self._owner.alarm("the tank gauge does not answer; its last readings stand")
            return
        found = {reading.gauge_tank: reading for reading in event.tanks}
        rows = []
        for tank in self.config.tanks:
            reading = found.get(tank.gauge_tank or tank.tank)
            if reading is not None:
                self._judge(tank, reading)
                rows.append(self._row(tank, reading))
        if rows:
            self._owner.uplink.tanks_read({"at_us": self._at_us, "tanks": rows})

    def _row(self, tank: GaugeTankConfig, reading: TankReading) -> dict[str, Any]:
        nozzles = sorted(n for n, nozzle in self._owner.nozzles.items() if nozzle.tank == tank.tank)
        return {
            "tank": tank.tank,
            "grade": tank.grade,
            "group": tank.group or tank.tank,
            "capacity_ml": tank.capacity_ml,
            "pumpable_ml": tank.pumpable_ml,
            "water_limit_um": tank.water_limit_um,
            "volume_ml": reading.volume_ml if reading.is_valid else None,
            "corrected_ml": reading.corrected_ml if reading.is_valid else None,
            "height_um": reading.height_um,
            "water_um": reading.water_um,
            "temperature_mdeg": reading.temperature_mdeg,
            "alarms": list(reading.alarms),
            "drawn_ml": sum(self._drawn_ml.get(nozzle, 0) for nozzle in nozzles),
            # Whoever compares two readings must know that the same nozzles were counted.
            "series": f"{zlib.crc32(','.join(map(str, nozzles)).encode()):08x}",
            "certain": not self._unsure.intersection(nozzles),
        }

    # --- blocked tanks ------------------------------------------------------------------------------------------

    def _judge(self, tank: GaugeTankConfig, reading: TankReading) -> None:
        """Water above its limit blocks every nozzle of the tank, and stops what runs there."""
        nozzles = {n for n, nozzle in self._owner.nozzles.items() if nozzle.tank == tank.tank}
        if reading.water_um is None or not nozzles:
            return
        is_blocked = nozzles <= self._owner.blocked
        wet = reading.water_um >= tank.water_limit_um or _HIGH_WATER in reading.alarms
        dry = reading.water_um * 1_000 <= tank.water_limit_um * _WATER_GOES_PER_MILLE and not wet
        if wet and not is_blocked:
            self._owner.blocked |= nozzles
            self._owner.alarm(
                f"tank {tank.tank} ({tank.grade}) is blocked: {reading.water_um // 1_000} mm of water"
            )
            for number in self._owner.points:
                if self._owner.driver_of[number].status(number).delivering in nozzles:
                    self._owner.stop_pump(number)
        elif dry and is_blocked:
            self._owner.blocked -= nozzles
            self._owner.alarm(f"tank {tank.tank} ({tank.grade}) is free again")
