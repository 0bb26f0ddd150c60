"""A small station in virtual time: one dispenser on one line, the site controller, a ledger behind it.

The drills work it by hand: run so many seconds, lift, squeeze, hang up, cut a wire, kill the controller. What each part
of the station knows at the end becomes a `RunRecord` for the oracles.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

from mutants.ledger import Ledger
from mutants.meddler import Meddler
from protocols.twowire import EIGHT_DIGITS
from reference.site import SiteConfig, SiteController
from reference.site.pumps.events import DriverEvent, LiveAmount, SaleCaptured
from scenarios.record import JournalSale, LedgerSale, LiveObservation, RunRecord, TankDraw
from scenarios.world.metered import metered
from sim.dispenser import (
    AaFfDispenser,
    AaFfQuirks,
    DartDispenser,
    DartQuirks,
    Dispenser,
    DispenserProfile,
    FuellingPoint,
    IfsfDispenser,
    IfsfOptions,
    ModbusDispenser,
    Nozzle,
    Tank,
    TwoWireDispenser,
)
from sim.kernel import VirtualKernel
from sim.net import HttpFault, Network
from sim.wires import VirtualBus, VirtualNodes, WireFault

__all__ = ["EPOCH_US", "SECOND", "STATION", "Bench", "Protocol"]

SECOND: Final = 1_000_000
EPOCH_US: Final = 1_771_858_800_000_000
"""24 February 2026, 00:00 in China (UTC+8), and the 23rd in UTC."""

STATION: Final = "KM01"
_GRADES: Final = ("92", "95", "98", "diesel")
_PRICES: Final = (760, 812, 893, 731)
_HOST: Final = "backend.station"

Protocol = Literal["dart", "aaff", "ifsf", "modbus", "twowire"]
_FIRST_ADDRESS: Final[dict[Protocol, int]] = {
    "dart": 0x51,
    "aaff": 1,
    "ifsf": 0x21,
    "modbus": 1,
    "twowire": 1,
}
_BAUD: Final[dict[Protocol, int]] = {
    "dart": 19_200,
    "aaff": 38_400,
    "ifsf": 19_200,  # no line: two nodes on a network
    "modbus": 19_200,
    "twowire": 9_600,
}


class Bench:
    """The station. Use it as a context manager.

    Args:
        protocol: of the line; AA FF guns have one nozzle each, a Modbus dispenser has one
            fuelling point, IFSF is a network of two nodes.
        points: fuelling points of the dispenser, numbered from 1.
        nozzles: nozzles of each; nozzle k of point p is number 10 p + k, with a tank of its own.
        profile: fields of `DispenserProfile`.
        quirks: of the dispenser's personality.
        wire_faults, http_faults: what goes wrong on the line and between site and ledger.
        keeps_journal: the site's journal is a file, so that ``kill_site`` can be called.
        site: further fields of `SiteConfig`.
        last_sequence: what each fuelling point's records have been counted to.

    Attributes:
        kernel, network, ledger, dispenser, points, site: the parts.
        events: everything that the drivers told, with nothing left out.
        unserved: customers of `fill` who did not get what they wanted, in words.
        at_site, at_pump: see `Meddler`; not between IFSF nodes.
    """

    def __init__(
        self,
        *,
        protocol: Protocol = "dart",
        points: int = 1,
        nozzles: int = 1,
        profile: dict[str, Any] | None = None,
        quirks: DartQuirks | AaFfQuirks | None = None,
        wire_faults: Iterable[WireFault] = (),
        http_faults: Iterable[HttpFault] = (),
        keeps_journal: bool = False,
        site: dict[str, Any] | None = None,
        last_sequence: int = 0,
    ) -> None:
        self.kernel = VirtualKernel("mutants", epoch_us=EPOCH_US)
        self.kernel._frozen = True  # a drill is too short for the collection of garbage before a run to pay
        self.ledger = Ledger()
        self.network = Network(self.kernel, faults=http_faults, is_traced=False)
        self.network.register(_HOST, self.ledger.app)
        self.events: list[DriverEvent] = []
        self.unserved: list[str] = []
        self._sold: Counter[int] = Counter()
        self._live: list[LiveObservation] = []
        self._folder = tempfile.TemporaryDirectory() if keeps_journal else None
        self.points = {
            number: _point(number, nozzles, DispenserProfile(**(profile or {})))
            for number in range(1, points + 1)
        }
        for point in self.points.values():
            point.last_sequence = point.acknowledged_sequence = last_sequence
        self.dispenser = Dispenser(self.points.values())
        first = _FIRST_ADDRESS[protocol]
        at = {first + number - 1: point for number, point in self.points.items()}
        self.pump: Any = _personality(protocol, self.dispenser, at, quirks, last_sequence)
        self.config = _site_config(protocol, points, nozzles, site or {})
        self.site = self._new_site()
        self.at_pump = Meddler(self.pump)
        self.at_site = Meddler(self.site.drivers[0])
        self._wire(protocol, wire_faults)
        self.kernel.spawn(self.site.start(), "site")

    def _wire(self, protocol: Protocol, faults: Iterable[WireFault]) -> None:
        driver: Any = self.site.drivers[0]
        if protocol == "ifsf":
            names = ("site", "pump")
            VirtualNodes(self.kernel, "line", driver, self.pump, latency_us=500, faults=faults, names=names)
            return
        baud, bits = _BAUD[protocol], 11 if protocol == "dart" else 10
        bus = VirtualBus(self.kernel, "line", baud=baud, bits_per_char=bits, faults=faults)
        bus.attach(self.at_site, name="site", master=True)
        bus.attach(self.at_pump, name="pump")

    # --- the site controller -----------------------------------------------------------------------------------

    def _new_site(self) -> SiteController:
        site = SiteController(
            self.config,
            clock_us=lambda: self.kernel.unix_us,
            http_transport=self.network.transport("site"),
            journal_path=":memory:"
            if self._folder is None
            else str(Path(self._folder.name) / "site.sqlite3"),
            base_urls=[f"https://{_HOST}"],
            station_key="drill",
        )
        hear = site.drivers[0].listener

        def listen(event: DriverEvent) -> None:
            hear(event)
            self._note(event)

        site.drivers[0].listener = listen
        return site

    def _note(self, event: DriverEvent) -> None:
        self.events.append(event)
        if isinstance(event, SaleCaptured):
            self._sold[event.nozzle] += 1
        elif isinstance(event, LiveAmount):
            key = (STATION, event.nozzle, self._sold[event.nozzle] + 1)
            self._live.append(
                LiveObservation(
                    key=key, at_us=event.at_us, volume_ml=event.volume_ml, amount_fen=event.amount_fen
                )
            )

    def kill_site(self) -> None:
        """``kill -9`` of the site controller, and the start of a new one on the same journal.

        Raises:
            ValueError: the journal is not a file.
        """
        if self._folder is None:
            raise ValueError("a bench whose site is killed needs keeps_journal=True")
        self._put_down()
        self.site = self._new_site()
        self.at_site.replace(self.site.drivers[0])
        self.kernel.spawn(self.site.start(), "site again")

    def _put_down(self) -> None:
        """The process is gone: nothing of it runs on, nothing is tidied up."""
        for task in self.site.uplink._tasks:
            task.cancel()
        for timer in self.site._timers.values():
            timer.cancel()
        self.site.journal.close()

    # --- by hand -----------------------------------------------------------------------------------------------

    @property
    def now_us(self) -> int:
        """The kernel's clock."""
        return self.kernel.now_us

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.kernel.run(self.now_us + round(seconds * SECOND))

    def lift(self, point: int = 1, logical: int = 1) -> None:
        """Take a nozzle out, now."""
        self.points[point].lift(logical, self.now_us)

    def squeeze(self, point: int = 1, flow_ml_per_min: int = 36_000) -> bool:
        """Squeeze the trigger; whether fuel flows."""
        return self.points[point].squeeze(self.now_us, flow_ml_per_min)

    def hang_up(self, point: int = 1) -> None:
        """Put the nozzle back, now."""
        self.points[point].hang_up(self.now_us)

    def fill(self, volume_ml: int = 6_000, *, point: int = 1, logical: int = 1, after_s: float = 3) -> None:
        """One customer: lift, wait, fill until the car has so much, hang up, ``after_s`` of rest."""
        begun_us = self.now_us
        self.lift(point, logical)
        self.run(3)
        self.points[point].set_tank_capacity(volume_ml)
        if self.squeeze(point):
            self.run(3 + volume_ml / 500)
        self.hang_up(point)
        got = self.points[point].last_delivery
        if got is None or got.ended_us < begun_us or got.volume_ml != volume_ml:
            self.unserved.append(f"{volume_ml} ml at nozzle {10 * point + logical}, {begun_us} us")
        self.run(after_s)

    def told(self, kind: type[Any]) -> list[Any]:
        """What the drivers told, of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    # --- what it comes to --------------------------------------------------------------------------------------

    def record(self) -> RunRecord:
        """What every part of the station knows now."""
        self.dispenser.settle(self.now_us)
        keys = ("nozzle", "sequence", "volume_ml", "amount_fen", "price_fen_per_l")
        return RunRecord(
            clock="virtual",
            ended_us=self.now_us,
            deliveries=metered(STATION, self.points.values()),
            journal=tuple(
                JournalSale(station=STATION, **{key: getattr(sale, key) for key in keys})
                for sale in self.site.journal.all_sales()
            ),
            ledger=tuple(
                LedgerSale(
                    sale_id=str(number),
                    station=STATION,
                    **{key: row[key] for key in keys},
                    paid_fen=0,
                    recorded_us=0,
                )
                for number, row in enumerate(self.ledger.rows, start=1)
            ),
            tank_draws=tuple(
                TankDraw(tank=tank.tank_id, volume_ml=tank.drawn_ml) for tank in self.dispenser.tanks.values()
            ),
            live=tuple(self._live),
        )

    def close(self) -> None:
        """Stop everything."""
        self.kernel.close()
        self.site.journal.close()
        if self._folder is not None:
            self._folder.cleanup()

    def __enter__(self) -> Self:
        try:
            self.run(5)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _point(number: int, nozzles: int, profile: DispenserProfile) -> FuellingPoint:
    return FuellingPoint(
        number,
        [
            Nozzle(
                logical=logical,
                nozzle_id=10 * number + logical,
                grade=_GRADES[logical - 1],
                tank=Tank(10 * number + logical, _GRADES[logical - 1]),
                price_fen_per_l=_PRICES[logical - 1],
            )
            for logical in range(1, nozzles + 1)
        ],
        profile=profile,
    )


def _personality(
    protocol: Protocol,
    dispenser: Dispenser,
    at: dict[int, FuellingPoint],
    quirks: DartQuirks | AaFfQuirks | None,
    last_sequence: int,
) -> Any:
    if protocol == "ifsf":
        return IfsfDispenser(dispenser, options=IfsfOptions(sequence=last_sequence))
    if protocol == "aaff":
        own = quirks if isinstance(quirks, AaFfQuirks) else None
        return AaFfDispenser(dispenser, at, quirks=own, epoch_us=EPOCH_US)
    if protocol == "modbus":
        (unit,) = at  # a Modbus dispenser is one unit
        return ModbusDispenser(dispenser, unit, framing="rtu", baud=_BAUD["modbus"])
    if protocol == "twowire":
        return TwoWireDispenser(dispenser, at, model=EIGHT_DIGITS)
    return DartDispenser(dispenser, at, quirks=quirks if isinstance(quirks, DartQuirks) else None)


def _site_config(protocol: Protocol, points: int, nozzles: int, more: dict[str, Any]) -> SiteConfig:
    line = {
        "name": "line",
        "protocol": protocol,
        "baud": _BAUD[protocol],
        "period_us": 400_000,
        "framing": "rtu",
        "digits": 8,
        "fuelling_points": [
            {
                "fuelling_point": point,
                "address": _FIRST_ADDRESS[protocol] + point - 1,
                "nozzles": [
                    {
                        "nozzle": 10 * point + logical,
                        "logical": logical,
                        "grade": _GRADES[logical - 1],
                        "tank": 10 * point + logical,
                        "price_fen_per_l": _PRICES[logical - 1],
                    }
                    for logical in range(1, nozzles + 1)
                ],
            }
            for point in range(1, points + 1)
        ],
    }
    return SiteConfig.model_validate({"station": STATION, "lines": [line], **more})
