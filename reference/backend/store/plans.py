"""Statements of SQLAlchemy, compiled once for a driver that is called directly.

All columns are integers and texts, so a driver's values need no converting, and a statement costs a fraction of what it does
through the whole library: a tenth on SQLite, a third on PostgreSQL. A payment has about eighty.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from sqlalchemy import ClauseElement, Executable, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.compiler import SQLCompiler

__all__ = ["Plan", "Plans"]

# The service has about a hundred statements; a stray one built on the fly must not pile up.
_PLAN_LIMIT = 1_000


class Plan(NamedTuple):
    """A compiled statement.

    Attributes:
        sql: its text in the driver's own style of parameters.
        constants: parameters that stand in the statement itself.
        order: names of the parameters in their order, for a driver that numbers them; else empty.
        row: for the driver to keep what it knows of the rows.
    """

    sql: str
    constants: dict[str, Any]
    order: tuple[str, ...]
    row: list[Any]

    def named(self, values: Mapping[str, Any] | None) -> dict[str, Any]:
        """All parameters by name."""
        return {**self.constants, **(values or {})}

    def numbered(self, values: Mapping[str, Any] | None) -> list[Any]:
        """All parameters in their order. Raises KeyError when one is missing."""
        every = self.named(values)
        return [every[name] for name in self.order]


class Plans:
    """Compiled statements of one dialect. Keys hold the statement itself, so no two can be confused."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._insert = sqlite.insert if dialect.name == "sqlite" else postgresql.insert
        self._plans: dict[Any, Plan] = {}

    def of(self, statement: Executable) -> Plan:
        """The plan of a statement. Raises NotImplementedError for one whose text depends on its values."""
        plan = self._plans.get(statement)
        return plan if plan is not None else self._keep(statement, cast("ClauseElement", statement))

    def insert(self, table: Table, names: tuple[str, ...], *, ignore: bool) -> Plan:
        """The plan that inserts one row with these columns; ``ignore`` leaves a row alone that is in the way."""
        key = (table, names, ignore)
        plan = self._plans.get(key)
        if plan is not None:
            return plan
        statement = self._insert(table).inline()
        return self._keep(key, statement.on_conflict_do_nothing() if ignore else statement, list(names))

    def _keep(self, key: Any, statement: ClauseElement, names: list[str] | None = None) -> Plan:
        compiled = cast("SQLCompiler", statement.compile(dialect=self._dialect, column_keys=names))
        if "POSTCOMPILE" in str(compiled):
            raise NotImplementedError(f"a list in a statement has no fixed text: {compiled}")
        given = {name for bind, name in compiled.bind_names.items() if bind.required}
        every = compiled.construct_params(_check=False)
        constants = {name: value for name, value in every.items() if name not in given}
        plan = Plan(str(compiled), constants, tuple(compiled.positiontup or ()), [])
        if len(self._plans) >= _PLAN_LIMIT:
            self._plans.clear()
        self._plans[key] = plan
        return plan
