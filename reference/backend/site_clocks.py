"""Whether the clocks of the sites agree with ours: told by what every post of live readings says about its time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = ["SKEW_MOST_US", "SiteClocks"]

SKEW_MOST_US: Final = 2_000_000
"""A clock that is further off is told to a person."""
_POSTS: Final = 8
"""A post may be late on its way; of so many, the quickest shows how late the clock is."""
_NEVER: Final = 2**62


class SiteClocks:
    """Watches one clock a station. A few comparisons for each post, and nothing is stored.

    Args:
        clock_us: our Unix time in microseconds.
    """

    def __init__(self, clock_us: Callable[[], int]) -> None:
        self._clock_us = clock_us
        self._window: dict[str, tuple[int, int]] = {}
        self._wrong: set[str] = set()

    def heard(self, station: str, at_us: int) -> int:
        """A post told its time; how far the site's clock is ahead (behind, if negative) when that is news, else 0."""
        late_us = self._clock_us() - at_us
        if late_us < -SKEW_MOST_US:  # it comes from the future: no way is as quick as that
            self._window.pop(station, None)
            return self._told(station, -late_us)
        count, least_us = self._window.get(station, (0, _NEVER))
        count, least_us = count + 1, min(least_us, late_us)
        if count < _POSTS:
            self._window[station] = (count, least_us)
            return 0
        self._window[station] = (0, _NEVER)
        if least_us > SKEW_MOST_US:
            return self._told(station, -least_us)
        self._wrong.discard(station)
        return 0

    def _told(self, station: str, skew_us: int) -> int:
        if station in self._wrong:
            return 0
        self._wrong.add(station)
        return skew_us
