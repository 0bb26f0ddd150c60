"""Blocks out of bytes. What is refused says why; what works in the field though it is not right is taken and told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from protocols.twowire.blocks import (
    GradeTotals,
    MoneyPreset,
    NozzleRecord,
    PriceChange,
    SentBlock,
    SpecialFunction,
    Totals,
    Transaction,
    UnknownBlock,
    VolumePreset,
)
from protocols.twowire.scale import SIX_DIGITS, DigitModel
from protocols.twowire.wire import Word, length_word, lrc_word, read_digits

__all__ = [
    "BadBlock",
    "BadReason",
    "DeviationKind",
    "Sent",
    "decode_money",
    "decode_nozzle_record",
    "decode_sent",
    "decode_totals",
    "decode_transaction",
]

_CONSTANT_LENGTH: Final = 0xE3
"""Sent with every preset by fangym0335/first; Changji heads take it."""

_NIBBLE_LAST: Final = 0xEF

_SHORT_MONEY_DIGITS: Final = 5
"""Sent by dimoskar/ASFuelControlV1 in place of 6."""


class BadReason(StrEnum):
    """Why bytes are no good block."""

    FRAME = "frame"
    """No FF in front, no FB and F0 at the end, or a byte that is no data word."""
    LRC = "lrc"
    LENGTH = "length word"
    BODY = "body"
    """The frame is good, its fields are not."""


class BadBlock(Exception):  # noqa: N818 - it is the block that is bad
    """Bytes that are no good block. Never leaves the machines of this package.

    Attributes:
        reason: what kind of wrong.
    """

    def __init__(self, reason: BadReason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class DeviationKind(StrEnum):
    """Deviations that work in the field, and so are tolerated and told."""

    LENGTH_CONSTANT = "length word E3 whatever the length"
    """The length word is E3 on a preset of another length (fangym0335/first)."""
    LENGTH_WRONG = "length word wrong"
    """Any other wrong length word, where the pump does not check it."""
    MONEY_FIVE_DIGITS = "money preset with 5 digits"
    """A money preset with one digit less than the model has (dimoskar/ASFuelControlV1)."""
    ECHO_MISSING = "echo missing"
    """The line was declared to echo, and an answer came without one."""
    ECHO_UNDECLARED = "echo undeclared"
    """Our own command came back before the answer, on a line that was not declared to echo."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A controller's block, and what was not right about it."""

    block: SentBlock
    deviations: tuple[DeviationKind, ...] = ()


def decode_sent(data: bytes, model: DigitModel = SIX_DIGITS, *, strict_length: bool = False) -> Sent:
    """A controller's block, from FF to F0.

    Args:
        data: the words.
        model: the pump's field widths.
        strict_length: refuse a wrong length word; pumps differ in that.

    Raises:
        BadBlock: it is none.
    """
    body = _opened(data, least=6)[1:]
    if data[1] > _NIBBLE_LAST:
        raise BadBlock(BadReason.LENGTH, f"{data[1]:02X} is no length word")
    deviations: list[DeviationKind] = []
    block = _sent_body(body, model, deviations)
    if data[1] != length_word(len(data)):
        if strict_length:
            raise BadBlock(
                BadReason.LENGTH,
                f"length word {data[1]:02X} on {len(data)} words, right is {length_word(len(data)):02X}",
            )
        preset = isinstance(block, VolumePreset | MoneyPreset)
        constant = preset and data[1] == _CONSTANT_LENGTH
        deviations.append(DeviationKind.LENGTH_CONSTANT if constant else DeviationKind.LENGTH_WRONG)
    return Sent(block=block, deviations=tuple(deviations))


def decode_transaction(data: bytes, model: DigitModel = SIX_DIGITS) -> Transaction:
    """A pump's transaction block. Raises BadBlock."""
    words = _Reader(_opened(data, least=model.transaction_words))
    words.want(Word.VOLUME_PRESET)
    words.want(Word.VALUE)
    marker = words.nibble()
    pump = words.nibble() + 1
    unknown = (words.nibble(), words.nibble(), words.nibble())
    words.want(Word.GRADE)
    grade = words.nibble() + 1
    level = words.level()
    transaction = Transaction(
        pump=pump,
        grade=grade,
        level=level,
        marker=marker,
        unknown=unknown,
        price_units=words.figure(Word.PRICE, model.price),
        volume_units=words.figure(Word.VOLUME, model.volume),
        money_units=words.figure(Word.MONEY, model.money),
    )
    words.done()
    return transaction


def decode_totals(data: bytes, model: DigitModel = SIX_DIGITS) -> Totals:
    """A pump's totals block. Raises BadBlock."""
    words = _Reader(_opened(data, least=4))
    grades: list[GradeTotals] = []
    while words.left:
        words.want(Word.GRADE)
        grade = words.nibble() + 1
        grades.append(
            GradeTotals(
                grade=grade,
                volume_units=words.figure(Word.VOLUME, model.totals),
                money_units=words.figure(Word.MONEY, model.totals),
                price_1_units=words.figure(Word.LEVEL_1, model.price),
                price_2_units=words.figure(Word.LEVEL_2, model.price),
            )
        )
    numbers = [one.grade for one in grades]
    if len(set(numbers)) != len(numbers):
        raise BadBlock(BadReason.BODY, f"a grade comes twice: {numbers}")
    return Totals(grades=tuple(grades))


