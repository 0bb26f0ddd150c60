"""A printer on a port or a pty for a client in another process, and a way to wait for what it does."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import zxingcpp
from PIL import Image

from sim.printer import (
    Printer,
    PrinterEvent,
    PrinterProfile,
    PrinterPty,
    Receipt,
    ReceiptEnded,
    receipt_png,
    serve_printer_tcp,
)

FAST = PrinterProfile("fast", speed_mm_s=100_000, cut_us=100, start_up_us=100)
"""Paper at a hundred metres a second: these tests are about bytes."""


class PrinterPeer:
    """A printer and its events; ``where`` is a port or a path."""

    def __init__(self, printer: Printer, events: asyncio.Queue[PrinterEvent], where: str) -> None:
        self.printer = printer
        self.where = where
        self.seen: list[PrinterEvent] = []
        self._events = events

    async def receipt(self) -> Receipt:
        """The next receipt."""
        async with asyncio.timeout(30):
            while True:
                event = await self._events.get()
                self.seen.append(event)
                if isinstance(event, ReceiptEnded):
                    return event.receipt


@asynccontextmanager
async def printer_on_tcp(profile: PrinterProfile = FAST) -> AsyncIterator[PrinterPeer]:
    events: asyncio.Queue[PrinterEvent] = asyncio.Queue()
    printer = Printer(profile, events.put_nowait)
    server = await serve_printer_tcp(printer, "127.0.0.1", 0, _clock())
    try:
        yield PrinterPeer(printer, events, str(server.port))
    finally:
        await server.aclose()


@asynccontextmanager
async def printer_on_pty(
    profile: PrinterProfile = FAST, *, baud: int = 115_200
) -> AsyncIterator[PrinterPeer]:
    events: asyncio.Queue[PrinterEvent] = asyncio.Queue()
    printer = Printer(profile, events.put_nowait)
    line = PrinterPty(printer, _clock(), baud=baud)
    try:
        yield PrinterPeer(printer, events, str(await line.start()))
    finally:
        await line.aclose()


def _clock():
    start_ns = time.monotonic_ns()
    return lambda: (time.monotonic_ns() - start_ns) // 1000


def symbols(receipt: Receipt) -> dict[str, str]:
    """What a reader finds in the picture of a receipt: text by kind of symbol."""
    image = Image.open(io.BytesIO(receipt_png(receipt))).convert("L")
    return {symbol.format.name: symbol.text for symbol in zxingcpp.read_barcodes(image)}
