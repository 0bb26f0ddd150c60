"""A DART controller that shares nothing with protocols/dart, written from captured frames, sells at the simulated pump.

Its frames are compared with the published ones before it may speak. Sources of the frames and rules:
moduslightstech-lgtm/intelipump (captures and laboratory notes), alejomonroy/Full-Colombia-Wayne (Protocolo_Wayne.h) and
dimoskar/ASFuelControlV1 (live logs).
"""

from __future__ import annotations

import asyncio
import os
import time
import tty
from collections.abc import Awaitable, Callable

import pytest

from sim.dispenser import DartDispenser, Dispenser
from sim.wires import PtyHost, serve_machine_tcp

S = 1_000_000
ADDRESS = 0x50


def checksum(data: bytes) -> bytes:
    """CRC-16 bit by bit: polynomial A001 (8005 reflected), start 0, low byte first."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return bytes((crc & 0xFF, crc >> 8))


def frame(address: int, number: int, block: bytes) -> bytes:
    body = bytes((address, 0x30 | number)) + block
    return (body + checksum(body)).replace(b"\xfa", b"\x10\xfa") + b"\x03\xfa"


@pytest.mark.parametrize(
    "published",
    [
        "51 30 65 01 01 22 83 03 FA",
        "51 3D 65 10 01 00 00 00 00 02 00 00 00 00 02 00 00 00 00 00 58 F8 03 FA",
        "51 3A 02 08 00 00 00 00 00 00 00 00 03 04 00 11 75 01 01 01 05 60 27 03 FA",
        "50 30 05 06 00 11 75 00 11 75 DA C7 03 FA",
        "50 34 02 02 01 02 01 01 05 70 ED 03 FA",
        "51 36 01 01 06 22 16 03 FA",
        "51 35 03 04 99 99 99 99 04 89 03 FA",
        "52 3C 05 09 00 12 34 00 56 78 00 26 53 A9 46 03 FA",
        "50 37 02 08 00 00 00 87 00 00 01 00 56 30 03 FA",
        "53 30 02 08 00 00 03 21 00 00 00 50 03 04 00 15 59 00 01 01 05 2B B1 03 FA",
    ],
)
def test_this_client_frames_as_published(published: str) -> None:
    wire = bytes.fromhex(published)
    assert frame(wire[0], wire[1] & 0x0F, wire[2:-4]) == wire


class Controller:
    """Polls one address and gives commands; knows frames, transactions and BCD, nothing else.

    A careless one numbers all its blocks 0 and acknowledges all the pump's as 0, as one live driver does (dimoskar/ASFuelControlV1).
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[bytes]],
        write: Callable[[bytes], None],
        *,
        is_careless: bool = False,
    ) -> None:
        self._read, self._write = read, write
        self._is_careless = is_careless
        self._unread = b""
        self._number = 0
        self.status: int | None = None
        self.statuses: list[int] = []
        self.price_units = self.nozzle = 0
        self.is_out = False
        self.filled: list[tuple[int, int]] = []
        self.total_units: int | None = None

    async def _frame(self) -> bytes:
        """The next frame, its escapes undone."""
        while True:
            for at, byte in enumerate(self._unread):
                if byte == 0xFA and (at == 0 or self._unread[at - 1] != 0x10):
                    wire, self._unread = self._unread[: at + 1], self._unread[at + 1 :]
                    return wire.replace(b"\x10\xfa", b"\xfa")
            self._unread += await asyncio.wait_for(self._read(), 10)

    async def command(self, block: bytes) -> None:
        """Send a block; the pump has to acknowledge its number."""
        self._write(frame(ADDRESS, self._number, block))
        assert await self._frame() == bytes((ADDRESS, 0xC0 | self._number, 0xFA))
        if not self._is_careless:
            self._number = self._number % 15 + 1  # 0 means "restarted"

    async def poll(self) -> None:
        """Poll until there is nothing more to say."""
        while True:
            self._write(bytes((ADDRESS, 0x20, 0xFA)))
            answer = await self._frame()
            if answer == bytes((ADDRESS, 0x70, 0xFA)):
                return
            assert answer[0] == ADDRESS
            assert answer[1] & 0xF0 == 0x30
            assert checksum(answer[:-4]) == answer[-4:-2]
            assert answer[-2:] == b"\x03\xfa"
            number = 0 if self._is_careless else answer[1] & 0x0F
            self._write(bytes((ADDRESS, 0xC0 | number, 0xFA)))
            self._take(answer[2:-4])

    def _take(self, block: bytes) -> None:
        while block:
            kind, length, data = block[0], block[1], block[2 : 2 + block[1]]
            assert len(data) == length
            block = block[2 + length :]
            if kind == 1:
                self.status = data[0]
                self.statuses.append(data[0])
            elif kind == 2:
                self.filled.append((int(data[:4].hex()), int(data[4:].hex())))
            elif kind == 3:
                self.price_units = int(data[:3].hex())
                self.nozzle, self.is_out = data[3] & 0x0F, bool(data[3] & 0x10)
            elif kind == 0x65:
                self.total_units = int(data[1:6].hex())


