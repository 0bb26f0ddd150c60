"""What both clocks share: SimPy events in integer microseconds and coroutines on an asyncio loop beside them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import simpy
from simpy.events import NORMAL, Event

from sim.kernel.streams import Streams
from sim.kernel.trace import Trace

__all__ = ["Cancellable", "Kernel", "KernelError"]


class KernelError(Exception):
    """The harness itself went wrong (never the system under test): a crashed service, a loop that will not rest."""


class Cancellable:
    """A function call on the event heap. `cancel` makes it a no-op; the heap entry stays and costs one pop.

    To SimPy it looks like an `Event` that has succeeded, but nobody can wait for it.
    """

    __slots__ = ("_args", "_fn", "callbacks", "env")
    _ok = True

    def __init__(
        self, env: Any, delay_us: int, fn: Callable[..., object], args: tuple[Any, ...] = ()
    ) -> None:
        self.env = env
        self.callbacks: Any = _FIRE
        self._fn: Callable[..., object] | None = fn
        self._args = args
        env.schedule(self, NORMAL, delay_us)

    def again(self, delay_us: int, fn: Callable[..., object]) -> None:
        """Call ``fn()`` after another delay. Only for one whose function was called already, never for a cancelled one."""
        self.callbacks = _FIRE
        self._fn = fn
        self._args = ()
        self.env.schedule(self, NORMAL, delay_us)

    def cancel(self) -> None:
        """Do not call the function. Calling `cancel` twice, or after the call, does nothing."""
        self._fn = None
        self._args = ()


def _fire(call: Any) -> None:
    fn = call._fn
    if fn is not None:
        call._fn = None
        fn(*call._args)


_FIRE = (_fire,)


class Kernel:
    """One clock for devices, wires, services and people; see `VirtualKernel` and `WallKernel`.

    Attributes:
        env: the SimPy environment; its time is an integer number of microseconds since the start of the run.
        streams: named random streams of the run's seed.
        trace: the run's trace.
        loop: the asyncio loop on which coroutines of the run live.
        epoch_us: Unix time of ``now_us == 0``, microseconds.
    """

    env: simpy.Environment
    loop: asyncio.AbstractEventLoop
    _call: type[Cancellable] = Cancellable

    def __init__(self, seed: str | int, *, epoch_us: int, trace: Trace | None) -> None:
        self.streams = Streams(seed)
        self.trace = trace if trace is not None else Trace()
        self.trace.bind_clock(lambda: self.now_us)
        self.epoch_us = epoch_us
        self._tasks: dict[asyncio.Task[Any], None] = {}

    @property
    def now_us(self) -> int:
        """Microseconds since the start of the run."""
        raise NotImplementedError

    @property
    def unix_us(self) -> int:
        """Unix time in microseconds as the scenario sees it."""
        return self.epoch_us + self.now_us

    def call_at(self, at_us: int, fn: Callable[..., object], *args: Any) -> Cancellable:
        """Call ``fn(*args)`` at an instant; an instant already past means as soon as possible."""
        return self.call_later(at_us - self.now_us, fn, *args)

    def call_later(self, delay_us: int, fn: Callable[..., object], *args: Any) -> Cancellable:
        """Call ``fn(*args)`` after a delay in microseconds; calls for one instant happen in the order they were made."""
        return self._call(self.env, max(0, delay_us), fn, args)

    def process(self, generator: Generator[Event, Any, Any]) -> simpy.Process:
        """Start a SimPy process."""
        return self.env.process(generator)

    def task(self, coro: Coroutine[Any, Any, Any], name: str | None = None) -> Event:
        """Run a coroutine on the loop; the returned SimPy event carries its result or its exception.

        A SimPy process waits with ``result = yield kernel.task(coroutine())``.
        """
        event = Event(self.env)
        task = self.loop.create_task(coro, name=name)
        self._tasks[task] = None

        def done(task: asyncio.Task[Any]) -> None:
            self._tasks.pop(task, None)
            if task.cancelled():
                event.fail(KernelError(f"{task.get_name()} was cancelled"))
                event.defused = True
            elif (error := task.exception()) is not None:
                # simpy re-raises a copy made from `args`; a wrapper keeps the original as the cause.
                event.fail(error if isinstance(error, Exception) else KernelError(repr(error)))
            else:
                event.succeed(task.result())

        task.add_done_callback(done)
        return event

    def spawn(self, coro: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run a background service for the length of the run; if it crashes, the run ends with `KernelError`."""
        task = self.loop.create_task(coro, name=name)
        self._tasks[task] = None

        def done(task: asyncio.Task[Any]) -> None:
            self._tasks.pop(task, None)
            if not task.cancelled() and (error := task.exception()) is not None:
                self._crash(name, error)

        task.add_done_callback(done)
        return task

    def _crash(self, name: str, error: BaseException) -> None:
        def throw() -> None:
            raise KernelError(f"{name} crashed: {type(error).__name__}: {error}") from error

        self.call_later(0, throw)

    async def _cancel_tasks(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
