"""Bytes to frames. Bad input is an item like any other, and no bad input hides the good frame behind it."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from protocols.dart.decoding import plausible
from protocols.dart.wire import (
    ADDRESS_FIRST,
    ADDRESS_LAST,
    BLOCK_BYTES_MAX,
    CONTROL_FRAMES,
    DLE,
    ETX,
    FRAME_BYTES_MAX,
    SF,
    Control,
    ControlFrame,
    DataFrame,
    checksum,
)

__all__ = ["BadBytes", "BadReason", "Frame", "Framer"]

_RUN_BYTES_MAX: Final = 2 * FRAME_BYTES_MAX
"""Bytes kept without a stop flag. Half is cut at a time, so that the longest frame at the end of noise survives."""

_REST_BYTES_MAX: Final = 3
"""What is left of a frame behind a bare FA in its checksum: ``03 FA``, and the other checksum byte before it."""

_DATA_FRAME_BYTES_MIN: Final = 6
"""ADR CTRL CRC CRC 03 FA."""


class BadReason(StrEnum):
    """Why bytes were refused."""

    CHECKSUM = "checksum"
    """Shaped like a data frame, but the checksum is wrong."""
    PARITY = "parity"
    """A byte came with wrong parity."""
    TRUNCATED = "truncated"
    """Begins like a frame, but its end is missing."""
    CONTROL = "control"
    """Well formed, but the control byte is none that we know."""
    TOO_LONG = "too long"
    """More than `BLOCK_BYTES_MAX` data bytes, or no stop flag for twice the longest frame."""
    NOISE = "noise"
    """Does not begin with an address."""


class BadBytes(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that are no good frame.

    Attributes:
        reason: why.
        raw: the bytes as they came.
        address: the address they begin with; None when they begin with none.
        tx: low nibble of the control byte, when there is one.
    """

    reason: BadReason
    raw: bytes
    address: int | None = None
    tx: int | None = None


Frame: TypeAlias = ControlFrame | DataFrame | BadBytes


