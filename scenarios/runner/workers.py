"""Processes that share the seeds of a farm or a swarm among all cores, and end with the harness, however it ends."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.resource_tracker import ensure_running

from scenarios.processes.child import die_with_parent

__all__ = ["worker_pool"]


def _begin(parent: int, prepare: Callable[[], None] | None) -> None:
    """In a worker: left alone by kill -9 of the harness, it would wait for more work for ever."""
    die_with_parent()
    if os.getppid() != parent:
        os._exit(0)  # it died before the line above
    if prepare is not None:
        prepare()


def _start_tracker() -> None:
    """Start the helper process of `multiprocessing` deaf to SIGHUP, as it is to SIGINT and SIGTERM.

    A terminal that is closed would end it before the harness, whose last words would then be the helper's traceback.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        ensure_running()
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL if before is None else before)


@contextmanager
def worker_pool(workers: int, prepare: Callable[[], None] | None = None) -> Iterator[ProcessPoolExecutor]:
    """A pool of fresh interpreters: a forked one would inherit event loops and collected state of this process.

    Args:
        workers: how many.
        prepare: called first in each; importable by name.
    """
    _start_tracker()
    with ProcessPoolExecutor(
        max_workers=workers,
        mp_context=get_context("spawn"),
        initializer=_begin,
        initargs=(os.getpid(), prepare),
    ) as pool:
        try:
            yield pool
        except BaseException:
            # `shutdown` forgets the processes, and the interpreter would wait for each one's whole hour when it ends.
            working = list((pool._processes or {}).values())
            pool.shutdown(wait=False, cancel_futures=True)
            for process in working:
                process.kill()
            raise
