"""The tables of members: what they hold, what they put towards an order, and who may debit them.

Points, balance (fen) and coupons are held the moment a payment is opened and taken or given back with it. The entries
of an account are append-only by trigger, like the ledger.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text, UniqueConstraint, text

from reference.backend.schema import metadata

__all__ = ["contracts", "coupons", "member_entries", "members", "tender_parts"]

_Serial = BigInteger().with_variant(Integer, "sqlite")


def _int(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=null)


def _str(name: str, length: int, *, null: bool = False) -> Column[Any]:
    return Column(name, String(length), nullable=null)


members = Table(
    "members",
    metadata,
    Column("openid", String(64), primary_key=True),
    # What can still be spent: what is held for an open payment is not in it.
    _int("points"),
    _int("balance_fen"),
    _int("updated_us"),
)

member_entries = Table(
    "member_entries",
    metadata,
    Column("entry_id", _Serial, primary_key=True, autoincrement=True),
    # What makes the entry unique: "hold/<out_trade_no>/points", "grant/<client_token>"...
    _str("entry_key", 120),
    _str("openid", 64),
    # grant | hold | release | return
    _str("kind", 16),
    # Signed; an account is the sum of its entries.
    _int("points"),
    _int("balance_fen"),
    _str("order_id", 40, null=True),
    _str("reason", 80, null=True),
    _str("instance", 64),
    _int("recorded_us"),
    UniqueConstraint("entry_key"),
    Index("ix_member_entries_openid", "openid"),
)

coupons = Table(
    "coupons",
    metadata,
    Column("coupon_id", String(40), primary_key=True),
    _str("openid", 64),
    _int("worth_fen"),
    # Only for an order over at least this much.
    _int("min_fen"),
    _int("expires_us"),
    # free -> held -> used; back to free when the payment fails
    _str("state", 8),
    _str("out_trade_no", 32, null=True),
    _int("updated_us"),
    Index("ix_coupons_openid", "openid", "state"),
)

tender_parts = Table(
    "tender_parts",
    metadata,
    # The attempt whose last leg decides about them.
    Column("out_trade_no", String(32), primary_key=True),
    # points | coupon | balance
    Column("kind", String(8), primary_key=True),
    _str("order_id", 40),
    _str("openid", 64),
    # Points, fen of balance, or 1 coupon.
    _int("units"),
    _str("coupon_id", 40, null=True),
    _int("amount_fen"),
    _int("returned_fen"),
    # held -> taken | released; taken -> returned
    _str("state", 16),
    _int("updated_us"),
    Index("ix_tender_parts_order_id", "order_id"),
)

contracts = Table(
    "contracts",
    metadata,
    # Ours (`out_contract_code`); the gateway's own number comes with its proof.
    Column("contract_code", String(32), primary_key=True),
    _str("openid", 64),
    _str("contract_id", 64, null=True),
    # At most this much for one debit.
    _int("limit_fen"),
    # signing -> active -> ended
    _str("state", 16),
    # 1 unless ended, else NULL: one contract for one member.
    Column("is_live", Integer, nullable=True),
    Column("detail", Text, nullable=True),
    _int("created_us"),
    _int("updated_us"),
    Index("uq_contracts_live", "openid", "is_live", unique=True),
    Index(
        "uq_contracts_contract_id",
        "contract_id",
        unique=True,
        sqlite_where=text("contract_id IS NOT NULL"),
        postgresql_where=text("contract_id IS NOT NULL"),
    ),
)