def decode_money(data: bytes, model: DigitModel = SIX_DIGITS) -> int:
    """Running money, wire units; it has no frame and no check. Raises BadBlock."""
    units = read_digits(data) if len(data) == model.money else None
    if units is None:
        raise BadBlock(BadReason.BODY, f"running money is {model.money} digits, not {data.hex(' ')}")
    return units


_RECORD_BYTES: Final = 19


def decode_nozzle_record(data: bytes) -> NozzleRecord:
    """The answer to special function 010. Raises BadBlock."""
    if len(data) != _RECORD_BYTES or not all(byte & 0x80 for byte in data):
        raise BadBlock(
            BadReason.FRAME,
            f"a nozzle record is {_RECORD_BYTES} bytes with their top bit set, not {data.hex(' ')}",
        )
    text = bytes(byte & 0x7F for byte in data).decode("ascii")
    digits = text[1:17]
    if text[0] != ":" or text[17:] != "\r\n" or not set(digits) <= set("0123456789ABCDEF"):
        raise BadBlock(BadReason.FRAME, f"a nozzle record is a colon, digits, CR LF, not {text!r}")
    record = NozzleRecord(digits=tuple(int(digit, 16) for digit in digits[:14]))
    if record.check != int(digits[14:], 16):
        raise BadBlock(BadReason.LRC, f"check {digits[14:]}, right is {record.check:02X}")
    return record


# -- inside ------------------------------------------------------------------------------------------------------


def _opened(data: bytes, *, least: int) -> bytes:
    """What stands between FF and FB, after the checks that every block has."""
    if len(data) < least:
        raise BadBlock(BadReason.FRAME, f"{len(data)} words, at least {least} make a block")
    if data[0] != Word.START or data[-1] != Word.END or data[-3] != Word.LRC:
        raise BadBlock(BadReason.FRAME, "a block begins with FF and ends with FB, check word, F0")
    if any(word < 0xE0 for word in data):
        raise BadBlock(BadReason.FRAME, "a byte below E0 is no data word")
    if data[-2] != lrc_word(data[:-2]):
        raise BadBlock(BadReason.LRC, f"check word {data[-2]:02X}, right is {lrc_word(data[:-2]):02X}")
    return data[1:-3]


class _Reader:
    """Fields of a body, one after the other."""

    def __init__(self, words: bytes) -> None:
        self._words = words
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._words) - self._at

    def peek(self) -> int | None:
        return self._words[self._at] if self.left else None

    def want(self, marker: Word) -> None:
        found = self.peek()
        if found != marker:
            shown = "the end" if found is None else f"{found:02X}"
            raise BadBlock(BadReason.BODY, f"{marker:02X} expected at word {self._at + 1}, not {shown}")
        self._at += 1

    def nibble(self) -> int:
        found = self.peek()
        if found is None or found > _NIBBLE_LAST:
            raise BadBlock(BadReason.BODY, f"a value expected at word {self._at + 1}")
        self._at += 1
        return found & 0xF

    def level(self) -> int:
        if self.peek() == Word.LEVEL_2:
            self.want(Word.LEVEL_2)
            return 2
        self.want(Word.LEVEL_1)
        return 1

    def digits(self, count: int) -> int:
        words = self._words[self._at : self._at + count]
        value = read_digits(words)
        if len(words) != count or value is None:
            raise BadBlock(
                BadReason.BODY, f"{count} digits expected at word {self._at + 1}, not {words.hex(' ')}"
            )
        self._at += count
        return value

    def figure(self, marker: Word, count: int) -> int:
        self.want(marker)
        return self.digits(count)

    def done(self) -> None:
        if self.left:
            raise BadBlock(BadReason.BODY, f"{self.left} words too many")


def _sent_body(body: bytes, model: DigitModel, deviations: list[DeviationKind]) -> SentBlock:
    words = _Reader(body)
    block: SentBlock
    match words.peek():
        case Word.LEVEL_1 | Word.LEVEL_2:
            level = words.level()
            words.want(Word.GRADE)
            grade = words.nibble() + 1
            price_units = words.figure(Word.PRICE, model.price)
            block = PriceChange(grade=grade, level=level, price_units=price_units)
        case Word.VOLUME_PRESET:
            words.want(Word.VOLUME_PRESET)
            preset_grade, level = _preset_grade(words)
            units = words.figure(Word.VALUE, model.preset_volume)
            block = VolumePreset(volume_units=units, grade=preset_grade, level=level)
        case Word.MONEY_PRESET:
            words.want(Word.MONEY_PRESET)
            preset_grade, level = _preset_grade(words)
            words.want(Word.VALUE)
            digits = None
            if words.left == _SHORT_MONEY_DIGITS != model.preset_money:
                digits = _SHORT_MONEY_DIGITS
                deviations.append(DeviationKind.MONEY_FIVE_DIGITS)
            units = words.digits(digits or model.preset_money)
            block = MoneyPreset(money_units=units, grade=preset_grade, level=level, digits=digits)
        case Word.SPECIAL:
            words.want(Word.SPECIAL)
            block = SpecialFunction(number=words.digits(3))
        case _:
            return UnknownBlock(body=body)
    words.done()
    return block


def _preset_grade(words: _Reader) -> tuple[int | None, int]:
    if words.peek() == Word.VALUE:
        return None, 1
    level = words.level()
    words.want(Word.GRADE)
    return words.nibble() + 1, level
