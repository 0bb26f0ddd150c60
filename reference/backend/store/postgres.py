"""PostgreSQL through asyncpg, which is called directly: see `reference.backend.store.plans`."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import Executable, Table
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.engine import make_url

from reference.backend.migrations import HEAD
from reference.backend.store.database import Database, Rows, StoreUnavailableError, Transaction
from reference.backend.store.notifier import Hub
from reference.backend.store.notifier_postgres import PostgresHub
from reference.backend.store.plans import Plans

__all__ = ["PostgresDatabase", "PostgresHub"]

T = TypeVar("T")

# serialization_failure, deadlock_detected, lock_not_available, unique_violation: the transaction is gone, so another
# try is safe; after a unique violation the next try sees the row that was in the way.
_AGAIN = frozenset({"40001", "40P01", "55P03", "23505"})
_CONNECT_S = 5
_STATEMENT_S = 20
_POOL_WAIT_S = 10


class _Row(asyncpg.Record):
    """A row whose columns are attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class _PostgresTransaction(Transaction):
    dialect = "postgresql"

    def __init__(self, connection: Any, plans: Plans) -> None:
        super().__init__()
        self._connection = connection
        self._plans = plans

    async def rows(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Rows:
        plan = self._plans.of(statement)
        found: Rows = await self._connection.fetch(plan.sql, *plan.numbered(values))
        return found

    async def execute(self, statement: Executable, values: Mapping[str, Any] | None = None) -> int:
        plan = self._plans.of(statement)
        return _touched(await self._connection.execute(plan.sql, *plan.numbered(values)))

    async def insert(self, table: Table, values: Mapping[str, Any]) -> None:
        plan = self._plans.insert(table, tuple(values), ignore=False)
        await self._connection.execute(plan.sql, *plan.numbered(values))

    async def insert_new(self, table: Table, values: Mapping[str, Any]) -> bool:
        plan = self._plans.insert(table, tuple(values), ignore=True)
        return _touched(await self._connection.execute(plan.sql, *plan.numbered(values))) == 1


def _touched(status: str) -> int:
    """The number at the end of a command's status, such as ``INSERT 0 1``; 0 where there is none."""
    number = status.rpartition(" ")[2]
    return int(number) if number.isdigit() else 0


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
        self._url = parsed.set(drivername="postgresql")
        self._dsn = self._url.render_as_string(hide_password=False)
        self.hub: Hub = PostgresHub(self._dsn) if real_io is None else Hub()
        self._plans = Plans(PGDialect_asyncpg())  # type: ignore[no-untyped-call]
        self._pool_size = pool_size
        self._attempts = attempts
        self._pool: Any = None
        self._users = 0

    async def start(self) -> None:
        """Connect, migrate (one instance at a time, by an advisory lock), listen."""
        self._users += 1
        if self._pool is not None:
            return
        try:
            with self._real_io():
                pool = await self._connected()
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            self._users -= 1
            raise StoreUnavailableError(
                f"PostgreSQL at {self._url.host}:{self._url.port}: {error}"
            ) from error
        self._pool = pool
        if isinstance(self.hub, PostgresHub):
            await self.hub.start()

    async def _connected(self) -> Any:
        """A pool to a store that has the newest schema. It hands out the connection that was used last."""
        connection = await asyncpg.connect(self._dsn, timeout=_CONNECT_S)
        try:
            is_new = await _revision(connection) != HEAD
        finally:
            await connection.close()
        if is_new:
            await self._migrate()
        return await asyncpg.create_pool(
            self._dsn,
            min_size=1,
            max_size=2 * self._pool_size,
            max_inactive_connection_lifetime=0,
            # Nothing of a session is ever changed, so there is nothing to set back (it would be a round trip each time).
            reset=_nothing,
            record_class=_Row,
            timeout=_CONNECT_S,
            command_timeout=_STATEMENT_S,
            # Compiling costs more than any of these statements, and most of all the driver's own catalogue queries.
            server_settings={"jit": "off"},
        )

    async def _migrate(self) -> None:
        # Alembic and the engine it needs take a second to load on a slow machine; a restart has no use for them.
        from sqlalchemy.exc import DBAPIError
        from sqlalchemy.ext.asyncio import create_async_engine

        from reference.backend.migrations.upgrade import upgrade_connection

        url = self._url.set(drivername="postgresql+asyncpg")
        engine = create_async_engine(url, connect_args={"timeout": _CONNECT_S})
        try:
            async with engine.connect() as migrating:
                await migrating.run_sync(upgrade_connection)
        except DBAPIError as error:
            raise ConnectionError(str(error)) from error
        finally:
            await engine.dispose()

    async def stop(self) -> None:
        """Close after the last user."""
        self._users -= 1
        if self._users <= 0 and self._pool is not None:
            pool, self._pool = self._pool, None
            if isinstance(self.hub, PostgresHub):
                await self.hub.stop()
            with self._real_io():
                try:
                    await asyncio.wait_for(pool.close(), _CONNECT_S)
                except TimeoutError:
                    pool.terminate()

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
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                if attempt == self._attempts or not (
                    isinstance(error, _BrokenError) or _state(error) in _AGAIN
                ):
                    raise _told(error) from error
            # Losers of one race come back spread out. Chance is fine here: no virtual run uses this store's timing.
            await asyncio.sleep(0.002 * attempt * (1 + secrets.randbelow(100) / 100))
        raise AssertionError("unreachable")

    async def _one(self, statement: Executable, values: Mapping[str, Any] | None) -> Rows:
        plan = self._plans.of(statement)
        async with self._connection() as connection:
            found: Rows = await connection.fetch(plan.sql, *plan.numbered(values))
        return found

    async def _once(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        async with self._connection() as connection:
            await connection.execute("BEGIN")
            tx = _PostgresTransaction(connection, self._plans)
            try:
                result = await work(tx)
            except Exception:
                await _roll_back(connection)
                raise
            except BaseException:
                _cut(connection)  # cancelled in mid-statement: nobody will wait for a ROLLBACK
                raise
            try:
                await connection.execute("COMMIT")
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                if _state(error) in _AGAIN:
                    raise
                raise StoreUnavailableError("the outcome of a commit is unknown") from error
        self._publish(tx)
        return result

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        """A connection of the pool. Raises `_BrokenError` when it breaks in between."""
        pool = self._pool
        if pool is None:
            raise StoreUnavailableError("the store is closed")
        connection = await pool.acquire(timeout=_POOL_WAIT_S)
        try:
            yield connection
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            if _is_closed(connection):
                raise _BrokenError(f"{type(error).__name__}: {error}") from error
            raise
        finally:
            await pool.release(connection)


class _BrokenError(ConnectionError):
    """A connection broke before COMMIT was sent: nothing happened."""


async def _nothing(connection: object) -> None:
    del connection


async def _roll_back(connection: Any) -> None:
    try:
        await connection.execute("ROLLBACK")
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        _cut(connection)  # the server rolls back by itself


def _is_closed(connection: Any) -> bool:
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:
        return True  # the pool has taken it back already, which it does when one dies


def _cut(connection: Any) -> None:
    if not _is_closed(connection):
        connection.terminate()


async def _revision(connection: Any) -> str | None:
    """The schema's revision; None for a new database."""
    try:
        found: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        return None
    return found


def _state(error: BaseException) -> str | None:
    return getattr(error, "sqlstate", None)


def _told(error: BaseException) -> BaseException:
    state = _state(error) or ""
    # 08 connection, 57 operator intervention (shutdown), 53 out of resources, 25006 read-only after a switch-over
    if (
        isinstance(error, OSError | TimeoutError | asyncpg.InterfaceError)
        or state[:2] in {"08", "57", "53"}
        or state == "25006"
        or state in _AGAIN
    ):
        return StoreUnavailableError(f"PostgreSQL: {error.__class__.__name__} {state}".rstrip())
    return error
