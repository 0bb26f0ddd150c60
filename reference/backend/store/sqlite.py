"""SQLite on one connection, in the caller's thread: nothing is awaited, so a run in virtual time repeats exactly.

Statements are SQLAlchemy's, compiled once and run on `sqlite3` itself: see `reference.backend.store.plans`.
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Executable, Table, create_engine, event
from sqlalchemy.dialects import sqlite
from sqlalchemy.pool import StaticPool

from reference.backend.store.database import Database, Rows, StoreUnavailableError, Transaction
from reference.backend.store.notifier import Hub
from reference.backend.store.plans import Plan, Plans

__all__ = ["SqliteDatabase"]

T = TypeVar("T")

_DIALECT = sqlite.dialect(paramstyle="named")
# Takes the write lock at once: a later upgrade from reader to writer could not be waited for.
_BEGIN = "BEGIN IMMEDIATE"

# The image of an empty store with the newest schema, once there is one: migrating takes a hundred times as long.
_migrated: list[bytes] = []


class _SqliteTransaction(Transaction):
    dialect = "sqlite"

    def __init__(self, connection: sqlite3.Connection, plans: Plans) -> None:
        super().__init__()
        self._connection = connection
        self._plans = plans

    def _run(self, plan: Plan, values: Mapping[str, Any] | None) -> sqlite3.Cursor:
        return self._connection.execute(plan.sql, plan.named(values))

    async def rows(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Rows:
        plan = self._plans.of(statement)
        cursor = self._run(plan, values)
        found = cursor.fetchall()
        if not found:
            return []
        if not plan.row:
            names = [column[0] for column in cursor.description]
            plan.row.append(namedtuple("Row", names, rename=True))  # noqa: PYI024 - columns are not known before
        return [plan.row[0]._make(row) for row in found]

    async def execute(self, statement: Executable, values: Mapping[str, Any] | None = None) -> int:
        return self._run(self._plans.of(statement), values).rowcount

    async def insert(self, table: Table, values: Mapping[str, Any]) -> None:
        self._run(self._plans.insert(table, tuple(values), ignore=False), values)

    async def insert_new(self, table: Table, values: Mapping[str, Any]) -> bool:
        return self._run(self._plans.insert(table, tuple(values), ignore=True), values).rowcount == 1


class SqliteDatabase(Database):
    """A database in memory, or in a file.

    Args:
        path: a file, or ``:memory:``.

    Several backends may share one object: they are then instances over one store.
    """

    dialect = "sqlite"

    def __init__(self, path: str = ":memory:") -> None:
        self.hub = Hub()
        self._path = path
        self._users = 0
        self._connection: Connection | None = None
        self._raw: sqlite3.Connection | None = None
        self._plans = Plans(_DIALECT)
        self._busy = False

    async def start(self) -> None:
        """Open and migrate. One in memory begins as a copy of the first that this process has migrated."""
        self._users += 1
        if self._connection is not None:
            return
        # Not for threads of ours, which do not exist: a test client may run its loop in another thread.
        engine = create_engine(
            f"sqlite+pysqlite:///{self._path}",
            poolclass=StaticPool,
            connect_args={"check_same_thread": False},
        )
        event.listen(engine, "connect", _on_connect)
        event.listen(engine, "begin", _on_begin)
        self._connection = engine.connect()
        raw = cast("sqlite3.Connection", self._connection.connection.driver_connection)
        if self._path == ":memory:" and _migrated:
            _copy_into(raw, _migrated[0])
        else:
            # Alembic takes long to load, and an instance on PostgreSQL has no use for it here.
            from reference.backend.migrations.upgrade import upgrade_connection

            upgrade_connection(self._connection)
            if self._path == ":memory:":
                _migrated.append(raw.serialize())
        self._raw = raw

    async def stop(self) -> None:
        """Close after the last user."""
        self._users -= 1
        if self._users <= 0 and self._connection is not None:
            engine = self._connection.engine
            self._connection.close()
            engine.dispose()
            self._connection = self._raw = None

    def copy_to(self, path: Path) -> None:
        """Write all of it into a file, as evidence. Raises `StoreUnavailableError` when it is closed."""
        if self._raw is None:
            raise StoreUnavailableError("the store is closed")
        with closing(sqlite3.connect(path)) as copy:
            self._raw.backup(copy)

    async def run(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """One transaction, without giving way to any other coroutine."""
        raw = self._raw
        if raw is None:
            raise StoreUnavailableError("the store is closed")
        if self._busy:
            raise RuntimeError("a transaction was begun inside another")
        self._busy = True
        tx = _SqliteTransaction(raw, self._plans)
        try:
            raw.execute(_BEGIN)
            result = _finish(work(tx))
            raw.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise StoreUnavailableError(f"SQLite: {error}") from error
        finally:
            self._busy = False
            if raw.in_transaction:
                raw.execute("ROLLBACK")
        self._publish(tx)
        return result

    async def single(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Rows:
        """One statement is a transaction of its own, without being told so."""
        raw = self._raw
        if raw is None:
            raise StoreUnavailableError("the store is closed")
        if self._busy:
            raise RuntimeError("a transaction was begun inside another")
        try:
            return await _SqliteTransaction(raw, self._plans).rows(statement, values)
        except sqlite3.OperationalError as error:
            raise StoreUnavailableError(f"SQLite: {error}") from error


def _finish(work: Awaitable[T]) -> T:
    """Run a coroutine that never waits."""
    steps = work.__await__()
    try:
        next(steps)
    except StopIteration as stop:
        result: T = stop.value
        return result
    steps.close()
    raise RuntimeError("a transaction awaited something other than its own statements")


def _copy_into(raw: sqlite3.Connection, image: bytes) -> None:
    """Fill an empty store. By way of another connection: one that is an image itself stays slower than one in memory."""
    with closing(sqlite3.connect(":memory:")) as first:
        first.deserialize(image)
        first.backup(raw)


def _on_connect(connection: Any, record: object) -> None:
    del record
    connection.isolation_level = None  # we say BEGIN ourselves, see _on_begin
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA busy_timeout=5000")
    cursor.close()


def _on_begin(connection: Connection) -> None:
    connection.exec_driver_sql(_BEGIN)
