"""The AA FF driver and the simulated dispenser, on a wire that tests can lose, double and damage at will."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reference.site.config import LineConfig
from reference.site.pumps.aaff.driver import AaFfDriver
from reference.site.pumps.driver import SaleNotStored
from reference.site.pumps.events import (
    NozzleLifted,
    SaleCaptured,
    TotalsRead,
)
from reference.site.pumps.witness import Witness
from sim.dispenser import AaFfDispenser, AaFfQuirks, Dispenser, FuellingPoint, Nozzle, Tank

S = 1_000_000


HOP_US = 1_000


EPOCH_US = 1_795_287_028_000_000


Tamper = Callable[[str, int, bytes], list[bytes]]


def line_config(guns: int = 1, *, price: int = 700, **more: Any) -> LineConfig:
    points = [
        {
            "fuelling_point": number,
            "address": number,
            "nozzles": [{"nozzle": 10 + number, "grade": "92", "price_fen_per_l": price}],
        }
        for number in range(1, guns + 1)
    ]
    return LineConfig.model_validate({"protocol": "aaff", "fuelling_points": points, **more})


def make_point(number: int, *, price: int = 700) -> FuellingPoint:
    tank = Tank(number, "92")
    nozzle = Nozzle(logical=1, nozzle_id=10 + number, grade="92", tank=tank, price_fen_per_l=price)
    return FuellingPoint(number, [nozzle])


class Rig:
    """A dispenser, a driver that may die and come back, what its journal holds, and the wire between."""

    def __init__(
        self,
        *,
        guns: int = 1,
        policy: bool = True,
        pump_price: int = 700,
        quirks: AaFfQuirks | None = None,
        master: dict[str, Any] | None = None,
        **config: Any,
    ) -> None:
        self.points = {number: make_point(number, price=pump_price) for number in range(1, guns + 1)}
        self.point = self.points[1]
        self.dispenser = Dispenser(self.points.values())
        self.machine = AaFfDispenser(self.dispenser, self.points, quirks=quirks, epoch_us=EPOCH_US)
        self.config = line_config(guns, **config)
        self.master = {"clock_us": lambda: EPOCH_US + self.now_us} | (master or {})
        self.policy = policy
        self.preset_fen: int | None = None
        self.now_us = 0
        self.memory: dict[int, Witness] = {}
        self.journal: list[SaleCaptured] = []
        self.events: list[Any] = []
        self.full = False  # the journal cannot store
        self.tamper: Tamper = lambda who, command, data: [data]
        self.said: list[int] = []  # commands of the master, in order
        self._flying: list[tuple[int, int, str, bytes]] = []
        self._order = 0
        self.start()

    def start(self) -> None:
        """A new driver, knowing what the journal holds and nothing else."""
        self.config = self.config.model_copy(update={"phase_us": self.now_us % self.config.period_us})
        self.driver = AaFfDriver(self.config, **self.master)
        for nozzle, witness in self.memory.items():
            self.driver.remember(nozzle, witness)
        self.driver.listener = self.hear
        self.driver.wake(self.now_us)

    def hear(self, event: Any) -> None:
        if isinstance(event, SaleCaptured):
            if self.full:
                raise SaleNotStored
            self.journal.append(event)
        if isinstance(event, SaleCaptured | TotalsRead):
            self.memory[event.nozzle] = event.witness
        self.events.append(event)
        if isinstance(event, NozzleLifted) and self.policy:
            self.driver.authorise(event.fuelling_point, event.nozzle, preset_fen=self.preset_fen)

    # -- the wire -----------------------------------------------------------------------------------------------

    def _send(self, who: str) -> None:
        machine = self.driver if who == "master" else self.machine
        for burst in machine.data_to_send(self.now_us):
            command = burst.data[3]
            if who == "master":
                self.said.append(command)
            for piece in self.tamper(who, command, burst.data):
                self._order += 1
                self._flying.append((self.now_us + HOP_US, self._order, who, piece))

    def step(self) -> None:
        timers = [self.driver.next_timer(), self.machine.next_timer(), *(due for due, *_ in self._flying)]
        self.now_us = max(self.now_us, min(timer for timer in timers if timer is not None))
        landed = sorted(one for one in self._flying if one[0] <= self.now_us)
        self._flying = [one for one in self._flying if one[0] > self.now_us]
        for _, _, who, data in landed:
            receiver = self.machine if who == "master" else self.driver
            receiver.receive_data(data, self.now_us)
        for machine in (self.driver, self.machine):
            timer = machine.next_timer()
            if timer is not None and timer <= self.now_us:
                machine.handle_timer(self.now_us)
        self._send("master")
        self._send("pump")

    def run(self, seconds: float) -> Rig:
        end_us = self.now_us + round(seconds * S)
        while True:
            timers = [self.driver.next_timer(), self.machine.next_timer(), *(d for d, *_ in self._flying)]
            if min(timer for timer in timers if timer is not None) > end_us:
                break
            self.step()
        self.now_us = end_us
        return self

    # -- the customer -------------------------------------------------------------------------------------------

    def lift(self) -> Rig:
        self.point.lift(1, self.now_us)
        return self.run(3)

    def squeeze(self, seconds: float = 10) -> Rig:
        self.point.squeeze(self.now_us, 40_000)
        return self.run(seconds)

    def hang_up(self, seconds: float = 5) -> Rig:
        self.point.hang_up(self.now_us)
        return self.run(seconds)

    def fill(self, seconds: float = 10) -> Rig:
        return self.lift().squeeze(seconds).hang_up()

    # -- looking ------------------------------------------------------------------------------------------------

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def story(self) -> list[str]:
        dull = ("StateChanged", "LiveAmount", "TotalsRead", "PriceSet")
        return [name for event in self.events if (name := type(event).__name__) not in dull]

    def check(self, *, flags: bool = False) -> None:
        """Every litre is sold exactly once, and the totals join."""
        for number, point in self.points.items():
            mine = [sale for sale in self.journal if sale.fuelling_point == number]
            meter = [(d.volume_ml, d.amount_fen, d.end_total_volume_ml) for d in point.journal]
            assert [(s.volume_ml, s.amount_fen, s.end_total_volume_ml) for s in mine] == meter
            totals = [0, *(sale.end_total_volume_ml for sale in mine)]
            assert all(
                end - start == sale.volume_ml
                for start, end, sale in zip(totals, totals[1:], mine, strict=False)
            )
            assert flags or not any(sale.flags for sale in mine)
            assert not point.unacknowledged


def answers(command: int) -> Tamper:
    """Lose every answer of a dispenser with this command."""
    return lambda who, got, data: [] if who == "pump" and got == command else [data]


def questions(command: int) -> Tamper:
    """Lose everything a master says with this command."""
    return lambda who, got, data: [] if who == "master" and got == command else [data]
