"""What a console finds out from a row of measurements: deliveries, leak tests, shifts."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import Final, NamedTuple

from .probe import Measured

__all__ = ["DeliveryWatch", "LeakWatch", "SeenDelivery", "Snapshot", "TestResult"]

_HOUR_US: Final = 3_600_000_000
_RISE_ML: Final = 190_000
_WINDOW_US: Final = 300_000_000
"""So much more than the least of the last minutes is a delivery."""

_DELAY_US: Final = 300_000_000
"""A delivery has ended when nothing has risen for so long (the console's delivery delay)."""

_LIMIT_ML_PER_H: Final = 757
"""A leak test passes below this loss: 0.2 gallons an hour, the periodic test of the manual."""

_LEAST_US: Final = 2 * _HOUR_US
"""A shorter test is invalid."""


class Snapshot(NamedTuple):
    """A measurement, when it was made, and what the pumps had drawn by then."""

    at_us: int
    at: datetime
    measured: Measured
    drawn_ml: int


class SeenDelivery(NamedTuple):
    """A delivery as the console saw it."""

    start: Snapshot
    end: Snapshot


class DeliveryWatch:
    """Sees deliveries into one tank."""

    def __init__(self) -> None:
        self.deliveries: deque[SeenDelivery] = deque(maxlen=10)
        self._recent: deque[Snapshot] = deque()
        self._start: Snapshot | None = None
        self._highest_ml = 0
        self._risen_us = 0

    @property
    def in_progress(self) -> bool:
        """Whether a delivery is under way, its delay included."""
        return self._start is not None

    def see(self, snapshot: Snapshot) -> None:
        """Take the next measurement."""
        fuel_ml = snapshot.measured.fuel_ml
        if self._start is None:
            while self._recent and self._recent[0].at_us < snapshot.at_us - _WINDOW_US:
                self._recent.popleft()
            self._recent.append(snapshot)
            least = min(reversed(self._recent), key=lambda seen: seen.measured.fuel_ml)
            if fuel_ml - least.measured.fuel_ml >= _RISE_ML:
                self._start = least
                self._highest_ml, self._risen_us = fuel_ml, snapshot.at_us
        elif fuel_ml > self._highest_ml:
            self._highest_ml, self._risen_us = fuel_ml, snapshot.at_us
        elif snapshot.at_us - self._risen_us >= _DELAY_US:
            self.deliveries.appendleft(SeenDelivery(self._start, snapshot))
            self._start = None
            self._recent.clear()
            self._recent.append(snapshot)

    def clear(self) -> None:
        """Erase the reports (function S051)."""
        self.deliveries.clear()


class TestResult(NamedTuple):
    """A leak test that has ended. ``rate_ml_per_h`` is negative for a loss; ``passed`` None for an invalid test."""

    start: Snapshot
    end: Snapshot
    rate_ml_per_h: int
    passed: bool | None

    @property
    def hours(self) -> float:
        """How long it took."""
        return (self.end.at_us - self.start.at_us) / _HOUR_US


class LeakWatch:
    """A static leak test of one tank: volumes at reference temperature, at the start and now."""

    def __init__(self) -> None:
        self.running: Snapshot | None = None
        self.last: Snapshot | None = None
        self.results: deque[TestResult] = deque(maxlen=10)
        self.hourly_ml: list[int] = []

    def start(self, snapshot: Snapshot) -> None:
        """Begin a test; one that runs already goes on."""
        if self.running is None:
            self.running = self.last = snapshot
            self.hourly_ml = []

    def see(self, snapshot: Snapshot) -> None:
        """Take the next measurement."""
        if self.running is None:
            return
        self.last = snapshot
        if (snapshot.at_us - self.running.at_us) // _HOUR_US > len(self.hourly_ml):
            self.hourly_ml.append(self.lost_ml * -1)

    @property
    def lost_ml(self) -> int:
        """What has gone since the test began."""
        if self.running is None or self.last is None:
            return 0
        return self.running.measured.corrected_ml - self.last.measured.corrected_ml

    def stop(self) -> TestResult | None:
        """End the test and judge it; None when none runs."""
        if self.running is None or self.last is None:
            return None
        lasted_us = self.last.at_us - self.running.at_us
        rate = -self.lost_ml * _HOUR_US // lasted_us if lasted_us else 0
        sold = self.last.drawn_ml != self.running.drawn_ml
        is_valid = lasted_us >= _LEAST_US and not sold
        result = TestResult(self.running, self.last, rate, rate > -_LIMIT_ML_PER_H if is_valid else None)
        self.results.appendleft(result)
        self.running = None
        return result
