"""A line that echoes: a sender hears its own bytes before the answer. Some RS-232 converters do this."""

from __future__ import annotations

from collections import deque

__all__ = ["EchoFilter"]


class EchoFilter:
    """Takes one's own bursts out of what is heard.

    The first byte that differs ends the filtering, and what was held back of that burst is let through: it was no echo.
    """

    __slots__ = ("_bursts", "_matched")

    def __init__(self) -> None:
        self._bursts: deque[bytes] = deque()
        self._matched = 0  # bytes of the first burst that were heard

    def sent(self, data: bytes) -> None:
        """Expect this burst back."""
        self._bursts.append(data)

    def heard(self, data: bytes) -> bytes:
        """The bytes that are not echo."""
        at = 0
        while self._bursts and at < len(data):
            burst = self._bursts[0]
            if data[at] != burst[self._matched]:
                held = burst[: self._matched]
                self._bursts.clear()
                self._matched = 0
                return held + data[at:]
            at += 1
            self._matched += 1
            if self._matched == len(burst):
                self._bursts.popleft()
                self._matched = 0
        return data[at:]
