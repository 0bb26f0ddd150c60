"""A reader of server-sent events (WHATWG HTML, section 9.2): bytes in, events out; no socket, no clock."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["ServerSentEvent", "SseError", "SseReader"]

_MAX_LINE = 1 << 20


class SseError(ValueError):
    """A stream that is no event stream: a line without end."""


class ServerSentEvent(NamedTuple):
    """One event: its type (``message`` unless named), its data, and the last id seen."""

    event: str
    data: str
    id: str


class SseReader:
    """Feed it chunks; it yields each event once its blank line has come. CR, LF and CRLF end a line."""

    def __init__(self) -> None:
        self._buffer = b""
        self._event = ""
        self._data: list[bytes] = []
        self._id = ""
        self._first = True

    def feed(self, chunk: bytes) -> Iterator[ServerSentEvent]:
        """Take bytes and yield the events they complete.

        Raises:
            SseError: a line longer than 1 MiB.
        """
        self._buffer += chunk
        if self._first and len(self._buffer) >= 3:
            self._buffer = self._buffer.removeprefix(b"\xef\xbb\xbf")
            self._first = False
        for line in self._lines():
            if line:
                self._take(line)
                continue
            data, event = self._data, self._event or "message"
            self._data, self._event = [], ""
            if data:
                yield ServerSentEvent(event, _text(b"\n".join(data)), self._id)
        if len(self._buffer) > _MAX_LINE:
            raise SseError(f"a line of an event stream is longer than {_MAX_LINE:,} bytes")

    def _lines(self) -> list[bytes]:
        lines: list[bytes] = []
        if b"\r" not in self._buffer:
            # Nearly always: lines that a plain split finds.
            *lines, self._buffer = self._buffer.split(b"\n")
            return lines
        while (line := self._next_line()) is not None:
            lines.append(line)
        return lines

    def _next_line(self) -> bytes | None:
        ends = [at for at in (self._buffer.find(b"\n"), self._buffer.find(b"\r")) if at >= 0]
        if not ends:
            return None
        at = min(ends)
        if self._buffer[at : at + 1] == b"\r" and at + 1 == len(self._buffer):
            return None  # perhaps the first half of CRLF
        skip = 2 if self._buffer[at : at + 2] == b"\r\n" else 1
        line, self._buffer = self._buffer[:at], self._buffer[at + skip :]
        return line

    def _take(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._event = _text(value)
        elif name == b"id" and b"\0" not in value:
            self._id = _text(value)
        # Else a comment (empty name), retry, or a field of the future.


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
