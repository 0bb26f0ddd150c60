"""The meter: volume as exact integers, flow in closed form.

Volume is kept in units of 1/60,000,000 ml, because then a flow of ``r`` ml/min is exactly ``r`` units per
microsecond and no division is ever needed. A pulse (one step of the display) is 10 ml: 100 pulses a litre, the
usual pulser of Chinese dispensers.
"""

from __future__ import annotations

from typing import Final

__all__ = ["PULSE_ML", "PULSE_UNITS", "UNITS_PER_ML", "Meter", "amount_fen", "pulses_within_amount"]

UNITS_PER_ML: Final = 60_000_000
"""Meter units in one millilitre (µs in a minute)."""

PULSE_ML: Final = 10
"""Millilitres in one pulse, the smallest step that a meter counts and a display shows."""

PULSE_UNITS: Final = PULSE_ML * UNITS_PER_ML


def amount_fen(volume_ml: int, price_fen_per_l: int) -> int:
    """Return the amount in fen for a volume in ml, rounded half up to the fen.

    Source: OIML R 117-1 (the amount agrees with volume x unit price within the minimum price deviation).
    """
    return (2 * volume_ml * price_fen_per_l + 1000) // 2000


def pulses_within_amount(limit_fen: int, price_fen_per_l: int) -> int:
    """Return the greatest number of pulses whose amount does not exceed ``limit_fen``.

    The amount so reached differs from the limit by less than one pulse's price (rounded up to a fen).

    Raises:
        ValueError: the price is not positive or the limit is negative.
    """
    if price_fen_per_l <= 0 or limit_fen < 0:
        raise ValueError(f"no volume for {limit_fen} fen at {price_fen_per_l} fen per litre")
    # amount(v) <= limit  <=>  2*v*price + 1000 < 2000*(limit + 1)
    return (2000 * limit_fen + 999) // (2 * PULSE_ML * price_fen_per_l)


class Meter:
    """A position that moves at a constant rate from an anchor until a stop, all integers.

    The position never goes back and is not reset between deliveries: like a real pulser it keeps the part of a
    pulse that the last delivery left.
    """

    __slots__ = ("_anchor_units", "_anchor_us", "_counted_pulses", "_rate", "_stop_units")

    def __init__(self) -> None:
        self._anchor_units = 0
        self._anchor_us = 0
        self._rate = 0
        self._stop_units: int | None = None
        self._counted_pulses = 0

    @property
    def rate_ml_per_min(self) -> int:
        """The flow set last, ml/min."""
        return self._rate

    def position_units(self, now_us: int) -> int:
        """The position at ``now_us``, never past the stop."""
        position = self._anchor_units + self._rate * (now_us - self._anchor_us)
        if self._stop_units is not None and position > self._stop_units:
            return self._stop_units
        return position

    def pulses(self, now_us: int) -> int:
        """Whole pulses counted since the meter was made."""
        return self.position_units(now_us) // PULSE_UNITS

    def settle(self, now_us: int) -> int:
        """Move the anchor to ``now_us``; return the pulses that passed since the last settling."""
        self._anchor_units = self.position_units(now_us)
        self._anchor_us = now_us
        pulses = self._anchor_units // PULSE_UNITS
        passed = pulses - self._counted_pulses
        self._counted_pulses = pulses
        return passed

    def set_flow(self, rate_ml_per_min: int, stop_units: int | None) -> None:
        """Set the flow from the anchor on (call `settle` first) and the position that it never passes."""
        self._rate = rate_ml_per_min
        self._stop_units = stop_units

    def reaches_us(self, position_units: int) -> int:
        """The first instant (µs) at which the position is at least ``position_units``; the flow must not be 0."""
        return self._anchor_us - (self._anchor_units - position_units) // self._rate
