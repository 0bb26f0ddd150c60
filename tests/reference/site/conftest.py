"""A small DART pump and a small line, so that the site controller is tested without the simulator's own pump."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

import pytest

from protocols.dart import (
    AllowedNozzles,
    Command,
    CommandCode,
    Data,
    FilledReport,
    NozzleReport,
    PresetAmount,
    PresetVolume,
    PumpSide,
    PumpStatus,
    StatusReport,
    TotalsReport,
    TotalsRequest,
    UnitPrices,
)
from protocols.sansio import NEED_DATA
from reference.site.config import LineConfig

S = PumpStatus
ADDRESS = 0x51


class FakePump:
    """One fuelling point with two nozzles; volumes in pulses of 10 ml, driven by hand from the tests."""

    def __init__(self, address: int = ADDRESS, *, nozzles: int = 2, price: int = 750) -> None:
        self.side = PumpSide([address])
        self.address = address
        self.status = S.FILLING_COMPLETED
        self.nozzle = 1
        self.out = False
        self.price = [price] * nozzles
        self.volume = self.amount = 0
        self.totals = {n: [1000, 7500] for n in range(1, nozzles + 1)}
        self.preset: tuple[str, int] | None = None
        self.allowed: tuple[int, ...] = ()
        self.commands: list[str] = []
        self.ignore: list[CommandCode] = []  # acknowledged, not obeyed; one entry per occurrence
        self.totals_lag = False
        self.totals_silent = False
        self.truth: list[tuple[int, int, int]] = []  # nozzle, pulses, fen of every physical delivery

    # -- the customer ----------------------------------------------------------------------------------------

    def lift(self, nozzle: int = 1) -> None:
        self.nozzle, self.out = nozzle, True
        self.report(self.nozzle_report())

    def flow(self, pulses: int) -> None:
        assert self.status in (S.AUTHORISED, S.FILLING), "a pump that is not authorised gives no fuel"
        self.set_status(S.FILLING)
        fen = (self.volume + pulses) * self.price[self.nozzle - 1] // 100 - self.amount
        self.volume += pulses
        self.amount += fen
        if not self.totals_lag:
            self.count(pulses, fen)
        self.report(self.filled())

    def count(self, pulses: int, fen: int) -> None:
        self.totals[self.nozzle][0] += pulses
        self.totals[self.nozzle][1] += fen

    def hang_up(self) -> None:
        self.out = False
        if self.status in (S.AUTHORISED, S.FILLING, S.MAX_REACHED):
            self.end()
            self.report(self.filled(), self.nozzle_report(), StatusReport(status=self.status))
        else:
            self.report(self.nozzle_report())

    def end(self) -> None:
        self.status = S.FILLING_COMPLETED
        if self.volume:
            self.truth.append((self.nozzle, self.volume, self.amount))

    # -- the line --------------------------------------------------------------------------------------------

    def filled(self) -> FilledReport:
        return FilledReport(volume_units=self.volume, amount_units=self.amount)

    def nozzle_report(self) -> NozzleReport:
        return NozzleReport(price_units=self.price[self.nozzle - 1], nozzle=self.nozzle, out=self.out)

    def report(self, *transactions: Any) -> None:
        self.side.send(self.address, transactions)

    def set_status(self, status: PumpStatus) -> None:
        if status is not self.status:
            self.status = status
            self.report(StatusReport(status=status))

    def handle(self) -> None:
        while (event := self.side.next_event()) is not NEED_DATA:
            if isinstance(event, Data):
                for transaction in event.transactions:
                    self.obey(transaction)

    def obey(self, transaction: Any) -> None:
        match transaction:
            case AllowedNozzles(nozzles=nozzles):
                self.commands.append("CD2")
                self.allowed = nozzles
            case PresetVolume(volume_units=units):
                self.commands.append("CD3")
                self.preset = ("volume", units)
            case PresetAmount(amount_units=units):
                self.commands.append("CD4")
                self.preset = ("amount", units)
            case UnitPrices(prices_units=prices):
                self.commands.append("CD5")
                self.price = list(prices)
                if self.status is S.NOT_PROGRAMMED:
                    self.set_status(S.FILLING_COMPLETED)
            case TotalsRequest(counter=counter):
                self.commands.append("CD101")
                column, nozzle = divmod(counter, 0x10)
                if not self.totals_silent:
                    self.report(TotalsReport(counter=counter, total_units=self.totals[nozzle][column]))
            case Command(code=code):
                self.commands.append(code.name)
                if code in self.ignore:
                    self.ignore.remove(code)
                else:
                    self.command(code)

    def command(self, code: CommandCode) -> None:
        if code is CommandCode.RETURN_STATUS:
            self.report(StatusReport(status=self.status), self.nozzle_report())
        elif code is CommandCode.RETURN_FILLING:
            self.report(self.filled())
        elif code is CommandCode.RESET and self.status in (
            S.FILLING_COMPLETED,
            S.MAX_REACHED,
            S.SWITCHED_OFF,
        ):
            self.volume = self.amount = 0
            self.preset = None
            self.set_status(S.RESET)
            self.report(self.filled())
        elif code is CommandCode.AUTHORISE and self.status is S.RESET:
            self.set_status(S.AUTHORISED)
        elif code is CommandCode.STOP and self.status in (S.RESET, S.AUTHORISED, S.FILLING, S.MAX_REACHED):
            self.end()
            self.report(self.filled(), StatusReport(status=self.status))


class FakeLine:
    """A half-duplex wire without character times: 1 ms per burst. The driver is the master."""

    def __init__(self, driver: Any, pumps: list[FakePump]) -> None:
        self.driver, self.pumps = driver, pumps
        self.now_us = 0
        self.cut = False
        self.drop_polls = 0  # so many bursts of the master get lost from now on
        self.bursts: list[tuple[int, bytes]] = []
        self.frames = 0
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0
        driver.on_wake = self.service

    def at(self, at_us: int, action: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._queue, (at_us, self._order, action))

    def service(self) -> None:
        for out in self.driver.data_to_send(self.now_us):
            self.frames += 1
            start_us = max(self.now_us, out.not_before_us)
            self.bursts.append((start_us, out.data))
            if self.cut:
                continue
            if self.drop_polls:
                self.drop_polls -= 1
                continue
            self.at(start_us + 1_000, lambda data=out.data: self.to_pumps(data))

    def to_pumps(self, data: bytes) -> None:
        for pump in self.pumps:
            pump.side.receive_data(data, self.now_us)
            pump.handle()
            for out in pump.side.data_to_send(self.now_us):
                self.at(self.now_us + 1_000, lambda data=out.data: self.to_driver(data))

    def to_driver(self, data: bytes) -> None:
        if not self.cut:
            self.driver.receive_data(data, self.now_us)
            self.service()

    def run(self, duration_us: int) -> None:
        end_us = self.now_us + duration_us
        while True:
            timer_us = self.driver.next_timer()
            action_us = self._queue[0][0] if self._queue else None
            due = [t for t in (timer_us, action_us) if t is not None]
            if not due or min(due) > end_us:
                break
            self.now_us = max(self.now_us, min(due))
            if action_us is not None and action_us <= self.now_us:
                heapq.heappop(self._queue)[2]()
            else:
                self.driver.handle_timer(self.now_us)
                self.service()
        self.now_us = end_us


def line_config(count: int = 1, *, nozzles: int = 2, price: int = 750, **more: Any) -> LineConfig:
    points = [
        {
            "fuelling_point": k + 1,
            "address": ADDRESS + k,
            "block": k + 1,
            "nozzles": [
                {"nozzle": 10 * (k + 1) + n, "logical": n, "grade": "92", "price_fen_per_l": price}
                for n in range(1, nozzles + 1)
            ],
        }
        for k in range(count)
    ]
    settings: dict[str, Any] = {"protocol": "dart", "baud": 19200, "fuelling_points": points} | more
    return LineConfig.model_validate(settings)


@pytest.fixture
def fake() -> Any:
    """The classes above, for test modules that cannot import a conftest."""

    class Fake:
        Pump = FakePump
        Line = FakeLine
        config = staticmethod(line_config)

    return Fake


@pytest.fixture(params=["dart", "modbus"])
def world(request: pytest.FixtureRequest) -> Any:
    """Makes site controllers with all that they need, on DART and on Modbus."""
    from .site_world import World

    made = []

    def make(**settings: Any) -> World:
        made.append(World(protocol=request.param, **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()
