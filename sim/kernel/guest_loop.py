"""An asyncio loop that lives as a guest inside a SimPy environment.

asyncio has no public way to host a loop in a foreign clock; CPython itself names ``_run_once`` and the running-loop
hooks as the parts an embedding loop uses (bpo-110771). They, the queue of ready handles and a handle's ``_run`` are the
only private names touched here, and the tests run on every supported Python.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
import selectors
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sim.kernel.base import Cancellable, KernelError
from sim.kernel.environment import Call, VirtualEnvironment

__all__ = ["GuestLoop"]

_TURNS_LIMIT = 1_000_000
"""Callbacks at one instant before the run is called stuck; a busy instant of a whole station takes a few hundred."""

_REAL_IO_LIMIT_S = 60.0
"""How long declared real I/O may stay silent before the run is called stuck (twice PostgreSQL's usual lock waits)."""


class _GuestSelector(selectors.DefaultSelector):
    """Asks the operating system only while real I/O is declared; otherwise nothing outside can be ready."""

    declared = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if not self.declared:
            return []
        if timeout is None:
            ready: list[tuple[selectors.SelectorKey, int]] = super().select(_REAL_IO_LIMIT_S)
            if not ready:
                raise KernelError(f"declared real I/O gave no answer for {_REAL_IO_LIMIT_S:.0f} s")
            return ready
        return super().select(timeout)


class GuestLoop(asyncio.SelectorEventLoop):
    """Runs ready callbacks until none is left, at each instant of the host environment; its timers are SimPy events.

    Coroutines see ordinary asyncio: ``sleep``, ``wait_for``, queues, tasks. Threads are refused, since their timing
    would leak into the run.
    """

    _ready: Any  # the deque of handles of BaseEventLoop
    _thread_id: int | None
    _asyncgen_firstiter_hook: Any
    _asyncgen_finalizer_hook: Any

    def __init__(self, env: VirtualEnvironment) -> None:
        self._env = env
        self._guest_selector = _GuestSelector()
        self._pumping = False
        self._wake: Cancellable | None = None
        super().__init__(self._guest_selector)

    def time(self) -> float:
        """Virtual time in seconds; exact to well below a microsecond for runs of years."""
        return self._env._now / 1_000_000

    def call_at(  # type: ignore[override]  # typeshed names the arguments by a type variable
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Schedule on the host's heap, rounded to the microsecond."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        if when == math.inf:
            return handle  # ``sleep(math.inf)`` waits until it is cancelled
        now_us = self._env._now
        delay_us = round(when * 1_000_000) - now_us
        if delay_us <= 0:
            # A deadline a fraction of a microsecond ahead must bring time forward, or a loop that waits for it never ends.
            delay_us = 1 if when > self.time() else 0
        Call(self._env, delay_us, self._timer_due, (handle,))
        return handle

    def _timer_due(self, handle: asyncio.TimerHandle) -> None:
        if not handle.cancelled():
            self._ready.append(handle)
            if not self._pumping:
                self.pump()

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """Run at this instant; wakes the guest if the call came from a SimPy process."""
        self._check_closed()  # type: ignore[attr-defined]
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        if not self._pumping and self._wake is None:
            self._wake = Call(self._env, 0, self.pump, ())
        return handle

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """As `call_soon` on the guest's own thread; other threads may only report declared real I/O."""
        if threading.get_ident() == self._thread_id:
            return self.call_soon(callback, *args, context=context)
        if not self._guest_selector.declared:
            raise KernelError(
                f"{getattr(callback, '__qualname__', callback)} reports from a thread inside virtual time; make it a "
                "coroutine, or declare the real I/O with VirtualKernel.real_io()"
            )
        return super().call_soon_threadsafe(callback, *args, context=context)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:  # type: ignore[override]
        """Refused unless real I/O is declared: a thread's timing is not repeatable."""
        if not self._guest_selector.declared:
            raise KernelError(
                f"{getattr(func, '__qualname__', func)} asks for a thread inside virtual time; make it a coroutine, "
                "or declare the real I/O with VirtualKernel.real_io()"
            )
        return super().run_in_executor(executor, func, *args)

    async def sock_connect(self, sock: Any, address: Any) -> None:
        """Refused unless real I/O is declared: nothing would ever look whether the peer answers."""
        self._must_be_declared(f"a connection to {address}")
        await super().sock_connect(sock, address)

    async def create_server(self, *args: Any, **more: Any) -> Any:
        """As `sock_connect`: nobody could ever be let in."""
        self._must_be_declared("a server")
        return await super().create_server(*args, **more)

    async def subprocess_exec(self, *args: Any, **more: Any) -> Any:
        """As `sock_connect`: its end would never be seen."""
        self._must_be_declared("a process")
        return await super().subprocess_exec(*args, **more)

    async def subprocess_shell(self, *args: Any, **more: Any) -> Any:
        """As `subprocess_exec`."""
        self._must_be_declared("a process")
        return await super().subprocess_shell(*args, **more)

    def _must_be_declared(self, what: str) -> None:
        if not self._guest_selector.declared:
            raise KernelError(
                f"{what} is real and has no place in virtual time; declare the real I/O with VirtualKernel.real_io()"
            )

    @contextmanager
    def real_io(self) -> Iterator[None]:
        """While open, virtual time stands still and the loop waits for real sockets."""
        self._guest_selector.declared += 1
        try:
            yield
        finally:
            self._guest_selector.declared -= 1

    def pump(self) -> None:
        """Run until no callback is ready and no declared real I/O is open."""
        self._wake = None
        self._pumping = True
        ready = self._ready
        turns = 0
        try:
            while True:
                # What `_run_once` would do, without its look at timers and sockets: here there are none.
                while ready and not self._guest_selector.declared:
                    handle = ready.popleft()
                    if not handle._cancelled:
                        handle._run()
                    turns += 1
                    if turns > _TURNS_LIMIT:
                        raise KernelError(f"the guest loop does not come to rest at {self._env.now} us")
                if not self._guest_selector.declared:
                    return
                self._run_once()  # type: ignore[attr-defined]
        finally:
            self._pumping = False

    @contextmanager
    def running(self) -> Iterator[None]:
        """Mark this loop as the thread's running loop, as ``run_forever`` would."""
        self._check_closed()  # type: ignore[attr-defined]
        previous_hooks = sys.get_asyncgen_hooks()
        self._thread_id = threading.get_ident()
        sys.set_asyncgen_hooks(
            firstiter=self._asyncgen_firstiter_hook, finalizer=self._asyncgen_finalizer_hook
        )
        previous_loop = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            yield
        finally:
            asyncio._set_running_loop(previous_loop)
            sys.set_asyncgen_hooks(*previous_hooks)
            self._thread_id = None
