"""Sales say which price set they were sold under, and since when the pump showed it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sales", sa.Column("price_set", sa.BigInteger(), nullable=True))
    op.add_column("sales", sa.Column("price_since_us", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("sales", "price_since_us")
    op.drop_column("sales", "price_set")
