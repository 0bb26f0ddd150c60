"""A complete fill through the Two-Wire driver and the simulated head: the same bytes, events and times on every wire.

The modelled bus is the measure. Over TCP and over a pty the clock is held at the instants that the bus would have had, and
real bytes travel through the operating system in between.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

import pytest

from reference.site.config import LineConfig
from reference.site.pumps.events import LiveAmount, NozzleLifted, SaleCaptured
from reference.site.pumps.twowire.driver import TwoWireDriver
from sim.dispenser import Dispenser, FuellingPoint, Nozzle, Tank, TwoWireDispenser
from sim.kernel import VirtualKernel
from sim.wires import Capture, PtyHost, VirtualBus, serve_machine_tcp

S = 1_000_000
END_US = 40 * S
BAUD, BITS = 5787, 11

Exchange = Callable[[bytes, int], Awaitable[bytes]]


def burst_us(data: bytes) -> int:
    return -(-len(data) * BITS * S // BAUD)


class Station:
    """A pump with two nozzles, its driver, and one customer."""

    def __init__(self) -> None:
        nozzles = [
            Nozzle(
                logical=logical,
                nozzle_id=logical,
                grade=grade,
                tank=Tank(logical, grade),
                price_fen_per_l=760 + logical,
            )
            for logical, grade in ((1, "92"), (2, "95"))
        ]
        self.point = FuellingPoint(1, nozzles)
        self.pump_events: list[object] = []
        self.point.listeners.append(self.pump_events.append)
        self.device = TwoWireDispenser(Dispenser([self.point]), {1: self.point})
        config = {
            "protocol": "twowire",
            "baud": BAUD,
            "fuelling_points": [
                {
                    "fuelling_point": 1,
                    "address": 1,
                    "nozzles": [
                        {"nozzle": n, "logical": n, "grade": g, "price_fen_per_l": 760 + n}
                        for n, g in ((1, "92"), (2, "95"))
                    ],
                }
            ],
        }
        self.driver = TwoWireDriver(LineConfig.model_validate(config))
        self.driver.listener = self.hear
        self.events: list[object] = []
        self.talk: list[tuple[str, bytes]] = []
        self.hands: list[tuple[int, Callable[[int], object]]] = [
            (5 * S + 123, lambda now_us: self.point.lift(2, now_us)),
            (10 * S + 7, lambda now_us: self.point.squeeze(now_us, 33_000)),
            (30 * S + 11, self.point.hang_up),
        ]

    def hear(self, event: object) -> None:
        self.events.append(event)
        if isinstance(event, NozzleLifted):
            assert self.driver.authorise(1, event.nozzle, preset_fen=5_000)

    def result(self) -> tuple[object, ...]:
        return self.talk, self.events, self.pump_events


def on_the_bus() -> Station:
    station = Station()
    kernel = VirtualKernel("wires", epoch_us=0)
    capture = Capture("line")
    bus = VirtualBus(kernel, "line", baud=BAUD, bits_per_char=BITS, capture=capture)
    bus.attach(station.driver, name="site", master=True)
    bus.attach(station.device, name="pump")
    for at_us, act in station.hands:
        kernel.call_at(at_us, act, at_us)
    kernel.run(END_US)
    kernel.close()
    station.talk = [(frame.sender, frame.data) for frame in capture]
    return station


class HeldClock:
    def __init__(self) -> None:
        self.now_us = 0

    def __call__(self) -> int:
        return self.now_us


async def play(
    station: Station, clock: HeldClock, expected: list[tuple[str, bytes]], exchange: Exchange
) -> None:
    """Run the driver at the bus's instants; each burst of it goes over the wire, and what comes back, to it."""
    answers = [len(after[1]) if after[0] == "pump" else 0 for after in [*expected[1:], ("site", b"")]]
    turn = iter([length for (who, _), length in zip(expected, answers, strict=True) if who == "site"])
    driver, hands = station.driver, list(station.hands)
    while True:
        due_us = driver.next_timer()
        assert due_us is not None
        if hands and hands[0][0] <= due_us:
            clock.now_us, act = hands.pop(0)
            act(clock.now_us)
            continue
        if due_us >= END_US:
            return
        clock.now_us = due_us
        driver.handle_timer(due_us)
        while bursts := driver.data_to_send(clock.now_us):
            for burst in bursts:
                start_us = max(clock.now_us, burst.not_before_us)
                station.talk.append(("site", burst.data))
                clock.now_us = start_us + burst_us(burst.data)
                while hands and hands[0][0] <= clock.now_us:
                    at_us, act = hands.pop(0)
                    act(at_us)
                answer = await asyncio.wait_for(exchange(burst.data, next(turn)), 10)
                if answer:
                    station.talk.append(("pump", answer))
                    clock.now_us += burst_us(answer)
                    driver.receive_data(answer, clock.now_us)


def spied(station: Station) -> asyncio.Event:
    """Set each time the pump has heard something."""
    heard, taken = station.device.receive_data, asyncio.Event()

    def spy(data: bytes, now_us: int) -> None:
        heard(data, now_us)
        taken.set()

    station.device.receive_data = spy  # type: ignore[method-assign]
    return taken


async def over_tcp(expected: list[tuple[str, bytes]]) -> Station:
    station, clock = Station(), HeldClock()
    taken = spied(station)
    server = await serve_machine_tcp(lambda: station.device, "127.0.0.1", 0, clock)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)

    async def exchange(data: bytes, length: int) -> bytes:
        taken.clear()
        writer.write(data)
        await taken.wait()
        return await reader.readexactly(length)

    await play(station, clock, expected, exchange)
    writer.write_eof()
    assert await reader.read() == b"", "the pump said more than it was asked for"
    writer.close()
    await writer.wait_closed()
    await server.aclose()
    return station


async def over_a_pty(expected: list[tuple[str, bytes]]) -> Station:
    station, clock = Station(), HeldClock()
    taken = spied(station)
    host = PtyHost(station.device, clock, baud=10_000_000)
    fd = os.open(await host.start(), os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    loop = asyncio.get_running_loop()
    received = bytearray()
    loop.add_reader(fd, lambda: received.extend(os.read(fd, 4096)))

    async def exchange(data: bytes, length: int) -> bytes:
        received.clear()
        taken.clear()
        os.write(fd, data)
        await taken.wait()
        held_us = clock.now_us
        while len(received) < length:
            clock.now_us += 10  # writes are paced: the clock has to move for the bytes to leave
            host.stream.pump()
            await asyncio.sleep(0)
        clock.now_us = held_us
        return bytes(received)

    try:
        await play(station, clock, expected, exchange)
    finally:
        loop.remove_reader(fd)
        os.close(fd)
        host.stream.stop()
    return station


@pytest.mark.parametrize("wire", [over_tcp, over_a_pty])
def test_a_complete_fill_is_the_same_on_every_wire(wire: Callable[..., Awaitable[Station]]) -> None:
    measure = on_the_bus()
    (sale,) = (event for event in measure.events if isinstance(event, SaleCaptured))
    assert (sale.nozzle, sale.amount_fen) == (2, measure.point.last_delivery.amount_fen)
    assert 4_990 < sale.amount_fen <= 5_000
    assert sum(isinstance(event, LiveAmount) for event in measure.events) > 20
    station = asyncio.run(wire(measure.talk))  # type: ignore[arg-type]
    assert station.talk == measure.talk
    assert station.events == measure.events
    assert station.pump_events == measure.pump_events
