"""SimPy's environment with its loop written out, for plain calls above all, which most events of a run are.

The order of events is SimPy's own: time, then priority, then the order in which they were scheduled. The queue, the
counter and the time are touched here by SimPy's own (private) names, so that an event costs no frame of Python beside
what it calls; the tests run the same programs on a bare `simpy.Environment`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

import simpy
from simpy.events import NORMAL

from sim.kernel.base import _FIRE, Cancellable

__all__ = ["Call", "VirtualEnvironment"]


class VirtualEnvironment(simpy.Environment):
    """A `simpy.Environment` in integer microseconds from 0 on that runs plain calls with as little around them as possible."""

    _now: int
    _queue: Any
    _eid: itertools.count[int]

    def __init__(self) -> None:
        super().__init__(initial_time=0)

    def advance(self, until_us: int | None) -> None:
        """What ``run(until=until_us)`` does: everything before that instant; without one until nothing is left.

        Raises:
            Exception: what an event raised, or a failed event that nobody took.
        """
        queue = self._queue
        end_us = float("inf") if until_us is None else until_us
        while queue:
            entry = heappop(queue)
            at_us, _, _, event = entry
            if at_us >= end_us:
                heappush(queue, entry)
                break
            self._now = at_us
            if type(event) is Call:
                fn = event._fn
                if fn is not None:
                    event._fn = None
                    fn(*event._args)
                continue
            callbacks, event.callbacks = event.callbacks, None
            for callback in callbacks:
                callback(event)
            if not event._ok and not hasattr(event, "_defused"):
                failure = event._value
                raise type(failure)(*failure.args) from failure
        if until_us is not None:
            self._now = until_us


class Call(Cancellable):
    """A `Cancellable` of a `VirtualEnvironment`: `simpy.Environment.schedule` is written out in it."""

    __slots__ = ()

    def __init__(
        self,
        env: VirtualEnvironment,
        delay_us: int,
        fn: Callable[..., object],
        args: tuple[Any, ...] = (),
    ) -> None:
        self.env = env
        self.callbacks = _FIRE
        self._fn = fn
        self._args = args
        heappush(env._queue, (env._now + delay_us, NORMAL, next(env._eid), self))

    def again(self, delay_us: int, fn: Callable[..., object]) -> None:
        """See `Cancellable.again`."""
        self.callbacks = _FIRE
        self._fn = fn
        self._args = ()
        env = self.env
        heappush(env._queue, (env._now + delay_us, NORMAL, next(env._eid), self))
