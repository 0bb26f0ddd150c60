"""pyserial opens our ptys with the parity of a real line, sets time-outs while it is open, and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest
import serial

from sim.printer import Printer, PrinterPty
from sim.printer.profile import PROFILES
from sim.wires import PtyHost, PtyPair


class Listener:
    """A machine that only listens."""

    on_wake: Callable[[], None] | None = None

    def __init__(self) -> None:
        self.heard = b""

    def receive_data(self, data: bytes, now_us: int) -> None:
        self.heard += data

    def data_to_send(self, now_us: int) -> list:
        return []

    def next_timer(self) -> int | None:
        return None

    def handle_timer(self, now_us: int) -> None:
        pass


async def forgotten(path: str) -> None:
    """Wait until the flag that the last caller has set is cleared again."""
    with Path(path).open("rb", buffering=0) as peer:
        async with asyncio.timeout(10):
            while termios.tcgetattr(peer.fileno())[2] & termios.CLOCAL:
                await asyncio.sleep(0)


async def opened_as_a_driver_does(path: str, parity: str, bits: int) -> None:
    line = serial.Serial(path, 9600, parity=parity, bytesize=bits, timeout=1)
    line.write(b"hi")
    await forgotten(path)
    line.timeout = 2  # pyserial sets all attributes again
    await forgotten(path)
    line.close()


@pytest.mark.skipif(sys.platform != "linux", reason="packet mode is Linux's")
@pytest.mark.parametrize(("parity", "bits"), [("O", 8), ("E", 8), ("O", 7), ("N", 8)])
def test_a_driver_opens_a_pty_with_its_parity_as_often_as_it_likes(parity: str, bits: int) -> None:
    async def run() -> None:
        machine = Listener()
        host = PtyHost(machine, lambda: 0, baud=9600)
        path = str(await host.start())
        try:
            for _ in range(3):
                await opened_as_a_driver_does(path, parity, bits)
            assert machine.heard == b"hi" * 3
        finally:
            await host.aclose()

    asyncio.run(run())


@pytest.mark.skipif(sys.platform != "linux", reason="packet mode is Linux's")
def test_so_does_the_printers_pty_and_none_of_its_bytes_are_of_the_terminal() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        printer = Printer(PROFILES["chinese-58mm-serial"])
        host = PrinterPty(printer, lambda: int(loop.time() * 1_000_000), baud=115_200)
        path = str(await host.start())
        try:
            for _ in range(3):
                await opened_as_a_driver_does(path, "E", 8)
            with serial.Serial(path, 115_200, parity="E", timeout=1) as line:
                line.write(b"\n")
            async with asyncio.timeout(10):
                while (paper := printer.unfinished) is None or paper.text.strip() != "hihihi":
                    await asyncio.sleep(0.005)
            assert not printer.surprises
        finally:
            await host.aclose()

    asyncio.run(run())


async def what_comes(pty: PtyPair, count: int) -> bytes:
    """So many bytes from the peer."""
    came = b""
    async with asyncio.timeout(10):
        while len(came) < count:
            with contextlib.suppress(BlockingIOError):
                came += pty.read(100)
            await asyncio.sleep(0)
    return came


async def told_of(pty: PtyPair, *, extproc: bool) -> None:
    """Wait until the pty has taken notice of what the peer has set."""
    async with asyncio.timeout(10):
        while bool(termios.tcgetattr(pty.peer_fd)[3] & 0o200000) is not extproc:
            with contextlib.suppress(BlockingIOError):
                pty.read(100)
            await asyncio.sleep(0)


@pytest.mark.skipif(sys.platform != "linux", reason="packet mode is Linux's")
def test_a_driver_that_uses_xon_and_xoff_is_stopped_by_them_and_never_reads_them() -> None:
    async def run() -> None:
        pty = PtyPair()
        try:
            with serial.Serial(str(pty.path), 9600, xonxoff=True, timeout=1) as line:
                await told_of(pty, extproc=False)
                os.write(pty.fd, b"\x13ab")
                assert line.read(2) == b"ab"
                with pytest.raises(BlockingIOError):
                    os.write(line.fileno(), b"kept")
                os.write(pty.fd, b"\x11")
                line.write(b"sent")
                assert await what_comes(pty, 4) == b"sent"
            with serial.Serial(str(pty.path), 9600, timeout=1) as line:
                await told_of(pty, extproc=True)
                os.write(pty.fd, b"\x13\x11")
                assert line.read(2) == b"\x13\x11"
        finally:
            pty.close()

    asyncio.run(run())


def test_closing_twice_is_harmless() -> None:
    async def run() -> None:
        pty = PtyPair()
        pty.close()
        pty.close()

    asyncio.run(run())
