"""The tables of the daily reconciliation: one row for each bill of a day, and one for each thing compared."""

from __future__ import annotations

from sqlalchemy import Column, Index, String, Table, Text

from reference.backend.store.columns import SERIAL, integer, varchar
from reference.backend.store.schema import metadata

__all__ = ["reconciled", "reconciliations"]

reconciliations = Table(
    "reconciliations",
    metadata,
    # Of which day (Beijing time, 2026-01-31; of unionpay the clearing day), and which bill: trade | fund | unionpay
    Column("day", String(10), primary_key=True),
    Column("bill", String(8), primary_key=True),
    # matched | differs | unreadable
    varchar("state", 16),
    integer("compared"),
    integer("differences"),
    # Of the bill as it was read; null when the platform had none.
    varchar("sha1", 40, null=True),
    varchar("problem", 500, null=True),
    integer("runs"),
    varchar("instance", 64),
    integer("done_us"),
)

reconciled = Table(
    "reconciled",
    metadata,
    Column("entry_id", SERIAL, primary_key=True, autoincrement=True),
    varchar("day", 10),
    varchar("bill", 8),
    # matched | missing_here | missing_there | amount_differs | state_differs | number_differs | duplicated | foreign
    # | unreadable | totals_differ | ledger_differs
    varchar("kind", 16),
    # payment | refund | fund | bill
    varchar("subject", 8),
    # Our number of it (out_trade_no, out_refund_no), as far as it is known.
    varchar("number", 64),
    # The line of the bill; null for what is missing there.
    integer("line", null=True),
    integer("ours_fen", null=True),
    integer("theirs_fen", null=True),
    Column("detail", Text, nullable=False),
    Index("ix_reconciled_day", "day", "bill"),
    Index("ix_reconciled_number", "subject", "number"),
)
