"""Attendants with a login of their own, where they are on duty, and the record of privileged acts, which nobody changes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_Serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("sales", sa.Column("attendant", sa.String(length=16), nullable=True))
    op.create_table(
        "attendants",
        sa.Column("station", sa.String(length=16), nullable=False),
        sa.Column("attendant", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("code_digest", sa.String(length=64), nullable=False),
        sa.Column("active", sa.Integer(), nullable=False),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("station", "attendant", name=op.f("pk_attendants")),
        sa.UniqueConstraint("code_digest", name=op.f("uq_attendants_code_digest")),
    )
    op.create_table(
        "attendant_sessions",
        sa.Column("token_digest", sa.String(length=64), nullable=False),
        sa.Column("station", sa.String(length=16), nullable=False),
        sa.Column("attendant", sa.String(length=16), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token_digest", name=op.f("pk_attendant_sessions")),
    )
    op.create_table(
        "duties",
        sa.Column("id", _Serial, autoincrement=True, nullable=False),
        sa.Column("station", sa.String(length=16), nullable=False),
        sa.Column("fuelling_point", sa.BigInteger(), nullable=False),
        sa.Column("attendant", sa.String(length=16), nullable=True),
        sa.Column("from_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_duties")),
    )
    op.create_index("ix_duties_station", "duties", ["station", "from_us"], unique=False)
    op.create_table(
        "acts",
        sa.Column("id", _Serial, autoincrement=True, nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("who", sa.String(length=40), nullable=False),
        sa.Column("station", sa.String(length=16), nullable=True),
        sa.Column("action", sa.String(length=120), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("status", sa.BigInteger(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_acts")),
    )
    message = "the record of privileged acts is append-only"
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION acts_are_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{message}'; END $$"
        )
        op.execute(
            "CREATE TRIGGER acts_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON acts "
            "FOR EACH STATEMENT EXECUTE FUNCTION acts_are_append_only()"
        )
    else:
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER acts_no_{verb.lower()} BEFORE {verb} ON acts BEGIN "
                f"SELECT RAISE(ABORT, '{message}'); END"
            )


def downgrade() -> None:
    raise NotImplementedError("a record of privileged acts is not thrown away by a migration; restore a backup instead")
