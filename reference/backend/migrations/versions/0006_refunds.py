"""Refunds that queue, operators' refunds, and the daily reconciliation with the gateway's bills."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_Serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _int(name: str, *, null: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=null)


def _str(name: str, length: int, *, null: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(length=length), nullable=null)


def upgrade() -> None:
    op.add_column("refunds", _int("sent_us", null=True))
    op.add_column("refunds", sa.Column("attempt", sa.BigInteger(), nullable=False, server_default="1"))
    op.add_column("refunds", _str("held", 16, null=True))
    # Refunds of an older version were sent at once.
    op.execute("UPDATE refunds SET sent_us = updated_us WHERE state <> 'PENDING'")
    op.create_table(
        "refund_requests",
        _str("out_refund_no", 64),
        _str("order_id", 40),
        _str("client_token", 80),
        _str("operator", 80),
        _str("note", 80),
        _int("amount_fen"),
        _str("instance", 64),
        _int("asked_us"),
        sa.PrimaryKeyConstraint("out_refund_no", name=op.f("pk_refund_requests")),
        sa.UniqueConstraint(
            "order_id", "client_token", name=op.f("uq_refund_requests_order_id_client_token")
        ),
    )
    op.create_index("ix_refund_requests_asked_us", "refund_requests", ["asked_us"], unique=False)
    op.create_table(
        "refund_pace",
        _str("mchid", 32),
        _int("full_us"),
        _int("slow_full_us"),
        _int("slow_until_us"),
        sa.PrimaryKeyConstraint("mchid", name=op.f("pk_refund_pace")),
    )
    op.create_table(
        "reconciliations",
        _str("day", 10),
        _str("bill", 8),
        _str("state", 16),
        _int("compared"),
        _int("differences"),
        _str("sha1", 40, null=True),
        _str("problem", 500, null=True),
        _int("runs"),
        _str("instance", 64),
        _int("done_us"),
        sa.PrimaryKeyConstraint("day", "bill", name=op.f("pk_reconciliations")),
    )
    op.create_table(
        "reconciled",
        sa.Column("entry_id", _Serial, autoincrement=True, nullable=False),
        _str("day", 10),
        _str("bill", 8),
        _str("kind", 16),
        _str("subject", 8),
        _str("number", 64),
        _int("line", null=True),
        _int("ours_fen", null=True),
        _int("theirs_fen", null=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("pk_reconciled")),
    )
    op.create_index("ix_reconciled_day", "reconciled", ["day", "bill"], unique=False)
    op.create_index("ix_reconciled_number", "reconciled", ["subject", "number"], unique=False)


def downgrade() -> None:
    raise NotImplementedError("refunds are not thrown away by a migration; restore a backup instead")
