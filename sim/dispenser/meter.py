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

_FEN: Final = (10, 100, 1_000, 10_000, 100_000)
"""Millilitres times the price's last decimal in one fen, by the decimals of the price."""

MAX_ERROR_PPM: Final = 100_000
"""A meter that is off by a tenth is a broken one."""

MAX_PULSE_ML: Final = 100
"""The coarsest encoder: ten pulses a litre."""


def amount_fen(volume_ml: int, price_fen_per_l: int, price_decimals: int = 2) -> int:
    """Return the amount in fen for a volume in ml, rounded half up to the fen.

    Args:
        volume_ml: millilitres.
        price_fen_per_l: the unit price in its last decimal: fen with the two decimals of China, tenths of a fen with
            three. The decimals scale the price alone, never an amount.
        price_decimals: decimals of the unit price, 0 to 4.

    Source: OIML R 117-1 (the amount agrees with volume x unit price within the minimum price deviation).
    """
    if price_decimals == 2:
        return (2 * volume_ml * price_fen_per_l + 1000) // 2000
    whole = _FEN[price_decimals]
    return (2 * volume_ml * price_fen_per_l + whole) // (2 * whole)


def pulses_within_amount(limit_fen: int, price_fen_per_l: int, price_decimals: int = 2) -> int:
    """Return the greatest number of pulses whose amount does not exceed ``limit_fen``.

    The amount so reached differs from the limit by less than one pulse's price (rounded up to a fen).

    Raises:
        ValueError: the price is not positive or the limit is negative.
    """
    if price_fen_per_l <= 0 or limit_fen < 0:
        raise ValueError(f"no volume for {limit_fen} fen at {price_fen_per_l} fen per litre")
    whole = _FEN[price_decimals]
    # amount(v) <= limit  <=>  2*v*price + whole < 2*whole*(limit + 1)
    return (2 * whole * limit_fen + whole - 1) // (2 * PULSE_ML * price_fen_per_l)


class Meter:
    """A position that moves at a constant rate from an anchor until a stop, all integers.

    The position never goes back and is not reset between deliveries: like a real pulser it keeps the part of a
    pulse that the last delivery left.

    Args:
        error_ppm: calibration error: how much more than it lets through the meter indicates (JJG 443: at most
            3,000 ppm either way). The position is the indicated one.
        pulse_ml: what one pulse of the encoder stands for. A value above 10 makes the display jump; it is 10 (100
            pulses a litre) or a divisor or a multiple of it, up to 100.

    Attributes:
        last_pulse_us: when the pulse counted last by `settle` came; -1 before the first.

    Raises:
        ValueError: an impossible error or pulse value.
    """

    __slots__ = (
        "_anchor_units",
        "_anchor_us",
        "_counted_pulses",
        "_rate",
        "_stop_units",
        "error_ppm",
        "grain",
        "last_pulse_us",
        "pulse_ml",
    )

    def __init__(self, *, error_ppm: int = 0, pulse_ml: int = PULSE_ML) -> None:
        if not -MAX_ERROR_PPM <= error_ppm <= MAX_ERROR_PPM:
            raise ValueError(f"a meter is off by at most {MAX_ERROR_PPM} ppm, not {error_ppm}")
        if not 0 < pulse_ml <= MAX_PULSE_ML or (pulse_ml % PULSE_ML and PULSE_ML % pulse_ml):
            raise ValueError(
                f"a pulse is a divisor or a multiple of {PULSE_ML} ml up to {MAX_PULSE_ML} ml, not {pulse_ml} ml"
            )
        self.error_ppm = error_ppm
        self.pulse_ml = pulse_ml
        self.grain = max(1, pulse_ml // PULSE_ML)  # display steps that one pulse of the encoder moves
        self.last_pulse_us = -1
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
        """Whole display steps counted since the meter was made."""
        if self.grain == 1:
            return self.position_units(now_us) // PULSE_UNITS
        return self.position_units(now_us) // (PULSE_UNITS * self.grain) * self.grain

    def settle(self, now_us: int) -> int:
        """Move the anchor to ``now_us``; return the pulses that passed since the last settling."""
        pulses = self.pulses(now_us)
        passed = pulses - self._counted_pulses
        if passed:
            self._counted_pulses = pulses
            if self._rate:
                self.last_pulse_us = self.reaches_us(pulses * PULSE_UNITS)
        self._anchor_units = self.position_units(now_us)
        self._anchor_us = now_us
        return passed

    def set_flow(self, rate_ml_per_min: int, stop_units: int | None) -> None:
        """Set the flow from the anchor on (call `settle` first) and the position that it never passes."""
        self._rate = rate_ml_per_min
        self._stop_units = stop_units

    def reaches_us(self, position_units: int) -> int:
        """The first instant (µs) at which the position is at least ``position_units``; the flow must not be 0."""
        return self._anchor_us - (self._anchor_units - position_units) // self._rate
