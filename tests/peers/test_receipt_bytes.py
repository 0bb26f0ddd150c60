"""npm receiptline and receipt-printer-encoder write receipts for any ESC/POS printer: frames, code pages, bar codes, pictures."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from sim.printer import EPSON_80MM_ETHERNET, RasterLine

from .printer_peer import FAST, printer_on_tcp, symbols

RECEIPTLINE, ENCODER, SCRIPT = "receiptline", "@point-of-sale/receipt-printer-encoder", "receipt_bytes.cjs"
EPSON = replace(EPSON_80MM_ETHERNET, speed_mm_s=100_000, cut_us=100, start_up_us=100)

BILL = """\
^^^FORECOURT

{border:line; width:20,20}
|95#|12.29 L|
-
|总计|95.98|
{border:space; width:*}
{code:2012345678903; option:ean,hri}

{code:KM01107; option:code39,2,72,hri}
=
"""


@pytest.mark.foreign
@pytest.mark.parametrize("command", ["escpos", "epson", "generic", "citizen", "fit"])
def test_receiptline_draws_the_frame_of_a_table(start_node, command: str) -> None:
    """The lines of the frame are characters of page 1, Katakana."""
    options = {"cpl": 48, "encoding": "gb18030", "command": command, "spacing": True, "cutting": True}

    async def run() -> None:
        async with printer_on_tcp() as here, start_node(RECEIPTLINE, SCRIPT, here.where) as peer:
            await peer.ask({"receiptline": BILL, "options": options})
            receipt = await here.receipt()
            lines = [line.strip() for line in receipt.text.splitlines()]
            assert lines[0] == "FORECOURT"
            frame = [line for line in lines if line and line[0] in "╭├╰│"]
            assert frame[0] == f"╭{'─' * 20}┬{'─' * 20}╮"
            assert [frame[1].replace(" ", ""), frame[-2].replace(" ", "")] == ["│95#│12.29L│", "│总计│95.98│"]
            assert frame[-1] == f"╰{'─' * 20}┴{'─' * 20}╯"
            assert symbols(receipt) == {"EAN13": "2012345678903", "Code39": "KM01107"}
            assert not [one for one in here.printer.surprises if "code page" in one.reason]

    asyncio.run(run())


@pytest.mark.foreign
@pytest.mark.parametrize("profile", [FAST, EPSON], ids=["chinese", "epson"])
def test_receipt_printer_encoder_changes_code_pages_by_itself(start_node, profile) -> None:
    job = [
        ["initialize"],
        ["codepage", "auto"],
        ["line", "Привет äöü łódź Ωμέγα €"],
        ["box", {"width": 20, "style": "double", "align": "left"}, "total 95.98"],
        ["cut"],
    ]

    async def run() -> None:
        async with printer_on_tcp(profile) as here, start_node(ENCODER, SCRIPT, here.where) as peer:
            # On a printer in Chinese mode the host has to leave it first (FS .): this client does.
            await peer.ask({"encoder": job, "options": {"language": "esc-pos", "columns": 48}})
            lines = (await here.receipt()).text.splitlines()
            assert lines[0] == "Привет äöü łódź Ωμέγα €"
            assert [line.strip() for line in lines[1:4]] == [
                f"╔{'═' * 18}╗",
                "║total 95.98       ║",
                f"╚{'═' * 18}╝",
            ]

    asyncio.run(run())


@pytest.mark.foreign
@pytest.mark.parametrize("mode", ["raster", "column"])
def test_receipt_printer_encoder_prints_codes_and_pictures(start_node, mode: str) -> None:
    """A Codabar of 16 characters has 551 dots at width 3: its thick bars are 8 dots, not 9."""
    job = [
        ["initialize"],
        ["qrcode", "https://example.invalid/x?o=107"],
        ["barcode", "A31117013206375A", "codabar", {"width": 2, "height": 60}],
        ["newline"],
        ["pdf417", "KM01-107"],
        ["newline"],
        ["image", {"width": 64, "height": 48, "on": "checked"}, 64, 48, "threshold", 128],
        ["cut"],
    ]

    async def run() -> None:
        async with printer_on_tcp() as here, start_node(ENCODER, SCRIPT, here.where) as peer:
            options = {"language": "esc-pos", "columns": 48, "imageMode": mode}
            await peer.ask({"encoder": job, "options": options})
            receipt = await here.receipt()

            assert symbols(receipt) == {
                "QRCode": "https://example.invalid/x?o=107",
                "Codabar": "A31117013206375A",
                "PDF417": "KM01-107",
            }
            bands = [line for line in receipt.lines if isinstance(line, RasterLine)]
            dots = sum(byte.bit_count() for band in bands for row in band.rows for byte in row)
            assert dots == 64 * 48 // 2

    asyncio.run(run())
