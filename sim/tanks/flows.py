"""What flows into and out of a tank beside the pumps, as closed forms of time: nothing has to happen while they run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

__all__ = ["Flow", "TankerDelivery", "flowed_ml"]

_MINUTE_US: Final = 60_000_000
_HOUR_US: Final = 3_600_000_000


@dataclass(frozen=True, slots=True)
class Flow:
    """A steady flow: a leak, a theft, water that seeps in.

    Attributes:
        ml_per_h: rate, not negative.
        from_us, until_us: when it runs; None for the end means that nobody stops it.
    """

    ml_per_h: int
    from_us: int = 0
    until_us: int | None = None

    def __post_init__(self) -> None:
        if self.ml_per_h < 0 or (self.until_us is not None and self.until_us < self.from_us):
            raise ValueError(f"a flow has a rate of at least 0 and ends after it begins: {self}")

    def ml(self, now_us: int) -> int:
        """What has flowed by now."""
        end_us = now_us if self.until_us is None else min(now_us, self.until_us)
        return self.ml_per_h * max(0, end_us - self.from_us) // _HOUR_US


def flowed_ml(flows: Iterable[Flow], now_us: int) -> int:
    """What several flows have moved by now."""
    return sum(flow.ml(now_us) for flow in flows)


@dataclass(frozen=True, slots=True)
class TankerDelivery:
    """A road tanker discharges into one tank.

    Attributes:
        volume_ml: all that is discharged.
        ml_per_min: while the valve is open; 300 to 800 l/min by gravity.
        start_us: the valve opens.
        pauses: (after so many ml, for so many us): compartments are changed, a hose is moved.
        temperature_mdeg: of the load.
    """

    volume_ml: int
    ml_per_min: int
    start_us: int
    pauses: tuple[tuple[int, int], ...] = ()
    temperature_mdeg: int = 18_000

    def __post_init__(self) -> None:
        if self.volume_ml <= 0 or self.ml_per_min <= 0 or self.start_us < 0:
            raise ValueError(f"a delivery has a volume, a rate and a start: {self}")
        if any(not 0 <= at <= self.volume_ml or lasts < 0 for at, lasts in self.pauses):
            raise ValueError(f"a pause lies within its delivery: {self}")

    def _open_us(self, volume_ml: int) -> int:
        return volume_ml * _MINUTE_US // self.ml_per_min

    @property
    def end_us(self) -> int:
        """When the last drop has come."""
        return self.start_us + self._open_us(self.volume_ml) + sum(lasts for _, lasts in self.pauses)

    def ml(self, now_us: int) -> int:
        """What has been discharged by now."""
        if now_us >= self.end_us:
            return self.volume_ml
        open_us = max(0, now_us - self.start_us)
        for at_ml, lasts_us in sorted(self.pauses):
            reached_us = self._open_us(at_ml)
            if open_us <= reached_us:
                break
            open_us = max(reached_us, open_us - lasts_us)
        return min(self.volume_ml, self.ml_per_min * open_us // _MINUTE_US)
