"""The report of a shift out of the tables: when it is closed, and ever after the same again."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import msgspec
from sqlalchemy import Row

from reference.backend.shifts import queries as q
from reference.backend.shifts.report import Boundary, NozzleMark, TankMark, report_of
from reference.backend.store.database import Transaction
from reference.backend.store.schema import sales

__all__ = ["boundary_of", "rebuilt", "report_as_of", "with_changes"]

NEVER_US = 2**62
"""Of reports that knew no drive-offs."""
_DAY_US = 86_400_000_000
"""A phone that pays ahead fuels within minutes; its payment is found a day before its shift began, too."""


def boundary_of(row: Row[Any]) -> Boundary:
    """A handover's row, read."""
    return Boundary(
        row.number,
        row.at_us,
        row.attendant,
        row.cash_counted_fen,
        msgspec.convert(msgspec.json.decode(row.content)["nozzles"], list[NozzleMark]),
        msgspec.json.decode(row.stock, type=list[TankMark]),
    )


async def report_as_of(
    tx: Transaction,
    station: str,
    opened: Boundary,
    closed: Boundary,
    since: frozenset[str],
    drive_off_us: int,
) -> dict[str, Any]:
    """The report as of the handover: what stands in ``since`` (keys of entries) was not known then."""
    keys = {"of_station": station, "of_shift": opened.number}
    mine = []
    for sale in await tx.rows(q.SALES, keys):
        if f"late/{sale.sale_id}" in since:
            continue
        was_sold = f"return/{sale.sale_id}" in since
        mine.append(with_changes(sale, state="payable") if was_sold else sale)
    span = {"of_station": station, "until_us": closed.at_us}
    money = await tx.rows(q.MONEY, {**span, "from_us": opened.at_us - _DAY_US})
    received: Counter[int] = Counter()
    for row in await tx.rows(q.RECEIVED, {**span, "from_us": opened.at_us}):
        if row.entry_key not in since:
            received[row.grp] += row.volume_ml
    late = await tx.rows(q.LATE, keys)
    return report_of(opened, closed, mine, late, money, received, drive_off_us)


async def rebuilt(tx: Transaction, row: Row[Any]) -> str:
    """The report of the shift that a handover closed, made from the tables once more: the filed one, to the byte."""
    before = await tx.first(q.ONE, {"of_station": row.station, "number": row.number - 1})
    assert before is not None  # noqa: S101 - a report is filed only for a shift that was opened
    entries = await tx.rows(q.ENTRIES, {"of_station": row.station, "of_shift": row.number - 1})
    since = frozenset(entry.entry_key for entry in entries)
    filed = msgspec.json.decode(row.report)
    # With the rule that counted then, which may be another today.
    rule_us = filed.get("drive_off_after_us", NEVER_US)
    report = await report_as_of(tx, row.station, boundary_of(before), boundary_of(row), since, rule_us)
    # One that was filed before reports told so much is compared in what it tells.
    return msgspec.json.encode({name: value for name, value in report.items() if name in filed}).decode()


def with_changes(row: Any, **changes: Any) -> Any:
    """A row of sales with some values changed."""
    return SimpleNamespace(**{column.name: getattr(row, column.name) for column in sales.columns} | changes)
