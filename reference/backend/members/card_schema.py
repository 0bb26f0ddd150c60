"""The tables of members' cards: tokens of the vault, and the digits that may be shown. No card number ever comes here."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, String, Table, UniqueConstraint

from reference.backend.store.schema import metadata

__all__ = ["card_bindings", "cards"]

card_bindings = Table(
    "card_bindings",
    metadata,
    # The vault's name of a card that was announced; its holder hands the number in there.
    Column("binding", String(40), primary_key=True),
    Column("openid", String(64), nullable=False),
    Column("expires_us", BigInteger, nullable=False),
)

cards = Table(
    "cards",
    metadata,
    Column("card_id", String(40), primary_key=True),
    Column("openid", String(64), nullable=False),
    Column("token", String(40), nullable=False),
    Column("bin", String(6), nullable=False),
    Column("last4", String(4), nullable=False),
    Column("network", String(16), nullable=False),
    Column("created_us", BigInteger, nullable=False),
    UniqueConstraint("openid", "token"),
    Index("ix_cards_token", "token"),
)
