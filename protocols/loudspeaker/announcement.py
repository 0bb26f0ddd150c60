"""What a payment loudspeaker says, as a sequence of words; and what somebody understands who hears them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from protocols.chinese_numerals import (
    NumeralError,
    amount_words,
    integer_words,
    point_words,
    read_amount,
    read_integer,
)

__all__ = [
    "PAYERS",
    "Announcement",
    "Heard",
    "NotUnderstoodError",
    "Reading",
    "split_words",
    "understand",
    "words_of",
]

Reading = Literal["units", "point"]
"""How the amount is read: 二百元零五分, or 二百点零五元."""

PAYERS: Final = ("微信", "支付宝", "银联", "会员")
"""With what somebody paid, as it is said."""

_LONG: Final = (*PAYERS, "收款", "到账", "退款")
_SPLIT: Final = re.compile("|".join((*_LONG, ".")), re.DOTALL)
_PAUSES: Final = str.maketrans("", "", ",，。 ")
_SENTENCE: Final = re.compile(
    f"(?:(?P<nozzle>.+?)号枪)?(?P<payer>{'|'.join(PAYERS)})?(?:收款|到账)(?P<amount>.+)"
)


class NotUnderstoodError(ValueError):
    """What was said is no announcement of a payment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """One payment that is to be said aloud.

    Attributes:
        request_id: the payment's own number; a loudspeaker that hears it twice says it once.
        amount_fen: 1 fen to 99,999,999.99 yuan.
        nozzle: None for a box that has no clips to say it.
        payer: one of `PAYERS`, or None.
    """

    request_id: str
    amount_fen: int
    nozzle: int | None = None
    payer: str | None = "微信"


@dataclass(frozen=True, slots=True)
class Heard:
    """What was understood."""

    nozzle: int | None
    payer: str | None
    amount_fen: int


def words_of(announcement: Announcement, *, reading: Reading = "units") -> tuple[str, ...]:
    """The words in order, one clip each: 三 号 枪 微信 收款 二 百 元 零 五 分.

    Raises:
        NumeralError: the amount or the nozzle cannot be said.
    """
    words: list[str] = []
    if announcement.nozzle is not None:
        words += [*integer_words(announcement.nozzle), "号", "枪"]
    if announcement.payer is not None:
        words.append(announcement.payer)
    words.append("收款")
    say = amount_words if reading == "units" else point_words
    return (*words, *say(announcement.amount_fen))


def split_words(text: str) -> tuple[str, ...]:
    """A text as the words that clips are recorded for; pauses are left out."""
    return tuple(_SPLIT.findall(text.translate(_PAUSES)))


def understand(words: Sequence[str]) -> Heard:
    """What a person understands who hears these words.

    Raises:
        NotUnderstoodError: a word too few, too many, or in the wrong place.
    """
    said = "".join(words)
    found = _SENTENCE.fullmatch(said)
    if found is None:
        raise NotUnderstoodError(f"{said!r} tells of no payment")
    try:
        nozzle = found["nozzle"]
        return Heard(
            None if nozzle is None else read_integer(nozzle), found["payer"], read_amount(found["amount"])
        )
    except NumeralError as error:
        raise NotUnderstoodError(str(error)) from error
