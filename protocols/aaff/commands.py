"""Command bytes, and what is common to messages of both directions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from protocols.sansio import LocalProtocolError

__all__ = ["PRICE_INDEX", "PRICE_PLACES", "AuthoriseType", "Command", "Malformed", "Raw", "byte", "sized"]

PRICE_INDEX: Final = 4031
"""Parameter of the first of four prices; the others follow (gateway, ``cmd.c``)."""

PRICE_PLACES: Final = 4


class Command(IntEnum):
    """Command bytes. They are spoken of by their hexadecimal digits."""

    SALE = 0x11
    SHIFT = 0x12
    ALARM = 0x13
    LIVE = 0x19
    STATUS = 0x20
    NOT_UNDERSTOOD = 0x50
    POLL = 0x51
    WRITE_PARAMETER = 0x52
    READ_PARAMETER = 0x53
    LINE_TEST = 0x61
    FETCH = 0x67
    RECORD_ACK = 0x69
    AUTHORISE = 0x70
    PAYMENT_TUNNEL = 0x71
    TOTALS = 0x72
    STOP = 0x73
    BRIEF_SALE = 0x74
    PRICES = 0x75


class AuthoriseType(IntEnum):
    """What the value of an authorise counts: hundredths of a yuan, hundredths of a litre, or nothing."""

    AMOUNT = 0
    VOLUME = 1
    FREE = 2


@dataclass(frozen=True, slots=True)
class Raw:
    """A command that this package only carries: payment tunnel (grey lock), network settings, line test, unknown ones."""

    command: int
    body: bytes = b""

    def encode(self) -> bytes:
        """The body."""
        return self.body


@dataclass(frozen=True, slots=True)
class Malformed:
    """A known command with a body that cannot be read; ``why`` says what is wrong."""

    command: int
    body: bytes
    why: str

    def encode(self) -> bytes:
        """The body."""
        return self.body


def byte(value: int, what: str) -> bytes:
    """One byte. Raises LocalProtocolError when the value is none."""
    if not 0 <= value <= 0xFF:
        raise LocalProtocolError(f"{what} {value} is not a byte")
    return bytes((value,))


def sized(data: bytes, size: int, what: str) -> bytes:
    """The bytes, if there are so many. Raises LocalProtocolError otherwise."""
    if len(data) != size:
        raise LocalProtocolError(f"{what} has {size} bytes, not {len(data)}")
    return data
