"""What a site's journal keeps of deliveries: the sale that was captured, the authorisation that a nozzle has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Authorisation", "Sale"]


@dataclass(frozen=True, slots=True)
class Sale:
    """One captured delivery. `sequence` counts per nozzle without gaps, from 1; times are unix µs.

    ``price_set`` and ``price_since_us`` name the price set of the unit price and when the pump began to show it, ``pump_ended_us``
    when it ended by the pump's own clock; each None when unknown.
    """

    nozzle: int
    sequence: int
    fuelling_point: int
    grade: str
    volume_ml: int
    amount_fen: int
    price_fen_per_l: int
    started_us: int
    ended_us: int
    end_total_volume_ml: int
    end_total_amount_fen: int
    order_id: str | None
    flags: tuple[str, ...]
    sale_id: int = 0
    price_set: int | None = None
    price_since_us: int | None = None
    pump_ended_us: int | None = None

    def as_json(self) -> dict[str, Any]:
        """The body of the upload: the same bytes at every retry."""
        told = {
            "price_set": self.price_set,
            "price_since_us": self.price_since_us,
            "pump_ended_us": self.pump_ended_us,
        }
        return {
            "nozzle": self.nozzle,
            "sequence": self.sequence,
            "fuelling_point": self.fuelling_point,
            "grade": self.grade,
            "volume_ml": self.volume_ml,
            "amount_fen": self.amount_fen,
            "price_fen_per_l": self.price_fen_per_l,
            "started_us": self.started_us,
            "ended_us": self.ended_us,
            "end_total_volume_ml": self.end_total_volume_ml,
            "end_total_amount_fen": self.end_total_amount_fen,
            "order_id": self.order_id,
            "flags": list(self.flags),
            # What is not known is left out: a sale of before these fields has the same bytes as then.
            **{name: value for name, value in told.items() if value is not None},
        }


@dataclass(frozen=True, slots=True)
class Authorisation:
    """What one nozzle may deliver next. `live` once the pump has been told; `expires_us` is unix µs."""

    nozzle: int
    command_id: int | None
    order_id: str | None
    preset_fen: int | None
    preset_ml: int | None
    expires_us: int
    live: bool = False
