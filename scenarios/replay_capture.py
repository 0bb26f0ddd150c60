"""A capture played to a driver or a dispenser on a real wire: TCP, a serial device or a pty."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import serialx

from scenarios.capture_player import GAP_LEAST_US, CapturePlayer, Difference, ReplayReport, Timing
from scenarios.capture_turns import ReplayError, Turn, first_sender, take_turns
from sim.wires import Capture, PtyHost, SerialHost, connect_machine_tcp, serve_line_tcp

__all__ = [
    "CapturePlayer",
    "Difference",
    "Place",
    "ReplayError",
    "ReplayReport",
    "Timing",
    "Turn",
    "first_sender",
    "replay_capture",
    "take_turns",
]

_GAP_CHARACTERS: Final = 5
"""Between an answer and what follows it: more than the 3.5 characters of silence that end a Modbus RTU frame."""

_DEFAULT_BAUD: Final = 9600

_AT_ONCE_BAUD: Final = 1_000_000
"""A burst goes into a pty in one piece: on a busy machine pacing would tear it, and silence ends a Modbus RTU frame."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the target is.

    Attributes:
        host, port: of a TCP target; with ``listens`` where we listen (port 0 is any free one).
        path: of a serial device or a pty; None with an empty host and ``listens`` makes a pty.
        listens: the target comes to us.
        baud, parity: of a serial device; None takes the capture's baud.
    """

    host: str = ""
    port: int = 0
    path: Path | None = None
    listens: bool = False
    baud: int | None = None
    parity: str = "N"


def _baud(capture: Capture, place: Place) -> int:
    return place.baud or int(capture.about.get("baud", _DEFAULT_BAUD))


async def replay_capture(
    capture: Capture,
    turns: Sequence[Turn],
    place: Place,
    *,
    timing: Timing = "answers",
    limit_us: int = 2_000_000,
    start_limit_us: int = 30_000_000,
    keep: int = 20,
    on_place: Callable[[str], None] | None = None,
) -> ReplayReport:
    """Play a capture to a target on a real wire.

    Args:
        capture: for its speed.
        turns: from `take_turns`.
        place: where the target is.
        timing: when the next turn begins.
        limit_us: time for an answer, on top of the time that it took in the capture.
        start_limit_us: time for a target to come, or for its first word if it speaks first.
        keep: differences kept in the report.
        on_place: called with the address or path to which the target has to come, once it may.

    Raises:
        ReplayError: nobody is there, or nobody came in ``start_limit_us``.
    """
    player = CapturePlayer(
        turns,
        timing=timing,
        limit_us=limit_us,
        start_limit_us=start_limit_us,
        gap_us=max(GAP_LEAST_US, _GAP_CHARACTERS * 11 * 1_000_000 // _baud(capture, place)),
        keep=keep,
    )
    begun, done = asyncio.Event(), asyncio.Event()
    player.on_begun, player.on_done = begun.set, done.set
    close = await _put(player, capture, turns, place, on_place)
    try:
        async with asyncio.timeout(start_limit_us / 1_000_000):
            await begun.wait()
        await done.wait()
    except TimeoutError:
        raise ReplayError(f"nobody came within {start_limit_us / 1_000_000:g} s") from None
    finally:
        await close()
    return player.report


async def _put(
    player: CapturePlayer,
    capture: Capture,
    turns: Sequence[Turn],
    place: Place,
    on_place: Callable[[str], None] | None,
) -> Callable[[], Awaitable[None]]:
    """Put the player on the wire; gives what closes it."""
    where = f"{place.host}:{place.port}" if place.host else str(place.path)
    try:
        if place.host and place.listens:
            server = await serve_line_tcp(player, place.host, place.port, _now_us)
            where, close = f"{server.host}:{server.port}", server.aclose
        elif place.host:
            return (await connect_machine_tcp(player, place.host, place.port, _now_us)).aclose
        elif place.path is not None:
            # A pty has no parity, and Linux answers EINVAL to the second who asks it for one.
            parity = "N" if place.path.resolve().is_relative_to("/dev/pts") else place.parity
            baud = _baud(capture, place)
            serial = SerialHost(player, _now_us, path=place.path, baud=baud, parity=parity)
            await serial.start()
            return serial.aclose
        else:
            if turns[0].said:
                raise ReplayError(
                    "on a pty of ours the target has to speak first, or its first words would be lost"
                )
            pty = PtyHost(player, _now_us, baud=_AT_ONCE_BAUD)
            where, close = str(await pty.start()), pty.aclose
    except (OSError, serialx.SerialException) as error:
        reason = getattr(error, "strerror", None) or str(error)
        verb = "cannot listen there" if place.listens else "nobody is there"
        raise ReplayError(f"{where}: {verb} ({reason})") from error
    if on_place is not None:
        on_place(where)
    return close


def _now_us() -> int:
    return time.monotonic_ns() // 1_000
