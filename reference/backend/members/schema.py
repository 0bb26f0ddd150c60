"""The tables of members: what they hold, what they put towards an order, and who may debit them.

Points, balance (fen) and coupons are held the moment a payment is opened and taken or given back with it. The entries
of an account are append-only by trigger, like the ledger.
"""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, String, Table, Text, UniqueConstraint, text

from reference.backend.store.columns import SERIAL, integer, varchar
from reference.backend.store.schema import metadata

__all__ = ["contracts", "coupons", "member_entries", "members", "tender_parts"]

members = Table(
    "members",
    metadata,
    Column("openid", String(64), primary_key=True),
    # What can still be spent: what is held for an open payment is not in it.
    integer("points"),
    integer("balance_fen"),
    integer("updated_us"),
)

member_entries = Table(
    "member_entries",
    metadata,
    Column("entry_id", SERIAL, primary_key=True, autoincrement=True),
    # What makes the entry unique: "hold/<out_trade_no>/points", "grant/<client_token>"...
    varchar("entry_key", 120),
    varchar("openid", 64),
    # grant | hold | release | return
    varchar("kind", 16),
    # Signed; an account is the sum of its entries.
    integer("points"),
    integer("balance_fen"),
    varchar("order_id", 40, null=True),
    varchar("reason", 80, null=True),
    varchar("instance", 64),
    integer("recorded_us"),
    UniqueConstraint("entry_key"),
    Index("ix_member_entries_openid", "openid"),
)

coupons = Table(
    "coupons",
    metadata,
    Column("coupon_id", String(40), primary_key=True),
    varchar("openid", 64),
    integer("worth_fen"),
    # Only for an order over at least this much.
    integer("min_fen"),
    integer("expires_us"),
    # free -> held -> used; back to free when the payment fails
    varchar("state", 8),
    varchar("out_trade_no", 32, null=True),
    integer("updated_us"),
    Index("ix_coupons_openid", "openid", "state"),
)

tender_parts = Table(
    "tender_parts",
    metadata,
    # The attempt whose last leg decides about them.
    Column("out_trade_no", String(32), primary_key=True),
    # points | coupon | balance
    Column("kind", String(8), primary_key=True),
    varchar("order_id", 40),
    varchar("openid", 64),
    # Points, fen of balance, or 1 coupon.
    integer("units"),
    varchar("coupon_id", 40, null=True),
    integer("amount_fen"),
    integer("returned_fen"),
    # held -> taken | released; taken -> returned
    varchar("state", 16),
    integer("updated_us"),
    Index("ix_tender_parts_order_id", "order_id"),
)

contracts = Table(
    "contracts",
    metadata,
    # Ours (`out_contract_code`); the gateway's own number comes with its proof.
    Column("contract_code", String(32), primary_key=True),
    varchar("openid", 64),
    varchar("contract_id", 64, null=True),
    # At most this much for one debit.
    integer("limit_fen"),
    # signing -> active -> ended
    varchar("state", 16),
    # 1 unless ended, else NULL: one contract for one member.
    Column("is_live", Integer, nullable=True),
    Column("detail", Text, nullable=True),
    integer("created_us"),
    integer("updated_us"),
    Index("uq_contracts_live", "openid", "is_live", unique=True),
    Index(
        "uq_contracts_contract_id",
        "contract_id",
        unique=True,
        sqlite_where=text("contract_id IS NOT NULL"),
        postgresql_where=text("contract_id IS NOT NULL"),
    ),
)
