"""The printer on a serial line: the line's speed, DTR and XON/XOFF, and unmodified python-escpos through pyserial."""

from __future__ import annotations

import asyncio
import io
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar

import pytest
import serial
import zxingcpp
from escpos.printer import Serial
from PIL import Image

from protocols.escpos import ReceiptContent, receipt_bytes
from protocols.sansio import Outgoing
from sim.kernel import VirtualKernel
from sim.printer import EPSON_80MM_SERIAL, PROFILES, Printer, PrinterProfile, PrinterPty, Receipt, receipt_png
from sim.wires import VirtualLink

from .printer_rig import Rig
from .printer_site import BIG_JOB, Clock, assert_big_job, true

T = TypeVar("T")
CUT = b"\x1dVB\x00"
FAST_LINE = replace(PROFILES["chinese-58mm-serial"], speed_mm_s=100_000, width_dots=576)
KIOSK = PROFILES["chinese-58mm-serial"]


class Line:
    """A printer behind a pty."""

    def __init__(self, printer: Printer, path: str) -> None:
        self.printer = printer
        self.path = path

    async def receipt(self, number: int = 1) -> Receipt:
        await true(lambda: len(self.printer.receipts) >= number)
        return self.printer.receipts[number - 1]

    async def peer(self, work: Callable[[Serial], T], **options: Any) -> T:
        """Run unmodified python-escpos, which blocks, beside the printer."""

        def run() -> T:
            # Its status calls wait for 16 bytes, so they always run into this limit.
            device = Serial(self.path, baudrate=9600, timeout=0.4, **options)
            try:
                return work(device)
            finally:
                device.close()

        return await asyncio.to_thread(run)


@asynccontextmanager
async def line(profile: PrinterProfile = FAST_LINE, baud: int = 115_200) -> AsyncIterator[Line]:
    printer = Printer(profile)
    pty = PrinterPty(printer, Clock(), baud=baud)
    try:
        yield Line(printer, str(await pty.start()))
    finally:
        await pty.aclose()


def symbols(receipt: Receipt) -> dict[str, str]:
    image = Image.open(io.BytesIO(receipt_png(receipt))).convert("L")
    return {symbol.format.name: symbol.text for symbol in zxingcpp.read_barcodes(image)}


def test_python_escpos_prints_a_chinese_receipt_on_a_serial_line_and_reads_its_status() -> None:
    def job(device: Serial) -> tuple[bool, int]:
        device.set_with_default(align="center", bold=True)
        device._raw("昆明北站加油站".encode("gb18030") + b"\n")  # as its users send Chinese: bare bytes
        device.set_with_default()
        device.textln("95# 12.29 L")
        device.qr("https://example.invalid/invoice?o=107", native=True, size=6)
        device.cut()
        return device.is_online(), device.paper_status()

    async def main() -> None:
        async with line() as here:
            assert await here.peer(job) == (True, 2)
            receipt = await here.receipt()
            assert [text.strip() for text in receipt.text.splitlines()][:2] == [
                "昆明北站加油站",
                "95# 12.29 L",
            ]
            assert symbols(receipt) == {"QRCode": "https://example.invalid/invoice?o=107"}
            here.printer.paper_out()
            assert await here.peer(lambda device: (device.is_online(), device.paper_status())) == (False, 0)
            here.printer.load_paper()
            here.printer.open_cover()
            assert await here.peer(lambda device: (device.is_online(), device.paper_status())) == (False, 2)

    asyncio.run(main())


def test_the_line_brings_no_more_bytes_than_its_speed_allows() -> None:
    """At 9,600 Bd a byte takes 1.04 ms: 480 of them half a second, whatever the paper does."""

    async def main() -> None:
        async with line(replace(FAST_LINE, chinese=None), baud=9600) as here:
            job = b"x" * 476 + CUT
            start_s = time.monotonic()
            await here.peer(lambda device: device._raw(job))
            receipt = await here.receipt()
            taken_s = time.monotonic() - start_s
            assert sum(len(cells) for cells in receipt.cells) == 476
            assert taken_s >= 480 * 10 / 9600

    asyncio.run(main())


def many_lines(count: int) -> bytes:
    return b"".join(b"%04d %s\n" % (n, b"x" * 25) for n in range(count)) + CUT


def numbers(receipt: Receipt) -> list[str]:
    return [text[:4] for text in receipt.text.splitlines()]


def push(descriptor: int, data: bytes, *, quiet_s: float = 0.4) -> int:
    """Write without waiting until nothing has been taken for a while; returns how much was taken."""
    os.set_blocking(descriptor, False)
    sent, since = 0, time.monotonic()
    while sent < len(data) and time.monotonic() - since < quiet_s:
        try:
            sent += os.write(descriptor, data[sent : sent + 256])
            since = time.monotonic()
        except BlockingIOError:
            time.sleep(0.005)
    return sent


def finish(descriptor: int, data: bytes) -> None:
    os.set_blocking(descriptor, True)
    while data:
        data = data[os.write(descriptor, data) :]


