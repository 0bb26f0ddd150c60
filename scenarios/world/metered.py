"""What was delivered, by the dispensers' own journals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from scenarios.record import Delivery
from sim.dispenser import FuellingPoint

__all__ = ["metered"]


def metered(station: str, points: Iterable[FuellingPoint]) -> tuple[Delivery, ...]:
    """The deliveries of a station. Journals count per fuelling point; a sale's key counts per nozzle, in the same order."""
    counts: Counter[int] = Counter()
    found = []
    for point in points:
        for delivery in point.journal:
            counts[delivery.nozzle_id] += 1
            found.append(
                Delivery(
                    station=station,
                    nozzle=delivery.nozzle_id,
                    sequence=counts[delivery.nozzle_id],
                    grade=delivery.grade,
                    tank=delivery.tank,
                    volume_ml=delivery.volume_ml,
                    amount_fen=delivery.amount_fen,
                    price_fen_per_l=delivery.price_fen_per_l,
                    started_us=delivery.started_us,
                    ended_us=delivery.ended_us,
                    end_total_volume_ml=delivery.end_total_volume_ml,
                    end_total_amount_fen=delivery.end_total_amount_fen,
                    is_test="test" in delivery.flags,
                )
            )
    return tuple(found)
