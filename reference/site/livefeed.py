"""What the nozzles show, told to the backend as it changes: a few posts a second, and now and then all of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

__all__ = ["LiveFeed"]

Readings = list[dict[str, Any]]


class LiveFeed:
    """Posts the readings that have changed since the last post.

    Args:
        readings: those of every nozzle, always in the same order; what has not changed may be the very same object.
        post: tells the backend; False if it is away.
        refresh_us: after so long without a change everything is told again.
        gap_us: from one post to the next.
    """

    def __init__(
        self,
        readings: Callable[[], Readings],
        post: Callable[[Readings], Awaitable[bool]],
        *,
        refresh_us: int,
        gap_us: int,
    ) -> None:
        self._readings = readings
        self._post = post
        self._refresh_s = refresh_us / 1e6
        self._gap_s = gap_us / 1e6
        self._sent: Readings = []
        self._has_changed = False
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._until = 0.0

    def changed(self) -> None:
        """Some nozzle's state or amount changed."""
        if not self._has_changed:
            self._has_changed = True
            self._wake()

    async def run(self) -> None:
        """Post until cancelled."""
        try:
            while True:
                await self._wait()
                if not self._has_changed:
                    self._sent = []  # a refresh tells everything
                self._has_changed = False
                await self._tell(self._readings())
                await asyncio.sleep(self._gap_s)
        finally:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    async def _tell(self, now: Readings) -> None:
        sent = self._sent
        changed = (
            [new for new, old in zip(now, sent, strict=True) if new is not old and new != old]
            if sent
            else now
        )
        if not changed:
            return
        # Not repeated: what is late is worthless, the next one is newer.
        if await self._post(changed):
            self._sent = now
        else:
            self._sent = []
            self._has_changed = True

    async def _wait(self) -> None:
        """Until something changes, or it is time to tell everything."""
        if self._has_changed:
            return
        loop = asyncio.get_running_loop()
        self._until = loop.time() + self._refresh_s
        # Something changes several times a second: the timer is left standing and looks again when it fires.
        if self._timer is None:
            self._timer = loop.call_at(self._until, self._look, loop)
        self._waiter = loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._waiter is None:
            return  # the next wait sets it again
        if loop.time() < self._until:
            self._timer = loop.call_at(self._until, self._look, loop)
        else:
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
