"""Running figures that travel without a check of their own are weighed before a phone shows them.

IFSF leaves bit errors to TCP (Part 2-03 has no checksum above it), and a gateway on the way may have a worse line behind it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from reference.site.pumps.witness import Filling

__all__ = ["RunningFigures"]

_FASTEST_ML_PER_S: Final = 2_200
"""No hose gives more: 130 L/min is a high-flow diesel nozzle."""

_FIRST_STEP_ML: Final = 100
"""What may have flowed beyond what the clock says."""

_CONFIRMATIONS: Final = 2
"""So many further readings must go on from one that does not come to its price: a pump may round in a way of its own."""

_ROUNDING: Final = 1_000
"""Thousandths of a fen by which amount and volume times price may differ."""


class RunningFigures:
    """The figures of one delivery. Volume and amount prove each other: a damaged one no longer comes to the unit price."""

    def __init__(self) -> None:
        self._doubtful: list[tuple[Filling, int]] = []

    def begin(self) -> None:
        """Another delivery."""
        self._doubtful.clear()

    def believes(self, reading: Filling, prices_fen_per_l: Iterable[int], now_us: int) -> bool:
        """Whether this reading may be shown. The prices are those that the delivery may run at."""
        if any(
            abs(reading.amount_fen * 1_000 - reading.volume_ml * price) <= _ROUNDING
            for price in prices_fen_per_l
        ):
            self._doubtful.clear()
            return True
        if self._doubtful and not _goes_on(*self._doubtful[-1], reading, now_us):
            self._doubtful.clear()
        self._doubtful.append((reading, now_us))
        if len(self._doubtful) <= _CONFIRMATIONS:
            return False
        self._doubtful.clear()
        return True


def _goes_on(before: Filling, before_us: int, reading: Filling, now_us: int) -> bool:
    most_ml = _FIRST_STEP_ML + _FASTEST_ML_PER_S * (now_us - before_us) // 1_000_000
    step_ml, step_fen = reading.volume_ml - before.volume_ml, reading.amount_fen - before.amount_fen
    if not (0 <= step_ml <= most_ml and step_fen >= 0):
        return False
    # Both were rounded once: what was added costs what the whole costs.
    return abs(step_fen * reading.volume_ml - step_ml * reading.amount_fen) <= 20 * max(1, reading.volume_ml)
