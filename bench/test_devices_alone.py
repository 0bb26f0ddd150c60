"""Devices alone, without backend and people: the dispensers of ``kunming-peak`` on their lines, polled by the site's drivers.

Three ways, side by side in one process: every byte taken apart, idle exchanges carried in one step (what every run does,
see `sim.wires.carried`), idle polls left out. Each at rest, and with fills at the pace of the peak (240 an hour), because
a station where nothing at all happens says little. Shown as times of real time and as CPU microseconds an exchange; run
it with ``-s`` to see the table, the figures are also in ``--benchmark-json`` under ``extra_info``.
"""

# ruff: noqa: S101, T201 - a test that shows a table

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Any, Final

import pytest

from protocols.modbus import rtu_silence_us
from reference.site import make_driver
from reference.site.pumps.events import NozzleLifted, SaleCaptured
from scenarios.loader import load
from scenarios.model import Line
from scenarios.world.equipment import build_equipment
from scenarios.world.translate import site_config
from sim.kernel import Trace, VirtualKernel
from sim.wires import Capture, VirtualBus

pytestmark = pytest.mark.bench

_S: Final = 1_000_000
_POLL_CHARACTERS: Final = {"dart": 3, "modbus": 8}
_BITS_PER_CHARACTER: Final = {"dart": 11, "modbus": 10}
_FLOW_ML_PER_MIN: Final = 35_000
_FILLS_AN_HOUR: Final = 240

GOAL: Final = 50_000
"""Times of real time, at rest and with idle polls left out."""


@dataclass(frozen=True, slots=True)
class _Cost:
    times_real_time: float
    us_an_exchange: float
    sales: list[SaleCaptured]


class _Station:
    """The lines of the scenario, each with its driver and its dispensers; a lifted nozzle is authorised at once."""

    def __init__(self, *, skip: bool, carry: bool) -> None:
        station = load("kunming-peak").scenario.station
        self.kernel = VirtualKernel(1, epoch_us=0, trace=Trace(enabled=False))
        self.equipment = build_equipment(station)
        self.sales: list[SaleCaptured] = []
        self.captures: list[Capture] = []
        self.exchanges_a_s = 0
        for line, config in zip(station.lines, site_config(station).lines, strict=True):
            driver: Any = make_driver(config, clock_us=lambda: self.kernel.now_us)
            driver.listener = self._listener(driver)
            self.exchanges_a_s += len(config.fuelling_points) * _S // config.period_us
            self._wire(line, driver, skip=skip)
            if not carry:
                driver.carry = None

    def _listener(self, driver: Any) -> Any:
        def listen(event: Any) -> None:
            if isinstance(event, NozzleLifted):
                driver.authorise(event.fuelling_point, None)
            elif isinstance(event, SaleCaptured):
                self.sales.append(event)

        return listen

    def _wire(self, line: Line, driver: Any, *, skip: bool) -> None:
        bits = _BITS_PER_CHARACTER[line.protocol]
        capture = None if skip else Capture(line.name)  # every burst that is sent is recorded
        self.captures += [capture] if capture is not None else []
        bus = VirtualBus(
            self.kernel,
            line.name,
            baud=line.baud,
            bits_per_char=bits,
            skip_idle_polls=skip,
            capture=capture,
        )
        lead_us = bus.burst_us(_POLL_CHARACTERS[line.protocol])
        if line.protocol == "modbus":
            lead_us += rtu_silence_us(line.baud)
        bus.attach(driver, name="site", master=True, poll_lead_us=lead_us)
        for cabinet in self.equipment.on_line(line.name):
            bus.attach(cabinet.machine, name=cabinet.name, addresses=cabinet.addresses)

    def fill(self, seconds: int) -> None:
        """Plan fills of 40 to 60 s, evenly drawn over points and time; a point in use turns the next customer away."""
        rng = random.Random("fills")
        points = list(self.equipment.points.values())
        for _ in range(seconds * _FILLS_AN_HOUR // 3600):
            point = rng.choice(points)
            at_us = rng.randrange(10 * _S, (seconds - 90) * _S)
            self.kernel.call_at(at_us, self._begin, point, rng.randrange(40 * _S, 60 * _S))

    def _begin(self, point: Any, takes_us: int) -> None:
        if point.nozzle_out is not None:
            return
        call_later = self.kernel.call_later
        point.lift(1, self.kernel.now_us)
        call_later(3 * _S, lambda: point.squeeze(self.kernel.now_us, _FLOW_ML_PER_MIN))
        call_later(takes_us, lambda: point.release(self.kernel.now_us))
        call_later(takes_us + 2 * _S, lambda: point.hang_up(self.kernel.now_us))

    def cost(self, seconds: int) -> _Cost:
        """Let the drivers find their pumps first; what is measured begins after five seconds."""
        self.kernel.run(5 * _S)
        started = time.process_time()
        self.kernel.run(seconds * _S)
        # What rested is made up for when somebody looks.
        recorded = sum(capture.count for capture in self.captures)
        cpu_s = time.process_time() - started
        self.kernel.close()
        exchanges = self.exchanges_a_s * (seconds - 5)
        assert not self.captures or recorded > 1.9 * exchanges
        return _Cost((seconds - 5) / cpu_s, cpu_s * 1e6 / exchanges, self.sales)


def _run(seconds: int, *, skip: bool = False, carry: bool = True, fills: bool = False) -> _Cost:
    station = _Station(skip=skip, carry=carry)
    if fills:
        station.fill(seconds)
    return station.cost(seconds)


@pytest.mark.benchmark(group="devices alone")
def test_devices_alone(benchmark: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The three ways sell the same; only the goal for devices at rest, idle polls left out, is judged."""
    costs = {
        "every byte taken apart, at rest": _run(300, carry=False),
        "idle exchanges carried, at rest": _run(900),
        "every byte taken apart, 240 fills/h": _run(1800, carry=False, fills=True),
        "idle exchanges carried, 240 fills/h": _run(1800, fills=True),
        "idle polls left out, 240 fills/h": _run(1800, skip=True, fills=True),
    }
    at_rest = benchmark.pedantic(_run, args=(24 * 3600,), kwargs={"skip": True}, rounds=1, iterations=1)
    costs["idle polls left out, at rest"] = at_rest
    rows = []
    for name, cost in costs.items():
        benchmark.extra_info[name] = {
            "times_real_time": round(cost.times_real_time),
            "us_an_exchange": round(cost.us_an_exchange, 2),
        }
        rows.append(
            f"{name:<36} {cost.times_real_time:>12,.0f} x real time  {cost.us_an_exchange:8.2f} us CPU an exchange"
        )
    with capsys.disabled():
        print("\n" + "\n".join(rows))
    sold = [cost.sales for name, cost in costs.items() if "fills" in name]
    assert len(sold[0]) > 60
    assert sold[0] == sold[1] == sold[2]
    assert at_rest.times_real_time > GOAL
