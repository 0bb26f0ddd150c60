"""The IFSF driver and the dispenser node on a modelled network, with a controller that authorises every lift."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from protocols.ifsf import Endpoint, decode_message
from protocols.sansio import Outgoing
from reference.site.config import LineConfig
from reference.site.pumps.driver import SaleNotStored
from reference.site.pumps.events import (
    DriverEvent,
    NozzleLifted,
    SaleCaptured,
    TotalsRead,
)
from reference.site.pumps.ifsf.driver import IfsfDriver
from reference.site.pumps.witness import Witness
from sim.dispenser import Dispenser, DispenserProfile, FuellingPoint, IfsfDispenser, IfsfOptions, Nozzle, Tank
from sim.kernel import VirtualKernel
from sim.wires import Capture, VirtualNodes, WireFault

S = 1_000_000


GRADES = ("92", "95")


def line_config(points: int = 1, *, price: int = 868, **ifsf: Any) -> LineConfig:
    return LineConfig.model_validate(
        {
            "protocol": "ifsf",
            "name": "node",
            "ifsf": ifsf,
            "fuelling_points": [
                {
                    "fuelling_point": number,
                    "address": 0x20 + number,
                    "nozzles": [
                        {
                            "nozzle": 10 * number + k,
                            "logical": k,
                            "grade": grade,
                            "price_fen_per_l": price + k,
                        }
                        for k, grade in enumerate(GRADES, start=1)
                    ],
                }
                for number in range(1, points + 1)
            ],
        }
    )


class Process:
    """The site's end of the wire: whichever driver lives there now."""

    def __init__(self, driver: IfsfDriver) -> None:
        self.driver = driver
        self._wake: Callable[[], None] | None = None
        self.endpoint: Endpoint | None = None

    @property
    def on_wake(self) -> Callable[[], None] | None:
        return self._wake

    @on_wake.setter
    def on_wake(self, wake: Callable[[], None] | None) -> None:
        self._wake = self.driver.on_wake = wake

    def start(self, endpoint: Endpoint, now_us: int) -> None:
        self.endpoint = endpoint
        self.driver.start(endpoint, now_us)

    def replace(self, driver: IfsfDriver, now_us: int) -> None:
        self.driver.on_wake = None
        self.driver = driver
        driver.on_wake = self._wake
        assert self.endpoint is not None
        driver.start(self.endpoint, now_us)
        if self._wake is not None:
            self._wake()

    def receive_data(self, data: bytes, now_us: int) -> None:
        self.driver.receive_data(data, now_us)

    def data_to_send(self, now_us: int) -> list[Outgoing]:
        return self.driver.data_to_send(now_us)

    def next_timer(self) -> int | None:
        return self.driver.next_timer()

    def handle_timer(self, now_us: int) -> None:
        self.driver.handle_timer(now_us)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.driver, name)


class Bench:
    """A dispenser, a driver, and a controller that authorises every lift and keeps what it is sold."""

    def __init__(
        self,
        points: int = 1,
        *,
        seed: str = "1",
        faults: tuple[WireFault, ...] = (),
        options: dict[str, Any] | None = None,
        profile: dict[str, Any] | None = None,
        **ifsf: Any,
    ) -> None:
        self.kernel = VirtualKernel(seed, epoch_us=0)
        self.ifsf = ifsf
        self.count = points
        tanks = {grade: Tank(number, grade) for number, grade in enumerate(GRADES, start=1)}
        self.fps = [
            FuellingPoint(
                number,
                [
                    Nozzle(
                        logical=k,
                        nozzle_id=10 * number + k,
                        grade=grade,
                        tank=tanks[grade],
                        price_fen_per_l=800,
                    )
                    for k, grade in enumerate(GRADES, start=1)
                ],
                profile=DispenserProfile(**(profile or {})),
            )
            for number in range(1, points + 1)
        ]
        self.dispenser = Dispenser(self.fps)
        self.node = IfsfDispenser(self.dispenser, options=IfsfOptions(**(options or {})))
        self.events: list[DriverEvent] = []
        self.sales: list[SaleCaptured] = []
        self.witnesses: dict[int, Witness] = {}
        self.preset_fen: int | None = None
        self.serves = True
        self.refuse_sales = 0
        self.process = Process(self.new_driver())
        self.capture = Capture("node")
        site: Any = self.process
        self.wire = VirtualNodes(
            self.kernel,
            "node",
            site,
            self.node,
            latency_us=500,
            names=("site", "pump"),
            faults=faults,
            capture=self.capture,
        )

    @property
    def driver(self) -> IfsfDriver:
        return self.process.driver

    @property
    def fp(self) -> FuellingPoint:
        return self.fps[0]

    def new_driver(self) -> IfsfDriver:
        driver = IfsfDriver(line_config(self.count, **self.ifsf))
        driver.listener = self.hear
        for nozzle, witness in self.witnesses.items():
            driver.remember(nozzle, witness)
        return driver

    def hear(self, event: DriverEvent) -> None:
        self.events.append(event)
        match event:
            case SaleCaptured():
                if self.refuse_sales:
                    self.refuse_sales -= 1
                    raise SaleNotStored
                self.sales.append(event)
                self.witnesses[event.nozzle] = event.witness
            case TotalsRead():
                self.witnesses[event.nozzle] = event.witness
            case NozzleLifted() if self.serves:
                self.driver.authorise(event.fuelling_point, event.nozzle, preset_fen=self.preset_fen)

    def restart(self) -> None:
        """Kill -9 and start again: all that is left is the journal."""
        self.wire.cut()
        self.process.replace(self.new_driver(), self.kernel.now_us)

    def at(self, seconds: float, act: Callable[..., object], *args: Any) -> None:
        self.kernel.call_at(round(seconds * S), lambda: act(*args, self.kernel.now_us))

    def car(
        self, seconds: float, fill_s: float = 20, *, nozzle: int = 1, fp: FuellingPoint | None = None
    ) -> None:
        fp = self.fp if fp is None else fp
        self.at(seconds, fp.lift, nozzle)
        self.at(seconds + 2, lambda now_us: fp.squeeze(now_us, 35_000))
        self.at(seconds + 2 + fill_s, fp.hang_up)

    def run(self, seconds: float) -> None:
        self.kernel.run(round(seconds * S))

    def told(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def said(self) -> list[Any]:
        """What the site said, decoded."""
        return [decode_message(frame.data) for frame in self.capture if frame.sender == "site" and frame.data]

    def check_books(self) -> None:
        """Each delivery once, to the last drop, and nothing left in the dispenser."""
        for fp in self.fps:
            for nozzle in fp.nozzles.values():
                mine = [sale for sale in self.sales if sale.nozzle == nozzle.nozzle_id]
                delivered = [one for one in fp.journal if one.nozzle_id == nozzle.nozzle_id]
                assert [(sale.volume_ml, sale.amount_fen) for sale in mine] == [
                    (one.volume_ml, one.amount_fen) for one in delivered
                ]
                if mine:
                    assert mine[-1].end_total_volume_ml == nozzle.total_volume_ml
                    assert mine[-1].end_total_amount_fen == nozzle.total_amount_fen
        assert [len(held.buffer) for held in self.node.points.values()] == [0] * len(self.fps)
