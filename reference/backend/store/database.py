"""One face for both stores: `Database.run(work)` runs ``work(tx)`` as one transaction.

``work`` is a coroutine function that awaits nothing but its transaction's statements. It may be run more than once
(after a serialisation failure, a deadlock, or a connection that broke before COMMIT), so its effects must all be in
the transaction. Messages given to `Transaction.notify` go out after the commit, never before and never without it.
"""

from __future__ import annotations

import abc
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Executable, Row, Table
from sqlalchemy.dialects import postgresql, sqlite

from reference.backend.store.notifier import Hub

__all__ = ["Database", "StoreUnavailableError", "Transaction"]

T = TypeVar("T")
Rows = Sequence[Row[Any]]


class StoreUnavailableError(Exception):
    """The store cannot be reached, or a commit's outcome is unknown. Repeat the request with the same keys."""


class Transaction(abc.ABC):
    """What ``work`` may do."""

    dialect: str

    def __init__(self) -> None:
        self.messages: list[tuple[str, Any]] = []

    @abc.abstractmethod
    async def rows(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Rows:
        """Run a statement that gives rows."""

    @abc.abstractmethod
    async def execute(self, statement: Executable, values: Mapping[str, Any] | None = None) -> int:
        """Run a statement; how many rows it touched."""

    async def first(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Row[Any] | None:
        """The first row, or None."""
        rows = await self.rows(statement, values)
        return rows[0] if rows else None

    async def insert(self, table: Table, values: Mapping[str, Any]) -> None:
        """Insert one row."""
        await self.execute(table.insert(), values)

    async def insert_new(self, table: Table, values: Mapping[str, Any]) -> bool:
        """Insert one row unless any unique key of it is taken; tells whether it was inserted.

        On PostgreSQL this waits for a concurrent transaction that is inserting the same key.
        """
        if self.dialect == "postgresql":
            return await self.execute(postgresql.insert(table).on_conflict_do_nothing(), values) == 1
        return await self.execute(sqlite.insert(table).on_conflict_do_nothing(), values) == 1

    def notify(self, topic: str, payload: Any = None) -> None:
        """Publish after the commit."""
        self.messages.append((topic, payload))


Work = Callable[[Transaction], Awaitable[T]]


class Database(abc.ABC):
    """A store and the hub that joins the instances which share it."""

    dialect: str
    hub: Hub

    @abc.abstractmethod
    async def start(self) -> None:
        """Open, and bring the schema up to date. Harmless when called again."""

    @abc.abstractmethod
    async def stop(self) -> None:
        """Close. The counterpart of the last of several `start` calls."""

    @abc.abstractmethod
    async def run(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run ``work`` in one transaction, again where that is safe.

        Raises:
            StoreUnavailableError: the store is away or a commit's outcome is unknown.
        """

    async def single(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Rows:
        """Run one statement that gives rows, as a transaction of its own.

        It must be a read, or do no more when it is repeated: after a broken connection it is run again. Where a
        transaction costs round trips (PostgreSQL: BEGIN and COMMIT) this saves two of three.

        Raises:
            StoreUnavailableError: the store is away.
        """
        return await self.run(lambda tx: tx.rows(statement, values))

    def _publish(self, tx: Transaction) -> None:
        for topic, payload in tx.messages:
            self.hub.publish(topic, payload)
