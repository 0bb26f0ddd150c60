"""The real process on real sockets: SIGKILL over receipts that a printer on TCP, or on a serial line, is printing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from protocols.escpos import read_receipt
from scenarios.world.serving import HttpServer, open_port
from sim.printer import LinePrinted, Printer, PrinterEvent, PrinterProfile, PrinterPty, serve_printer_tcp

from .spooler_rig import receipt

QUICK = PrinterProfile("quick", speed_mm_s=600, cut_us=20_000, start_up_us=1_000)


class Backend:
    """As much of the backend as a printing station needs."""

    def __init__(self, receipts: int) -> None:
        self.commands = [
            {"id": n, "kind": "print", "nozzle": 3, "order_id": None, "receipt": receipt(n)}
            for n in range(1, receipts + 1)
        ]
        self.results: dict[int, dict[str, object]] = {}
        self.never = asyncio.Event()
        self.all_answered = asyncio.Event()
        self.app = Starlette(
            routes=[
                Route("/v1/stations/KM01/commands", self.open, methods=["GET"]),
                Route("/v1/stations/KM01/commands/{number:int}/result", self.result, methods=["POST"]),
                Route("/v1/stations/KM01{rest:path}", self.anything, methods=["PUT", "POST"]),
            ]
        )

    async def open(self, request: Request) -> Response:
        after = int(request.query_params["after"])
        found = [c for c in self.commands if c["id"] > after and c["id"] not in self.results]
        if not found:  # a long poll
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(int(request.query_params["wait_ms"]) / 1000):
                    await self.never.wait()
        return JSONResponse({"commands": found})

    async def result(self, request: Request) -> Response:
        self.results.setdefault(request.path_params["number"], await request.json())
        if len(self.results) == len(self.commands):
            self.all_answered.set()
        return Response(status_code=204)

    async def anything(self, _request: Request) -> Response:
        return JSONResponse({})


def copies(printer: Printer) -> dict[int, list[tuple[int, bool]]]:
    texts = [paper.text for paper in printer.receipts]
    texts += [] if printer.unfinished is None else [printer.unfinished.text]
    found: dict[int, list[tuple[int, bool]]] = {}
    for text in "\n".join(texts).split("昆明一站")[1:]:
        facts = read_receipt(text)
        if facts.sequence is not None:
            found.setdefault(facts.sequence, []).append((facts.reprint, facts.paid_fen == 15_000))
    return found


def site_json(folder: Path, backend: str, printer: dict[str, object]) -> Path:
    path = folder / "site.json"
    point = {
        "fuelling_point": 1,
        "address": 1,
        "nozzles": [{"nozzle": 3, "grade": "95", "price_fen_per_l": 750}],
    }
    closed = open_port("127.0.0.1", 0)
    line = {"protocol": "modbus", "tcp": f"127.0.0.1:{closed.getsockname()[1]}", "fuelling_points": [point]}
    closed.close()
    path.write_text(
        json.dumps(
            {
                "station": "KM01", "lines": [line], "printer": {"columns": 48, **printer}, "backend": [backend],
                "station_key": "key", "uplink": {"command_wait_us": 200_000},
            }
        )
    )  # fmt: skip
    return path


async def start(path: Path) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "reference.site",
        "--config",
        str(path),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert json.loads(await asyncio.wait_for(process.stdout.readline(), 60))["ready"]
    return process


@contextlib.asynccontextmanager
async def printer_on(wire: str, printer: Printer) -> AsyncIterator[dict[str, object]]:
    """The printer on a wire, and how the site is told of it."""
    begun_ns = time.monotonic_ns()

    def clock() -> int:
        return (time.monotonic_ns() - begun_ns) // 1000

    if wire == "tcp":
        server = await serve_printer_tcp(printer, "127.0.0.1", 0, clock)
        try:
            yield {"tcp": f"127.0.0.1:{server.port}"}
        finally:
            await server.aclose()
    else:
        host = PrinterPty(printer, clock, baud=115_200)
        await host.start()
        try:
            yield {"serial": str(host.path), "baud": 115_200}
        finally:
            await host.aclose()


async def story(folder: Path, wire: str, *, receipts: int, kills: int, seed: str, **settings: object) -> None:
    rng = random.Random(seed)
    lines = asyncio.Event()
    left = 0

    def hear(event: PrinterEvent) -> None:
        nonlocal left
        if isinstance(event, LinePrinted):
            left -= 1
            if left == 0:
                lines.set()

    printer = Printer(QUICK, hear)
    backend = Backend(receipts)
    http = HttpServer(backend.app, open_port("127.0.0.1", 0))
    await http.start()
    killed = 0
    try:
        async with printer_on(wire, printer) as place:
            config = site_json(folder, http.url, {**place, **settings})
            while not backend.all_answered.is_set():
                lines.clear()
                left = rng.randrange(1, 40) if killed < kills else 0
                process = await start(config)
                waits = [asyncio.ensure_future(event.wait()) for event in (lines, backend.all_answered)]
                await asyncio.wait_for(asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED), 60)
                for wait in waits:
                    wait.cancel()
                if lines.is_set():
                    process.kill()  # SIGKILL, in the middle of whatever it does
                    killed += 1
                else:
                    process.send_signal(signal.SIGTERM)
                await asyncio.wait_for(process.wait(), 30)
    finally:
        await http.stop()
    assert killed >= kills - 2
    assert {answer["reason"] for answer in backend.results.values()} == {"printed"}
    on_paper = copies(printer)
    for sequence in range(1, receipts + 1):
        mine = on_paper.get(sequence, [])
        marks = [mark for mark, _ in mine if mark]
        assert sum(mark == 0 for mark, _ in mine) <= 1, (sequence, mine)
        assert marks == sorted(set(marks)), (sequence, mine)
        assert any(whole for _, whole in mine), (sequence, mine)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.requirement("prn.lost-link-ends-declared", "prn.reprints-are-numbered")
@pytest.mark.parametrize("confirm", ["status", "process-id"])
@pytest.mark.parametrize("wire", ["tcp", "serial"])
def test_the_process_is_killed_over_its_receipts(tmp_path: Path, wire: str, confirm: str) -> None:
    asyncio.run(story(tmp_path, wire, receipts=16, kills=10, seed="often", confirm=confirm))
