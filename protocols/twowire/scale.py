"""What a site declares about its pumps' figures: how many digits, and where the decimal point is thought to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["EIGHT_DIGITS", "SIX_DIGITS", "DigitModel", "Scale"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DigitModel:
    """Field widths of a family of pump heads.

    Attributes:
        price: digits of a unit price.
        volume, money: digits of a transaction's volume and money; running money has as many as money.
        totals: digits of a totaliser.
        preset_volume, preset_money: digits of a preset.
    """

    price: int
    volume: int
    money: int
    totals: int
    preset_volume: int
    preset_money: int

    @property
    def transaction_words(self) -> int:
        """Length of a transaction block: 33 for six digits, 39 for eight."""
        return 17 + self.price + self.volume + self.money

    @property
    def totals_stride(self) -> int:
        """Words of one grade in a totals block: 30 for six digits, 42 for eight."""
        return 6 + 2 * self.totals + 2 * self.price

    def totals_words(self, grades: int) -> int:
        """Length of a totals block."""
        return self.totals_stride * grades + 4


SIX_DIGITS: Final = DigitModel(price=4, volume=6, money=6, totals=8, preset_volume=5, preset_money=6)
"""The usual heads (six sources)."""

EIGHT_DIGITS: Final = DigitModel(price=6, volume=8, money=8, totals=12, preset_volume=7, preset_money=8)
"""Heads with eight-digit displays (two sources). No source shows their presets: those widths are a guess by analogy."""

_MOST_VOLUME_DECIMALS: Final = 3
_MOST_MONEY_DECIMALS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Decimals of each figure; the wire carries none. Volumes become ml, money fen, prices fen per litre.

    The defaults are those of the captured transactions (23.360 L at 10.70 for 250.00). The decimals of a volume preset
    are told by no source, so they are a parameter like the rest.

    Raises:
        ValueError: more decimals than ml or fen can hold, or fewer than none.
    """

    price: int = 2
    volume: int = 3
    money: int = 2
    total_volume: int = 2
    total_money: int = 2
    preset_volume: int = 2
    preset_money: int = 2

    def __post_init__(self) -> None:
        for name in ("volume", "total_volume", "preset_volume"):
            self._check(name, _MOST_VOLUME_DECIMALS)
        for name in ("price", "money", "total_money", "preset_money"):
            self._check(name, _MOST_MONEY_DECIMALS)

    def _check(self, name: str, most: int) -> None:
        if not 0 <= getattr(self, name) <= most:
            raise ValueError(f"{name} has {getattr(self, name)} decimals, not 0..{most}")

    def ml(self, units: int, decimals: int) -> int:
        """Millilitres of a volume on the wire with so many decimals."""
        return units * _power(_MOST_VOLUME_DECIMALS - decimals)

    def volume_units(self, volume_ml: int, decimals: int) -> int:
        """A volume as the wire carries it; what is finer than its last digit is cut off."""
        return volume_ml // _power(_MOST_VOLUME_DECIMALS - decimals)

    def fen(self, units: int, decimals: int) -> int:
        """Fen of an amount (or fen per litre of a price) on the wire with so many decimals."""
        return units * _power(_MOST_MONEY_DECIMALS - decimals)

    def money_units(self, fen: int, decimals: int) -> int:
        """An amount or price as the wire carries it; what is finer than its last digit is cut off."""
        return fen // _power(_MOST_MONEY_DECIMALS - decimals)


def _power(exponent: int) -> int:
    return int(10**exponent)