class Framer:
    """Cuts a byte stream into frames.

    The items depend on the bytes alone, never on how they were cut into calls. When a run of bytes up to a stop flag
    is no frame, its tail may still be one (the start was noise or a frame that was cut off): a good tail is taken, and
    what stood before it is reported.

    Some peers forget the escape when a checksum byte is FA. Such a frame falls into two runs; when the second one comes,
    the frame is put together and taken, marked ``checksum_unescaped``.

    Attributes:
        partial: bytes of an unfinished frame are waiting.
    """

    __slots__ = ("_bad_byte", "_buffer", "_cut_off", "_search", "partial")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._search = 0  # no unescaped stop flag before this offset
        self._bad_byte = -1  # offset of the last byte with a parity error, -1 for none
        self._cut_off = (
            b""  # the last run, if it may be the beginning of a frame with a bare FA in its checksum
        )
        self.partial = False

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes, return the items they complete, in order."""
        items: list[Frame] = []
        if not self.partial and self._bad_byte < 0 and _is_one_run(data):
            if not self._cut_off:
                # Hardly ever is it anything but one good frame from its first byte on, as `_read_run` would find it.
                frame = _good(data)
                if frame is not None and (isinstance(frame, ControlFrame) or plausible(frame.block)):
                    return [frame]
            self._run(data, -1, items)
            return items
        buffer = self._buffer
        buffer += data
        while True:
            end = buffer.find(SF, self._search, _RUN_BYTES_MAX)
            if end < 0:
                if len(buffer) < _RUN_BYTES_MAX:
                    self._search = len(buffer)
                    break
                items.append(_describe(bytes(buffer[:FRAME_BYTES_MAX]), BadReason.TOO_LONG))
                self._cut(FRAME_BYTES_MAX)
                self._search = min(FRAME_BYTES_MAX, len(buffer))
            elif end and buffer[end - 1] == DLE:
                self._search = end + 1
            else:
                raw = bytes(buffer[: end + 1])
                self._run(raw, self._bad_byte, items)
                self._cut(end + 1)
                self._search = 0
        self.partial = bool(buffer)
        return items

    @property
    def is_fresh(self) -> bool:
        """Nothing that came before has a bearing on what comes next."""
        return not self.partial and not self._cut_off and self._bad_byte < 0

    def parity_error(self) -> None:
        """Say that the byte fed next came with wrong parity: the frame around it is refused, whatever its checksum."""
        self._bad_byte = len(self._buffer)

    def flush(self) -> list[Frame]:
        """Give up the unfinished bytes (the line fell silent) and report them."""
        if not self._buffer:
            return []
        raw = bytes(self._buffer)
        self._buffer.clear()
        self._search = 0
        self._bad_byte = -1
        self.partial = False
        return [_describe(raw, BadReason.TRUNCATED)]

    def _run(self, raw: bytes, bad_byte: int, items: list[Frame]) -> None:
        """One run of bytes up to a stop flag; perhaps the rest of a frame that a bare FA cut in two."""
        before, self._cut_off = self._cut_off, b""
        if before and len(raw) <= _REST_BYTES_MAX and bad_byte < 0:
            frame = _without_escape(before + raw)
            if frame is not None:
                items.append(frame)
                return
        count = len(items)
        _read_run(raw, bad_byte, items)
        if len(items) != count + 1 or bad_byte >= 0 or not isinstance(items[-1], BadBytes):
            return
        if items[-1].address is not None and len(raw) > 3 and raw[1] & 0xF0 == Control.DATA:
            # A 10 before the bare FA makes it look escaped, and then the frame is not even cut.
            frame = _without_escape(raw) if b"\x10\xfa" in raw[-5:-2] else None
            if frame is not None:
                items[-1] = frame
            else:
                self._cut_off = raw

    def _cut(self, count: int) -> None:
        del self._buffer[:count]
        self._bad_byte = max(self._bad_byte - count, -1)


def _is_one_run(data: bytes) -> bool:
    """Whether a burst is exactly one run of bytes, which hardly a burst is not: then nothing needs to be kept."""
    return 1 < len(data) <= _RUN_BYTES_MAX and data.find(SF) == len(data) - 1 and data[-2] != DLE


def _read_run(raw: bytes, bad_byte: int, items: list[Frame]) -> None:
    """Append what one run of bytes, ended by a stop flag, stands for."""
    found: ControlFrame | DataFrame | None = None
    found_at = 0
    for start in range(bad_byte + 1, len(raw) - 2):
        if not ADDRESS_FIRST <= raw[start] <= ADDRESS_LAST:
            continue
        frame = _good(raw[start:] if start else raw)
        if frame is None:
            continue
        found, found_at = frame, start
        # The checksum starts from 0, so a frame that lost its last two bytes and the good frame behind it pass as
        # one. Then the first checksum stands where a transaction should: the shorter tail is the frame.
        if isinstance(frame, ControlFrame) or plausible(frame.block):
            break
    if found is None:
        items.append(_describe(raw, _diagnose(raw) if bad_byte < 0 else BadReason.PARITY))
        return
    if found_at:
        reason = BadReason.TRUNCATED if bad_byte < 0 else BadReason.PARITY
        items.append(_describe(raw[:found_at], reason))
    items.append(found)


def _good(raw: bytes) -> ControlFrame | DataFrame | None:
    """The frame that is exactly these bytes, or None."""
    control = CONTROL_FRAMES.get(raw)
    if control is not None:
        return control
    if len(raw) < _DATA_FRAME_BYTES_MIN or raw[-2] != ETX or raw[1] & 0xF0 != Control.DATA:
        return None
    if not ADDRESS_FIRST <= raw[0] <= ADDRESS_LAST:
        return None
    body = raw[:-2].replace(b"\x10\xfa", b"\xfa")
    if not 4 <= len(body) <= BLOCK_BYTES_MAX + 4 or checksum(body) != 0:
        return None
    return DataFrame(address=raw[0], tx=raw[1] & 0x0F, block=body[2:-2])


def _without_escape(raw: bytes) -> DataFrame | None:
    """The data frame that these bytes are if a checksum byte FA came without its escape, or None."""
    if len(raw) < _DATA_FRAME_BYTES_MIN or raw[-2] != ETX:
        return None
    body = raw[:-4].replace(b"\x10\xfa", b"\xfa") + raw[-4:-2]
    if len(body) > BLOCK_BYTES_MAX + 4 or checksum(body) != 0:
        return None
    return DataFrame(address=raw[0], tx=raw[1] & 0x0F, block=body[2:-2], checksum_unescaped=True)


def _diagnose(raw: bytes) -> BadReason:
    """Why a run that begins with an address is no frame."""
    if len(raw) == 3:
        return BadReason.CONTROL
    if len(raw) < _DATA_FRAME_BYTES_MIN or raw[-2] != ETX:
        return BadReason.TRUNCATED
    body = raw[:-2].replace(b"\x10\xfa", b"\xfa")
    if len(body) > BLOCK_BYTES_MAX + 4:
        return BadReason.TOO_LONG
    return BadReason.CHECKSUM if checksum(body) != 0 else BadReason.CONTROL


def _describe(raw: bytes, reason: BadReason) -> BadBytes:
    if not ADDRESS_FIRST <= raw[0] <= ADDRESS_LAST:
        keep = reason is BadReason.PARITY or reason is BadReason.TOO_LONG
        return BadBytes(reason=reason if keep else BadReason.NOISE, raw=raw)
    tx = raw[1] & 0x0F if len(raw) > 1 else None
    return BadBytes(reason=reason, raw=raw, address=raw[0], tx=tx)
