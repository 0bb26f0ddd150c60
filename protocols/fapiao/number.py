"""The 20-digit number of a fully digital invoice (数电票)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

__all__ = ["FapiaoNumber"]

_DIGITS = re.compile(r"[0-9]{20}")


@dataclass(frozen=True, slots=True)
class FapiaoNumber:
    """Year (2 digits), province or plan city (2), channel (1), sequence (15); there is no invoice code any more.

    Source: State Taxation Administration, notices on the fully digital e-invoice; sample 24442000000071309399.

    Attributes:
        year: last two digits of the year.
        region: administrative code of the province, 53 for Yunnan.
        channel: how it was issued.
        sequence: running number.

    Raises:
        ValueError: a part that does not fit its digits.
    """

    year: int
    region: int
    channel: int
    sequence: int

    def __post_init__(self) -> None:
        limits = (("year", 100), ("region", 100), ("channel", 10), ("sequence", 10**15))
        for name, limit in limits:
            value = getattr(self, name)
            if not 0 <= value < limit:
                raise ValueError(f"{name} of an invoice number is 0 to {limit - 1}, not {value}")

    def __str__(self) -> str:
        return f"{self.year:02d}{self.region:02d}{self.channel}{self.sequence:015d}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a number.

        Raises:
            ValueError: not 20 digits.
        """
        if _DIGITS.fullmatch(text) is None:
            raise ValueError(f"an invoice number has 20 digits: {text[:40]!r}")
        return cls(int(text[:2]), int(text[2:4]), int(text[4]), int(text[5:]))