@pytest.mark.parametrize(
    ("profile", "options"),
    [
        (replace(FAST_LINE, handshake="dtr", receive_buffer_bytes=1024), {"dsrdtr": True}),
        (replace(FAST_LINE, handshake="xonxoff", receive_buffer_bytes=1024), {"xonxoff": True}),
    ],
    ids=["DTR", "XON/XOFF"],
)
def test_a_full_printer_holds_its_sender_back_and_nothing_is_lost(
    profile: PrinterProfile, options: dict[str, Any]
) -> None:
    """XOFF stops the sender's own terminal; dropping DTR fills the driver's memory."""

    async def main() -> None:
        async with line(profile, baud=10_000_000) as here:
            device = await asyncio.to_thread(serial.Serial, here.path, 9600, **options)
            here.printer.paper_out()
            sent = await asyncio.to_thread(push, device.fileno(), BIG_JOB)
            while not here.printer.busy:  # a machine that has no time for either of them
                sent += await asyncio.to_thread(push, device.fileno(), BIG_JOB[sent:])
            assert sent < len(BIG_JOB) // 2
            here.printer.load_paper()
            await asyncio.to_thread(finish, device.fileno(), BIG_JOB[sent:])
            assert_big_job(await here.receipt())
            assert here.printer.discarded_bytes == 0
            device.close()

    asyncio.run(main())


def test_a_sender_that_knows_no_handshake_loses_what_does_not_fit() -> None:
    job = many_lines(600)

    async def main() -> None:
        async with line(replace(FAST_LINE, handshake="none"), baud=1_000_000) as here:
            device = await asyncio.to_thread(serial.Serial, here.path, 9600)
            here.printer.paper_out()
            await asyncio.to_thread(finish, device.fileno(), job)
            await true(lambda: here.printer.discarded_bytes == len(job) - 4096)
            here.printer.load_paper()
            await true(lambda: here.printer.idle)
            hanging = here.printer.unfinished
            assert hanging is not None
            assert len(numbers(hanging)) == 4096 // 31
            device.close()

    asyncio.run(main())


def test_without_power_a_serial_printer_takes_nothing() -> None:
    async def main() -> None:
        async with line(replace(FAST_LINE, handshake="dtr", start_up_us=100)) as here:
            here.printer.power_off()
            assert here.printer.receive_window == 0
            device = await asyncio.to_thread(serial.Serial, here.path, 9600)
            await asyncio.to_thread(finish, device.fileno(), b"waits\n" + CUT)
            here.printer.power_on()
            assert (await here.receipt()).text == "waits"
            assert here.printer.discarded_bytes == 0
            device.close()

    asyncio.run(main())


# -- on a modelled line -----------------------------------------------------------------------------------------------------


class Sender:
    def __init__(self, data: bytes) -> None:
        self.on_wake: Callable[[], None] | None = None
        self.heard = b""
        self._out = [data]

    def receive_data(self, data: bytes, now_us: int) -> None:
        self.heard += data

    def data_to_send(self, now_us: int) -> list[Outgoing]:
        out, self._out = self._out, []
        return [Outgoing(data) for data in out]

    def next_timer(self) -> int | None:
        return None

    def handle_timer(self, now_us: int) -> None:
        return None


def printed_at_us(job: bytes) -> int:
    kernel = VirtualKernel("serial", epoch_us=0)
    printer = Printer(
        replace(EPSON_80MM_SERIAL, chinese="gb18030", chinese_on=True, receive_buffer_bytes=1 << 16)
    )
    # The whole job is one burst, so its bytes arrive together at its end: the figure is that of the last byte.
    VirtualLink(kernel, "line", Sender(job), printer, latency_us=0, bytes_per_s=960)
    kernel.run()
    kernel.close()
    return printer.receipts[-1].ended_us


def test_on_a_serial_line_an_image_takes_longer_to_come_than_to_print(content: ReceiptContent) -> None:
    """18.4 KB of raster at 960 bytes a second: 19 s. A text receipt: under a second and a half."""
    raster = b"\x1dv0\x00\x30\x00\x80\x01" + b"\x00" * (48 * 384) + CUT
    raster_us = len(raster) * 1_000_000 // 960
    assert raster_us > 19_000_000
    paper_us = EPSON_80MM_SERIAL.feed_us(384 + 106) + EPSON_80MM_SERIAL.cut_us
    assert raster_us < printed_at_us(raster) <= raster_us + paper_us
    text = receipt_bytes(replace(content, qr_text=""))
    assert printed_at_us(text) < raster_us // 5


# -- BUSY, XON and XOFF -----------------------------------------------------------------------------------------------------


def test_xoff_when_the_buffer_is_nearly_full_and_xon_when_there_is_room_again() -> None:
    rig = Rig(replace(KIOSK, speed_mm_s=100_000))
    rig.printer.paper_out(0)
    rig.send(b"x" * (4096 - 129))
    assert rig.replies == []
    rig.send(b"x")
    assert [data for _, data in rig.replies] == [b"\x13"]
    rig.printer.load_paper(now_us=0)
    rig.run()
    assert [data for _, data in rig.replies] == [b"\x13", b"\x11"]


def test_the_small_buffer_of_the_dip_switch() -> None:
    """45 bytes: BUSY at 16 left, ready at 26; here BUSY while offline, too."""
    rig = Rig(PROFILES["epson-80mm-serial-45"])
    rig.printer.open_cover(0)
    rig.run()
    assert [data for _, data in rig.replies] == [b"\x13"]
    rig.send(b"x" * 45 + b"lost")
    assert rig.printer.discarded_bytes == 4
    rig.printer.close_cover(0)
    rig.run()
    assert [data for _, data in rig.replies] == [b"\x13", b"\x11"]
    assert rig.printer.buffered_bytes == 0
    rig.printer.open_cover(0)
    rig.send(b"y" * 19 + b"\x10\x04\x01")
    assert [data for _, data in rig.replies][2:] == [
        b"\x13\x1a"
    ]  # real-time requests are answered all the same
