"""What a make of dispenser declares about itself: flow curve, valve, limits, time-outs, policies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["DispenserProfile"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DispenserProfile:
    """The declared figures of a dispenser. All are integers in the unit of their name.

    Attributes:
        max_flow_ml_per_min: the hydraulics give no more, however hard the hand squeezes (GB 50156: petrol <= 50 L/min).
        slow_start_ml: the first part of each delivery, run at ``slow_start_ml_per_min`` (leak and hose check).
        slow_start_ml_per_min: flow during the slow start.
        slow_stop_ml: the last part before a preset, run at the small valve (makers declare 0.3 to 1.5 L).
        slow_stop_ml_per_min: flow through the small valve, below 10 L/min.
        valve_close_us: from the command to the closed valve. For a preset the command is given that much earlier, so the
            delivery ends on the preset; for a stop the fuel that passes meanwhile belongs to the sale.
        min_preset_fen: a smaller amount preset is refused.
        min_preset_ml: a smaller volume preset is refused.
        max_preset_fen: a larger amount preset is refused, never wrapped (keyboards end at 9,999.99 yuan).
        max_preset_ml: a larger volume preset is refused (keyboards end at 9,999.99 L).
        max_price_fen_per_l: a larger unit price is refused.
        authorisation_ttl_us: an authorisation that no nozzle used ends after this time.
        no_flow_timeout_us: a started delivery without flow for this time ends.
        zero_sales: ``drop`` makes no record of a delivery without a pulse, ``journal`` makes one flagged ``zero``.
        journal_limit: deliveries kept (field boards keep 50,000).
        journal_full: ``overwrite`` drops the oldest record when full; ``refuse`` refuses to authorise while the
            oldest record has not been acknowledged.
        sequence_max: the sequence number after this one is 1 (9,999 for four BCD digits, 2**32 - 1 for four bytes).
        starts_open: after power-on the fuelling points are IDLE; otherwise CLOSED until a controller opens them.
    """

    max_flow_ml_per_min: int = 50_000
    slow_start_ml: int = 100
    slow_start_ml_per_min: int = 8_000
    slow_stop_ml: int = 500
    slow_stop_ml_per_min: int = 6_000
    valve_close_us: int = 80_000
    min_preset_fen: int = 1
    min_preset_ml: int = 10
    max_preset_fen: int = 999_999
    max_preset_ml: int = 9_999_990
    max_price_fen_per_l: int = 9_999
    authorisation_ttl_us: int = 180_000_000
    no_flow_timeout_us: int = 120_000_000
    zero_sales: Literal["drop", "journal"] = "drop"
    journal_limit: int = 50_000
    journal_full: Literal["overwrite", "refuse"] = "overwrite"
    sequence_max: int = 2**32 - 1
    starts_open: bool = True

    def __post_init__(self) -> None:
        for name in (
            "max_flow_ml_per_min",
            "slow_start_ml_per_min",
            "slow_stop_ml_per_min",
            "journal_limit",
            "sequence_max",
            "authorisation_ttl_us",
            "no_flow_timeout_us",
        ):
            if getattr(self, name) <= 0:
                raise ValueError(f"dispenser profile: {name} must be positive, not {getattr(self, name)}")
        for name in ("slow_start_ml", "slow_stop_ml", "valve_close_us"):
            if getattr(self, name) < 0:
                raise ValueError(f"dispenser profile: {name} must not be negative, not {getattr(self, name)}")
