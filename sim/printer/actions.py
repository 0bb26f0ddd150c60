"""What the interpreter asks of the mechanism, in order."""

from __future__ import annotations

from dataclasses import dataclass

from sim.printer.paper import PrintedLine

__all__ = ["Action", "Buzz", "Cut", "Print", "Pulse", "Reply", "StatusReply"]


@dataclass(frozen=True, slots=True)
class Print:
    """Move the paper by the line's height while printing it."""

    line: PrintedLine


@dataclass(frozen=True, slots=True)
class Cut:
    """Cut; a printer without a cutter only ends the receipt."""

    full: bool


@dataclass(frozen=True, slots=True)
class Pulse:
    """Kick the drawer on connector pin 2 or 5."""

    pin: int
    on_ms: int


@dataclass(frozen=True, slots=True)
class Buzz:
    """Sound the buzzer ``times`` times."""

    times: int
    on_ms: int


@dataclass(frozen=True, slots=True)
class Reply:
    """Send bytes when everything before has been done."""

    data: bytes


@dataclass(frozen=True, slots=True)
class StatusReply:
    """GS r ``n``: send the status as it is when everything before has been done."""

    n: int


Action = Print | Cut | Pulse | Buzz | Reply | StatusReply
