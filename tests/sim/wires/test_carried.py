"""A line whose idle exchanges are carried is the line on which every byte is taken apart: same frames, same instants."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import pytest

from reference.site import LineConfig, make_driver
from reference.site.pumps.events import NozzleLifted
from sim.dispenser import DartDispenser, Dispenser, FuellingPoint, ModbusDispenser, Nozzle, Tank
from sim.kernel import Trace, VirtualKernel
from sim.wires import Capture, VirtualBus, WireFault

S = 1_000_000
PRICES = (760, 812)
FAULTS = (
    WireFault(kind="drop", at_us=40 * S, for_us=10 * S, probability=0.05),
    WireFault(kind="flip", at_us=70 * S, for_us=10 * S, probability=0.05),
    WireFault(kind="noise", at_us=100 * S, for_us=20 * S, every_us=300_000),
    WireFault(kind="glue", at_us=140 * S, for_us=5 * S, probability=0.05),
)


@dataclass(frozen=True)
class Heard:
    """What one run of a line left behind."""

    frames: list[Any]
    events: list[Any]
    journals: list[Any]
    trace_hash: str
    kernel_events: int
    collisions: int


def make_dispenser(number: int) -> Dispenser:
    tank = Tank(1, "92")
    nozzles = [
        Nozzle(logical=at, nozzle_id=10 * number + at, grade="92", tank=tank, price_fen_per_l=price)
        for at, price in enumerate(PRICES, start=1)
    ]
    return Dispenser([FuellingPoint(number, nozzles)])


class Line:
    """A controller's driver and two dispensers on one bus; each point is served as soon as its nozzle is out."""

    def __init__(
        self, protocol: str, *, carried: bool, faults: tuple[WireFault, ...] = (), captured: bool = True
    ) -> None:
        self.kernel = VirtualKernel("carried", epoch_us=0, trace=Trace())
        addresses = {"dart": (0x50, 0x51), "modbus": (1, 2)}[protocol]
        config = LineConfig.model_validate(
            {
                "name": "line",
                "protocol": protocol,
                "framing": "rtu",
                "baud": 19_200,
                "fuelling_points": [
                    {
                        "fuelling_point": number,
                        "address": address,
                        "nozzles": [
                            {
                                "nozzle": 10 * number + at,
                                "logical": at,
                                "grade": "92",
                                "price_fen_per_l": price,
                            }
                            for at, price in enumerate(PRICES, start=1)
                        ],
                    }
                    for number, address in enumerate(addresses, start=1)
                ],
            }
        )
        self.events: list[Any] = []
        self.driver: Any = make_driver(config, clock_us=lambda: self.kernel.now_us)
        self.driver.listener = self.hear
        self.capture = Capture("line")
        self.bus = VirtualBus(
            self.kernel, "line", baud=19_200, faults=faults, capture=self.capture if captured else None
        )
        self.bus.attach(self.driver, name="site", master=True)
        if not carried:
            self.driver.carry = None
        self.dispensers = [make_dispenser(number) for number in (1, 2)]
        self.machines: list[Any] = []
        for dispenser, address in zip(self.dispensers, addresses, strict=True):
            (point,) = dispenser.fuelling_points.values()
            machine: Any
            if protocol == "dart":
                machine = DartDispenser(dispenser, {address: point})
            else:
                machine = ModbusDispenser(dispenser, address, framing="rtu", baud=19_200)
            self.machines.append(machine)
            self.bus.attach(machine, name=f"D{address}", addresses=[address])

    def hear(self, event: Any) -> None:
        self.events.append(event)
        if isinstance(event, NozzleLifted):
            self.driver.authorise(event.fuelling_point, None, preset_ml=5_000)

    def act(self, what: str, number: int) -> None:
        now_us = self.kernel.now_us
        dispenser = self.dispensers[number - 1]
        (point,) = dispenser.fuelling_points.values()
        match what:
            case "lift":
                point.lift(1, now_us)
            case "squeeze":
                point.squeeze(now_us, 40_000)
            case "release":
                point.release(now_us)
            case "hang up":
                point.hang_up(now_us)
            case "cut":
                dispenser.cut_power(now_us)
            case "restore":
                dispenser.restore_power(now_us)
            case "prices":
                self.driver.set_prices(number, {10 * number + 1: 700 + now_us % 90})
            case _:
                self.driver.stop(number)

    def run(self, until_us: int) -> Heard:
        self.kernel.run(until_us)
        heard = Heard(
            frames=list(self.capture),
            events=self.events,
            journals=[point.journal for d in self.dispensers for point in d.fuelling_points.values()],
            trace_hash=self.kernel.trace.hexdigest(),
            kernel_events=next(self.kernel.env._eid),
            collisions=self.bus.collisions,
        )
        self.kernel.close()
        return heard


def script(seed: int, until_us: int) -> list[tuple[int, str, int]]:
    """A busy forecourt: customers in no order, and now and then a command, a price change, a power cut."""
    rng = random.Random(seed)
    acts: list[tuple[int, str, int]] = []
    for number in (1, 2):
        at_us = rng.randrange(10 * S)
        while at_us < until_us - 20 * S:
            for what in ("lift", "squeeze", "release", "hang up"):
                acts.append((at_us, what, number))
                at_us += rng.randrange(50_000, 6 * S)
            match rng.randrange(6):
                case 0:
                    acts += [(at_us, "cut", number), (at_us + rng.randrange(9 * S), "restore", number)]
                case 1:
                    acts.append((at_us + rng.randrange(S), "prices", number))
                case 2:
                    acts.append((at_us - rng.randrange(8 * S), "stop", number))
            at_us += rng.randrange(12 * S)
    return sorted(acts)


