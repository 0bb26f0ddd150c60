"""Status bytes, both ways: a printer's condition into bytes, and bytes into what a spooler wants to know.

Bit layouts: Epson TM command manuals, confirmed by the HPRT and Bixolon manuals. Replies carry no name; a host
tells them apart by their fixed bits: DLE EOT ``0xx1xx10``, first ASB byte ``0xx1xx00`` (three ``0xx0xxxx`` follow),
GS r and GS I ``0xx0xxxx``, XON 11 and XOFF 13.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocols.sansio import RemoteProtocolError

__all__ = [
    "STATUS_REPLY_BYTES",
    "PrinterCondition",
    "PrinterStatus",
    "asb_bytes",
    "asb_items",
    "completion_query",
    "decode_asb",
    "decode_completion",
    "decode_status",
    "dle_eot_byte",
    "gs_r_byte",
    "status_query",
]

STATUS_REPLY_BYTES: Final = 4
"""Bytes that answer `status_query`."""

_FIXED_MASK: Final = 0b1001_0011


@dataclass(frozen=True, slots=True)
class PrinterCondition:
    """A printer's state as its status bytes can tell it; every flag False is a printer that is ready."""

    cover_open: bool = False
    paper_end: bool = False
    paper_near_end: bool = False
    feeding: bool = False
    waiting_for_recovery: bool = False
    cutter_error: bool = False
    unrecoverable_error: bool = False
    auto_recoverable_error: bool = False
    drawer_high: bool = False
    starting: bool = False
    near_end_stop: bool = False
    recoverable_error: bool = False

    @property
    def error(self) -> bool:
        """Whether any error holds."""
        return (
            self.cutter_error
            or self.unrecoverable_error
            or self.auto_recoverable_error
            or self.recoverable_error
        )

    @property
    def offline(self) -> bool:
        """Offline: cover, paper end (or near end where ESC c 4 says so), feeding by button, start-up, or an error."""
        return (
            self.cover_open
            or self.paper_end
            or self.near_end_stop
            or self.feeding
            or self.starting
            or self.error
        )


@dataclass(frozen=True, slots=True)
class PrinterStatus(PrinterCondition):
    """What `decode_status` read.

    Attributes:
        reported_offline: the printer's own OFFLINE bit; it may know a cause that no other bit names.
    """

    reported_offline: bool = False

    @property
    def ready(self) -> bool:
        """Whether a receipt sent now would be printed at once."""
        return not (self.offline or self.reported_offline)

    @property
    def problems(self) -> tuple[str, ...]:
        """Why it is not ready, in words fit for the staff; empty when it is."""
        named = (
            ("paper end", self.paper_end),
            ("cover open", self.cover_open),
            ("cutter error", self.cutter_error),
            ("recoverable error", self.recoverable_error and not self.cutter_error),
            ("unrecoverable error", self.unrecoverable_error),
            ("head hot or cover opened while printing", self.auto_recoverable_error),
            ("paper is being fed by button", self.feeding),
        )
        found = tuple(name for name, holds in named if holds)
        return found or (("offline",) if self.reported_offline else ())


def status_query(*kinds: int) -> bytes:
    """The real-time status request a spooler sends before a receipt: DLE EOT 1, 2, 3 and 4 together.

    Args:
        *kinds: which of 1..4 to ask; all four when none is given (only then does `decode_status` apply).
    """
    return b"".join(bytes((0x10, 0x04, kind)) for kind in kinds or (1, 2, 3, 4))


def decode_status(reply: bytes) -> PrinterStatus:
    """Read the four bytes that answer `status_query`, in order.

    Raises:
        RemoteProtocolError: not four bytes, or the fixed bits of one are not those of a DLE EOT reply.
    """
    if len(reply) != STATUS_REPLY_BYTES:
        raise RemoteProtocolError(f"a status reply has {STATUS_REPLY_BYTES} bytes, got {len(reply)}")
    for number, byte in enumerate(reply, 1):
        if byte & _FIXED_MASK != 0b0001_0010:
            raise RemoteProtocolError(f"status byte {number} is {byte:02X}, not of the form 0xx1xx10")
    printer, cause, error, paper = reply
    return PrinterStatus(
        drawer_high=bool(printer & 0x04),
        waiting_for_recovery=bool(printer & 0x20),
        cover_open=bool(cause & 0x04),
        feeding=bool(cause & 0x08) or bool(printer & 0x40),
        recoverable_error=bool(error & 0x04),
        cutter_error=bool(error & 0x08),
        unrecoverable_error=bool(error & 0x20),
        auto_recoverable_error=bool(error & 0x40),
        paper_near_end=bool(paper & 0x0C),
        paper_end=bool(paper & 0x60) or bool(cause & 0x20),
        reported_offline=bool(printer & 0x08),
    )


