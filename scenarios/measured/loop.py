"""The event loop of a measurement: the quick one where it is installed, and a SIGTERM that lets everything be tidied up."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["run_to_end"]

T = TypeVar("T")


def run_to_end(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop of its own, uvloop if it can be imported.

    SIGTERM cancels the coroutine, as Ctrl-C does: it ends its processes and removes its private files. Only then does the
    signal have the effect that it would have had: the caller's handler runs, or the process ends.
    """
    before = signal.getsignal(signal.SIGTERM)
    terminated = threading.Event()
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_cancelled_by_sigterm(work, terminated))
    finally:
        if terminated.is_set():
            signal.signal(signal.SIGTERM, before)
            signal.raise_signal(signal.SIGTERM)


async def _cancelled_by_sigterm(work: Coroutine[Any, Any, T], terminated: threading.Event) -> T:
    if threading.current_thread() is not threading.main_thread():
        return await work  # signals come to the main thread only
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - we are inside one
    loop = asyncio.get_running_loop()
    before = signal.getsignal(signal.SIGTERM)

    def terminate() -> None:
        if not terminated.is_set():  # a second one must not break off the tidying up
            terminated.set()
            task.cancel()

    loop.add_signal_handler(signal.SIGTERM, terminate)
    try:
        return await work
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGTERM, before)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
