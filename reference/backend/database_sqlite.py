"""SQLite on one connection, in the caller's thread: nothing is awaited, so a run in virtual time repeats exactly.

Statements are SQLAlchemy's, compiled once and run on `sqlite3` itself: all columns are integers and texts, so there is
nothing to convert, and a statement costs a tenth of what it does through the whole library. A payment has about eighty.
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, NamedTuple, TypeVar, cast

from sqlalchemy import ClauseElement, Connection, Executable, Table, create_engine, event
from sqlalchemy.dialects import sqlite
from sqlalchemy.pool import StaticPool
from sqlalchemy.sql.compiler import SQLCompiler

from reference.backend.database import Database, Rows, StoreUnavailableError, Transaction
from reference.backend.migrations import upgrade_connection
from reference.backend.notifier import Hub

__all__ = ["SqliteDatabase"]

T = TypeVar("T")

_DIALECT = sqlite.dialect(paramstyle="named")
# Takes the write lock at once: a later upgrade from reader to writer could not be waited for.
_BEGIN = "BEGIN IMMEDIATE"
# The service has about a hundred statements; a stray one built on the fly must not pile up.
_PLAN_LIMIT = 1_000


class _Plan(NamedTuple):
    sql: str
    constants: dict[str, Any]
    row: list[Any]  # the row type, made when the first row has told its columns


class _Plans:
    """Compiled statements. Keys hold the statement itself, so no two can be confused."""

    def __init__(self) -> None:
        self._plans: dict[Any, _Plan] = {}

    def of(self, statement: Executable) -> _Plan:
        plan = self._plans.get(statement)
        return plan if plan is not None else self._keep(statement, cast("ClauseElement", statement))

    def insert(self, table: Table, names: tuple[str, ...], *, ignore: bool) -> _Plan:
        key = (table, names, ignore)
        plan = self._plans.get(key)
        if plan is not None:
            return plan
        statement = sqlite.insert(table).inline()
        return self._keep(key, statement.on_conflict_do_nothing() if ignore else statement, list(names))

    def _keep(self, key: Any, statement: ClauseElement, names: list[str] | None = None) -> _Plan:
        compiled = cast("SQLCompiler", statement.compile(dialect=_DIALECT, column_keys=names))
        if "POSTCOMPILE" in str(compiled):
            raise NotImplementedError(f"a list in a statement has no fixed text: {compiled}")
        given = {name for bind, name in compiled.bind_names.items() if bind.required}
        every = compiled.construct_params(_check=False)
        constants = {name: value for name, value in every.items() if name not in given}
        plan = _Plan(str(compiled), constants, [])
        if len(self._plans) >= _PLAN_LIMIT:
            self._plans.clear()
        self._plans[key] = plan
        return plan


class _SqliteTransaction(Transaction):
    dialect = "sqlite"

    def __init__(self, connection: sqlite3.Connection, plans: _Plans) -> None:
        super().__init__()
        self._connection = connection
        self._plans = plans

    def _run(self, plan: _Plan, values: Mapping[str, Any] | None) -> sqlite3.Cursor:
        return self._connection.execute(plan.sql, {**plan.constants, **(values or {})})

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
        self._plans = _Plans()
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
        self._raw = cast("sqlite3.Connection", self._connection.connection.driver_connection)

    async def stop(self) -> None:
        """Close after the last user."""
        self._users -= 1
        if self._users <= 0 and self._connection is not None:
            engine = self._connection.engine
            self._connection.close()
            engine.dispose()
            self._connection = self._raw = None

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
            result = _finish(cast("Coroutine[Any, Any, T]", work(tx)))
            raw.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise StoreUnavailableError(f"SQLite: {error}") from error
        finally:
            self._busy = False
            if raw.in_transaction:
                raw.execute("ROLLBACK")
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
    connection.exec_driver_sql(_BEGIN)
