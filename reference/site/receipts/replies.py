"""Tells the replies of a receipt printer apart, one byte after the other.

Replies carry no name. Their fixed bits say what they are (Epson TM command manuals): DLE EOT ``0xx1xx10``, the first
byte of an automatic status (GS a) ``0xx1xx00`` with three ``0xx0xxxx`` after it, GS r ``0xx0xxxx``, XON 11 and XOFF 13;
a process id (GS ( H) stands between 37 22 and 00. An automatic status must never pass for the answer of GS r: that
would confirm a receipt which is not on paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from protocols.escpos import (
    STATUS_REPLY_BYTES,
    PrinterStatus,
    decode_asb,
    decode_completion,
    decode_status,
)

__all__ = [
    "AutomaticStatus",
    "JobAnswer",
    "PaperAnswer",
    "PrinterReply",
    "ReplyReader",
    "StatusAnswer",
    "process_id",
    "process_id_query",
]

_ID_DIGITS: Final = 4
_ID_BASE: Final = 94
_ID_FIRST: Final = 0x21
_ASB_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class StatusAnswer:
    """The four answers to DLE EOT 1 to 4."""

    status: PrinterStatus


@dataclass(frozen=True, slots=True)
class AutomaticStatus:
    """An automatic status back: something changed, nobody asked."""

    status: PrinterStatus


@dataclass(frozen=True, slots=True)
class PaperAnswer:
    """The answer to GS r 1: everything before it is done."""

    status: PrinterStatus


@dataclass(frozen=True, slots=True)
class JobAnswer:
    """The answer to GS ( H: everything before the query with this id is done."""

    job: bytes


PrinterReply: TypeAlias = StatusAnswer | AutomaticStatus | PaperAnswer | JobAnswer


def process_id(number: int) -> bytes:
    """Four printable bytes for a number; they repeat after 78 million."""
    digits = []
    for _ in range(_ID_DIGITS):
        number, digit = divmod(number, _ID_BASE)
        digits.append(_ID_FIRST + digit)
    return bytes(reversed(digits))


def process_id_query(number: int) -> bytes:
    """GS ( H function 48: answered with the id when all that was sent before it is on paper."""
    return b"\x1d\x28\x48\x06\x00\x30\x30" + process_id(number)


class ReplyReader:
    """Reads a printer's side of the wire; noise is passed over."""

    def __init__(self) -> None:
        self._status = bytearray()
        self._block = bytearray()
        self._id: bytearray | None = None

    def forget_status(self) -> None:
        """A new question goes out: what came of an old answer does not belong to it."""
        self._status.clear()

    def reset(self) -> None:
        """The connection is gone, and half a reply with it."""
        self._status.clear()
        self._block.clear()
        self._id = None

    def feed(self, data: bytes) -> list[PrinterReply]:
        """The replies complete with these bytes."""
        found: list[PrinterReply] = []
        for byte in data:
            reply = self._take(byte)
            if reply is not None:
                found.append(reply)
        return found

    def _take(self, byte: int) -> PrinterReply | None:
        if self._id is not None:
            return self._take_id(byte)
        if self._block:
            if byte & 0x90 == 0:
                return self._take_block(byte)
            self._block.clear()
        if byte & 0x93 == 0x12:
            self._status.append(byte)
            if len(self._status) == STATUS_REPLY_BYTES:
                status = decode_status(bytes(self._status))
                self._status.clear()
                return StatusAnswer(status)
        elif byte & 0x93 == 0x10:
            self._block.append(byte)
        elif byte == 0x37:
            self._id = bytearray()
        elif byte & 0x90 == 0:
            return PaperAnswer(decode_completion(bytes((byte,))))
        return None

    def _take_block(self, byte: int) -> PrinterReply | None:
        self._block.append(byte)
        if len(self._block) < _ASB_BYTES:
            return None
        status = decode_asb(bytes(self._block))
        self._block.clear()
        return AutomaticStatus(status)

    def _take_id(self, byte: int) -> PrinterReply | None:
        assert self._id is not None  # noqa: S101 - the caller has looked
        self._id.append(byte)
        if byte == 0 or len(self._id) > _ID_DIGITS + 2:
            block, self._id = bytes(self._id), None
            if len(block) == _ID_DIGITS + 2 and block[0] == 0x22 and byte == 0:
                return JobAnswer(block[1:-1])
        return None
