"""SQLite on one connection, in the caller's thread: nothing is awaited, so a run in virtual time repeats exactly."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Executable, Row, create_engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import StaticPool

from reference.backend.database import Database, Rows, StoreUnavailableError, Transaction
from reference.backend.migrations import upgrade_connection
from reference.backend.notifier import Hub

__all__ = ["SqliteDatabase"]

T = TypeVar("T")


class _SqliteTransaction(Transaction):
    dialect = "sqlite"

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    async def rows(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Rows:
        return cast("list[Row[Any]]", self._connection.execute(statement, values).all())

    async def execute(self, statement: Executable, values: Mapping[str, Any] | None = None) -> int:
        return self._connection.execute(statement, values).rowcount


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
        self._busy = False

    async def start(self) -> None:
        """Open and migrate."""
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
        upgrade_connection(self._connection)

    async def stop(self) -> None:
        """Close after the last user."""
        self._users -= 1
        if self._users <= 0 and self._connection is not None:
            engine = self._connection.engine
            self._connection.close()
            engine.dispose()
            self._connection = None

    async def run(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """One transaction, without giving way to any other coroutine."""
        if self._connection is None:
            raise StoreUnavailableError("the store is closed")
        if self._busy:
            raise RuntimeError("a transaction was begun inside another")
        self._busy = True
        tx = _SqliteTransaction(self._connection)
        try:
            with self._connection.begin():
                result = _finish(cast("Coroutine[Any, Any, T]", work(tx)))
        except OperationalError as error:
            raise StoreUnavailableError(f"SQLite: {error.orig}") from error
        finally:
            self._busy = False
        self._publish(tx)
        return result


def _finish(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as stop:
        return cast("T", stop.value)
    work.close()
    raise RuntimeError("a transaction awaited something other than its own statements")


def _on_connect(connection: Any, record: object) -> None:
    del record
    connection.isolation_level = None  # we say BEGIN ourselves, see _on_begin
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA busy_timeout=5000")
    cursor.close()


def _on_begin(connection: Connection) -> None:
    # Takes the write lock at once: a later upgrade from reader to writer could not be waited for.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
