"""Data blocks as values: what a controller sends after ``2p``, and what a pump answers. All figures are wire units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from protocols.sansio import LocalProtocolError
from protocols.twowire.scale import SIX_DIGITS, DigitModel
from protocols.twowire.wire import Word, check_pump, digit_words, length_word, lrc_word

__all__ = [
    "NOZZLE_QUERY",
    "GradeTotals",
    "MoneyPreset",
    "NozzleRecord",
    "PriceChange",
    "SentBlock",
    "SpecialFunction",
    "Totals",
    "Transaction",
    "UnknownBlock",
    "VolumePreset",
]

GRADE_LAST: Final = 16
"""A grade travels as one nibble, less one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceChange:
    """A unit price of one grade (1..16) at price level 1 or 2. No pump confirms it: read it back by the totals."""

    grade: int
    price_units: int
    level: int = 1

    def encode(self, model: DigitModel = SIX_DIGITS) -> bytes:
        """The block. Raises LocalProtocolError for a figure that does not fit."""
        return _sent(
            _level(self.level) + _grade(self.grade) + _figure(Word.PRICE, self.price_units, model.price)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumePreset:
    """The volume at which the next delivery ends; 0 cancels. ``grade`` None leaves the grade to the customer."""

    volume_units: int
    grade: int | None = None
    level: int = 1

    def encode(self, model: DigitModel = SIX_DIGITS) -> bytes:
        """The block. Raises LocalProtocolError for a figure that does not fit."""
        value = _figure(Word.VALUE, self.volume_units, model.preset_volume)
        return _sent(bytes((Word.VOLUME_PRESET,)) + _preset_grade(self.grade, self.level) + value)


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyPreset:
    """The money at which the next delivery ends; 0 cancels. ``grade`` None leaves the grade to the customer.

    ``digits`` is set when the block carries another number of digits than its model has: 5 in place of 6
    (dimoskar/ASFuelControlV1).
    """

    money_units: int
    grade: int | None = None
    level: int = 1
    digits: int | None = None

    def encode(self, model: DigitModel = SIX_DIGITS) -> bytes:
        """The block. Raises LocalProtocolError for a figure that does not fit."""
        digits = model.preset_money if self.digits is None else self.digits
        value = _figure(Word.VALUE, self.money_units, digits)
        return _sent(bytes((Word.MONEY_PRESET,)) + _preset_grade(self.grade, self.level) + value)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecialFunction:
    """A special function by its three-digit number."""

    number: int

    def encode(self, model: DigitModel = SIX_DIGITS) -> bytes:  # noqa: ARG002 - as the other blocks
        """The block. Raises LocalProtocolError for a number above 999."""
        return _sent(bytes((Word.SPECIAL,)) + digit_words(self.number, 3))


NOZZLE_QUERY: Final = SpecialFunction(number=10)
"""Special function 010: which nozzle is out? Answered by a `NozzleRecord`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownBlock:
    """A good frame with a body that no source explains: told, and without effect."""

    body: bytes

    def encode(self, model: DigitModel = SIX_DIGITS) -> bytes:  # noqa: ARG002 - as the other blocks
        """The block."""
        return _sent(self.body)


SentBlock: TypeAlias = PriceChange | VolumePreset | MoneyPreset | SpecialFunction | UnknownBlock


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """The last delivery as the pump keeps it.

    Attributes:
        pump: 1..16.
        grade: 1..16.
        price_units, volume_units, money_units: the figures.
        level: price level 1 or 2.
        marker: the nibble after F8; B and A were captured, its meaning is unknown.
        unknown: the three nibbles after the pump; 0 0 2 and 0 0 0 were captured, their meaning is unknown.
    """

    pump: int
    grade: int
    price_units: int
    volume_units: int
    money_units: int
    level: int = 1
    marker: int = 0xB
    unknown: tuple[int, int, int] = (0, 0, 2)

    def encode(self, model: DigitModel = SIX_DIGITS) -> bytes:
        """The block. Raises LocalProtocolError for a figure that does not fit."""
        head = (
            Word.START,
            Word.VOLUME_PRESET,
            Word.VALUE,
            0xE0 | self.marker,
            0xE0 | check_pump(self.pump) - 1,
        )
        return _closed(
            bytes(head)
            + bytes(0xE0 | nibble for nibble in self.unknown)
            + _grade(self.grade)
            + _level(self.level)
            + _figure(Word.PRICE, self.price_units, model.price)
            + _figure(Word.VOLUME, self.volume_units, model.volume)
            + _figure(Word.MONEY, self.money_units, model.money)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GradeTotals:
    """Totalisers and prices of one grade (1..16)."""

    grade: int
    volume_units: int
    money_units: int
    price_1_units: int
    price_2_units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """The totals block: the grades in the order in which the pump has them."""

    grades: tuple[GradeTotals, ...]

    def encode(self, model: DigitModel = SIX_DIGITS) -> bytes:
        """The block. Raises LocalProtocolError for a figure that does not fit."""
        words = bytearray((Word.START,))
        for one in self.grades:
            words += _grade(one.grade)
            words += _figure(Word.VOLUME, one.volume_units, model.totals)
            words += _figure(Word.MONEY, one.money_units, model.totals)
            words += _figure(Word.LEVEL_1, one.price_1_units, model.price)
            words += _figure(Word.LEVEL_2, one.price_2_units, model.price)
        return _closed(bytes(words))


@dataclass(frozen=True, slots=True, kw_only=True)
class NozzleRecord:
    """The answer to special function 010.

    Each byte is a character with its top bit set, and together they read ``:`` and hexadecimal digits, two digits of
    check, CR LF. In both captures the check is the negative of the sum of the pairs, as in an Intel HEX record; that is
    read off the captures (fangym0335/first), no source says it.

    Attributes:
        digits: the fourteen digits between the colon and the check, each 0..15.
    """

    digits: tuple[int, ...]

    @classmethod
    def of(cls, pump: int, nozzle: int, *, totals_decimals: int = 0) -> NozzleRecord:
        """The record of a pump (1..16) whose nozzle ``nozzle`` is out, 0 for none; other digits as captured."""
        out = 1 if nozzle else 0
        return cls(
            digits=(0, 3, check_pump(pump) & 0xF, 0, 1, 0, 0, 0, totals_decimals, 1, 0, out, 1, nozzle)
        )

    @property
    def pump(self) -> int:
        """The pump, 1..16: byte 3 of the answer."""
        return self.digits[2] or 16

    @property
    def totals_decimals(self) -> int:
        """The flag for the decimals of the totalisers: byte 9 of the answer."""
        return self.digits[8]

    @property
    def nozzle(self) -> int:
        """The nozzle that is out, 0 for none: byte 14 of the answer."""
        return self.digits[13]

    @property
    def check(self) -> int:
        """The check byte that belongs to the digits."""
        pairs = (high << 4 | low for high, low in zip(self.digits[::2], self.digits[1::2], strict=True))
        return -sum(pairs) & 0xFF

    def encode(self) -> bytes:
        """The nineteen bytes."""
        text = ":" + "".join(f"{digit:X}" for digit in self.digits) + f"{self.check:02X}\r\n"
        return bytes(ord(character) | 0x80 for character in text)


def _grade(grade: int) -> bytes:
    if not 1 <= grade <= GRADE_LAST:
        raise LocalProtocolError(f"grade {grade} is not within 1..{GRADE_LAST}")
    return bytes((Word.GRADE, 0xE0 | grade - 1))


def _level(level: int) -> bytes:
    if level not in {1, 2}:
        raise LocalProtocolError(f"price level {level} is not 1 or 2")
    return bytes((Word.LEVEL_1 if level == 1 else Word.LEVEL_2,))


def _preset_grade(grade: int | None, level: int) -> bytes:
    return b"" if grade is None else _level(level) + _grade(grade)


def _figure(marker: Word, units: int, digits: int) -> bytes:
    return bytes((marker,)) + digit_words(units, digits)


def _sent(body: bytes) -> bytes:
    """A controller's block: with its length word."""
    return _closed(bytes((Word.START, length_word(len(body) + 5))) + body)


def _closed(words: bytes) -> bytes:
    words += bytes((Word.LRC,))
    return words + bytes((lrc_word(words), Word.END))
