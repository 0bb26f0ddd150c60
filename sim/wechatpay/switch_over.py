"""The seven days in which callbacks move from the platform's certificate to its public key."""

from __future__ import annotations

from typing import Final

__all__ = ["STEPS_PERMILLE", "SwitchOver"]

STEPS_PERMILLE: Final = (1, 10, 50, 100, 200, 500, 1000)
"""Share of callbacks signed with the public key on each day: 0.1 % to 100 % (WXDOC 4012154180)."""


class SwitchOver:
    """A share that stands still until the merchant starts the switch-over, and then grows from day to day.

    Args:
        permille: the share before any switch-over.
        begin_us: when one begins, in Unix microseconds, or None.
        day_s: how long a step takes; a real one takes a day.
    """

    def __init__(self, permille: int = 0, begin_us: int | None = None, day_s: int = 86_400) -> None:
        self._permille = permille
        self._begin_us = begin_us
        self._day_us = day_s * 1_000_000

    def begin(self, unix_us: int, day_s: int = 86_400) -> None:
        """Start it (again)."""
        self._begin_us, self._day_us = unix_us, day_s * 1_000_000

    def stop(self, permille: int = 0) -> None:
        """Roll back: from now on this share."""
        self._begin_us, self._permille = None, permille

    def permille(self, unix_us: int) -> int:
        """The share of callbacks that the public key signs at an instant."""
        if self._begin_us is None or unix_us < self._begin_us:
            return self._permille
        day = (unix_us - self._begin_us) // self._day_us
        return STEPS_PERMILLE[min(day, len(STEPS_PERMILLE) - 1)]
