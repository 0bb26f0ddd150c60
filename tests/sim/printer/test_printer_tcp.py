from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest
import zxingcpp
from escpos.printer import Network
from PIL import Image, ImageDraw

from protocols.escpos import ReceiptContent, completion_query, decode_status, receipt_bytes, status_query
from sim.printer import CHINESE_80MM, PrinterProfile, ReceiptEnded, receipt_png

from .printer_site import Site, site

T = TypeVar("T")


async def peer(here: Site, work: Callable[[Network], T]) -> T:
    """Run unmodified python-escpos, which blocks, beside the printer."""

    def print_it() -> T:
        network = Network("127.0.0.1", here.server.port, timeout=20)
        network.open()
        try:
            return work(network)
        finally:
            network.close()

    return await asyncio.to_thread(print_it)


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
            await peer(here, job)
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
            await peer(here, job)
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
            assert await peer(here, look) == (True, 2)
            here.printer.load_paper(1000)
            assert await peer(here, look) == (True, 1)
            here.printer.paper_out()
            assert await peer(here, look) == (False, 0)
            here.printer.load_paper()
            assert await peer(here, look) == (True, 2)
            here.printer.open_cover()
            assert await peer(here, look) == (False, 2)
            here.printer.close_cover()
            assert await peer(here, look) == (True, 2)

    run(main())


def test_a_job_sent_while_out_of_paper_prints_after_the_new_roll_although_the_client_is_long_gone() -> None:
    async def main() -> None:
        async with site() as here:
            here.printer.paper_out()
            await peer(here, lambda network: (network.textln("waits"), network.cut()))
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
            assert await peer(here, lambda network: network.paper_status()) == 2

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
