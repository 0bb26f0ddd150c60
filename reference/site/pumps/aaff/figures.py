"""Arithmetic of AA FF records: whether their figures agree, and how far a total is beyond another."""

from __future__ import annotations

from protocols.aaff import SaleRecord, decode_time
from reference.site.pumps.witness import TOTAL_MODULUS

__all__ = ["TOTAL_UNITS", "UNIT_ML", "agrees", "ahead_ml", "duration_us", "plausible"]

TOTAL_UNITS = 10**12
"""Totals have twelve digits."""

UNIT_ML = 10
"""Volumes and totals count hundredths of a litre; prices and amounts are fen as they stand."""


def ahead_ml(total_units: int, known_ml: int) -> int:
    """How far a total is beyond a known one; negative when it is behind."""
    ahead = (total_units * UNIT_ML - known_ml) % TOTAL_MODULUS
    return ahead - TOTAL_MODULUS if ahead > TOTAL_MODULUS // 2 else ahead


def agrees(volume_units: int, price_units: int, amount_units: int) -> bool:
    """Whether an amount is volume times price, to the fen."""
    return abs(amount_units * 100 - volume_units * price_units) <= 100


def plausible(record: SaleRecord) -> bool:
    """Whether the figures of a record agree with each other."""
    total = (record.total_before_units + record.volume_units - record.total_after_units) % TOTAL_UNITS
    return total == 0 and agrees(record.volume_units, record.price_units, record.amount_units)


def duration_us(record: SaleRecord) -> int:
    """How long a sale took by its own times, which are whole seconds."""
    started_us, ended_us = decode_time(record.started), decode_time(record.ended)
    return 0 if started_us is None or ended_us is None else max(0, ended_us - started_us)
