"""A nozzle: its grade, tank, price, meter and totalisers."""

from __future__ import annotations

from dataclasses import dataclass, field

from .meter import Meter
from .tank import Tank

__all__ = ["MAX_LOGICAL_NOZZLE", "Blend", "Nozzle"]

MAX_LOGICAL_NOZZLE = 8
"""Nozzles of one fuelling point are numbered 1..8 (IFSF dispenser application)."""


_MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Blend:
    """A second tank whose fuel is mixed in: ``percent`` of each delivery comes from ``tank``, the rest from the first."""

    tank: Tank
    percent: int

    def __post_init__(self) -> None:
        if not 0 <= self.percent <= 100:
            raise ValueError(
                f"a blend takes 0 to 100 percent from tank {self.tank.tank_id}, not {self.percent}"
            )

    def share(self, pulses: int) -> int:
        """Pulses of the second tank among the first ``pulses`` of a delivery."""
        return pulses * self.percent // 100


@dataclass(slots=True, kw_only=True)
class Nozzle:
    """One nozzle of a fuelling point.

    Attributes:
        logical: 1..8 on its fuelling point.
        nozzle_id: number of the nozzle in the station, as painted on it.
        grade: ``92``, ``95``, ``98``, ``diesel``.
        tank: where its fuel comes from; of the same grade, unless it is blended with another.
        price_fen_per_l: unit price; 0 means not programmed: the nozzle cannot be authorised. Fen, or the last decimal of
            the price when the profile declares other than two.
        total_volume_ml: volume totaliser of ended deliveries; rolls over as the profile's digits say. A personality wraps
            it further at its field width.
        total_amount_fen: amount totaliser of ended deliveries, the same.
        count: ended deliveries with fuel.
        blocked: why this nozzle may not deliver (its tank is low, or has water in it); empty when it may.
        meter: its meter, with calibration error and pulse value.
        blend: the second tank of a blend.
        component_totals_ml: what each tank's meter counted: the first, and the blend's second.
    """

    logical: int
    nozzle_id: int
    grade: str
    tank: Tank
    price_fen_per_l: int = 0
    total_volume_ml: int = 0
    total_amount_fen: int = 0
    count: int = 0
    blocked: str = ""
    meter: Meter = field(default_factory=Meter, repr=False)
    blend: Blend | None = None
    component_totals_ml: list[int] = field(default_factory=lambda: [0, 0], repr=False)
    _rests: list[int] = field(default_factory=lambda: [0, 0], repr=False)
    _drawn: list[int] = field(default_factory=lambda: [0, 0], repr=False)

    def __post_init__(self) -> None:
        if not 1 <= self.logical <= MAX_LOGICAL_NOZZLE:
            raise ValueError(
                f"nozzle {self.nozzle_id}: logical number {self.logical} is not in 1..{MAX_LOGICAL_NOZZLE}"
            )
        if self.blend is not None:
            if self.blend.tank is self.tank:
                raise ValueError(f"nozzle {self.nozzle_id} blends tank {self.tank.tank_id} with itself")
        elif self.tank.grade != self.grade:
            raise ValueError(
                f"nozzle {self.nozzle_id} sells {self.grade!r} but tank {self.tank.tank_id} holds {self.tank.grade!r}"
            )

    @property
    def tanks(self) -> tuple[Tank, ...]:
        """Where its fuel comes from."""
        return (self.tank,) if self.blend is None else (self.tank, self.blend.tank)

    def begin(self) -> None:
        """A delivery begins: count from here what it takes out of the tanks."""
        self._drawn[:] = 0, 0

    def draw(self, before: int, passed: int) -> None:
        """Take ``passed`` indicated pulses out of the tanks, after ``before`` of the same delivery."""
        if self.blend is None:
            self._draw(0, self.tank, passed)
            return
        second = self.blend.share(before + passed) - self.blend.share(before)
        self._draw(0, self.tank, passed - second)
        self._draw(1, self.blend.tank, second)

    def return_fuel(self) -> None:
        """Pour what this delivery took back into the tanks, as after a test with the proving can."""
        for which, tank in enumerate(self.tanks):
            tank.give_back(self._drawn[which])
        self._drawn[:] = 0, 0

    def _draw(self, which: int, tank: Tank, pulses: int) -> None:
        # A meter that indicates too much lets less through: true = indicated / (1 + error).
        if self.meter.error_ppm:
            scale = _MILLION + self.meter.error_ppm
            pulses, self._rests[which] = divmod(pulses * _MILLION + self._rests[which], scale)
        tank.draw(pulses)
        self._drawn[which] += pulses
