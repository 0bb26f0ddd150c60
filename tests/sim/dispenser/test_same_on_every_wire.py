"""One script of hands and requests, on a modelled wire, over TCP and over a pty: the same bytes, the same events."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, fields

import pytest

from protocols import aaff
from protocols.dart import (
    AllowedNozzles,
    Command,
    CommandCode,
    Control,
    PresetVolume,
    TotalsRequest,
    encode_block,
    encode_control,
    encode_data,
)
from protocols.modbus import Command as ModbusCommand
from protocols.modbus import Frame, acknowledge_write, command_write, point_read, tcp_frame
from protocols.sansio import Machine, Outgoing
from sim.dispenser import AaFfDispenser, DartDispenser, Dispenser, FpEvent, FuellingPoint, ModbusDispenser
from sim.kernel import VirtualKernel
from sim.wires import PtyHost, VirtualBus, VirtualLink, serve_machine_tcp

S = 1_000_000
A = 0x50
UNIT = 5


@dataclass(frozen=True)
class Hand:
    at_us: int
    act: Callable[[FuellingPoint, int], object]


@dataclass(frozen=True)
class Ask:
    at_us: int
    data: bytes


@dataclass
class Run:
    replies: list[bytes]
    events: list[FpEvent]


def dart_script() -> list[Hand | Ask]:
    def frame(tx: int, *transactions) -> bytes:
        return encode_data(A, tx, encode_block(transactions))

    poll = encode_control(A, Control.POLL)

    def ack(tx: int) -> bytes:
        return encode_control(A, Control.ACK, tx)

    return [
        Hand(1 * S, lambda point, now_us: point.lift(1, now_us)),
        Ask(2 * S, poll),
        Ask(3 * S, ack(0)),
        Ask(4 * S, frame(0, Command(code=CommandCode.RESET))),
        Ask(5 * S, frame(1, AllowedNozzles(nozzles=(1,)), PresetVolume(volume_units=300))),
        Ask(6 * S, frame(2, Command(code=CommandCode.AUTHORISE))),
        # A bad checksum and a foreign address in between.
        Ask(6 * S + 100_000, frame(3, Command(code=CommandCode.STOP))[:-4] + b"\x00\x00\x03\xfa"),
        Ask(6 * S + 200_000, encode_control(A + 1, Control.POLL)),
        Ask(7 * S, poll),
        Ask(8 * S, ack(1)),
        Hand(9 * S, lambda point, now_us: point.squeeze(now_us, 33_000)),
        Ask(11 * S + 5_000, poll),
        Ask(12 * S, poll),
        Ask(13 * S, ack(2)),
        Ask(30 * S, poll),
        Ask(31 * S, ack(3)),
        Hand(32 * S, lambda point, now_us: point.hang_up(now_us)),
        Ask(33 * S, poll + poll),
        Ask(34 * S, ack(4)),
        Ask(35 * S, frame(3, TotalsRequest(counter=1))),
        Ask(36 * S, poll),
    ]


def modbus_script() -> list[Hand | Ask]:
    def read(tid: int) -> bytes:
        address, count = point_read(1)
        return tcp_frame(
            Frame(UNIT, tid, bytes((3,)) + address.to_bytes(2, "big") + count.to_bytes(2, "big"))
        )

    def write(tid: int, where: tuple[int, list[int]]) -> bytes:
        address, registers = where
        words = b"".join(word.to_bytes(2, "big") for word in registers)
        head = (
            bytes((16,))
            + address.to_bytes(2, "big")
            + len(registers).to_bytes(2, "big")
            + bytes((len(words),))
        )
        return tcp_frame(Frame(UNIT, tid, head + words))

    return [
        Ask(1 * S, read(1)),
        Hand(2 * S, lambda point, now_us: point.lift(1, now_us)),
        Ask(
            3 * S,
            read(2)
            + write(3, command_write(1, ModbusCommand.AUTHORISE, token=4, preset_fen=3_000))
            + read(4),
        ),
        Hand(4 * S, lambda point, now_us: point.squeeze(now_us, 33_000)),
        Ask(6 * S + 5_000, read(5)),
        Ask(7 * S, tcp_frame(Frame(9, 6, b"\x63")) + tcp_frame(Frame(UNIT, 7, b"\x63"))),
        Hand(30 * S, lambda point, now_us: point.hang_up(now_us)),
        Ask(31 * S, read(8) + write(9, acknowledge_write(1, 1)) + read(10)),
    ]


def aaff_script() -> list[Hand | Ask]:
    def frame(message) -> bytes:
        return aaff.encode_frame(aaff.Direction.TO_PUMP, message.command, 1, message.encode())

    poll = frame(aaff.Poll(time=bytes(6)))
    ack = frame(aaff.RecordAck(1))
    return [
        Ask(1 * S, poll),
        Hand(2 * S, lambda point, now_us: point.lift(1, now_us)),
        Ask(3 * S, poll),
        Ask(4 * S, frame(aaff.Authorise(aaff.AuthoriseType.AMOUNT, 22_80))),
        # Damage, another gun, an unknown command and two polls at once in between.
        Ask(4 * S + 100_000, frame(aaff.Stop())[:-3] + b"\x00\xcc\xff"),
        Ask(4 * S + 200_000, aaff.encode_frame(aaff.Direction.TO_PUMP, 0x51, 2, bytes(16))),
        Ask(4 * S + 300_000, frame(aaff.Raw(0x71, bytes(108))) + poll[:9]),
        Ask(4 * S + 400_000, poll + poll),
        Hand(5 * S, lambda point, now_us: point.squeeze(now_us, 33_000)),
        Ask(7 * S + 5_000, poll),
        Ask(8 * S, frame(aaff.TotalsRequest())),
        Ask(30 * S, poll),
        Ask(31 * S, poll + ack[:7]),
        Ask(32 * S, ack),
        Hand(33 * S, lambda point, now_us: point.hang_up(now_us)),
        Ask(34 * S, poll + frame(aaff.Fetch(1)) + frame(aaff.TotalsRequest())),
    ]


SCRIPTS: dict[str, Callable[[], list[Hand | Ask]]] = {
    "aaff": aaff_script,
    "dart": dart_script,
    "modbus": modbus_script,
}


class Device:
    def __init__(self, protocol: str, point: FuellingPoint) -> None:
        self.point = point
        self.events: list[FpEvent] = []
        point.listeners.append(self.events.append)
        dispenser = Dispenser([point])
        self.machine: Machine
        if protocol == "aaff":
            self.machine = AaFfDispenser(dispenser, {1: point})
        elif protocol == "dart":
            self.machine = DartDispenser(dispenser, {A: point})
        else:
            self.machine = ModbusDispenser(dispenser, UNIT)


def run_direct(script: list[Hand | Ask], device: Device) -> Run:
    replies = []
    for step in script:
        if isinstance(step, Hand):
            step.act(device.point, step.at_us)
        else:
            device.machine.receive_data(step.data, step.at_us)
            replies.append(b"".join(burst.data for burst in device.machine.data_to_send(step.at_us)))
    return Run(replies, device.events)


class Asker:
    """The other end of a modelled wire: sends each request at its time, files what comes back under it."""

    def __init__(self, script: list[Hand | Ask]) -> None:
        self.on_wake: Callable[[], None] | None = None
        self._asks = [step for step in script if isinstance(step, Ask)]
        self._due: list[Outgoing] = []
        self.replies: list[bytes] = []

    def receive_data(self, data: bytes, now_us: int) -> None:
        self.replies[-1] += data

    def data_to_send(self, now_us: int) -> list[Outgoing]:
        due, self._due = self._due, []
        return due

    def next_timer(self) -> int | None:
        return self._asks[0].at_us if self._asks else None

    def handle_timer(self, now_us: int) -> None:
        while self._asks and self._asks[0].at_us <= now_us:
            self._due.append(Outgoing(self._asks.pop(0).data, now_us))
            self.replies.append(b"")


def run_virtual(protocol: str, script: list[Hand | Ask], device: Device) -> Run:
    kernel = VirtualKernel("wires", epoch_us=0)
    asker = Asker(script)
    if protocol != "modbus":
        bus = VirtualBus(kernel, "line", baud=10_000_000)
        bus.attach(asker, name="controller", master=True)
        bus.attach(device.machine, name="pump")
    else:
        VirtualLink(kernel, "line", asker, device.machine, latency_us=10)
    for step in script:
        if isinstance(step, Hand):
            kernel.call_at(step.at_us, step.act, device.point, step.at_us)
    kernel.run(40 * S)
    kernel.close()
    return Run(asker.replies, device.events)


class HeldClock:
    def __init__(self) -> None:
        self.now_us = 0

    def __call__(self) -> int:
        return self.now_us


async def play(script, device: Device, clock: HeldClock, expected: list[bytes], ask) -> Run:
    """Hold the clock at each step's time; wait for as many bytes as the direct run gave, then look for more."""
    replies = []
    lengths = iter([len(reply) for reply in expected])
    for step in script:
        clock.now_us = step.at_us
        if isinstance(step, Hand):
            step.act(device.point, step.at_us)
        else:
            replies.append(await asyncio.wait_for(ask(step.data, next(lengths)), 10))
    return Run(replies, device.events)


