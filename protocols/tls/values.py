"""Values inside TLS messages: floats in ASCII hex, times, decimal and hexadecimal fields.

Sources: Veeder-Root 576013-635 rev. U, sections 6.3 (floats), 7.0 (question marks where there is no data) and the
layouts of section 7. A console sends no NaN and no infinity; whoever reads one refuses it, so that a damaged reply never
becomes a number.
"""

from __future__ import annotations

import math
import re
import struct
from datetime import datetime
from typing import Final

from protocols.sansio import LocalProtocolError, RemoteProtocolError

__all__ = [
    "UNKNOWN_FLOAT",
    "Fields",
    "decode_float",
    "decode_time",
    "display_time",
    "encode_float",
    "encode_time",
]

UNKNOWN_FLOAT: Final = "????????"
"""A float of a device that is not there."""

_HEX: Final = re.compile(r"[0-9A-Fa-f]+")
_DECIMAL: Final = re.compile(r"[0-9]+")
_SMALLEST: Final = 2.0**-126
_CENTURY_SPLIT: Final = 70
"""Two-digit years from here on belong to the last century: the manual's own examples are of 1995 to 2006."""

_MONTHS: Final = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]


def encode_float(value: float | None) -> str:
    """IEEE-754 single precision, most significant digit first; None gives question marks.

    Raises:
        LocalProtocolError: not finite, or too large for single precision.
    """
    if value is None:
        return UNKNOWN_FLOAT
    if abs(value) < _SMALLEST:
        return "00000000"  # by convention of section 6.3.1.4; there are no denormals and no negative zero
    try:
        packed = struct.pack(">f", value)
    except OverflowError as error:
        raise LocalProtocolError(f"{value!r} does not fit a TLS float") from error
    if not math.isfinite(value):
        raise LocalProtocolError(f"{value!r} is no number for a TLS float")
    return packed.hex().upper()


def decode_float(text: str) -> float | None:
    """The value of eight hex digits, or None for question marks.

    Raises:
        RemoteProtocolError: other characters, or a pattern that is no finite number.
    """
    if text == UNKNOWN_FLOAT:
        return None
    if len(text) != 8 or not _HEX.fullmatch(text):
        raise RemoteProtocolError(f"{text!r} is no float: eight hex digits were due")
    (value,) = struct.unpack(">f", bytes.fromhex(text))
    if not math.isfinite(value):
        raise RemoteProtocolError(f"{text!r} is no finite number")
    return 0.0 if abs(value) < _SMALLEST else float(value)


def encode_time(at: datetime) -> str:
    """``YYMMDDHHmm``."""
    return at.strftime("%y%m%d%H%M")


def decode_time(text: str) -> datetime:
    """A ``YYMMDDHHmm``, as local time of the console.

    Raises:
        RemoteProtocolError: there is no such time.
    """
    if len(text) != 10 or not _DECIMAL.fullmatch(text):
        raise RemoteProtocolError(f"{text!r} is no time: YYMMDDHHmm was due")
    year, month, day, hour, minute = (int(text[i : i + 2]) for i in range(0, 10, 2))
    try:
        return datetime(1900 + year + 100 * (year < _CENTURY_SPLIT), month, day, hour, minute)  # noqa: DTZ001 - the console's local time
    except ValueError as error:
        raise RemoteProtocolError(f"{text!r} is no time: {error}") from error


def display_time(at: datetime) -> str:
    """``JAN 22, 1996  3:06 PM``."""
    hour = at.hour % 12 or 12
    half = "AM" if at.hour < 12 else "PM"
    return f"{_MONTHS[at.month - 1]} {at.day:2d}, {at.year} {hour:2d}:{at.minute:02d} {half}"


class Fields:
    """Reads a data field from left to right.

    Every method raises `RemoteProtocolError` when the characters left do not fit.
    """

    __slots__ = ("_at", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._text)

    def text(self, length: int) -> str:
        """The next characters as they are."""
        part = self._text[self._at : self._at + length]
        if len(part) < length:
            raise RemoteProtocolError(f"{length} characters were due, {len(part)} are left")
        self._at += length
        return part

    def decimal(self, length: int) -> int:
        """A decimal number with leading zeros."""
        part = self.text(length)
        if not _DECIMAL.fullmatch(part):
            raise RemoteProtocolError(f"{part!r} is no decimal number")
        return int(part)

    def hexadecimal(self, length: int) -> int:
        """A hexadecimal number with leading zeros."""
        part = self.text(length)
        if not _HEX.fullmatch(part):
            raise RemoteProtocolError(f"{part!r} is no hexadecimal number")
        return int(part, 16)

    def time(self) -> datetime:
        """A ``YYMMDDHHmm``."""
        return decode_time(self.text(10))

    def number(self) -> float | None:
        """A float, or None for question marks."""
        return decode_float(self.text(8))

    def floats(self, count: int) -> tuple[float | None, ...]:
        """Several floats."""
        return tuple(self.number() for _ in range(count))
