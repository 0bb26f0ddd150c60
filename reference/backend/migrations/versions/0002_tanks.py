"""Tanks: readings of gauges, accounts, the book of deliveries (append-only), and the tank of each sale."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_Serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("sales", sa.Column("tank", sa.BigInteger(), nullable=True))
    op.create_table(
        "tanks",
        sa.Column("station", sa.String(length=16), nullable=False),
        sa.Column("tank", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("grade", sa.String(length=16), nullable=False),
        sa.Column("grp", sa.BigInteger(), nullable=False),
        sa.Column("capacity_ml", sa.BigInteger(), nullable=False),
        sa.Column("pumpable_ml", sa.BigInteger(), nullable=False),
        sa.Column("volume_ml", sa.BigInteger(), nullable=True),
        sa.Column("corrected_ml", sa.BigInteger(), nullable=True),
        sa.Column("height_um", sa.BigInteger(), nullable=True),
        sa.Column("water_um", sa.BigInteger(), nullable=True),
        sa.Column("temperature_mdeg", sa.BigInteger(), nullable=True),
        sa.Column("volume_at_us", sa.BigInteger(), nullable=True),
        sa.Column("read_at_us", sa.BigInteger(), nullable=False),
        sa.Column("blocked", sa.Integer(), nullable=False),
        sa.Column("active", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("station", "tank", name=op.f("pk_tanks")),
    )
    op.create_table(
        "tank_readings",
        sa.Column("id", _Serial, autoincrement=True, nullable=False),
        sa.Column("station", sa.String(length=16), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("heard_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tank_readings")),
        sa.UniqueConstraint("station", "at_us", name=op.f("uq_tank_readings_station_at_us")),
    )
    op.create_table(
        "tank_accounts",
        sa.Column("station", sa.String(length=16), nullable=False),
        sa.Column("grp", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("grade", sa.String(length=16), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("station", "grp", name=op.f("pk_tank_accounts")),
    )
    op.create_table(
        "stock_book",
        sa.Column("entry_id", _Serial, autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("entry_key", sa.String(length=120), nullable=False),
        sa.Column("station", sa.String(length=16), nullable=False),
        sa.Column("grp", sa.BigInteger(), nullable=False),
        sa.Column("grade", sa.String(length=16), nullable=False),
        sa.Column("site_delivery", sa.String(length=60), nullable=True),
        sa.Column("volume_ml", sa.BigInteger(), nullable=False),
        sa.Column("started_us", sa.BigInteger(), nullable=False),
        sa.Column("ended_us", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("instance", sa.String(length=64), nullable=False),
        sa.Column("recorded_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("pk_stock_book")),
        sa.UniqueConstraint("entry_key", name=op.f("uq_stock_book_entry_key")),
    )
    op.create_index("ix_stock_book_station", "stock_book", ["station", "ended_us"], unique=False)
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION stock_book_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the stock book is append-only: write a correction'; END $$"
        )
        op.execute(
            "CREATE TRIGGER stock_book_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON stock_book "
            "FOR EACH STATEMENT EXECUTE FUNCTION stock_book_is_append_only()"
        )
    else:
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER stock_book_no_{verb.lower()} BEFORE {verb} ON stock_book BEGIN "
                "SELECT RAISE(ABORT, 'the stock book is append-only: write a correction'); END"
            )


def downgrade() -> None:
    raise NotImplementedError("a stock book is not thrown away by a migration; restore a backup instead")
