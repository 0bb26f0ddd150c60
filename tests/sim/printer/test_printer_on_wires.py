"""One job on a virtual link, on TCP and on a pty: the same bytes back, the same paper."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from protocols.escpos import ReceiptContent, completion_query, receipt_bytes, status_query
from protocols.sansio import Outgoing
from sim.kernel import VirtualKernel
from sim.printer import Printer, PrinterProfile, Receipt, serve_printer_tcp
from sim.wires import PtyHost, SerialHost, VirtualLink, connect_machine_tcp

FAST = PrinterProfile("fast", speed_mm_s=100_000, cut_us=100)
Outcome = tuple[bytes, list[tuple[object, ...]]]


class Sender:
    """Asks for the status, sends a receipt, and waits until it is confirmed."""

    def __init__(self, job: bytes) -> None:
        self.on_wake: Callable[[], None] | None = None
        self.heard = b""
        self._out = [status_query()]
        self._job = job

    @property
    def is_done(self) -> bool:
        return len(self.heard) == 5

    def receive_data(self, data: bytes, now_us: int) -> None:
        asked = len(self.heard) < 4
        self.heard += data
        if asked and len(self.heard) >= 4:
            self._out.append(self._job + completion_query())

    def data_to_send(self, now_us: int) -> list[Outgoing]:
        out, self._out = self._out, []
        return [Outgoing(data) for data in out]

    def next_timer(self) -> int | None:
        return None

    def handle_timer(self, now_us: int) -> None:
        return None


def clock() -> int:
    return time.monotonic_ns() // 1000


def outcome(sender: Sender, receipts: list[Receipt]) -> Outcome:
    return sender.heard, [(receipt.lines, receipt.end, receipt.interruptions) for receipt in receipts]


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not done():
            await asyncio.sleep(0.001)


def on_virtual_link(job: bytes) -> Outcome:
    kernel = VirtualKernel("printer", epoch_us=0)
    sender, printer = Sender(job), Printer(FAST)
    VirtualLink(kernel, "paper", sender, printer, latency_us=1_000, bytes_per_s=11_520)
    kernel.run()
    kernel.close()
    return outcome(sender, printer.receipts)


def on_tcp(job: bytes) -> Outcome:
    async def play() -> Outcome:
        sender, printer = Sender(job), Printer(FAST)
        server = await serve_printer_tcp(printer, "127.0.0.1", 0, clock)
        client = await connect_machine_tcp(sender, "127.0.0.1", server.port, clock)
        await until(lambda: sender.is_done)
        await client.aclose()
        await server.aclose()
        return outcome(sender, printer.receipts)

    return asyncio.run(play())


def on_pty(job: bytes) -> Outcome:
    async def play() -> Outcome:
        sender, printer = Sender(job), Printer(FAST)
        pty = PtyHost(printer, clock, baud=115_200)
        serial = SerialHost(sender, clock, path=await pty.start(), baud=115_200, is_paced=True)
        await serial.start()
        await until(lambda: sender.is_done)
        await serial.aclose()
        await pty.aclose()
        return outcome(sender, printer.receipts)

    return asyncio.run(play())


def test_bytes_and_paper_are_the_same_on_every_wire(content: ReceiptContent) -> None:
    job = receipt_bytes(content)
    heard, receipts = on_virtual_link(job)
    assert heard == b"\x12\x12\x12\x12\x00"
    assert len(receipts) == 1
    assert on_tcp(job) == (heard, receipts)
    assert on_pty(job) == (heard, receipts)
