"""Channels of payment, members with points, balance and coupons, parts of a mixed tender, contracts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_Serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_SIGNED = sa.text("contract_id IS NOT NULL")


def _int(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _str(name: str, length: int, *, null: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(length=length), nullable=null)


def upgrade() -> None:
    op.add_column("payments", sa.Column("channel", sa.String(24), nullable=False, server_default="wechatpay"))
    op.add_column("payments", sa.Column("sent", sa.Integer(), nullable=True))
    op.add_column("payments", sa.Column("ending", sa.Integer(), nullable=True))
    op.add_column("payments", sa.Column("handle", sa.Text(), nullable=True))
    op.add_column("orders", sa.Column("parts_fen", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("orders", _str("pay_by", 24, null=True))
    op.add_column("orders", _str("notice", 40, null=True))
    op.create_table(
        "members",
        _str("openid", 64),
        _int("points"),
        _int("balance_fen"),
        _int("updated_us"),
        sa.PrimaryKeyConstraint("openid", name=op.f("pk_members")),
    )
    op.create_table(
        "member_entries",
        sa.Column("entry_id", _Serial, autoincrement=True, nullable=False),
        _str("entry_key", 120),
        _str("openid", 64),
        _str("kind", 16),
        _int("points"),
        _int("balance_fen"),
        _str("order_id", 40, null=True),
        _str("reason", 80, null=True),
        _str("instance", 64),
        _int("recorded_us"),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("pk_member_entries")),
        sa.UniqueConstraint("entry_key", name=op.f("uq_member_entries_entry_key")),
    )
    op.create_index("ix_member_entries_openid", "member_entries", ["openid"], unique=False)
    op.create_table(
        "coupons",
        _str("coupon_id", 40),
        _str("openid", 64),
        _int("worth_fen"),
        _int("min_fen"),
        _int("expires_us"),
        _str("state", 8),
        _str("out_trade_no", 32, null=True),
        _int("updated_us"),
        sa.PrimaryKeyConstraint("coupon_id", name=op.f("pk_coupons")),
    )
    op.create_index("ix_coupons_openid", "coupons", ["openid", "state"], unique=False)
    op.create_table(
        "tender_parts",
        _str("out_trade_no", 32),
        _str("kind", 8),
        _str("order_id", 40),
        _str("openid", 64),
        _int("units"),
        _str("coupon_id", 40, null=True),
        _int("amount_fen"),
        _int("returned_fen"),
        _str("state", 16),
        _int("updated_us"),
        sa.PrimaryKeyConstraint("out_trade_no", "kind", name=op.f("pk_tender_parts")),
    )
    op.create_index("ix_tender_parts_order_id", "tender_parts", ["order_id"], unique=False)
    op.create_table(
        "contracts",
        _str("contract_code", 32),
        _str("openid", 64),
        _str("contract_id", 64, null=True),
        _int("limit_fen"),
        _str("state", 16),
        sa.Column("is_live", sa.Integer(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        _int("created_us"),
        _int("updated_us"),
        sa.PrimaryKeyConstraint("contract_code", name=op.f("pk_contracts")),
    )
    op.create_index("uq_contracts_live", "contracts", ["openid", "is_live"], unique=True)
    op.create_index(
        "uq_contracts_contract_id",
        "contracts",
        ["contract_id"],
        unique=True,
        sqlite_where=_SIGNED,
        postgresql_where=_SIGNED,
    )
    _never_changed("member_entries")


def _never_changed(table: str) -> None:
    told = "entries of accounts are append-only: write a new one"
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
    raise NotImplementedError("members' accounts are not thrown away by a migration; restore a backup instead")
