"""``forecourt replay-capture``: play one side of a capture to a driver or a dispenser and compare the other."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer
from rich.text import Text

from forecourt.console import err, out
from forecourt.exit_codes import exit_codes
from forecourt.guard import BadInput
from forecourt.tables import print_figures
from scenarios import ExitCode

if TYPE_CHECKING:
    from scenarios.replay_capture import Difference, Place
    from sim.wires import Capture

__all__ = ["EPILOG", "replay_capture"]

EPILOG: Final = exit_codes(
    "the target said what was recorded", one="it did not", usage="a bad file, nobody there"
)

_PCAPNG: Final = b"\x0a\x0d\x0d\x0a"
_HEX_BYTES: Final = 48
"""Bytes of a burst that are shown."""


def replay_capture(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A capture (.fcap), of a run or of your own.")],
    against: Annotated[
        str,
        typer.Option(
            metavar="TARGET",
            help="tcp:HOST:PORT, or the path of a serial device or a pty; with --listen also `pty`, which makes one.",
        ),
    ],
    play: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SENDER",
            help="Whose part in the capture we take; more than once for several devices on a line. "
            "[default: who speaks first, the master; with --listen all the others]",
        ),
    ] = None,
    listen: Annotated[
        bool,
        typer.Option("--listen", help="The target comes to us, as a driver does that dials a dispenser."),
    ] = False,
    timing: Annotated[
        Literal["answers", "recorded"],
        typer.Option(help="Go on as soon as the answer is in, or no earlier than in the capture."),
    ] = "answers",
    limit_ms: Annotated[
        int,
        typer.Option(min=1, max=600_000, help="Time for an answer, on top of what it took in the capture."),
    ] = 2_000,
    wait_s: Annotated[
        int, typer.Option(min=1, max=86_400, help="Time for a target to come, or to say its first word.")
    ] = 30,
    differences: Annotated[int, typer.Option(min=1, max=10_000, help="How many differences are shown.")] = 20,
    baud: Annotated[
        int | None,
        typer.Option(
            min=300, max=1_000_000, help="Speed of a serial device. [default: as in the capture, or 9600]"
        ),
    ] = None,
    parity: Annotated[Literal["N", "E", "O"], typer.Option(help="Parity of a serial device.")] = "N",
) -> None:
    """Play one side of a capture to a driver or a dispenser, and compare what it says, byte for byte.

    The target is to be in the state in which the recorded one was when the capture began: prices, totals, nozzles.
    """
    from scenarios.replay_capture import ReplayError, first_sender, take_turns
    from scenarios.replay_capture import replay_capture as replay_on_wire

    place = _place(against, listen=listen, baud=baud, parity=parity)
    capture = _read(file)
    try:
        master = first_sender(capture)
        others = [name for name in capture.ports if name not in (master, "noise")]
        played = play or (others if listen else [master])
        turns = take_turns(capture, played)
        report = asyncio.run(
            replay_on_wire(
                capture, turns, place, timing=timing, limit_us=limit_ms * 1_000, start_limit_us=wait_s * 1_000_000,
                keep=differences, on_place=_say_place,
            )
        )  # fmt: skip
    except ReplayError as error:
        raise BadInput(str(error)) from None
    console = out()
    for one in report.differences:
        _show(console, one)
    more = report.different - len(report.differences)
    if more:
        console.print(f"and {more:,} more turns that differ")
    if report.ended:
        console.print(Text(report.ended), soft_wrap=True)
    print_figures(
        console,
        {
            "played": ", ".join(played),
            "turns": f"{report.played:,} of {report.turns:,}, {report.different:,} different",
            "bytes": f"{report.sent_bytes:,} to the target, {report.got_bytes:,} from it",
        },
    )
    raise typer.Exit(int(ExitCode.CONFORMANT if report.same else ExitCode.NON_CONFORMANT))


def _place(text: str, *, listen: bool, baud: int | None, parity: str) -> Place:
    from scenarios.replay_capture import Place

    if text.startswith("tcp:"):
        host, colon, port = text.removeprefix("tcp:").rpartition(":")
        usable = colon and host and port.isdecimal() and (listen or int(port) > 0) and int(port) <= 65_535
        if not usable:
            raise BadInput(f"--against {text!r}: expected tcp:HOST:PORT, for example tcp:127.0.0.1:5001")
        return Place(host=host, port=int(port), listens=listen)
    if text == "pty" and listen:
        return Place(listens=True, baud=baud)
    path = Path(text)
    if listen:
        raise BadInput("--listen is for tcp:HOST:PORT and pty; a device at a path is opened")
    if not path.is_char_device():
        raise BadInput(f"--against {text!r}: neither tcp:HOST:PORT nor the path of a serial device or a pty")
    return Place(path=path, baud=baud, parity=parity)


def _read(file: Path) -> Capture:
    from sim.wires import CaptureError, read_capture

    try:
        with file.open("rb") as opened:
            if opened.read(4) == _PCAPNG:
                raise BadInput(f"{file} is a pcapng; play the .fcap that lies beside it")
        return read_capture(file)
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror or error}") from None
    except CaptureError as error:
        raise BadInput(str(error)) from None


def _say_place(where: str) -> None:
    err().print(Text(f"waiting for the target at {where}"), soft_wrap=True)


def _show(console: Any, one: Difference) -> None:
    console.print(Text(f"turn {one.turn} at {one.t_us / 1_000_000:.6f} s of the capture"), soft_wrap=True)
    for word, data in (("sent", one.sent), ("expected", one.expected), ("got", one.got)):
        console.print(Text(f"  {word:<9}{_hex(data)}"), soft_wrap=True)


def _hex(data: bytes) -> str:
    if not data:
        return "nothing"
    shown = data[:_HEX_BYTES].hex(" ")
    return shown if len(data) <= _HEX_BYTES else f"{shown} ... ({len(data):,} bytes)"
