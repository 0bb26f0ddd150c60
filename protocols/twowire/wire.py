"""Bytes of a Two-Wire line: command bytes, answers, data words, the length word and the LRC.

A control byte is below E0: a command or an answer in the high nibble, the pump in the low one. A data word is E0 or
above: a digit (E0..E9, least significant first) or a marker. FC is neither: it stops every pump on the line. So a pump
can tell what is meant for it without any frame, whoever speaks.

Source: six independent public implementations (`RULES`), among them dimoskar/ASFuelControlV1,
huyhk/Megatech.Gilbarco.Console, fangym0335/first and proyectos1Insepet/CorEx-MUX-Kernel-Enhanced.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from protocols.sansio import LocalProtocolError

__all__ = [
    "ALL_STOP",
    "PUMP_LAST",
    "Command",
    "Status",
    "Word",
    "check_pump",
    "command_byte",
    "digit_words",
    "length_word",
    "lrc_word",
    "read_digits",
    "split_byte",
    "status_byte",
]

PUMP_LAST: Final = 16
"""Pumps 1..16; number 16 travels as 0."""

ALL_STOP: Final = 0xFC
"""Stops all pumps of the line; no answer."""


class Command(IntEnum):
    """High nibble of a command byte."""

    STATUS = 0x0
    AUTHORISE = 0x1
    """No answer."""
    DATA = 0x2
    """A data block follows; the pump answers `Status.DATA_READY`."""
    STOP = 0x3
    """No answer."""
    TRANSACTION = 0x4
    TOTALS = 0x5
    MONEY = 0x6


class Status(IntEnum):
    """High nibble of a pump's one-byte answer."""

    DATA_ERROR = 0x0
    IDLE = 0x6
    CALL = 0x7
    AUTHORISED = 0x8
    BUSY = 0x9
    END_PEOT = 0xA
    END_FEOT = 0xB
    STOPPED = 0xC
    DATA_READY = 0xD


class Word(IntEnum):
    """Data words that are no digits."""

    END = 0xF0
    VOLUME_PRESET = 0xF1
    MONEY_PRESET = 0xF2
    LEVEL_1 = 0xF4
    LEVEL_2 = 0xF5
    GRADE = 0xF6
    PRICE = 0xF7
    VALUE = 0xF8
    VOLUME = 0xF9
    MONEY = 0xFA
    LRC = 0xFB
    SPECIAL = 0xFE
    START = 0xFF


def check_pump(pump: int) -> int:
    """Return ``pump`` if it is 1..16. Raises LocalProtocolError."""
    if not 1 <= pump <= PUMP_LAST:
        raise LocalProtocolError(f"pump {pump} is not within 1..{PUMP_LAST}")
    return pump


def command_byte(command: Command, pump: int) -> bytes:
    """One command. Raises LocalProtocolError for a pump outside 1..16."""
    return bytes((command << 4 | check_pump(pump) & 0xF,))


def status_byte(status: Status, pump: int) -> bytes:
    """One answer. Raises LocalProtocolError for a pump outside 1..16."""
    return bytes((status << 4 | check_pump(pump) & 0xF,))


def split_byte(byte: int) -> tuple[int, int]:
    """High nibble and pump (1..16) of a control byte."""
    return byte >> 4, byte & 0xF or PUMP_LAST


def digit_words(value: int, count: int) -> bytes:
    """A number as ``count`` digit words, least significant first. Raises LocalProtocolError when it does not fit."""
    if not 0 <= value < 10**count:
        raise LocalProtocolError(f"{value} does not fit into {count} digits")
    words = bytearray()
    for _ in range(count):
        value, digit = divmod(value, 10)
        words.append(0xE0 | digit)
    return bytes(words)


def read_digits(words: bytes) -> int | None:
    """The number in digit words, least significant first; None when one of them is no digit."""
    value = 0
    for word in reversed(words):
        if not 0xE0 <= word <= 0xE9:
            return None
        value = value * 10 + (word & 0xF)
    return value


def length_word(count: int) -> int:
    """The second word of a block of ``count`` words: the negative of their number without FF and F0, as a nibble."""
    return 0xE0 | (2 - count) & 0xF


def lrc_word(words: bytes) -> int:
    """The check word over the words from FF to FB: the negative of their sum, as a nibble."""
    return 0xE0 | -sum(words) & 0xF
