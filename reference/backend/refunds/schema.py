"""The tables beside `refunds`: who asked for one at the desk, what a person did about one, and how fast they may be sent."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, String, Table, UniqueConstraint

from reference.backend.store.schema import metadata

__all__ = ["refund_pace", "refund_remedies", "refund_requests"]

refund_requests = Table(
    "refund_requests",
    metadata,
    Column("out_refund_no", String(64), primary_key=True),
    Column("order_id", String(40), nullable=False),
    Column("client_token", String(80), nullable=False),
    Column("operator", String(80), nullable=False),
    Column("note", String(80), nullable=False),
    Column("amount_fen", BigInteger, nullable=False),
    Column("instance", String(64), nullable=False),
    Column("asked_us", BigInteger, nullable=False),
    UniqueConstraint("order_id", "client_token"),
    Index("ix_refund_requests_asked_us", "asked_us"),
)

refund_remedies = Table(
    "refund_remedies",
    metadata,
    Column("out_refund_no", String(64), primary_key=True),
    Column("client_token", String(80), primary_key=True),
    # MERCHANT_BANK_CARD | USER_BANK_CARD (through the gateway) | CASH. Nothing of the account itself is kept.
    Column("kind", String(24), nullable=False),
    # asked (it may have had its effect) -> accepted | refused; done (cash)
    Column("state", String(16), nullable=False),
    Column("order_id", String(40), nullable=False),
    Column("operator", String(80), nullable=False),
    Column("note", String(80), nullable=False),
    Column("amount_fen", BigInteger, nullable=False),
    Column("instance", String(64), nullable=False),
    Column("asked_us", BigInteger, nullable=False),
    Index("ix_refund_remedies_asked_us", "asked_us"),
)

refund_pace = Table(
    "refund_pace",
    metadata,
    # One row for a merchant: all instances share its limits.
    Column("mchid", String(32), primary_key=True),
    # When the bucket of all calls, and that of calls in times of errors, would be empty again.
    Column("full_us", BigInteger, nullable=False),
    Column("slow_full_us", BigInteger, nullable=False),
    # Errors were heard: until then the slow bucket counts as well.
    Column("slow_until_us", BigInteger, nullable=False),
)
