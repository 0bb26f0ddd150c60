from __future__ import annotations

import asyncio
import io
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
import zxingcpp
from escpos.printer import Network
from PIL import Image, ImageDraw

from protocols.escpos import ReceiptContent, completion_query, decode_status, receipt_bytes, status_query
from sim.printer import (
    CHINESE_80MM,
    Printer,
    PrinterEvent,
    PrinterProfile,
    PrinterServer,
    ReceiptEnded,
    receipt_png,
    serve_printer_tcp,
)

T = TypeVar("T")

FAST = PrinterProfile("fast", speed_mm_s=100_000, cut_us=100, start_up_us=100)
"""Paper at a hundred metres a second: the tests are about bytes."""


class Site:
    """A printer on a loopback port, and a way to wait for what it does instead of sleeping."""

    def __init__(self, server: PrinterServer, events: asyncio.Queue[PrinterEvent]) -> None:
        self.server = server
        self.printer = server.printer
        self._events = events

    async def until(self, wanted: type[PrinterEvent]) -> Any:
        async with asyncio.timeout(20):
            while True:
                event = await self._events.get()
                if isinstance(event, wanted):
                    return event

    async def peer(self, work: Callable[[Network], T]) -> T:
        """Run unmodified python-escpos, which blocks, beside the printer."""

        def run() -> T:
            network = Network("127.0.0.1", self.server.port, timeout=20)
            network.open()
            try:
                return work(network)
            finally:
                network.close()

        return await asyncio.to_thread(run)


