"""The host's side: bytes of a console become replies, and damage becomes an event.

A reply runs from SOH to ETX. Whatever is cut short, garbled or glued together, the next SOH starts afresh, so a reader is
in step again with the next good reply.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from protocols.sansio import NEED_DATA, NeedData, RemoteProtocolError

from .framing import ETX, NOT_UNDERSTOOD, SOH, is_sound
from .values import decode_time

__all__ = ["BadReply", "ComputerReply", "DisplayReply", "NotUnderstood", "ReplyEvent", "ReplyReader"]

_REPLY_LIMIT: Final = 65_536
"""The longest replies are alarm histories and delivery reports of 16 tanks, some ten thousand characters."""


@dataclass(frozen=True, slots=True)
class ComputerReply:
    """A sound reply in computer format.

    Attributes:
        code: the six characters of the command that it answers.
        at: the console's clock.
        data: what follows the time stamp.
    """

    code: str
    at: datetime
    data: str


@dataclass(frozen=True, slots=True)
class DisplayReply:
    """A reply in display format: it carries no checksum, so nobody knows whether it is whole.

    Attributes:
        lines: without line ends and NULs; leading and trailing blank lines left out.
    """

    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """The console does not know the function code."""


@dataclass(frozen=True, slots=True)
class BadReply:
    """Something came that is no sound reply.

    Attributes:
        reason: one clause for a person.
        raw: the bytes.
    """

    reason: str
    raw: bytes


ReplyEvent = ComputerReply | DisplayReply | NotUnderstood | BadReply


class ReplyReader:
    """Feed it with `receive_data`, take events with `next_event`.

    Args:
        etx: end character, where the console's was reprogrammed.

    Attributes:
        noise: bytes outside any reply.
    """

    def __init__(self, *, etx: int = ETX) -> None:
        self.noise = 0
        self._etx = etx
        self._frame = bytearray()
        self._events: deque[ReplyEvent] = deque()

    def reset(self) -> None:
        """Forget what was half received."""
        self._frame.clear()
        self._events.clear()

    def receive_data(self, data: bytes) -> None:
        """Bytes from the console."""
        frame = self._frame
        for byte in data:
            if byte == SOH:
                if frame:
                    self._events.append(BadReply("cut short by the next reply", bytes(frame)))
                frame[:] = [SOH]
            elif not frame:
                self.noise += 1
            else:
                frame.append(byte)
                if byte == self._etx:
                    self._events.append(self._read(bytes(frame)))
                    frame.clear()
                elif len(frame) > _REPLY_LIMIT:
                    self._events.append(BadReply("longer than any reply", bytes(frame[:64])))
                    frame.clear()

    def next_event(self) -> ReplyEvent | NeedData:
        """The next event, or `NEED_DATA`."""
        return self._events.popleft() if self._events else NEED_DATA

    def _read(self, frame: bytes) -> ReplyEvent:
        if frame[:-1] == NOT_UNDERSTOOD[:-1]:
            return NotUnderstood()
        if b"\n" in frame:
            return _display(frame)
        if not frame.isascii():
            return BadReply("not ASCII", frame)
        # The sum is over SOH to "&&" and the end character is not in it, so a reprogrammed ETX changes nothing.
        if not is_sound(frame):
            return BadReply("the checksum does not fit", frame)
        text = frame[1:-7].decode()
        try:
            return ComputerReply(text[:6], decode_time(text[6:16]), text[16:])
        except RemoteProtocolError as error:
            return BadReply(str(error), frame)


def _display(frame: bytes) -> ReplyEvent:
    try:
        text = frame[1:-1].replace(b"\x00", b"").decode("ascii")
    except UnicodeDecodeError:
        return BadReply("not ASCII", frame)
    return DisplayReply(tuple(line.rstrip() for line in text.strip("\r\n").split("\r\n")))
