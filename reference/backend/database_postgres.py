"""PostgreSQL through asyncpg, with LISTEN/NOTIFY between the instances."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import asyncpg
import msgspec
from sqlalchemy import Executable
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from reference.backend.database import Database, Rows, StoreUnavailableError, Transaction
from reference.backend.migrations import upgrade_connection
from reference.backend.notifier import Hub

__all__ = ["PostgresDatabase", "PostgresHub"]

T = TypeVar("T")

# serialization_failure, deadlock_detected, lock_not_available, unique_violation: the transaction is gone, so another
# try is safe; after a unique violation the next try sees the row that was in the way.
_AGAIN = frozenset({"40001", "40P01", "55P03", "23505"})
_CHANNEL = "forecourt"
_PAYLOAD_LIMIT = 7_500  # NOTIFY takes less than 8,000 bytes
_LAZY_S = 0.2
# Who writes a task runs it; an instance that had to leave one undone is helped after `PostgresHub.fallback_s`.
_HERE_ONLY = frozenset({"outbox"})


class _PostgresTransaction(Transaction):
    dialect = "postgresql"

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__()
        self._connection = connection

    async def rows(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Rows:
        return (await self._connection.execute(statement, values)).all()

    async def execute(self, statement: Executable, values: Mapping[str, Any] | None = None) -> int:
        return (await self._connection.execute(statement, values)).rowcount


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


class PostgresDatabase(Database):
    """A pool of asyncpg connections.

    Args:
        url: ``postgresql://user:password@host:port/database``.
        pool_size: connections kept; as many again may be opened at a peak.
        attempts: how often a transaction that lost a race is run at most.
        real_io: for a modelled clock: held open around everything that waits for the server, so that the clock can
            stand still meanwhile. All instances then live in this process and share this object, and messages between
            them do not go through the server.
    """

    dialect = "postgresql"

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 10,
        attempts: int = 8,
        real_io: Callable[[], AbstractContextManager[None]] | None = None,
    ) -> None:
        parsed = make_url(url)
        self._real_io = real_io if real_io is not None else nullcontext
        self._url = parsed.set(drivername="postgresql+asyncpg")
        self.hub: Hub = (
            PostgresHub(parsed.set(drivername="postgresql").render_as_string(hide_password=False))
            if real_io is None
            else Hub()
        )
        self._pool_size = pool_size
        self._attempts = attempts
        self._engine: AsyncEngine | None = None
        self._alone: AsyncEngine | None = None  # the same pool, without BEGIN and COMMIT
        self._users = 0

    async def start(self) -> None:
        """Connect, migrate (one instance at a time, by an advisory lock), listen."""
        self._users += 1
        if self._engine is not None:
            return
        engine = create_async_engine(
            self._url,
            pool_size=self._pool_size,
            max_overflow=self._pool_size,
            pool_timeout=10,
            # Few connections that have their statements prepared, instead of all of them in turn.
            pool_use_lifo=True,
            connect_args={
                "timeout": 5,
                "command_timeout": 20,
                # Compiling costs more than any of these statements, and most of all the driver's own catalogue queries.
                "server_settings": {"jit": "off"},
            },
        )
        try:
            with self._real_io():
                async with engine.connect() as connection:
                    await connection.run_sync(upgrade_connection)
        except (OSError, TimeoutError, DBAPIError) as error:
            await engine.dispose()
            self._users -= 1
            raise StoreUnavailableError(
                f"PostgreSQL at {self._url.host}:{self._url.port}: {error}"
            ) from error
        self._engine = engine
        self._alone = engine.execution_options(isolation_level="AUTOCOMMIT")
        if isinstance(self.hub, PostgresHub):
            await self.hub.start()

    async def stop(self) -> None:
        """Close after the last user."""
        self._users -= 1
        if self._users <= 0 and self._engine is not None:
            engine, self._engine, self._alone = self._engine, None, None
            if isinstance(self.hub, PostgresHub):
                await self.hub.stop()
            with self._real_io():
                await engine.dispose()

    async def run(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """One READ COMMITTED transaction; rows that decide are locked by the statements themselves."""
        return await self._repeated(lambda: self._once(work))

    async def single(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Rows:
        """One round trip."""
        return await self._repeated(lambda: self._one(statement, values))

    async def _repeated(self, once: Callable[[], Awaitable[T]]) -> T:
        for attempt in range(1, self._attempts + 1):
            try:
                with self._real_io():
                    return await once()
            except (DBAPIError, OSError, TimeoutError, PoolTimeoutError) as error:
                if attempt == self._attempts or not _may_repeat(error):
                    raise _told(error) from error
            # Losers of one race come back spread out. Chance is fine here: no virtual run uses this store's timing.
            await asyncio.sleep(0.002 * attempt * (1 + secrets.randbelow(100) / 100))
        raise AssertionError("unreachable")

    async def _one(self, statement: Executable, values: Mapping[str, Any] | None) -> Rows:
        if self._alone is None:
            raise StoreUnavailableError("the store is closed")
        async with self._alone.connect() as connection:
            return (await connection.execute(statement, values)).all()

    async def _once(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        if self._engine is None:
            raise StoreUnavailableError("the store is closed")
        async with self._engine.connect() as connection:
            await connection.begin()
            tx = _PostgresTransaction(connection)
            result = await work(tx)
            try:
                await connection.commit()
            except (DBAPIError, OSError, TimeoutError) as error:
                if _sqlstate(error) in _AGAIN:
                    raise
                raise StoreUnavailableError("the outcome of a commit is unknown") from error
        self._publish(tx)
        return result


def _sqlstate(error: BaseException) -> str | None:
    return getattr(getattr(error, "orig", None), "sqlstate", None)


def _may_repeat(error: BaseException) -> bool:
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True  # broke before COMMIT was sent: nothing happened
    return _sqlstate(error) in _AGAIN


def _told(error: BaseException) -> BaseException:
    state = _sqlstate(error) or ""
    # 08 connection, 57 operator intervention (shutdown), 53 out of resources, 25006 read-only after a switch-over
    if (
        isinstance(error, OSError | TimeoutError | PoolTimeoutError | InterfaceError | OperationalError)
        or (isinstance(error, DBAPIError) and error.connection_invalidated)
        or state[:2] in {"08", "57", "53"}
        or state == "25006"
        or state in _AGAIN
    ):
        return StoreUnavailableError(f"PostgreSQL: {error.__class__.__name__} {state}".rstrip())
    return error
