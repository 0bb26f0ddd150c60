"""``forecourt serve``: a station on loopback ports for trying things by hand, until Ctrl-C."""

from __future__ import annotations

import asyncio
import re
import signal
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from forecourt.console import err, out, progress
from forecourt.guard import BadInput, stops_by
from scenarios import Scenario
from scenarios.measured.foreign import ForeignError, foreign_backend
from scenarios.measured.system import MeasuredSystem
from scenarios.processes.broom import release, sweep_when_killed
from scenarios.processes.child import ChildError
from scenarios.processes.postgres import PostgresError
from scenarios.world.keys import wall_keys

__all__ = ["serve_station"]

_LOOK_EVERY_S: Final = 0.5

_PLACE: Final = re.compile(r"\('([^']+)', (\d+)\)|([\d.]+):(\d+): ")
"""Where a port was wanted, in asyncio's words or in ours."""


def serve_station(
    scenario: Scenario,
    *,
    seed: str,
    ports: Mapping[str, int],
    backend_urls: Sequence[str] = (),
    devices_only: bool = False,
    logs: Path | None = None,
    show_keys: bool = False,
) -> None:
    """Start everything, say where it listens, and stay until Ctrl-C or SIGTERM.

    Args:
        scenario: its station and services; its people stay at home.
        seed: of the services' latencies.
        ports: by name; 0 or absent is any free one.
        backend_urls: somebody else's backends in place of ours, set up as `foreign_backend` reads it.
        devices_only: no site controller, backends and database: the lines are free for a driver under test.
        logs: folder that keeps the logs of all processes; None throws them away.
        show_keys: print the keys of station and administrator.

    Raises:
        BadInput: a port is in use or unknown, there is no PostgreSQL server, or a foreign backend's set-up is wrong.
        ChildError: a process broke down later on.
    """
    with ExitStack() as stack:
        if logs is None:
            logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="forecourt-logs-")))
            stack.callback(release, logs)
            sweep_when_killed(logs)
        try:
            foreign = foreign_backend(backend_urls) if backend_urls else None
        except ForeignError as error:
            raise BadInput(str(error)) from error
        keys = foreign.keys if foreign is not None else wall_keys()
        system = MeasuredSystem(
            scenario,
            seed,
            keys,
            folder=logs,
            foreign=foreign,
            ports=ports,
            devices_only=devices_only,
        )
        asyncio.run(_serve(system, ports, show_keys=show_keys))


async def _serve(system: MeasuredSystem, ports: Mapping[str, int], *, show_keys: bool) -> None:
    asked_to_stop = asyncio.Event()
    is_up = False
    loop = asyncio.get_running_loop()
    for number in stops_by(signal.SIGINT):
        loop.add_signal_handler(number, asked_to_stop.set)
    stop = asyncio.create_task(asked_to_stop.wait())
    try:
        with progress() as stages:
            starting = asyncio.create_task(system.start(stages.stage))
            await asyncio.wait({starting, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                starting.cancel()
            try:
                await starting
            except asyncio.CancelledError:
                return
            except ChildError as error:
                raise BadInput(_port_in_use(error.refusal, ports) or error.refusal or str(error)) from error
            except (PostgresError, OSError, ValueError) as error:
                raise BadInput(str(error)) from error
        is_up = True
        _print_places(out(), system, show_keys=show_keys)
        watching = asyncio.create_task(_watch(system))
        await asyncio.wait({watching, stop}, return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            await watching
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    finally:
        stop.cancel()
        await system.stop()
        if is_up or asked_to_stop.is_set():
            err().print("stopped")


def _port_in_use(refusal: str, ports: Mapping[str, int]) -> str:
    """What a process said of a port that it could not have, in one line with the option that asked for it; empty if it did not."""
    found = _PLACE.search(refusal)
    if found is None or "already in use" not in refusal.lower():
        return ""
    host, port = found[1] or found[3], int(found[2] or found[4])
    options = [
        f"--control-port {port}" if name == "control" else f"--port {name}={port}"
        for name, wanted in ports.items()
        if wanted == port
    ]
    return f"{host}:{port} is in use{f' ({options[0]})' if options else ''}"


def _print_places(console: Console, system: MeasuredSystem, *, show_keys: bool) -> None:
    """What listens where."""
    at, station = system.endpoints, system.scenario.station
    table = Table(title=f"{station.id} {station.name}", title_justify="left", title_style="bold")
    for column in ("what", "where", "more"):
        table.add_column(column, overflow="fold")
    rows = [("control", at.control, "hands, faults and states by HTTP; /docs describes it")]
    rows += [
        (backend.name, backend.url, "reference backend; /docs describes it") for backend in system.backends
    ]
    for line in station.lines:
        points = ", ".join(str(point.fuelling_point) for point in line.points)
        kind = f"{line.protocol} over TCP" if line.framing == "tcp" else f"{line.protocol}, {line.baud} baud"
        rows.append((f"line {line.name}", at.lines[line.name], f"{kind}, fuelling points {points}"))
    rows += [
        ("printer", at.printer, f"raw ESC/POS, {station.printer}"),
        ("gateway", at.gateway, "WeChat Pay v3, with the refined-oil invoices"),
        ("platform", at.platform, "jscode2session"),
        ("payer", at.payer, "the payers' phones"),
        ("callbacks", at.callbacks, "forwards notifications to a living backend"),
    ]
    if system.backends:
        rows.append(("database", "", system.database))
    if show_keys and system.urls:
        rows += [("station key", system.keys.station_key, ""), ("admin key", system.keys.admin_key, "")]
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
    console.print("Ctrl-C stops it.")


async def _watch(system: MeasuredSystem) -> None:
    """Keep a line about the station up to date; returns only by raising.

    Raises:
        ChildError: a process ended by itself.
    """
    console = err()
    async with httpx.AsyncClient(base_url=system.endpoints.control, trust_env=False) as control:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            told = 0
            while True:
                system.check()
                try:
                    points = (await control.get("/points")).raise_for_status().json()
                    deliveries = (await control.get("/deliveries")).raise_for_status().json()
                    printer = (await control.get("/printer")).raise_for_status().json()
                except httpx.HTTPError as error:
                    raise ChildError(f"the world does not answer any more: {error}") from error
                for delivery in deliveries[told:]:
                    console.print(_delivered(delivery))
                told = len(deliveries)
                if console.is_terminal:
                    live.update(_state_line(points, printer, told), refresh=True)
                await asyncio.sleep(_LOOK_EVERY_S)


def _delivered(delivery: Mapping[str, Any]) -> Text:
    litres, yuan = delivery["volume_ml"] / 1_000, delivery["amount_fen"] / 100
    return Text(
        f"nozzle {delivery['nozzle_id']} delivered {litres:.2f} L of {delivery['grade']} for {yuan:.2f} yuan"
    )


def _state_line(points: list[Mapping[str, Any]], printer: Mapping[str, Any], deliveries: int) -> Text:
    """States other than IDLE by fuelling point, running figures, and totals."""
    parts = []
    for point in points:
        if point["state"] != "IDLE":
            litres = f" {point['volume_ml'] / 1_000:.2f} L" if point["flowing"] else ""
            parts.append(f"{point['fuelling_point']} {point['state'].replace('_', ' ').lower()}{litres}")
    busy = ", ".join(parts) or "all idle"
    return Text(
        f"{busy} | {deliveries} deliveries | {printer['receipts']} receipts",
        no_wrap=True,
        overflow="ellipsis",
    )
