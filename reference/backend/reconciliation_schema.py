"""The tables of the daily reconciliation: one row for each bill of a day, and one for each thing compared."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text

from reference.backend.schema import metadata

__all__ = ["reconciled", "reconciliations"]

_Serial = BigInteger().with_variant(Integer, "sqlite")


def _int(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=null)


def _str(name: str, length: int, *, null: bool = False) -> Column[Any]:
    return Column(name, String(length), nullable=null)


reconciliations = Table(
    "reconciliations",
    metadata,
    # Of which day (Beijing time, 2026-01-31), and which bill: trade | fund
    Column("day", String(10), primary_key=True),
    Column("bill", String(8), primary_key=True),
    # matched | differs | unreadable
    _str("state", 16),
    _int("compared"),
    _int("differences"),
    # Of the bill as it was read; null when the platform had none.
    _str("sha1", 40, null=True),
    _str("problem", 500, null=True),
    _int("runs"),
    _str("instance", 64),
    _int("done_us"),
)

reconciled = Table(
    "reconciled",
    metadata,
    Column("entry_id", _Serial, primary_key=True, autoincrement=True),
    _str("day", 10),
    _str("bill", 8),
    # matched | missing_here | missing_there | amount_differs | state_differs | number_differs | duplicated | foreign
    # | unreadable | totals_differ | ledger_differs
    _str("kind", 16),
    # payment | refund | fund | bill
    _str("subject", 8),
    # Our number of it (out_trade_no, out_refund_no), as far as it is known.
    _str("number", 64),
    # The line of the bill; null for what is missing there.
    _int("line", null=True),
    _int("ours_fen", null=True),
    _int("theirs_fen", null=True),
    Column("detail", Text, nullable=False),
    Index("ix_reconciled_day", "day", "bill"),
    Index("ix_reconciled_number", "subject", "number"),
)
