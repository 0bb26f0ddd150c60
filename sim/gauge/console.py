"""The console: measures its tanks again and again, raises alarms, and answers commands. It knows no wire."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

from protocols.tls import (
    ETX,
    NOT_UNDERSTOOD,
    Command,
    TankAlarm,
    computer_reply,
    display_reply,
    display_time,
)

from .alarms import AlarmBoard
from .answer import Answer
from .probe import Measured, TankSource
from .reports import REPORTS
from .setup import TankSetup
from .units import METRIC, Units
from .watch import DeliveryWatch, LeakWatch, Snapshot

__all__ = ["GaugeConsole"]

_SCAN_US: Final = 10_000_000
_FRESH_US: Final = 1_000_000
_FIGURES: Final = frozenset({"I201", "I214", "I21A"})
_HYSTERESIS: Final = 200
"""An alarm goes when its limit is undercut by a 200th of the tank, so that a ripple does not make it flutter."""


class GaugeConsole:
    """An automatic tank gauge of the TLS-350 family.

    Any number of ports (`GaugePort`) may stand on one console; whichever is driven first at an instant lets it measure.

    Args:
        source: the probes.
        setups: the tanks by number.
        clock: the console's local time at an instant of the run.
        units: of reports; function 517 changes them.
        security_code: six characters that each command must carry; empty for none.
        headers: up to four lines of at most 20 characters.
        scan_us: how often the tanks are measured.
        software: number and date of the software, as function 902 tells them.
        has_bir: whether the console reconciles with what the pumps drew (function 21B).
        delivery_delay_us: a delivery has ended when nothing rises for so long.

    Attributes:
        setups, alarms, deliveries, leak_tests: what it knows, by tank number where it is a mapping.
        on_alarm: told (tank, alarm number, whether it is active) at each change.
        is_powered: without power it measures and answers nothing.
    """

    def __init__(
        self,
        source: TankSource,
        setups: Mapping[int, TankSetup],
        *,
        clock: Callable[[int], datetime],
        units: Units = METRIC,
        security_code: str = "",
        headers: Iterable[str] = (),
        scan_us: int = _SCAN_US,
        software: tuple[str, str] = ("346330-100-B", "26.02.16.08.00"),
        has_bir: bool = False,
    ) -> None:
        if not setups or not all(1 <= number <= 16 for number in setups):
            raise ValueError("a console has one to 16 tanks, numbered from 1")
        if security_code and len(security_code) != 6:
            raise ValueError("a security code has six characters")
        self.source = source
        self.setups = dict(sorted(setups.items()))
        self.units = units
        self.language = "01"
        self.security_code = security_code
        self.stored_code = security_code or "000000"
        self.headers = [*headers, "", "", "", ""][:4]
        self.software = software
        self.has_bir = has_bir
        self.is_powered = True
        self.etx = ETX
        self.alarms = AlarmBoard()
        self.deliveries = {n: DeliveryWatch() for n in self.setups}
        self.leak_tests = {n: LeakWatch() for n in self.setups}
        self.shift_starts: dict[int, Snapshot] = {}
        self.latest: dict[int, Snapshot] = {}
        self.silent: set[int] = set()
        self.on_alarm: Callable[[int, int, bool], None] | None = None
        self.next_scan_us = 0
        self._scanned_us = 0
        self._scan_us = scan_us
        self._clock = clock
        self._clock_off = timedelta()

    # --- time ---------------------------------------------------------------------------------------------------

    def time(self, now_us: int) -> datetime:
        """The console's clock, which need not be right."""
        return self._clock(now_us) + self._clock_off

    def set_time(self, at: datetime, now_us: int) -> None:
        """Set the clock (function S501)."""
        self._clock_off = at - self._clock(now_us)

    # --- measuring ----------------------------------------------------------------------------------------------

    def scan(self, now_us: int, *, is_asked: bool = False) -> None:
        """Measure all tanks if it is time to; for a host that asks for figures they are not older than a second."""
        due_us = min(self.next_scan_us, self._scanned_us + _FRESH_US) if is_asked else self.next_scan_us
        if not self.is_powered or now_us < due_us:
            return
        self._scanned_us = now_us
        self.next_scan_us = (now_us // self._scan_us + 1) * self._scan_us
        at = self.time(now_us)
        for number, setup in self.setups.items():
            if setup.is_on:
                self._measure(number, setup, at, now_us)

    def _measure(self, number: int, setup: TankSetup, at: datetime, now_us: int) -> None:
        measured = self.source.measure(number, now_us)
        self._set(TankAlarm.PROBE_OUT, number, at, is_active=measured is None)
        if measured is None:
            self.silent.add(number)
            return
        self.silent.discard(number)
        snapshot = Snapshot(now_us, at, measured, self.source.drawn_ml(number))
        self.latest[number] = snapshot
        start = self.shift_starts.setdefault(number, snapshot)
        if start.at.date() != at.date():
            self.shift_starts[number] = snapshot
        test = self.leak_tests[number]
        if not self.is_invalid(number):
            self.deliveries[number].see(snapshot)
            test.see(snapshot)
        self._judge(number, setup, measured, at)

    def is_invalid(self, number: int) -> bool:
        """Whether the float rests on the bottom, so that its height says nothing (or the probe is silent)."""
        seen = self.latest.get(number)
        if seen is None or number in self.silent:
            return True
        return seen.measured.height_um < self.setups[number].invalid_um

    def _judge(self, number: int, setup: TankSetup, measured: Measured, at: datetime) -> None:
        fuel_ml, water_um = measured.fuel_ml, measured.water_um
        invalid = self.is_invalid(number)
        test = self.leak_tests[number]
        lost_ml = test.lost_ml
        slack_ml = setup.capacity_ml // _HYSTERESIS
        self._set(TankAlarm.INVALID_LEVEL, number, at, is_active=invalid)
        for kind, limit_ml in (
            (TankAlarm.OVERFILL, setup.overfill_ml),
            (TankAlarm.HIGH_PRODUCT, setup.high_ml),
            (TankAlarm.MAXIMUM_PRODUCT, setup.maximum_ml),
        ):
            self._set(
                kind,
                number,
                at,
                is_active=self._beyond(kind, number, fuel_ml, limit_ml, slack_ml) and not invalid,
            )
        low = self._beyond(TankAlarm.LOW_PRODUCT, number, -fuel_ml, -setup.low_ml, slack_ml)
        self._set(TankAlarm.LOW_PRODUCT, number, at, is_active=low or invalid)
        for kind, limit_um in (
            (TankAlarm.HIGH_WATER, setup.high_water_um),
            (TankAlarm.HIGH_WATER_WARNING, setup.water_warning_um),
        ):
            self._set(kind, number, at, is_active=water_um >= limit_um)
        running = test.running is not None
        self._set(TankAlarm.LEAK_TEST_ACTIVE, number, at, is_active=running)
        self._set(TankAlarm.LEAK, number, at, is_active=running and lost_ml >= setup.leak_ml)
        self._set(TankAlarm.SUDDEN_LOSS, number, at, is_active=running and lost_ml >= setup.sudden_loss_ml)

    def _beyond(self, kind: int, number: int, value: int, limit: int, slack: int) -> bool:
        is_active = kind in self.alarms.of_tank(number)
        return value >= limit - (slack if is_active else 0)

    def _set(self, kind: TankAlarm, number: int, at: datetime, *, is_active: bool) -> None:
        if self.alarms.set(kind, number, at, is_active=is_active) and self.on_alarm is not None:
            self.on_alarm(number, int(kind), is_active)

    # --- what the operator and the host do ----------------------------------------------------------------------

    def cut_power(self) -> None:
        """The mains fail."""
        self.is_powered = False

    def restore_power(self, now_us: int) -> None:
        """The mains are back; measuring begins at once."""
        self.is_powered = True
        self.next_scan_us = now_us

    def reset(self, now_us: int) -> None:
        """Start again (function S001): set-up and histories stay, running tests and deliveries do not."""
        for number in self.setups:
            self.leak_tests[number].running = None
        self.next_scan_us = now_us
        self.scan(now_us)

    def tanks(self, device: int) -> list[int]:
        """The tanks that a device number means; 0 all that are on. An unknown number stands for itself."""
        return [n for n, setup in self.setups.items() if setup.is_on] if device == 0 else [device]

    def answer(self, command: Command, now_us: int) -> bytes:
        """The reply to a command."""
        self.scan(now_us, is_asked=command.function in _FIGURES)
        report = REPORTS.get(command.function)
        device = command.device
        answer: Answer | None = None
        if report is not None and device is not None and command.code[0] in "IiSs":
            answer = report(self, command, device, now_us)
        if answer is None:
            return NOT_UNDERSTOOD
        at = self.time(now_us)
        if not command.is_display:
            return computer_reply(command.code, at, answer.data, etx=self.etx)
        headers = [line for line in self.headers if line] if answer.has_headers else []
        lines = [
            command.code + answer.echo,
            display_time(at),
            "",
            *headers,
            *([""] if headers else []),
            *answer.lines,
        ]
        return display_reply(lines, etx=self.etx)
