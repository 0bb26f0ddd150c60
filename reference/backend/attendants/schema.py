"""The tables of attendants, and the record of privileged acts."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, UniqueConstraint

from reference.backend.store.columns import SERIAL, integer, varchar
from reference.backend.store.schema import metadata

__all__ = ["SHIFT_US", "acts", "attendant_sessions", "attendants", "duties"]

SHIFT_US: Final = 16 * 3_600_000_000
"""A login, and the duty that began with it, end by themselves after the longest shift."""

attendants = Table(
    "attendants",
    metadata,
    Column("station", String(16), primary_key=True),
    Column("attendant", String(16), primary_key=True),
    varchar("name", 40),
    # attendant | manager
    varchar("role", 16),
    # Of the secret on the card or in its QR code.
    varchar("code_digest", 64),
    Column("active", Integer, nullable=False),
    integer("updated_us"),
    UniqueConstraint("code_digest"),
)

attendant_sessions = Table(
    "attendant_sessions",
    metadata,
    Column("token_digest", String(64), primary_key=True),
    varchar("station", 16),
    varchar("attendant", 16),
    integer("expires_us"),
)

duties = Table(
    "duties",
    metadata,
    Column("id", SERIAL, primary_key=True, autoincrement=True),
    varchar("station", 16),
    # 0: all of the station
    integer("fuelling_point"),
    # Null: nobody any more
    varchar("attendant", 16, null=True),
    integer("from_us"),
    Index("ix_duties_station", "station", "from_us"),
)

acts = Table(
    "acts",
    metadata,
    Column("id", SERIAL, primary_key=True, autoincrement=True),
    # operator | station | manager | attendant
    varchar("role", 16),
    varchar("who", 40),
    varchar("station", 16, null=True),
    # An HTTP method of the operator's interface, or a word: prices, return.
    varchar("action", 120),
    varchar("subject", 200),
    # 0 when it was begun (HTTP), else the status it ended with
    Column("status", BigInteger, nullable=False),
    integer("at_us"),
)
