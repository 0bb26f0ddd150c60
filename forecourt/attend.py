"""Running one device for somebody at a terminal: where it is, a live line, and a clean end."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from pathlib import Path
from typing import Final

from rich.live import Live
from rich.table import Table
from rich.text import Text

from forecourt.console import err, out
from forecourt.guard import BadInput, stops_by
from scenarios.world.device import DeviceOnWire
from scenarios.world.serving import host_port
from sim.wires import is_tcp, write_pcapng

__all__ = ["attend", "pcapng_beside"]

_LOOK_EVERY_S: Final = 0.25


def attend(device: DeviceOnWire, capture: Path | None) -> None:
    """Start a device, say where it is, and stay until Ctrl-C or SIGTERM.

    Args:
        device: not started yet.
        capture: file that takes the bytes of its wire at the end; of a TCP wire a pcapng is written beside it.

    Raises:
        BadInput: a port is in use, there is no such serial device, or the capture cannot be written.
        KernelError: the device broke down.
    """
    if capture is not None:
        _try_out(capture)
    asyncio.run(_run(device, capture))


def _try_out(path: Path) -> None:
    """Find out now what would otherwise cost the person the capture of an afternoon. What stands there stays until the end."""
    try:
        if path.is_fifo():
            return  # its reader may come later
        is_new = not path.exists()
        with path.open("ab"):
            pass
        if is_new:
            path.unlink()
    except OSError as error:
        raise BadInput(f"--capture {path} cannot be written: {error.strerror or error}") from None


async def _run(device: DeviceOnWire, capture: Path | None) -> None:
    asked_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in stops_by(signal.SIGINT):
        loop.add_signal_handler(number, asked_to_stop.set)
    try:
        await device.start()
    except OSError as error:
        place = device.place
        where = place.path if place.kind == "serial" else host_port(place.host, place.port)
        # The number of a name that is not known is of another kind than the system's.
        code = error.errno or 0
        said = os.strerror(code) if code > 0 else (error.strerror or str(error)).partition(" (while ")[0]
        # The control API's port and that of datagrams name themselves; of the wire's port asyncio speaks in other words.
        named = error.strerror if re.match(r"(UDP )?[\[\]\w.:]+:\d+: ", error.strerror or "") else None
        raise BadInput(named or f"{where}: {said}") from error
    stop = asyncio.create_task(asked_to_stop.wait())
    lives = asyncio.create_task(device.wait())
    showing = asyncio.create_task(_show(device))
    try:
        table = Table(show_header=False)
        for row in (
            (device.kind, device.where),
            ("control", device.control),
        ):
            table.add_row(*map(Text, row))
        out().print(table)
        out().print("The control API describes itself at /docs. Ctrl-C stops the device.")
        await asyncio.wait({stop, lives, showing}, return_when=asyncio.FIRST_COMPLETED)
        if lives.done():
            await lives
        if showing.done():
            await showing
    finally:
        for task in (stop, lives, showing):
            task.cancel()
        await asyncio.gather(stop, lives, showing, return_exceptions=True)
        await device.stop()
        if capture is not None:
            _write(device, capture)
        err().print(Text(f"stopped{_traffic(device)}"))


def _write(device: DeviceOnWire, path: Path) -> None:
    """The capture, and beside it what Wireshark reads where there is TCP to put around the bytes."""
    try:
        device.wire.write(path)
        if is_tcp(device.wire):
            write_pcapng(device.wire, pcapng_beside(path), epoch_us=device.kernel.epoch_us)
    except OSError as error:
        raise BadInput(f"--capture {path} cannot be written: {error.strerror or error}") from None


def pcapng_beside(path: Path) -> Path:
    """Where the pcapng of a capture goes: ``wire.fcap`` and ``wire.pcapng``, ``wire`` and ``wire.pcapng``."""
    return path.with_suffix(".pcapng") if path.suffix == ".fcap" else path.with_name(f"{path.name}.pcapng")


async def _show(device: DeviceOnWire) -> None:
    """A live line on a terminal; elsewhere a line for each change of state."""
    console = err()
    last = ""
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            state = _state(device)
            if console.is_terminal:
                live.update(
                    Text(f"{state}{_traffic(device)}", no_wrap=True, overflow="ellipsis"), refresh=True
                )
            elif (settled := re.sub(r"[\d.]+ (L|yuan)", "", state)) != last:
                last = settled
                console.print(Text(state))
            await asyncio.sleep(_LOOK_EVERY_S)


def _state(device: DeviceOnWire) -> str:
    printer = device.printer
    if printer is not None:
        condition = ", ".join(printer.causes) or "ready"
        return f"{condition}{', printing' if printer.busy else ''}, {len(printer.receipts)} receipts"
    own = device.line()
    if own is not None:
        return own
    now_us = device.kernel.now_us
    shown = []
    for point in device.equipment.points.values():
        reading = point.reading(now_us)
        out_of_boot = ""
        if point.nozzle_out is not None:
            out_of_boot = f" nozzle {point.nozzles[point.nozzle_out].nozzle_id}"
        shown.append(
            f"{point.number} {point.state.name.replace('_', ' ').lower()}{out_of_boot} "
            f"{reading.volume_ml / 1_000:.2f} L {reading.amount_fen / 100:.2f} yuan"
        )
    return "; ".join(shown)


def _traffic(device: DeviceOnWire) -> str:
    wire = device.wire
    return f" | in {wire.frames_in:,} frames, {wire.bytes_in:,} bytes; out {wire.frames_out:,} frames, {wire.bytes_out:,} bytes"
