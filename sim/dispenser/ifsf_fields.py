"""What makes of IFSF dispensers differ in, and the forms of their figures."""

from __future__ import annotations

from dataclasses import dataclass

from protocols.ifsf import Number, UnlockTarget

__all__ = ["IfsfOptions", "amount_field", "price_field", "total_field", "volume_field"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IfsfOptions:
    """What makes of IFSF dispensers differ in.

    Attributes:
        unpaid_limit: transactions that may be open when the next Release comes (data id 2 at power-on).
        history: cleared transactions that stay readable.
        unlock_to: what an unlocked transaction becomes; unproven, the sources differ.
        price_event: tell an applied price with error code 99, a failed one with 36 and 37 (China).
        status_alarm: status messages carry the eight bytes of alarms.
        running_nozzle: running messages carry the nozzle.
        running_period_us: of running messages at power-on.
        offline_records: transactions show data ids 200, 201, 204 and 205 (one Chinese source).
        closed_at_start: fuelling points wait for Open after power-on; otherwise they are as the model has them.
        sequence: transaction number before the first one.
    """

    unpaid_limit: int = 2
    history: int = 8
    unlock_to: UnlockTarget = "payable"
    price_event: bool = False
    status_alarm: bool = False
    running_nozzle: bool = True
    running_period_us: int = 500_000
    offline_records: bool = True
    closed_at_start: bool = True
    sequence: int = 0


def amount_field(amount_fen: int) -> bytes:
    """Amounts: five bytes, six digits left of the point, as captured. Runs over as a register does."""
    return Number.of(amount_fen % 10**8, decimals=2, left=6).encode()


def volume_field(volume_ml: int) -> bytes:
    """Volumes: five bytes, hundredths of a litre."""
    return Number.of(volume_ml // 10 % 10**8, decimals=2, left=6).encode()


def price_field(price_fen_per_l: int) -> bytes:
    """Unit prices: four bytes."""
    return Number.of(price_fen_per_l % 10**6, decimals=2, left=4).encode()


def total_field(hundredths: int) -> bytes:
    """Totals: seven bytes."""
    return Number.of(hundredths % 10**12, decimals=2, left=10).encode()
