"""npm node-thermal-printer prints. It destroys its connection at once, and leaves the pulse times out of ESC p."""

from __future__ import annotations

import asyncio
import io
import time

import pytest
import zxingcpp
from PIL import Image

from sim.printer import (
    DrawerKicked,
    Printer,
    PrinterEvent,
    PrinterProfile,
    ReceiptEnded,
    receipt_png,
    serve_printer_tcp,
)

FAST = PrinterProfile("fast", speed_mm_s=100_000, cut_us=100, start_up_us=100)
"""Paper at a hundred metres a second: these tests are about bytes."""

PACKAGE, SCRIPT = "node-thermal-printer", "thermal_printer.cjs"


@pytest.mark.foreign
def test_node_thermal_printer_prints_and_hangs_up_at_once(start_node) -> None:
    job = [
        ["alignCenter"],
        ["setTextDoubleHeight"],
        ["println", "FORECOURT"],
        ["setTextNormal"],
        ["drawLine"],
        ["alignLeft"],
        ["leftRight", "92#", "12.29 L"],
        ["table", ["One", "Two", "Three"]],
        ["code128", "KM01-107", {"width": "LARGE", "height": 80, "text": 2}],
        ["printQR", "https://example.invalid/native", {"cellSize": 6, "correction": "M", "model": 2}],
        ["openCashDrawer"],
        ["println", "after the drawer"],
        ["cut"],
    ]

    async def run() -> None:
        events: asyncio.Queue[PrinterEvent] = asyncio.Queue()
        start_ns = time.monotonic_ns()
        printer = Printer(FAST, events.put_nowait)
        server = await serve_printer_tcp(
            printer, "127.0.0.1", 0, lambda: (time.monotonic_ns() - start_ns) // 1000
        )
        seen: list[PrinterEvent] = []

        async def receipt() -> ReceiptEnded:
            async with asyncio.timeout(20):
                while True:
                    seen.append(await events.get())
                    if isinstance(seen[-1], ReceiptEnded):
                        return seen[-1]

        try:
            async with start_node(PACKAGE, SCRIPT, server.port) as peer:
                assert await peer.ask(job) == {"connected": True, "reply": None}
                ended = await receipt()
                lines = ended.receipt.text.splitlines()
                assert lines[0].strip() == "FORECOURT"
                assert lines[1] == "-" * 48
                assert lines[2] == "92#" + " " * 38 + "12.29 L"
                assert lines[-1] == "after the drawer"
                symbols = zxingcpp.read_barcodes(Image.open(io.BytesIO(receipt_png(ended.receipt))))
                assert {symbol.format.name: symbol.text for symbol in symbols} == {
                    "Code128": "KM01-107",
                    "QRCode": "https://example.invalid/native",
                }
                # Its two pulses without times: the second is swallowed as the times of the first, as on paper.
                assert [event.pin for event in seen if isinstance(event, DrawerKicked)] == [2]
                assert any("1B 70" in surprise.reason for surprise in printer.surprises)
                # All four status bytes come in one read, or this client throws the rest away.
                status = await peer.ask([["bytes", "100401100402100403100404"]])
                assert status["reply"] == "16121212"
                printer.paper_out()
                status = await peer.ask([["bytes", "100401100402100403100404"]])
                assert status["reply"] == "1e32127e"
                await peer.ask([["println", "kept"], ["cut"]])
                printer.load_paper()
                assert (await receipt()).receipt.text.strip() == "kept"
        finally:
            await server.aclose()

    asyncio.run(run())
