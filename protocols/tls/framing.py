"""Envelopes of the TLS serial interface: computer replies with their checksum, display replies line by line.

Sources: Veeder-Root 576013-635 rev. U (TLS-300/350/350R), sections 5 (command messages), 6.1 (computer format),
6.2 and 7.0 (display format: each line ends with CR, LF and six NULs; a reply begins and ends with a blank line).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from protocols.sansio import LocalProtocolError

from .values import encode_time

__all__ = [
    "ESC",
    "ETX",
    "INPUT_LIMIT",
    "LINE_END",
    "NOT_UNDERSTOOD",
    "SOH",
    "checksum",
    "computer_reply",
    "display_reply",
    "is_sound",
]

SOH: Final = 0x01
ETX: Final = 0x03
ESC: Final = 0x1B

INPUT_LIMIT: Final = 128
"""Characters of stacked commands that a console keeps while it is busy (576013-635, section 3)."""

LINE_END: Final = b"\r\n" + bytes(6)

NOT_UNDERSTOOD: Final = b"\x019999FF1B\x03"
"""The answer to a function code that the console does not know (576013-635, section 5)."""


def checksum(message: bytes) -> str:
    """Four hex digits: two's complement of the 16-bit sum of all characters, SOH and ``&&`` included, parity cleared."""
    return f"{-sum(byte & 0x7F for byte in message) & 0xFFFF:04X}"


def is_sound(frame: bytes) -> bool:
    """Whether a whole computer reply (SOH to ETX) ends in ``&&`` and a checksum that fits."""
    return frame[-7:-5] == b"&&" and frame[-5:-1] == checksum(frame[:-5]).encode()


def computer_reply(code: str, at: datetime, data: str = "", *, etx: int = ETX) -> bytes:
    """A reply in computer format.

    Args:
        code: the six characters of the function code, as received.
        at: the console's clock.
        data: what follows the time stamp.
        etx: end character; programmable on consoles that allow it (function 531).

    Raises:
        LocalProtocolError: the code has not six characters, or a character is not printable ASCII.
    """
    if len(code) != 6:
        raise LocalProtocolError(f"a function code has 6 characters, not {code!r}")
    body = f"{code}{encode_time(at)}{data}&&"
    if not body.isascii() or not body.isprintable():
        raise LocalProtocolError(f"{code}: a reply holds printable ASCII only")
    message = bytes([SOH]) + body.encode()
    return message + checksum(message).encode() + bytes([etx])


def display_reply(lines: Iterable[str], *, etx: int = ETX) -> bytes:
    """A reply in display format; the blank lines at its beginning and end are added here.

    Raises:
        LocalProtocolError: a character is not printable ASCII.
    """
    parts = [bytes([SOH]), LINE_END]
    for line in lines:
        if not line.isascii() or (line and not line.isprintable()):
            raise LocalProtocolError(f"a display line holds printable ASCII only: {line!r}")
        parts += [line.encode(), LINE_END]
    parts += [LINE_END, bytes([etx])]
    return b"".join(parts)
