"""Virtual time: the SimPy environment is the master, and an asyncio loop is its guest."""

from __future__ import annotations

import asyncio
import gc
from contextlib import AbstractContextManager

import simpy

from sim.kernel.base import Kernel
from sim.kernel.environment import Call, VirtualEnvironment
from sim.kernel.guest_loop import GuestLoop
from sim.kernel.trace import Trace

__all__ = ["VirtualKernel"]

_GC_PERIOD_US = 1_200 * 1_000_000
"""Virtual time between garbage collections of a run: often enough for memory, rare enough for speed."""

_WHOLE_COLLECTION_EACH = 12
"""Of so many collections one goes through everything."""


class VirtualKernel(Kernel):
    """Runs as fast as the processor allows, and twice the same.

    At each instant due SimPy events run in the order they were scheduled; whenever one of them makes the guest loop
    ready, the guest runs until it is idle before time moves on. Cyclic garbage collection is tied to virtual time, so
    that finalisers run at the same instants in each run.

    Args:
        seed: seed of the run's random streams.
        epoch_us: Unix time at the start of the run, microseconds.
        trace: where events go; None keeps only their hash.
    """

    _call = Call

    def __init__(self, seed: str | int, *, epoch_us: int, trace: Trace | None = None) -> None:
        super().__init__(seed, epoch_us=epoch_us, trace=trace)
        self.env: VirtualEnvironment = VirtualEnvironment()
        self._guest = GuestLoop(self.env)
        self.loop = self._guest
        self._next_collection_us = _GC_PERIOD_US
        self._collections = 0
        self._frozen = False

    @property
    def now_us(self) -> int:
        """Virtual microseconds since the start of the run."""
        return self.env._now

    def real_io(self) -> AbstractContextManager[None]:
        """``with kernel.real_io():`` around an await on a real socket: virtual time stands still until it is done."""
        return self._guest.real_io()

    def run(self, until_us: int | None = None) -> None:
        """Run to an instant, or until nothing is left to happen.

        Raises:
            KernelError: a spawned service crashed, or the guest loop does not come to rest.
        """
        if until_us is not None and until_us <= self.env.now:
            return
        collecting = gc.isenabled()
        gc.disable()
        try:
            with self._guest.running():
                # Without an end there is nothing to measure collections by, and such runs are short.
                while until_us is not None and self._next_collection_us < until_us:
                    self._run_to(self._next_collection_us)
                    self._collect()
                    self._next_collection_us += _GC_PERIOD_US
                self._run_to(until_us)
        finally:
            if collecting:
                gc.enable()

    def _run_to(self, until_us: int | None) -> None:
        if until_us is None or until_us > self.env.now:
            self.env.advance(until_us)

    def _collect(self) -> None:
        """Collect, and the first time leave what stands out of later collections: there is a great deal of it, and it stays.

        Not at the start of a run: most runs are shorter than a period.
        """
        self._collections += 1
        # What is young holds most of the garbage; to go through all that a long run has kept, or all that was imported, each time
        # would cost more than the run.
        gc.collect(2 if self._collections % _WHOLE_COLLECTION_EACH == 0 else 1)
        if not self._frozen:
            self._frozen = True
            gc.freeze()

    def close(self) -> None:
        """Cancel what still runs on the guest loop and close it. The trace is complete before this is called."""
        if self.loop.is_closed():
            return
        self.trace.enabled = False
        with self._guest.running():
            for coro in (self._cancel_tasks(), self._cancel_strays(), self.loop.shutdown_asyncgens()):
                task = self.loop.create_task(coro)
                self._guest.pump()
                limit = 1000
                while not task.done() and limit and self.env.peek() != simpy.core.Infinity:
                    self.env.step()
                    limit -= 1
                task.cancel()
                self._guest.pump()
        self.loop.close()
        if self._frozen:
            gc.unfreeze()

    async def _cancel_strays(self) -> None:
        current = asyncio.current_task()
        strays = [task for task in asyncio.all_tasks(self.loop) if task is not current]
        for task in strays:
            task.cancel()
        await asyncio.gather(*strays, return_exceptions=True)
