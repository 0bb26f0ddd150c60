"""npm escpos with escpos-network prints. It knows no FS &, kicks the drawer without pulse times, and destroys its connection."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from sim.printer import Buzzed, DrawerKicked, TextLine

from .printer_peer import FAST, printer_on_tcp, symbols

PACKAGE, SCRIPT = "escpos-network", "escpos_network.cjs"


@pytest.mark.foreign
def test_escpos_prints_a_chinese_receipt_with_symbols_and_cuts(start_node) -> None:
    job = [
        ["font", "a"],
        ["align", "ct"],
        ["size", 2, 2],  # sends ESC !, which clears what style has set: so style comes after it
        ["style", "bu"],
        ["text", "昆明北站加油站"],
        ["size", 1, 1],
        ["style", "normal"],
        ["align", "lt"],
        ["table", ["95#", "12.29L", "95.98"]],
        ["text", "实付 ¥95.98 微信支付"],
        ["align", "ct"],
        ["barcode", "690123456789", "EAN13", {"width": 2, "height": 60}],
        ["qrcode", "https://example.invalid/invoice?o=107", 3, "M", 6],
        ["beep", 2, 3],
        ["cut"],
    ]

    async def run() -> None:
        async with printer_on_tcp() as here, start_node(PACKAGE, SCRIPT, here.where) as peer:
            await peer.ask({"job": job})
            receipt = await here.receipt()
            lines = [line.strip() for line in receipt.text.splitlines()]
            assert lines[0] == "昆明北站加油站"
            heading = next(line for line in receipt.lines if isinstance(line, TextLine) and line.cells)
            assert (heading.align, heading.cells[0].style.width, heading.cells[0].style.height) == (
                "centre",
                2,
                2,
            )
            assert heading.cells[0].style.bold
            assert heading.cells[0].style.underline == 1
            assert lines[1].split() == ["95#", "12.29L", "95.98"]
            assert lines[2] == "实付 ¥95.98 微信支付"
            assert symbols(receipt) == {
                "EAN13": "6901234567892",
                "QRCode": "https://example.invalid/invoice?o=107",
            }
            assert [(event.times, event.on_ms) for event in here.seen if isinstance(event, Buzzed)] == [
                (2, 150)
            ]
            # ESC 5 (italic off) is nothing that any of these printers knows: told, and nothing else is lost.
            assert {surprise.reason.split(";")[0] for surprise in here.printer.surprises} <= {
                "unknown command 1B 35",
                "the cut goes through the print: 11 mm fed since the last line, the cutter sits 15 mm behind the head",
            }

    asyncio.run(run())


@pytest.mark.foreign
def test_escpos_draws_a_code_itself_and_loses_two_line_feeds_to_the_drawer(start_node) -> None:
    job = [
        ["qrimage", "drawn by the client", {"type": "png", "mode": "dhdw", "size": 4}],
        ["newLine"],
        ["cashdraw", 2],
        ["newLine"],
        ["newLine"],
        ["newLine"],
        ["text", "after"],
        ["cut"],
    ]

    async def run() -> None:
        async with printer_on_tcp() as here, start_node(PACKAGE, SCRIPT, here.where) as peer:
            await peer.ask({"job": job})
            receipt = await here.receipt()
            assert symbols(receipt) == {"QRCode": "drawn by the client"}
            kicks = [event for event in here.seen if isinstance(event, DrawerKicked)]
            assert [event.pin for event in kicks] == [2]
            # ESC p 0 without times: two of the three line feeds are taken for them, as a real printer does.
            assert receipt.text.split("\n")[-3:] == ["", "", "after"]
            assert any("left them out" in surprise.reason for surprise in here.printer.surprises)

    asyncio.run(run())


@pytest.mark.foreign
def test_escpos_reads_the_status_through_its_adapter(start_node) -> None:
    async def run() -> None:
        short = replace(FAST, near_end_mm=1500)
        async with printer_on_tcp(short) as here, start_node(PACKAGE, SCRIPT, here.where) as peer:
            ask = {"ask": "100401100402100403100404", "bytes": 4}
            assert await peer.ask(ask) == "12121212"
            here.printer.load_paper(1000)
            assert await peer.ask(ask) == "1212121e"
            here.printer.open_cover()
            assert await peer.ask(ask) == "1a16121e"
            here.printer.close_cover()
            here.printer.paper_out()
            assert await peer.ask(ask) == "1a32127e"

    asyncio.run(run())
