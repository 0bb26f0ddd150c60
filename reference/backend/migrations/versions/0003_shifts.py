"""Shifts: handovers and what became known after them (both append-only), and the shift of each sale."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_Serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MONEY = sa.text("kind IN ('payment', 'settlement', 'refund')")


def upgrade() -> None:
    op.add_column("sales", sa.Column("shift", sa.BigInteger(), nullable=True))
    op.add_column("sales", sa.Column("flags", sa.Text(), nullable=True))
    op.create_index("ix_sales_shift", "sales", ["station", "shift"], unique=False)
    op.create_index(
        "ix_ledger_money",
        "ledger",
        ["station", "recorded_us"],
        unique=False,
        sqlite_where=_MONEY,
        postgresql_where=_MONEY,
    )
    op.create_table(
        "handovers",
        sa.Column("station", sa.String(length=16), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("attendant", sa.String(length=40), nullable=False),
        sa.Column("cash_counted_fen", sa.BigInteger(), nullable=True),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("stock", sa.Text(), nullable=False),
        sa.Column("report", sa.Text(), nullable=True),
        sa.Column("instance", sa.String(length=64), nullable=False),
        sa.Column("recorded_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("station", "number", name=op.f("pk_handovers")),
    )
    op.create_table(
        "shift_entries",
        sa.Column("entry_id", _Serial, autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("entry_key", sa.String(length=120), nullable=False),
        sa.Column("station", sa.String(length=16), nullable=False),
        sa.Column("shift", sa.BigInteger(), nullable=False),
        sa.Column("sale_id", sa.String(length=40), nullable=True),
        sa.Column("nozzle", sa.BigInteger(), nullable=True),
        sa.Column("sequence", sa.BigInteger(), nullable=True),
        sa.Column("grp", sa.BigInteger(), nullable=True),
        sa.Column("grade", sa.String(length=16), nullable=False),
        sa.Column("volume_ml", sa.BigInteger(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("instance", sa.String(length=64), nullable=False),
        sa.Column("recorded_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("pk_shift_entries")),
        sa.UniqueConstraint("entry_key", name=op.f("uq_shift_entries_entry_key")),
    )
    op.create_index("ix_shift_entries_shift", "shift_entries", ["station", "shift"], unique=False)
    for table in ("handovers", "shift_entries"):
        _never_changed(table)


def _never_changed(table: str) -> None:
    told = "a closed shift is never changed: write an entry"
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            f"CREATE FUNCTION {table}_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{told}'; END $$"
        )
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_is_append_only()"
        )
    else:
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} BEGIN "
                f"SELECT RAISE(ABORT, '{told}'); END"
            )


def downgrade() -> None:
    raise NotImplementedError("handovers are not thrown away by a migration; restore a backup instead")
