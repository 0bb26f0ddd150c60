"""Clip banks: which recording, by number, says which word.

A cloud loudspeaker holds a bank of recordings and joins them. The numbers of `MQLINKS` are those of the WiFi and 4G boxes whose
messages carry ``playAudibleMsg`` (clip numbers joined by "-"); its published example for 支付宝到账 30.5 元 is
069-071-003-010-014-005-015. That bank has no clip for 角, 分 or the number of a nozzle: with it an amount is read with a point.
`STATION` is the same bank with clips that a station has recorded beside it; their numbers are an assumption.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from protocols.loudspeaker.announcement import Reading

__all__ = ["BANKS", "MQLINKS", "STATION", "ClipBank", "UnknownClipError"]


class UnknownClipError(ValueError):
    """The bank has no clip for a word, or no word for a number."""


@dataclass(frozen=True)
class ClipBank:
    """A bank of clips.

    Attributes:
        name: for people.
        ids: number of the clip by word.
    """

    name: str
    ids: Mapping[str, str]

    @property
    def reading(self) -> Reading:
        """How amounts are read with these clips."""
        return "units" if "分" in self.ids and "角" in self.ids else "point"

    @property
    def says_nozzle(self) -> bool:
        """Whether there are clips for the nozzle's number."""
        return "号" in self.ids and "枪" in self.ids

    def numbers(self, words: Iterable[str]) -> tuple[str, ...]:
        """Numbers of the clips that say these words.

        Raises:
            UnknownClipError: there is none for a word.
        """
        try:
            return tuple(self.ids[word] for word in words)
        except KeyError as error:
            raise UnknownClipError(f"the bank {self.name} has no clip for {error.args[0]!r}") from None

    def word(self, number: str) -> str | None:
        """The word of a clip; None when the bank has no such clip."""
        return self._words.get(number)

    @cached_property
    def _words(self) -> dict[str, str]:
        return {number: word for word, number in self.ids.items()}


MQLINKS: Final = ClipBank(
    "mqlinks",
    {
        **{word: f"{number:03}" for number, word in enumerate("零一二三四五六七八九十百千万点元")},
        "收款成功": "018",
        "收款": "065",
        "微信": "067",
        "支付宝": "069",
        "退款": "070",
        "到账": "071",
    },
)

STATION: Final = ClipBank(
    "station",
    {**MQLINKS.ids, "角": "201", "分": "202", "号": "203", "枪": "204", "银联": "205", "会员": "206"},
)

BANKS: Final[Mapping[str, ClipBank]] = {bank.name: bank for bank in (MQLINKS, STATION)}