class Bench:
    """A pump whose clock runs, because hosts pace by it, and which the test moves on besides."""

    def __init__(self, point) -> None:
        self.point = point
        self.dispenser = Dispenser([point])
        self.device = DartDispenser(self.dispenser, {ADDRESS: point})
        self._ahead_us = 0

    def clock(self) -> int:
        return time.monotonic_ns() // 1000 + self._ahead_us

    def wait(self, by_us: int) -> None:
        self._ahead_us += by_us
        self.device.handle_timer(self.clock())


async def sell(bench: Bench, controller: Controller) -> None:
    point = bench.point
    await controller.poll()
    await controller.command(bytes.fromhex("05 06 000760 000812"))  # unit prices of nozzles 1 and 2
    await controller.command(bytes.fromhex("01 01 00"))  # the status is told when it changes or is asked for
    await controller.poll()
    assert controller.status == 5
    point.lift(2, bench.clock())
    await controller.poll()
    assert (controller.nozzle, controller.is_out, controller.price_units) == (2, True, 812)
    await controller.command(bytes.fromhex("01 01 06"))  # not allowed in 5: acknowledged, and nothing happens
    await controller.command(bytes.fromhex("01 01 00"))
    await controller.poll()
    assert controller.status == 5
    await controller.command(bytes.fromhex("01 01 05"))  # RESET clears presets, so they come after it
    await controller.poll()
    assert controller.status == 1
    await controller.command(bytes.fromhex("02 01 02  03 04 00 00 30 00"))  # nozzle 2, 30.00 L
    await controller.command(bytes.fromhex("01 01 06"))
    await controller.poll()
    assert controller.status == 2
    controller.filled.clear()
    point.squeeze(bench.clock(), 33_000)
    for _ in range(20):
        bench.wait(4 * S)
        await controller.poll()
    assert controller.statuses[-2:] == [4, 6]  # filling, then the preset was reached
    running = controller.filled
    assert len(running) > 10
    assert running == sorted(running)
    assert running[-1] == (3_000, 24_360)
    point.hang_up(bench.clock())
    await controller.poll()
    assert (controller.status, controller.is_out) == (5, False)
    await controller.command(bytes.fromhex("01 01 04"))  # the filling can be read again
    await controller.poll()
    assert controller.filled[-1] == (3_000, 24_360)
    await controller.command(bytes.fromhex("65 01 02"))
    await controller.poll()
    (sale,) = point.journal
    assert (sale.volume_ml, sale.amount_fen) == (30_000, 24_360)
    assert controller.total_units == sale.end_total_volume_ml // 10
    for _ in range(16):  # the numbers go round
        await controller.command(bytes.fromhex("01 01 00"))
        await controller.poll()


async def damaged(controller: Controller) -> None:
    controller._write(bytes.fromhex("50 37 01 01 06 1D 3D 03 FA"))  # published as wrong
    assert await controller._frame() == bytes.fromhex("50 57 FA")


@pytest.mark.parametrize("is_careless", [False, True], ids=["numbers", "always-0"])
def test_a_whole_sale_over_tcp(point, is_careless: bool) -> None:
    async def run() -> None:
        bench = Bench(point)
        server = await serve_machine_tcp(lambda: bench.device, "127.0.0.1", 0, bench.clock)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            controller = Controller(lambda: reader.read(4096), writer.write, is_careless=is_careless)
            await sell(bench, controller)
            await damaged(controller)
        finally:
            writer.close()
            await server.aclose()

    asyncio.run(run())


def test_a_whole_sale_over_a_pty(point) -> None:
    async def run() -> None:
        bench = Bench(point)
        host = PtyHost(bench.device, bench.clock, baud=19_200)
        path = await host.start()
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(fd)
        loop = asyncio.get_running_loop()
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        loop.add_reader(fd, lambda: heard.put_nowait(os.read(fd, 4096)))
        try:
            controller = Controller(heard.get, lambda data: os.write(fd, data))
            await sell(bench, controller)
            await damaged(controller)
        finally:
            loop.remove_reader(fd)
            os.close(fd)
            await host.aclose()

    asyncio.run(run())
