"""Wall-clock time: asyncio is the master and arms one timer for the environment's next event."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import simpy
from simpy.core import Infinity
from simpy.events import NORMAL, Event, EventPriority

from sim.kernel.base import Cancellable, Kernel
from sim.kernel.trace import Trace

__all__ = ["WallKernel"]

_BATCH = 500
"""SimPy events run in one go before sockets get their turn again."""

_LAGS_KEPT = 10_000
"""A station that stands on somebody's desk for a week has a billion events."""


class _WallEnvironment(simpy.Environment):
    """An environment whose time follows a real clock, and which says when its next event has moved closer."""

    def __init__(self, elapsed_us: Callable[[], int], on_sooner: Callable[[], None]) -> None:
        super().__init__(initial_time=0)
        self._elapsed_us = elapsed_us
        self._on_sooner = on_sooner
        self.stepping = False
        self.armed_us: float = Infinity

    def schedule(self, event: Event, priority: EventPriority = NORMAL, delay: float = 0) -> None:
        """Schedule relative to the real time when called from outside a step (a socket, a coroutine)."""
        if self.stepping:
            super().schedule(event, priority, delay)
            return
        self.catch_up()
        super().schedule(event, priority, delay)
        if self._now + delay < self.armed_us:
            self._on_sooner()

    def catch_up(self) -> None:
        """Outside a step: set the time to now, but never past an event that is still due (time cannot run backwards)."""
        if not self.stepping:
            self._now = max(self._now, min(self._elapsed_us(), self.peek()))


class WallKernel(Kernel):
    """The same scenario objects on real time; must be created inside a running asyncio loop.

    Attributes:
        lag_us: how late each of the last 10,000 SimPy events ran (µs): the harness's own delay.
    """

    def __init__(self, seed: str | int, *, trace: Trace | None = None) -> None:
        super().__init__(seed, epoch_us=time.time_ns() // 1000, trace=trace)
        self.loop = asyncio.get_running_loop()
        self._start_ns = time.monotonic_ns()
        self.env: _WallEnvironment = _WallEnvironment(self._elapsed_us, self._arm)
        self._timer: asyncio.TimerHandle | None = None
        self._ended: asyncio.Future[None] = self.loop.create_future()
        self.lag_us: deque[int] = deque(maxlen=_LAGS_KEPT)

    def _elapsed_us(self) -> int:
        return (time.monotonic_ns() - self._start_ns) // 1000

    @property
    def now_us(self) -> int:
        """Real microseconds since the kernel was made, by the monotonic clock."""
        return self._elapsed_us()

    def call_at(self, at_us: int, fn: Callable[..., object], *args: Any) -> Cancellable:
        """Call ``fn(*args)`` at an instant; measured from the environment's time, which may lag behind the clock."""
        self.env.catch_up()
        return Cancellable(self.env, max(0, int(at_us - self.env.now)), fn, args)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_us = self.env.peek()
        self.env.armed_us = due_us
        if due_us != Infinity and not self._ended.done():
            when = self._start_ns / 1_000_000_000 + due_us / 1_000_000
            self._timer = self.loop.call_at(when, self._step_due)

    def _step_due(self) -> None:
        env = self.env
        env.stepping = True
        try:
            for _ in range(_BATCH):
                due_us = env.peek()
                lag_us = self._elapsed_us() - due_us
                if lag_us < 0:
                    break
                self.lag_us.append(int(lag_us))
                env.step()
        except BaseException as error:  # noqa: BLE001 - whatever a device raises ends the run, in `run`
            if not self._ended.done():
                self._ended.set_exception(error)
            return
        finally:
            env.stepping = False
        self._arm()

    async def run(self, until_us: int) -> None:
        """Live until an instant on the run's clock.

        Raises:
            KernelError: a spawned service crashed.
        """
        end = self.call_at(until_us, self._end)
        try:
            await asyncio.shield(self._ended)
        finally:
            end.cancel()
            if self._timer is not None:
                self._timer.cancel()

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    def stop(self) -> None:
        """End `run` now."""
        self._end()

    async def close(self) -> None:
        """Cancel what was started through this kernel."""
        self._end()
        await self._cancel_tasks()
        if not self._ended.cancelled():
            self._ended.exception()  # marks a crash as seen; `run` has raised it