def both(protocol: str, acts: list[tuple[int, str, int]], until_us: int, **more: Any) -> tuple[Heard, Heard]:
    runs = []
    for carried in (True, False):
        line = Line(protocol, carried=carried, **more)
        for at_us, what, number in acts:
            line.kernel.call_at(max(0, at_us), line.act, what, number)
        runs.append(line.run(until_us))
    return runs[0], runs[1]


def assert_same(carried: Heard, full: Heard) -> None:
    assert carried.frames == full.frames
    assert carried.events == full.events
    assert carried.journals == full.journals
    assert carried.trace_hash == full.trace_hash
    assert carried.collisions == full.collisions


@pytest.mark.parametrize("protocol", ["dart", "modbus"])
@pytest.mark.parametrize("seed", range(3))
def test_a_busy_line_is_the_same_to_the_byte_and_the_microsecond(protocol: str, seed: int) -> None:
    carried, full = both(protocol, script(seed, 150 * S), 150 * S)
    assert_same(carried, full)
    assert sum(len(journal) for journal in full.journals) > 5
    assert carried.kernel_events < 0.8 * full.kernel_events


@pytest.mark.parametrize("protocol", ["dart", "modbus"])
def test_faults_strike_the_same_frames(protocol: str) -> None:
    carried, full = both(protocol, script(7, 150 * S), 150 * S, faults=FAULTS)
    assert_same(carried, full)
    assert {note.split("+")[0] for frame in full.frames if (note := frame.note)} >= {"drop", "flip", "noise"}
    assert carried.kernel_events < 0.9 * full.kernel_events


@pytest.mark.parametrize("protocol", ["dart", "modbus"])
@pytest.mark.parametrize("what", ["lift", "cut", "prices"])
def test_whatever_happens_during_an_exchange_finds_it_on_the_wire(protocol: str, what: str) -> None:
    # Slots begin each 125 ms; a DART exchange at 19,200 baud takes 3.4 ms, a Modbus one some 90 ms.
    ends_us = {"dart": 4_000, "modbus": 95_000}[protocol]
    for offset_us in (-1, 0, 1, *range(2, ends_us, ends_us // 23)):
        at_us = 6 * S + 125_000 + offset_us
        carried, full = both(protocol, [(at_us, what, 2)], 7 * S)
        assert_same(carried, full)


@pytest.mark.parametrize("protocol", ["dart", "modbus"])
def test_a_capture_read_in_the_middle_holds_what_has_passed(protocol: str) -> None:
    counts = []
    for carried in (True, False):
        line = Line(protocol, carried=carried)
        seen = []
        for until_us in range(5 * S, 5 * S + 300_000, 1_777):
            line.kernel.run(until_us)
            seen.append((line.capture.count, [frame.t_us for frame in line.capture][-1]))
        counts.append(seen)
        line.kernel.close()
    assert counts[0] == counts[1]


@pytest.mark.parametrize("protocol", ["dart", "modbus"])
def test_an_idle_line_rests_and_every_exchange_stands_in_the_capture(protocol: str) -> None:
    carried, full = both(protocol, [], 60 * S)
    assert_same(carried, full)
    exchanges = 60 * 8
    assert len(carried.frames) > 1.9 * exchanges
    assert carried.kernel_events < 0.2 * exchanges
    assert full.kernel_events > 2.8 * exchanges


@pytest.mark.parametrize("protocol", ["dart", "modbus"])
def test_without_a_capture_the_line_is_the_same(protocol: str) -> None:
    """Then exchanges are not made up for one by one, but by whole rounds."""
    runs = []
    for carried in (True, False):
        line = Line(protocol, carried=carried, captured=False)
        for at_us, what, number in script(11, 150 * S):
            line.kernel.call_at(max(0, at_us), line.act, what, number)
        looks = []
        for until_us in range(7 * S, 150 * S, 3_777_777):
            line.kernel.run(until_us)
            looks.append([line.driver.status(number) for number in (1, 2)])
        runs.append((looks, line.driver.overruns, line.run(151 * S)))
    assert runs[0][:2] == runs[1][:2]
    assert_same(runs[0][2], runs[1][2])
    assert sum(len(journal) for journal in runs[1][2].journals) > 5


def test_both_ends_remember_when_they_last_heard_each_other() -> None:
    """As on the ordinary line, whatever ended the rest. Looked at between two slots, when no exchange is under way."""
    for at_us in range(9 * S, 9 * S + 500_000, 31_313):
        heard = []
        for carried in (True, False):
            line = Line("dart", carried=carried, captured=False)
            line.kernel.call_at(at_us, line.act, "lift", 1)
            line.kernel.run(at_us // 125_000 * 125_000 + 240_000)
            ends = [line.driver._wire, *(machine._side for machine in line.machines)]
            heard.append([end.connection(address).heard_us for end in ends for address in end.addresses])
            line.kernel.close()
        assert heard[0] == heard[1]


def test_a_device_that_cannot_tell_beforehand_is_asked_each_time(scripted: Any) -> None:
    line = Line("dart", carried=True)
    line.bus.attach(scripted(), name="analyser")
    heard = line.run(10 * S)
    assert heard.kernel_events > 2.8 * 80
