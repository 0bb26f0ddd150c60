"""The tables of tanks: what their gauges told, their accounts, and the stock book, which is append-only by trigger."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text, UniqueConstraint

from reference.backend.store.columns import SERIAL, integer, varchar
from reference.backend.store.schema import metadata

__all__ = ["stock_book", "tank_accounts", "tank_readings", "tanks"]

tanks = Table(
    "tanks",
    metadata,
    Column("station", String(16), primary_key=True),
    Column("tank", BigInteger, primary_key=True, autoincrement=False),
    varchar("grade", 16),
    # Tanks that a siphon joins are accounted as one.
    integer("grp"),
    integer("capacity_ml"),
    integer("pumpable_ml"),
    # The last figures that could be true, and when they were read; an unreadable tank keeps them, with their age.
    integer("volume_ml", null=True),
    integer("corrected_ml", null=True),
    integer("height_um", null=True),
    integer("water_um", null=True),
    integer("temperature_mdeg", null=True),
    integer("volume_at_us", null=True),
    integer("read_at_us"),
    # 1 while nothing may be sold from it.
    Column("blocked", Integer, nullable=False),
    # Alarms that are active, as a JSON list; each was raised once when it came.
    Column("active", Text, nullable=False),
)

tank_readings = Table(
    "tank_readings",
    metadata,
    Column("id", SERIAL, primary_key=True, autoincrement=True),
    varchar("station", 16),
    integer("at_us"),
    varchar("digest", 64),
    Column("content", Text, nullable=False),
    integer("heard_us"),
    UniqueConstraint("station", "at_us"),
)

tank_accounts = Table(
    "tank_accounts",
    metadata,
    Column("station", String(16), primary_key=True),
    Column("grp", BigInteger, primary_key=True, autoincrement=False),
    varchar("grade", 16),
    Column("state", Text, nullable=False),
    integer("updated_us"),
)

stock_book = Table(
    "stock_book",
    metadata,
    Column("entry_id", SERIAL, primary_key=True, autoincrement=True),
    # opening | delivery | return | correction
    varchar("kind", 16),
    # What makes the entry unique: "delivery/KM01/2/<start>"
    varchar("entry_key", 120),
    varchar("station", 16),
    integer("grp"),
    varchar("grade", 16),
    # One road tanker fills several tanks: its lines share this name.
    varchar("site_delivery", 60, null=True),
    integer("volume_ml"),
    integer("started_us"),
    integer("ended_us"),
    Column("content", Text, nullable=False),
    varchar("instance", 64),
    integer("recorded_us"),
    UniqueConstraint("entry_key"),
    Index("ix_stock_book_station", "station", "ended_us"),
)
