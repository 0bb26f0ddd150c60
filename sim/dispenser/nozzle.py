"""A nozzle: its grade, tank, price, meter and totalisers."""

from __future__ import annotations

from dataclasses import dataclass, field

from .meter import Meter
from .tank import Tank

__all__ = ["MAX_LOGICAL_NOZZLE", "Nozzle"]

MAX_LOGICAL_NOZZLE = 8
"""Nozzles of one fuelling point are numbered 1..8 (IFSF dispenser application)."""


@dataclass(slots=True, kw_only=True)
class Nozzle:
    """One nozzle of a fuelling point.

    Attributes:
        logical: 1..8 on its fuelling point.
        nozzle_id: number of the nozzle in the station, as painted on it.
        grade: ``92``, ``95``, ``98``, ``diesel``.
        tank: where its fuel comes from; of the same grade.
        price_fen_per_l: unit price; 0 means not programmed: the nozzle cannot be authorised.
        total_volume_ml: volume totaliser of ended deliveries. Unbounded; personalities wrap it at their field width.
        total_amount_fen: amount totaliser of ended deliveries.
        count: ended deliveries with fuel.
    """

    logical: int
    nozzle_id: int
    grade: str
    tank: Tank
    price_fen_per_l: int = 0
    total_volume_ml: int = 0
    total_amount_fen: int = 0
    count: int = 0
    meter: Meter = field(default_factory=Meter, repr=False)

    def __post_init__(self) -> None:
        if not 1 <= self.logical <= MAX_LOGICAL_NOZZLE:
            raise ValueError(
                f"nozzle {self.nozzle_id}: logical number {self.logical} is not in 1..{MAX_LOGICAL_NOZZLE}"
            )
        if self.tank.grade != self.grade:
            raise ValueError(
                f"nozzle {self.nozzle_id} sells {self.grade!r} but tank {self.tank.tank_id} holds {self.tank.grade!r}"
            )
