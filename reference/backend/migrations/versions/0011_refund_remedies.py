"""What a person did about a refund that the gateway could not bring to its end: sent on, or paid in cash."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "refund_remedies",
        sa.Column("out_refund_no", sa.String(length=64), nullable=False),
        sa.Column("client_token", sa.String(length=80), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("order_id", sa.String(length=40), nullable=False),
        sa.Column("operator", sa.String(length=80), nullable=False),
        sa.Column("note", sa.String(length=80), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("instance", sa.String(length=64), nullable=False),
        sa.Column("asked_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("out_refund_no", "client_token", name=op.f("pk_refund_remedies")),
    )
    op.create_index("ix_refund_remedies_asked_us", "refund_remedies", ["asked_us"], unique=False)


def downgrade() -> None:
    raise NotImplementedError("refunds are not thrown away by a migration; restore a backup instead")