@asynccontextmanager
async def site(profile: PrinterProfile = FAST) -> AsyncIterator[Site]:
    events: asyncio.Queue[PrinterEvent] = asyncio.Queue()
    start = time.monotonic_ns()
    printer = Printer(profile, events.put_nowait)
    server = await serve_printer_tcp(printer, "127.0.0.1", 0, lambda: (time.monotonic_ns() - start) // 1000)
    try:
        yield Site(server, events)
    finally:
        await server.aclose()


def run(coro: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(coro)


def symbols(png: bytes) -> dict[str, str]:
    image = Image.open(io.BytesIO(png)).convert("L")
    return {symbol.format.name: symbol.text for symbol in zxingcpp.read_barcodes(image)}


def test_python_escpos_prints_text_symbols_and_images() -> None:
    logo = Image.new("1", (200, 40), 1)
    ImageDraw.Draw(logo).rectangle((0, 0, 99, 39), fill=0)

    def job(network: Network) -> None:
        network.set_with_default(align="center", bold=True, double_height=True, double_width=True)
        network.textln("FORECOURT")
        network.set_with_default()
        network.textln("92# 12.29 L")
        network._raw("昆明北站".encode("gb18030") + b"\n")  # as its users send Chinese: bare bytes
        network.qr("https://example.invalid/native", native=True, size=6)
        network.barcode("690123456789", "EAN13", function_type="A")
        network.barcode("{BKM01-107", "CODE128", function_type="B", width=2)
        network.image(logo)
        network.image(logo, impl="bitImageColumn")
        network.image(logo, impl="graphics")
        network.cashdraw(2)
        network.cut()

    async def main() -> None:
        async with site() as here:
            await here.peer(job)
            receipt = (await here.until(ReceiptEnded)).receipt
            text = receipt.text.splitlines()
            assert text[0].strip() == "FORECOURT"
            assert text[1:3] == ["92# 12.29 L", "昆明北站"]
            assert text.count("[image]") >= 3
            (heading, *_) = receipt.cells
            assert {(cell.style.width, cell.style.height, cell.style.bold) for cell in heading} == {
                (2, 2, True)
            }
            assert symbols(receipt_png(receipt)) == {
                "QRCode": "https://example.invalid/native",
                "EAN13": "6901234567892",
                "Code128": "KM01-107",
            }
            assert not here.printer.surprises

    run(main())


def test_python_escpos_draws_a_qr_code_itself_and_it_reads_back() -> None:
    def job(network: Network) -> None:
        network.qr("drawn by the client", size=6)
        network.cut()

    async def main() -> None:
        async with site() as here:
            await here.peer(job)
            receipt = (await here.until(ReceiptEnded)).receipt
            assert not receipt.qr_codes
            assert symbols(receipt_png(receipt)) == {"QRCode": "drawn by the client"}

    run(main())


@pytest.mark.requirement("prn.status-read-before-printing")
def test_python_escpos_reads_the_status() -> None:
    def look(network: Network) -> tuple[bool, int]:
        return network.is_online(), network.paper_status()

    async def main() -> None:
        async with site(PrinterProfile("short", roll_mm=3000, near_end_mm=1500)) as here:
            assert await here.peer(look) == (True, 2)
            here.printer.load_paper(1000)
            assert await here.peer(look) == (True, 1)
            here.printer.paper_out()
            assert await here.peer(look) == (False, 0)
            here.printer.load_paper()
            assert await here.peer(look) == (True, 2)
            here.printer.open_cover()
            assert await here.peer(look) == (False, 2)
            here.printer.close_cover()
            assert await here.peer(look) == (True, 2)

    run(main())


def test_a_job_sent_while_out_of_paper_prints_after_the_new_roll_although_the_client_is_long_gone() -> None:
    async def main() -> None:
        async with site() as here:
            here.printer.paper_out()
            await here.peer(lambda network: (network.textln("waits"), network.cut()))
            assert here.printer.unfinished is None
            here.printer.load_paper()
            assert (await here.until(ReceiptEnded)).receipt.text == "waits"

    run(main())


def test_a_client_that_hangs_up_at_once_still_gets_its_receipt(content: ReceiptContent) -> None:
    def slam(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as peer:
            peer.sendall(receipt_bytes(content) * 3)

    async def main() -> None:
        async with site() as here:
            await asyncio.to_thread(slam, here.server.port)
            texts = [(await here.until(ReceiptEnded)).receipt.text for _ in range(3)]
            assert len(set(texts)) == 1

    run(main())


def test_a_spooler_learns_that_its_receipt_is_out(content: ReceiptContent) -> None:
    async def main() -> None:
        async with site(CHINESE_80MM) as here:
            reader, writer = await asyncio.open_connection("127.0.0.1", here.server.port)
            writer.write(status_query())
            assert decode_status(await reader.readexactly(4)).ready
            writer.write(receipt_bytes(content) + completion_query())
            assert await reader.readexactly(1) == b"\x00"
            assert len(here.printer.receipts) == 1
            writer.close()
            await writer.wait_closed()

    run(main())


def test_the_first_connection_owns_the_printer_until_it_closes() -> None:
    async def main() -> None:
        async with site() as here:
            first = await asyncio.open_connection("127.0.0.1", here.server.port)
            first[1].write(status_query(1))
            await first[0].readexactly(1)
            second = await asyncio.open_connection("127.0.0.1", here.server.port)
            second[1].write(b"second\n\x1dVB\x00")
            first[1].write(b"first\n\x1dVB\x00" + completion_query())
            await first[0].readexactly(1)
            assert [receipt.text for receipt in here.printer.receipts] == ["first"]
            first[1].close()
            await here.until(ReceiptEnded)
            assert (await here.until(ReceiptEnded)).receipt.text == "second"
            second[1].close()

    run(main())


def test_more_connections_than_the_board_holds_are_sent_away() -> None:
    async def main() -> None:
        async with site() as here:
            held = [
                await asyncio.open_connection("127.0.0.1", here.server.port)
                for _ in range(CHINESE_80MM.connections)
            ]
            held[0][1].write(status_query(1))
            await held[0][0].readexactly(1)
            reader, writer = await asyncio.open_connection("127.0.0.1", here.server.port)
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
            for _, each in [*held, (reader, writer)]:
                each.close()

    run(main())


def test_a_printer_out_of_paper_makes_a_big_sender_wait_and_loses_nothing() -> None:
    count = 20_000
    job = b"".join(b"%06d %s\n" % (n, b"x" * 40) for n in range(count)) + b"\x1dVB\x00"

    async def main() -> None:
        async with site(PrinterProfile("endless", speed_mm_s=10**9, cut_us=1, roll_mm=10**9)) as here:
            here.printer.paper_out()
            reader, writer = await asyncio.open_connection("127.0.0.1", here.server.port)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
            writer.write(job)
            while here.printer.receive_window:
                await asyncio.sleep(0)
            assert here.printer.busy
            assert here.printer.buffered_bytes < 25_000
            assert writer.transport.get_write_buffer_size() > len(job) // 2  # the window is closed
            here.printer.load_paper()
            receipt = (await here.until(ReceiptEnded)).receipt
            assert len(receipt.lines) == count + 1
            assert [line[:6] for line in receipt.text.splitlines()] == [f"{n:06d}" for n in range(count)]
            writer.close()
            await reader.read()

    run(main())


def test_power_off_breaks_connections_and_refuses_new_ones_until_it_is_back() -> None:
    async def main() -> None:
        async with site() as here:
            reader, writer = await asyncio.open_connection("127.0.0.1", here.server.port)
            writer.write(status_query(1))
            await reader.readexactly(1)
            here.printer.power_off()
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
            writer.close()
            late, late_writer = await asyncio.open_connection("127.0.0.1", here.server.port)
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await late.readexactly(1)
            late_writer.close()
            here.printer.power_on()
            assert await here.peer(lambda network: network.paper_status()) == 2

    run(main())


def test_replies_do_not_wait_for_acknowledgements() -> None:
    async def main() -> None:
        async with site() as here:
            reader, writer = await asyncio.open_connection("127.0.0.1", here.server.port)
            writer.write(status_query(1))
            await reader.readexactly(1)
            (connection,) = here.server._connections
            sock = connection._transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            writer.close()

    run(main())
