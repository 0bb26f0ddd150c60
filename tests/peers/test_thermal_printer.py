"""npm node-thermal-printer prints. It destroys its connection at once, and leaves the pulse times out of ESC p."""

from __future__ import annotations

import asyncio

import pytest

from sim.printer import DrawerKicked

from .printer_peer import printer_on_pty, printer_on_tcp, symbols

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
        async with printer_on_tcp() as here, start_node(PACKAGE, SCRIPT, here.where) as peer:
            assert await peer.ask(job) == {"connected": True, "reply": None}
            receipt = await here.receipt()
            lines = receipt.text.splitlines()
            assert lines[0].strip() == "FORECOURT"
            assert lines[1] == "-" * 48
            assert lines[2] == "92#" + " " * 38 + "12.29 L"
            assert lines[-1] == "after the drawer"
            assert symbols(receipt) == {
                "Code128": "KM01-107",
                "QRCode": "https://example.invalid/native",
            }
            # Its two pulses without times: the second is swallowed as the times of the first, as on paper.
            assert [event.pin for event in here.seen if isinstance(event, DrawerKicked)] == [2]
            assert any("1B 70" in surprise.reason for surprise in here.printer.surprises)
            # All four status bytes come in one read, or this client throws the rest away.
            status = await peer.ask([["bytes", "100401100402100403100404"]])
            assert status["reply"] == "16121212"
            here.printer.paper_out()
            status = await peer.ask([["bytes", "100401100402100403100404"]])
            assert status["reply"] == "1e32127e"
            await peer.ask([["println", "kept"], ["cut"]])
            here.printer.load_paper()
            assert (await here.receipt()).text.strip() == "kept"

    asyncio.run(run())


CHINESE_JOB = [
    ["alignCenter"],
    ["bold", True],
    ["println", "昆明北站加油站"],
    ["bold", False],
    ["alignLeft"],
    ["println", "95# 汽油 12.29 L"],
    ["println", "实付 95.98 元"],
    ["pdf417", "KM01-107", {"rowHeight": 3, "width": 3, "correction": 1, "columns": 4}],
    ["newLine"],  # the quiet zone between two symbols is up to the sender
    ["printQR", "https://example.invalid/invoice?o=107", {"cellSize": 6, "correction": "M", "model": 2}],
    ["cut"],
]
CHINESE_LINES = ["昆明北站加油站", "95# 汽油 12.29 L", "实付 95.98 元"]


@pytest.mark.foreign
def test_node_thermal_printer_prints_chinese_and_asks_with_its_own_status_call(start_node) -> None:
    """Its character set CHINA is ESC R 15 and bare GB bytes: no FS &."""

    async def run() -> None:
        async with printer_on_tcp() as here, start_node(PACKAGE, SCRIPT, here.where, "CHINA") as peer:
            await peer.ask(CHINESE_JOB)
            receipt = await here.receipt()
            assert [line.strip() for line in receipt.text.splitlines()][:3] == CHINESE_LINES
            assert symbols(receipt) == {
                "PDF417": "KM01-107",
                "QRCode": "https://example.invalid/invoice?o=107",
            }
            assert not here.printer.surprises
            # getStatus is ESC t 0 and GS r 1, answered when its turn comes.
            assert (await peer.ask([["getStatus"]]))["reply"] == "00"

    asyncio.run(run())


@pytest.mark.foreign
def test_node_thermal_printer_writes_to_a_serial_device(start_node) -> None:
    async def run() -> None:
        async with printer_on_pty() as here, start_node(PACKAGE, SCRIPT, here.where, "CHINA") as peer:
            await peer.ask(CHINESE_JOB)
            receipt = await here.receipt()
            assert [line.strip() for line in receipt.text.splitlines()][:3] == CHINESE_LINES

    asyncio.run(run())