async def run_tcp(script, device: Device, expected: list[bytes]) -> Run:
    clock = HeldClock()
    server = await serve_machine_tcp(lambda: device.machine, "127.0.0.1", 0, clock)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)

    async def ask(data: bytes, length: int) -> bytes:
        heard = device.machine.receive_data
        taken = asyncio.Event()

        def spy(piece: bytes, now_us: int) -> None:
            heard(piece, now_us)
            taken.set()

        device.machine.receive_data = spy  # type: ignore[method-assign]
        writer.write(data)
        await taken.wait()
        device.machine.receive_data = heard  # type: ignore[method-assign]
        return await reader.readexactly(length)

    run = await play(script, device, clock, expected, ask)
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    await server.aclose()
    return run


async def run_pty(script, device: Device, expected: list[bytes]) -> Run:
    clock = HeldClock()
    host = PtyHost(device.machine, clock, baud=10_000_000)
    fd = os.open(await host.start(), os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    loop = asyncio.get_running_loop()
    received = bytearray()
    news = asyncio.Event()
    heard = device.machine.receive_data

    def readable() -> None:
        received.extend(os.read(fd, 4096))
        news.set()

    def spy(piece: bytes, now_us: int) -> None:
        heard(piece, now_us)
        news.set()

    device.machine.receive_data = spy  # type: ignore[method-assign]
    loop.add_reader(fd, readable)

    async def ask(data: bytes, length: int) -> bytes:
        received.clear()
        news.clear()
        os.write(fd, data)
        await news.wait()
        while len(received) < length:
            # Writes are paced: with the clock held, it has to be moved for the bytes to leave.
            clock.now_us += 100
            host.stream.pump()
            await asyncio.sleep(0)
        return bytes(received)

    try:
        return await play(script, device, clock, expected, ask)
    finally:
        loop.remove_reader(fd)
        os.close(fd)
        host.stream.stop()


def told(event: FpEvent) -> tuple:
    return type(event), *(
        getattr(event, field.name) for field in fields(event) if field.name not in {"at_us", "delivery"}
    )


@pytest.mark.parametrize(
    ("protocol", "medium"),
    [
        *((protocol, medium) for protocol in ("aaff", "dart") for medium in ("virtual", "tcp", "pty")),
        ("modbus", "virtual"),
        ("modbus", "tcp"),
    ],
)
def test_the_same_script_gives_the_same_bytes_and_events(make_point, protocol: str, medium: str) -> None:
    script = SCRIPTS[protocol]()
    prices = (760,) if protocol == "aaff" else (760, 812)
    direct = run_direct(script, Device(protocol, make_point(prices=prices)))
    assert sum(map(bool, direct.replies)) >= 5
    device = Device(protocol, make_point(prices=prices))
    if medium == "virtual":
        run = run_virtual(protocol, script, device)
    elif medium == "tcp":
        run = asyncio.run(run_tcp(script, device, direct.replies))
    else:
        run = asyncio.run(run_pty(script, device, direct.replies))
    assert run.replies == direct.replies
    assert [told(event) for event in run.events] == [told(event) for event in direct.events]
    # Only the time that the bytes themselves take on the wire may differ.
    assert all(
        0 <= one.at_us - other.at_us < 1_000 for one, other in zip(run.events, direct.events, strict=True)
    )
    assert device.point.journal[-1].volume_ml == (3_940 if protocol == "modbus" else 3_000)
