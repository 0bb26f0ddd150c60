"""When requests are given up: one timer for all of them, since hardly any ever is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Protocol

__all__ = ["Deadlines", "Waiting"]


class Waiting(Protocol):
    """Something that does not wait for ever."""

    @property
    def is_over(self) -> bool:
        """Whether it will never wait again."""

    def expire(self, now_us: int) -> int | None:
        """Its time may be over; when it is to be asked again, or None for never (it says so anew)."""


class Deadlines:
    """Asks each of those who wait when its time may be over.

    Who no longer waits is passed over at the next look: to take it out at once would cost as much as a timer of its own.

    Args:
        loop: carries the timer.
        now_us: its time in microseconds.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, now_us: Callable[[], int]) -> None:
        self._loop = loop
        self._now_us = now_us
        self._heap: list[tuple[int, int, Waiting]] = []
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_us = 0

    def add(self, until_us: int, waiting: Waiting) -> None:
        """Ask it then."""
        self._count += 1
        heappush(self._heap, (until_us, self._count, waiting))
        if self._timer is None or until_us < self._timer_us:
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_us = self._heap[0][0]
        self._timer = self._loop.call_later((self._timer_us - self._now_us()) / 1_000_000, self._look)

    def _look(self) -> None:
        self._timer = None
        now_us = self._now_us()
        heap = self._heap
        while heap and (heap[0][0] <= now_us or heap[0][2].is_over):
            waiting = heappop(heap)[2]
            if not waiting.is_over and (until_us := waiting.expire(now_us)) is not None:
                self.add(until_us, waiting)
        if heap and self._timer is None:
            self._arm()
