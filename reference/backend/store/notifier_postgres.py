"""Wake-ups between the instances, by PostgreSQL's LISTEN and NOTIFY."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import Any

import asyncpg
import msgspec

from reference.backend.store.notifier import Hub

__all__ = ["PostgresHub"]

_CHANNEL = "forecourt"
_PAYLOAD_LIMIT = 7_500  # NOTIFY takes less than 8,000 bytes
_LAZY_S = 0.2
# Who writes a task runs it; an instance that had to leave one undone is helped after `PostgresHub.fallback_s`.
_HERE_ONLY = frozenset({"outbox"})


class PostgresHub(Hub):
    """A hub whose messages reach every process that is connected to the same database.

    Messages are sent after the commit on a connection of their own: NOTIFY inside a transaction makes all commits of the
    whole server queue behind one lock. What a kill loses here, `fallback_s` finds.
    """

    fallback_s = 1.0

    def __init__(self, dsn: str) -> None:
        super().__init__()
        self._dsn = dsn
        self._sender = secrets.token_hex(8)
        self._queue: dict[str, Any] = {}
        self._urgent = asyncio.Event()
        self._some = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def publish(self, topic: str, payload: Any = None, *, lazy: bool = False) -> None:
        """Deliver here at once, and queue for the others (the latest payload of a topic wins)."""
        self._deliver(topic, payload)
        if topic in _HERE_ONLY:
            return
        self._queue[topic] = payload
        self._some.set()
        if not lazy:
            self._urgent.set()

    async def start(self) -> None:
        """Connect in the background, again and again while the server is away."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep_connected(), name="postgres-hub")

    async def stop(self) -> None:
        """Disconnect."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _keep_connected(self) -> None:
        while True:
            # Whatever breaks the connection, the remedy is a new one; waiters meanwhile look up by themselves.
            with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection = await asyncpg.connect(self._dsn, timeout=5)
                try:
                    await connection.add_listener(_CHANNEL, self._heard)
                    self.wake_all()  # something may have been missed while we were away
                    await self._send_forever(connection)
                finally:
                    connection.terminate()
            await asyncio.sleep(0.3)

    async def _send_forever(self, connection: Any) -> None:
        lost = asyncio.Event()

        def on_lost(_: object) -> None:
            for event in (lost, self._some, self._urgent):
                event.set()

        connection.add_termination_listener(on_lost)
        while not lost.is_set():
            await self._some.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAZY_S):
                    await self._urgent.wait()
            self._some.clear()
            self._urgent.clear()
            queue, self._queue = self._queue, {}
            for batch in _batches(self._sender, queue):
                await connection.execute("SELECT pg_notify($1, $2)", _CHANNEL, batch)

    def _heard(self, connection: object, pid: int, channel: str, payload: object) -> None:
        del connection, pid, channel
        sender, messages = msgspec.json.decode(str(payload), type=tuple[str, list[tuple[str, Any]]])
        if sender == self._sender:
            return
        for topic, body in messages:
            self._deliver(topic, body)


def _batches(sender: str, queue: dict[str, Any]) -> list[str]:
    """Pack messages into as few payloads as fit."""
    batches: list[str] = []
    part: list[tuple[str, Any]] = []
    size = 0
    for item in queue.items():
        length = len(msgspec.json.encode(item))
        if part and size + length > _PAYLOAD_LIMIT - 100:
            batches.append(msgspec.json.encode((sender, part)).decode())
            part, size = [], 0
        part.append(item)
        size += length + 1
    if part:
        batches.append(msgspec.json.encode((sender, part)).decode())
    return batches
