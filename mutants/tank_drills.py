"""Drills of the tank gauge and of the tank account behind it."""

from __future__ import annotations

from datetime import datetime, timedelta

from mutants.checks import said
from reference.backend.tanks import account as tank_account
from reference.site.gauge.config import GaugeConfig
from reference.site.gauge.reader import GaugeEvent, GaugeRead, GaugeReader
from scenarios.verdicts import CheckResult
from sim.gauge import METRIC, US, GaugeConsole, GaugePort, Measured, TankSetup
from sim.tanks import StrappingTable, usual_cylinder

__all__ = ["tanker", "winter"]

_CAPACITY_ML = 30_000_000
_SECOND = 1_000_000
_START = datetime(2026, 1, 6, 7, 0)  # noqa: DTZ001 - a console tells its local time, without an offset
_GAUGE = {"tanks": [{"tank": 1, "grade": "diesel", "capacity_ml": _CAPACITY_ML}], "period_us": 1_000_000}


class _Cold:
    """A tank whose temperature the drill sets."""

    def __init__(self) -> None:
        self.temperature_mdeg = 0

    def measure(self, tank: int, now_us: int) -> Measured | None:
        """What the probe says."""
        del tank, now_us
        return Measured(12_000_000, 12_000_000, 18_000_000, 1_000_000, 0, 0, self.temperature_mdeg)

    def table(self, tank: int) -> StrappingTable:
        """Its shape."""
        del tank
        return usual_cylinder(_CAPACITY_ML)

    def recalibrate(self, tank: int, table: StrappingTable) -> None:
        """Nothing to change."""

    def set_expansion(self, tank: int, ppm_per_deg: int) -> None:
        """Nothing to change."""

    def drawn_ml(self, tank: int) -> int:
        """Nobody sells."""
        del tank
        return 0


def winter() -> list[CheckResult]:
    """The gauge is read while the tank goes from -40 to 60 degrees, in metric and in US units."""
    problems = []
    for units in (METRIC, US):
        cold = _Cold()
        console = GaugeConsole(
            cold,
            {1: TankSetup(_CAPACITY_ML, "DIESEL", "1")},
            clock=lambda now_us: _START + timedelta(microseconds=now_us),
            units=units,
            scan_us=_SECOND,
        )
        port = GaugePort(console)
        reader = GaugeReader(GaugeConfig.model_validate(_GAUGE))
        heard: list[GaugeEvent] = []
        reader.listener = heard.append
        now_us = 0
        for degrees in range(-40, 61, 4):
            cold.temperature_mdeg = degrees * 1_000 + 500
            heard.clear()
            for _ in range(4):
                now_us = _round(reader, port, now_us)
            last = heard[-1] if heard else None
            told = last.tanks[0].temperature_mdeg if isinstance(last, GaugeRead) else None
            if told is None or abs(told - cold.temperature_mdeg) > 60:
                problems.append(f"{cold.temperature_mdeg} m°C are read as {told} m°C")
    return [said("drill.temperature", problems, "26 temperatures in both units are read as they are")]


def _round(reader: GaugeReader, port: GaugePort, now_us: int) -> int:
    """One period of the reader; returns when it ends."""
    end_us = now_us + _SECOND
    while True:
        timers = [timer for timer in (reader.next_timer(), port.next_timer()) if timer is not None]
        if not timers or min(timers) >= end_us:
            return end_us
        now_us = max(now_us, min(timers))
        for machine, other in ((reader, port), (port, reader)):
            timer = machine.next_timer()
            if timer is not None and timer <= now_us:
                machine.handle_timer(now_us)
            for out in machine.data_to_send(now_us):
                other.receive_data(out.data, now_us)
            for out in other.data_to_send(now_us):
                machine.receive_data(out.data, now_us)


def tanker() -> list[CheckResult]:
    """A tanker delivers 18,000 l in two parts with five minutes between them, while the pumps sell."""
    account, limits = tank_account.Account(), tank_account.Limits()
    booked = []
    poured_ml = drawn_ml = 0
    for reading in range(120):
        minute = reading // 2
        drawn_ml += 15_000
        if 10 <= minute < 20 or 25 <= minute < 35:
            poured_ml += 450_000
        tank = tank_account.GroupReading(
            reading * 30 * _SECOND, 6_000_000 + poured_ml - drawn_ml, drawn_ml, "pumps"
        )
        found = tank_account.advance(account, tank, limits)
        if found.booked is not None:
            booked.append(found.booked)
    problems = []
    if len(booked) != 1:
        problems.append(f"booked {len(booked)} times: {[part.volume_ml for part in booked]} ml")
    total_ml = sum(part.volume_ml for part in booked)
    if abs(total_ml - poured_ml) * 100 > poured_ml:
        problems.append(f"{poured_ml} ml were delivered, {total_ml} ml are booked")
    return [said("drill.tanker-once", problems, f"{poured_ml} ml delivered and booked, once")]
