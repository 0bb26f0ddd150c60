"""What must happen after a commit: tasks, written in the same transaction, run at least once by any instance.

A task names its topic and subject only; what it does is read from the tables when it runs, and every call it makes
carries a key of its own, so running it twice does no harm. A claim moves the task's due time forward by the lease:
when a worker is killed, another takes the task up after that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, func, select, update

from protocols.cards import mask_private
from reference.backend.core import Core
from reference.backend.gateways.port import GatewayRefusedError, GatewayUnknownError
from reference.backend.store.database import StoreUnavailableError, Transaction
from reference.backend.store.schema import outbox

__all__ = ["Outbox", "Task"]

_log = logging.getLogger("reference.backend.outbox")
_WAKE = "outbox"
_IDLE_S = 60.0
_NEVER_US = 1 << 62

_DUE = (
    select(outbox.c.id)
    .where(outbox.c.done_us.is_(None), outbox.c.due_us <= bindparam("now_us"))
    .order_by(outbox.c.due_us, outbox.c.id)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
    .cte("due")
    # Else PostgreSQL may look for due tasks once for each row that it joins, and lock more than was asked for.
    .prefix_with("MATERIALIZED", dialect="postgresql")
)
_CLAIM = (
    update(outbox)
    .where(outbox.c.id.in_(select(_DUE.c.id)))
    .values(due_us=bindparam("lease_us"), claim=bindparam("mine"), attempts=outbox.c.attempts + 1)
    .returning(outbox.c.id, outbox.c.task_key, outbox.c.topic, outbox.c.subject, outbox.c.attempts)
)
_NEXT = select(func.min(outbox.c.due_us)).where(outbox.c.done_us.is_(None))
_DONE = (
    update(outbox)
    .where(outbox.c.id == bindparam("task_id"), outbox.c.claim == bindparam("mine"))
    .values(done_us=bindparam("now_us"), claim=None, last_error=None)
    .returning(outbox.c.id)
)
_AGAIN = (
    update(outbox)
    .where(outbox.c.id == bindparam("task_id"), outbox.c.claim == bindparam("mine"))
    .values(due_us=bindparam("again_us"), claim=None, last_error=bindparam("error"))
    .returning(outbox.c.id)
)
_HURRY = (
    update(outbox)
    .where(outbox.c.task_key == bindparam("key"), outbox.c.done_us.is_(None), outbox.c.claim.is_(None))
    .where(outbox.c.due_us > bindparam("now_us"))
    .values(due_us=bindparam("now_us"))
)


@dataclass(frozen=True, slots=True)
class Task:
    """A claimed task.

    Attributes:
        attempt: 1 for the first run.
    """

    id: int
    key: str
    topic: str
    subject: str
    attempt: int
    claim: str


# A handler returns when the task is to run again (Unix µs), or None when it is done.
Handler = Callable[[Task], Awaitable[int | None]]


class Outbox:
    """Writes tasks, and runs those that are due.

    Attributes:
        handlers: by topic.
    """

    def __init__(self, core: Core) -> None:
        self.core = core
        self.handlers: dict[str, Handler] = {}
        self._running: dict[asyncio.Task[None], None] = {}
        self._loop_task: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._planned_us = _NEVER_US

    async def put(
        self, tx: Transaction, topic: str, subject: str, *, key: str | None = None, delay_us: int = 0
    ) -> None:
        """Write a task, once for its key (default ``topic/subject``)."""
        now_us = self.core.clock_us()
        await tx.insert_new(
            outbox,
            {
                "task_key": key or f"{topic}/{subject}",
                "topic": topic,
                "subject": subject,
                "due_us": now_us + delay_us,
                "attempts": 0,
                "created_us": now_us,
            },
        )
        tx.notify(_WAKE, now_us + delay_us)

    async def hurry(self, tx: Transaction, key: str) -> None:
        """Let a waiting task run now."""
        now_us = self.core.clock_us()
        await tx.execute(_HURRY, {"key": key, "now_us": now_us})
        tx.notify(_WAKE, now_us)

    def start(self) -> None:
        """Begin to work off tasks in the background."""
        if self._loop_task is None:
            self.core.db.hub.listeners.append(self._hear)
            self._loop_task = asyncio.create_task(self._work(), name=f"outbox-{self.core.instance}")

    async def stop(self) -> None:
        """Finish what is running (bounded by the call time-out), claim nothing new."""
        self._deafen()
        if self._loop_task is not None:
            self._loop_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop_task
            self._loop_task = None
        if self._running:
            _, late = await asyncio.wait(list(self._running), timeout=self.core.settings.call_timeout_s + 1)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(list(late))

    def kill(self) -> None:
        """Cancel everything at once; claimed tasks are left to their lease."""
        self._deafen()
        for task in (self._loop_task, *self._running):
            if task is not None:
                task.cancel()
        self._loop_task = None

    async def run_due(self) -> int:
        """Run every task that is due, one after the other; how many. For tests and for a manual push."""
        count = 0
        while tasks := await self._claim(1):
            await self._run(tasks[0])
            count += 1
        return count

    def _hear(self, topic: str, due_us: Any) -> None:
        """A task is due then. Only what is due before the next look into the table wakes the worker."""
        if topic == _WAKE and due_us < self._planned_us:
            self._planned_us = due_us
            self._news.set()

    def _deafen(self) -> None:
        if self._hear in self.core.db.hub.listeners:
            self.core.db.hub.listeners.remove(self._hear)

    async def _work(self) -> None:
        while True:
            self._planned_us = _NEVER_US
            longest_s = await self._round()
            end_us = self.core.clock_us() + round(longest_s * 1_000_000)
            # What was heard during the round stands: it may have been written after the round had looked.
            self._planned_us = min(self._planned_us, end_us)
            while (pause_us := self._planned_us - self.core.clock_us()) > 0:
                self._news.clear()
                try:
                    async with asyncio.timeout(pause_us / 1_000_000):
                        await self._news.wait()
                except TimeoutError:
                    break  # whatever the clock says: it may have been set back

    async def _round(self) -> float:
        """Start what is due and can be started; how long to wait at most."""
        try:
            room = self.core.settings.workers - len(self._running)
            tasks = await self._claim(room) if room > 0 else []
            for task in tasks:
                running = asyncio.create_task(self._run(task), name=f"{task.topic}-{task.subject}")
                self._running[running] = None
                running.add_done_callback(self._finished)
            if room <= 0:
                return _IDLE_S  # the next to finish wakes us
            due_us: int | None = (await self.core.db.single(_NEXT))[0][0]
        except StoreUnavailableError as error:
            _log.warning("%s: outbox waits: %s", self.core.instance, error)
            return 0.5
        longest = self.core.db.hub.fallback_s or _IDLE_S
        if due_us is None:
            return longest
        return min(longest, max(0.0, (due_us - self.core.clock_us()) / 1_000_000))

    def _finished(self, running: asyncio.Task[None]) -> None:
        was_full = len(self._running) >= self.core.settings.workers
        self._running.pop(running, None)
        if not running.cancelled() and running.exception() is not None:
            _log.error("outbox task crashed", exc_info=running.exception())
        if was_full:
            self._hear(_WAKE, 0)

    async def _claim(self, most: int) -> list[Task]:
        mine = self.core.ids.text(16)
        now_us = self.core.clock_us()
        lease_us = now_us + round(self.core.settings.lease_s * 1_000_000)
        values = {"now_us": now_us, "most": most, "lease_us": lease_us, "mine": mine}
        rows = await self.core.db.single(_CLAIM, values)
        tasks = [Task(row.id, row.task_key, row.topic, row.subject, row.attempts, mine) for row in rows]
        return sorted(tasks, key=lambda task: task.id)  # the rows come in any order

    async def _run(self, task: Task) -> None:
        error: str | None = None
        try:
            again_us = await self.handlers[task.topic](task)
        except (GatewayUnknownError, GatewayRefusedError) as problem:
            again_us, error = self._backoff_us(task), str(problem)
        except StoreUnavailableError as problem:
            _log.warning("%s: %s left to its lease: %s", self.core.instance, task.key, problem)
            return
        except Exception as problem:  # noqa: BLE001 - one task's defect must not stop the others; it is kept on record
            _log.exception("%s: task %s failed", self.core.instance, task.key)
            again_us, error = self._backoff_us(task), f"{type(problem).__name__}: {problem}"
        with contextlib.suppress(StoreUnavailableError):  # then the lease brings it back
            await self._settle(task, again_us, error)

    async def _settle(self, task: Task, again_us: int | None, error: str | None) -> None:
        mark = {"task_id": task.id, "mine": task.claim}
        if again_us is None:
            await self.core.db.single(_DONE, {**mark, "now_us": self.core.clock_us()})
        else:
            await self.core.db.single(
                _AGAIN, {**mark, "again_us": again_us, "error": error and mask_private(error)}
            )
            self.core.db.hub.publish(_WAKE, again_us)

    def _backoff_us(self, task: Task) -> int:
        """1 s, 2 s, 4 s ... 60 s, and up to half as much again by chance, so that instances do not march in step."""
        base_us: int = min(60, 1 << min(task.attempt - 1, 6)) * 1_000_000
        return self.core.clock_us() + base_us + self.core.ids.below(base_us // 2)
