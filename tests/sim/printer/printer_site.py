"""A printer on a loopback port, driven by the wall clock or by hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from sim.printer import (
    BlankLine,
    Printer,
    PrinterEvent,
    PrinterProfile,
    PrinterServer,
    RasterLine,
    Receipt,
    TextLine,
    serve_printer_tcp,
)

FAST = PrinterProfile("fast", speed_mm_s=100_000, cut_us=100, start_up_us=100)
"""Paper at a hundred metres a second: the tests are about bytes."""

ENDLESS = PrinterProfile("endless", speed_mm_s=10**9, cut_us=1, roll_mm=10**9)
"""Paper faster than any network."""


_PICTURES = 160
BIG_JOB = (
    b"".join(b"%06d\n\x1dv0\x00\x48\x00\x18\x00" % n + bytes((n,)) * (72 * 24) for n in range(_PICTURES))
    + b"\x1dVB\x00"
)
"""Numbered lines, each with a picture under it: 280 KB, which the kernel's own memory cannot hold."""


def assert_big_job(receipt: Receipt) -> None:
    """Every line and every dot, once."""
    lines = [line for line in receipt.lines if not isinstance(line, BlankLine)]
    shown = ["".join(cell.char for cell in line.cells) for line in lines if isinstance(line, TextLine)]
    assert shown == [f"{n:06d}" for n in range(_PICTURES)]
    bands = [line.rows for line in lines if isinstance(line, RasterLine)]
    assert bands == [(bytes((n,)) * 72,) * 24 for n in range(_PICTURES)]


class Clock:
    """The wall clock, or one that is moved by hand."""

    def __init__(self) -> None:
        self._start_ns = time.monotonic_ns()
        self.ahead_us = 0

    def __call__(self) -> int:
        return (time.monotonic_ns() - self._start_ns) // 1000 + self.ahead_us


class Site:
    """A printer on a loopback port, and a way to wait for what it does instead of sleeping."""

    def __init__(self, server: PrinterServer, events: asyncio.Queue[PrinterEvent], clock: Clock) -> None:
        self.server = server
        self.printer = server.printer
        self.clock = clock
        self._events = events

    async def until(self, wanted: type[PrinterEvent]) -> Any:
        async with asyncio.timeout(30):
            while True:
                event = await self._events.get()
                if isinstance(event, wanted):
                    return event

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.server.port)

    def later(self, us: int) -> None:
        """Let so much time pass at once."""
        self.clock.ahead_us += us
        self.server.pump()


async def true(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


@asynccontextmanager
async def site(profile: PrinterProfile = FAST) -> AsyncIterator[Site]:
    events: asyncio.Queue[PrinterEvent] = asyncio.Queue()
    clock = Clock()
    printer = Printer(profile, events.put_nowait)
    server = await serve_printer_tcp(printer, "127.0.0.1", 0, clock)
    try:
        yield Site(server, events, clock)
    finally:
        await server.aclose()