def completion_query() -> bytes:
    """GS r 1: answered with one byte when all that was sent before it is on paper.

    It is a buffered command: a printer that has gone offline does not answer it until it is back. No answer
    therefore means "not known to be printed", never "printed".
    """
    return b"\x1d\x72\x01"


def decode_completion(reply: bytes) -> PrinterStatus:
    """Read the one byte that answers `completion_query`.

    Raises:
        RemoteProtocolError: not one byte of the form 0xx0xxxx.
    """
    if len(reply) != 1 or reply[0] & 0x90:
        raise RemoteProtocolError(f"not a GS r reply: {reply.hex(' ').upper() or 'nothing'}")
    return PrinterStatus(paper_near_end=bool(reply[0] & 0x03), paper_end=bool(reply[0] & 0x0C))


def decode_asb(reply: bytes) -> PrinterStatus:
    """Read the four bytes of an automatic status (GS a).

    Raises:
        RemoteProtocolError: not four bytes with the fixed bits of an ASB block.
    """
    if len(reply) != 4 or reply[0] & _FIXED_MASK != 0b0001_0000 or any(byte & 0x90 for byte in reply[1:]):
        raise RemoteProtocolError(f"not an ASB block: {reply.hex(' ').upper()}")
    return PrinterStatus(
        drawer_high=bool(reply[0] & 0x04),
        reported_offline=bool(reply[0] & 0x08),
        cover_open=bool(reply[0] & 0x20),
        feeding=bool(reply[0] & 0x40),
        waiting_for_recovery=bool(reply[1] & 0x01),
        recoverable_error=bool(reply[1] & 0x04),
        cutter_error=bool(reply[1] & 0x08),
        unrecoverable_error=bool(reply[1] & 0x20),
        auto_recoverable_error=bool(reply[1] & 0x40),
        paper_near_end=bool(reply[2] & 0x03),
        paper_end=bool(reply[2] & 0x0C),
    )


def _bits(*flags: tuple[int, bool]) -> int:
    return sum(value for value, on in flags if on)


def dle_eot_byte(n: int, condition: PrinterCondition) -> int | None:
    """The printer's answer to DLE EOT ``n``; None for an ``n`` it does not know."""
    c = condition
    if n == 1:
        high = (0x04, c.drawer_high)
        return 0x12 | _bits(high, (0x08, c.offline), (0x20, c.waiting_for_recovery), (0x40, c.feeding))
    if n == 2:
        stopped = c.paper_end or c.near_end_stop
        return 0x12 | _bits((0x04, c.cover_open), (0x08, c.feeding), (0x20, stopped), (0x40, c.error))
    if n == 3:
        cutter, fatal = (0x08, c.cutter_error), (0x20, c.unrecoverable_error)
        return 0x12 | _bits((0x04, c.recoverable_error), cutter, fatal, (0x40, c.auto_recoverable_error))
    if n == 4:
        return 0x12 | _bits((0x0C, c.paper_near_end), (0x60, c.paper_end))
    return None


def gs_r_byte(n: int, condition: PrinterCondition) -> int | None:
    """The printer's answer to GS r ``n`` (1 paper, 2 drawer); None for an ``n`` it does not know."""
    if n in (1, 49):
        return _bits((0x03, condition.paper_near_end), (0x0C, condition.paper_end))
    if n in (2, 50):
        return _bits((0x01, condition.drawer_high))
    return None


def asb_bytes(condition: PrinterCondition, last: int = 0) -> bytes:
    """The four bytes of an automatic status block; ``last`` is the reserved fourth one, 00 on most printers, 0F on some."""
    c = condition
    first = 0x10 | _bits((0x04, c.drawer_high), (0x08, c.offline), (0x20, c.cover_open), (0x40, c.feeding))
    second = _bits(
        (0x01, c.waiting_for_recovery),
        (0x02, c.feeding),
        (0x04, c.recoverable_error),
        (0x08, c.cutter_error),
        (0x20, c.unrecoverable_error),
        (0x40, c.auto_recoverable_error),
    )
    third = _bits((0x03, c.paper_near_end), (0x0C, c.paper_end))
    return bytes((first, second, third, last))


def asb_items(condition: PrinterCondition, enabled: int) -> tuple[bool, ...]:
    """The items that GS a ``enabled`` watches; a report is due whenever they change."""
    c = condition
    watched: tuple[bool, ...] = ()
    if enabled & 0x01:
        watched += (c.drawer_high,)
    if enabled & 0x02:
        watched += (c.offline, c.cover_open, c.feeding, c.waiting_for_recovery)
    if enabled & 0x04:
        watched += (c.cutter_error, c.unrecoverable_error, c.auto_recoverable_error, c.recoverable_error)
    if enabled & 0x08:
        watched += (c.paper_end, c.paper_near_end)
    return watched
