"""Bytes to frames, by length, with resynchronisation. No bad input hides the good frame behind it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from protocols.aaff.wire import (
    BODY_BYTES_MAX,
    FROM_PUMP,
    HEADER_BYTES,
    MARKERS,
    OVERHEAD_BYTES,
    TO_PUMP,
    Direction,
    Frame,
    checksum,
)

__all__ = ["BadBytes", "BadReason", "Framer", "Item"]

_NOISE_BYTES_MAX: Final = 256
"""Bytes without a marker that are reported as one piece; more make a second piece."""


class BadReason(StrEnum):
    """Why bytes were refused."""

    CHECKSUM = "checksum"
    """Shaped like a frame, but the checksum is wrong."""
    END = "end marker"
    """Where the length says the frame ends, its end marker is not."""
    LENGTH = "length"
    """A length above `BODY_BYTES_MAX`."""
    TRUNCATED = "truncated"
    """Begins like a frame, but its end never came."""
    NOISE = "noise"
    """No start marker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BadBytes:
    """Bytes that are no good frame.

    Attributes:
        reason: why.
        raw: the bytes as they came.
        direction: of the markers they begin with; None when they begin with none.
        gun: the gun they name, when they are long enough to name one.
    """

    reason: BadReason
    raw: bytes
    direction: Direction | None = None
    gun: int | None = None


Item: TypeAlias = Frame | BadBytes

_STARTS: Final = {TO_PUMP: Direction.TO_PUMP, FROM_PUMP: Direction.FROM_PUMP}


class Framer:
    """Cuts a byte stream into frames of both directions.

    The items depend on the bytes alone, never on how they were cut into calls: of all places where a frame could begin, the
    one that is complete first decides. So a frame that lost its end, or whose length byte was damaged, never swallows the
    good frame behind it; and a body, which is decimal digits, never looks like a marker.

    Args:
        any_checksum: accept a frame to a pump whose checksum is wrong or left out altogether, as the dispenser firmware does
            because its back office sends none (ycxzfforever/LNG_V2.X_NEW ``src/app.c``).
    """

    __slots__ = ("_any_checksum", "_buffer", "_dead", "_noise")

    def __init__(self, *, any_checksum: bool = False) -> None:
        self._any_checksum = any_checksum
        self._buffer = bytearray()
        self._noise = bytearray()
        self._dead: list[int] = []  # places inside an open candidate that proved to be no frame

    @property
    def partial(self) -> bool:
        """Bytes of an unfinished frame are waiting."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[Item]:
        """Take bytes, return the items they complete, in order."""
        if not self._buffer and not self._noise:
            # Nearly every burst is exactly one good frame.
            frame = _whole(data)
            if frame is not None and data.find(TO_PUMP, 1) < 0 and data.find(FROM_PUMP, 1) < 0:
                return [frame]
        items: list[Item] = []
        self._buffer += data
        while self._step(items):
            pass
        return items

    def flush(self) -> list[Item]:
        """Give up the unfinished bytes (the line fell silent) and report them."""
        items: list[Item] = []
        if self._noise:
            items.append(_bad(bytes(self._noise), BadReason.NOISE))
        if self._buffer:
            raw = bytes(self._buffer)
            items.append(_bad(raw, BadReason.TRUNCATED if raw[:2] in _STARTS else BadReason.NOISE))
        self._noise.clear()
        self._buffer.clear()
        self._dead.clear()
        return items

    def _step(self, items: list[Item]) -> bool:
        """Decide on the place that is complete first. False: more bytes are needed."""
        buffer = self._buffer
        self._skip_noise(self._next_start(0, len(buffer)), items)
        first: tuple[int, int] | None = None
        at = 0
        while at < len(buffer) and (first is None or at + HEADER_BYTES < first[0]):
            end = self._end_of(at)
            if end is not None and (first is None or end < first[0]):
                first = (end, at)
            at = self._next_start(at + 1, len(buffer))
        if first is None:
            return False
        end, at = first
        frame, reason = self._judge(bytes(buffer[at:end]))
        if frame is None and at:
            self._dead.append(at)  # the candidate around it is still open
            return True
        self._report_noise(items)
        if frame is None:
            end = self._next_start(1, end)
            items.append(_bad(bytes(buffer[:end]), reason))
        else:
            if at:
                items.append(_bad(bytes(buffer[:at]), BadReason.TRUNCATED))
            items.append(frame)
        self._cut(end)
        return True

    def _cut(self, count: int) -> None:
        del self._buffer[:count]
        self._dead = [at - count for at in self._dead if at >= count]

    def _next_start(self, begin: int, end: int) -> int:
        """The first place in ``begin..end`` where a frame begins, or may with the next byte; ``end`` for none."""
        buffer = self._buffer
        while True:
            best = end
            for marker in _STARTS:
                found = buffer.find(marker, begin, end)
                if found < 0 and end > begin and buffer[end - 1] == marker[0]:
                    found = end - 1
                if 0 <= found < best:
                    best = found
            if best not in self._dead or best == end:
                return best
            begin = best + 1

    def _end_of(self, at: int) -> int | None:
        """Where the frame that begins at ``at`` is complete; None when that is not here yet."""
        buffer = self._buffer
        if len(buffer) < at + HEADER_BYTES:
            return None
        length = buffer[at + 5]
        end = at + HEADER_BYTES
        if length > BODY_BYTES_MAX:
            return end
        end = at + OVERHEAD_BYTES + length
        if self._any_checksum and len(buffer) >= end - 1 and self._without_checksum(at, end - 1):
            return end - 1
        return end if len(buffer) >= end else None

    def _without_checksum(self, at: int, end: int) -> bool:
        """Whether the end marker stands where the checksum should, and is not the start of the checksum itself."""
        start = bytes(self._buffer[at : at + 2])
        return start == TO_PUMP and bytes(self._buffer[end - 2 : end]) == MARKERS[Direction.TO_PUMP][1]

    def _judge(self, raw: bytes) -> tuple[Frame | None, BadReason]:
        frame = _whole(raw)
        if frame is not None:
            return frame, BadReason.CHECKSUM
        if raw[5] > BODY_BYTES_MAX:
            return None, BadReason.LENGTH
        direction = _STARTS[raw[:2]]
        if raw[-2:] != MARKERS[direction][1]:
            return None, BadReason.END
        if self._any_checksum and direction is Direction.TO_PUMP:
            missing = len(raw) == OVERHEAD_BYTES + raw[5] - 1
            return _frame(raw, direction, "missing" if missing else "wrong"), BadReason.CHECKSUM
        return None, BadReason.CHECKSUM

    def _skip_noise(self, count: int, items: list[Item]) -> None:
        while count:
            piece = min(count, _NOISE_BYTES_MAX - len(self._noise))
            self._noise += self._buffer[:piece]
            self._cut(piece)
            count -= piece
            if len(self._noise) == _NOISE_BYTES_MAX:
                self._report_noise(items)

    def _report_noise(self, items: list[Item]) -> None:
        if self._noise:
            items.append(_bad(bytes(self._noise), BadReason.NOISE))
            self._noise.clear()


def _whole(raw: bytes) -> Frame | None:
    """The frame that is exactly these bytes, or None."""
    direction = _STARTS.get(bytes(raw[:2]))
    if direction is None or len(raw) < OVERHEAD_BYTES or len(raw) != raw[5] + OVERHEAD_BYTES:
        return None
    if raw[5] > BODY_BYTES_MAX or raw[-2:] != MARKERS[direction][1] or checksum(bytes(raw[2:-3])) != raw[-3]:
        return None
    return _frame(raw, direction, "good")


def _frame(raw: bytes, direction: Direction, check: str) -> Frame:
    body = bytes(raw[HEADER_BYTES : HEADER_BYTES + raw[5]])
    return Frame(
        direction=direction, destination=raw[2], command=raw[3], gun=raw[4], body=body, checksum=check
    )


def _bad(raw: bytes, reason: BadReason) -> BadBytes:
    direction = _STARTS.get(raw[:2])
    gun = raw[4] if direction is not None and len(raw) > 4 else None
    return BadBytes(reason=reason, raw=raw, direction=direction, gun=gun)
