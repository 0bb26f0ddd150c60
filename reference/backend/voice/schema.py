"""The tables of announcements: what is to be said aloud, in which order, and what became of it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, UniqueConstraint

from reference.backend.store.schema import metadata

__all__ = ["announcements", "voice_lines"]

announcements = Table(
    "announcements",
    metadata,
    # Given under the station's lock, so that within a station the numbers are the order of the proofs.
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("station", String(16), nullable=False),
    # The payment's own number: a payment is said once.
    Column("request_id", String(32), nullable=False),
    Column("order_id", String(40), nullable=False),
    Column("nozzle", BigInteger, nullable=False),
    Column("amount_fen", BigInteger, nullable=False),
    Column("proved_us", BigInteger, nullable=False),
    # queued -> sending (a call is out) -> unknown (it goes again) | sent | dropped
    Column("state", String(16), nullable=False),
    # 1 until it is sent or dropped, else NULL.
    Column("waits", Integer, nullable=True),
    Column("attempts", BigInteger, nullable=False),
    Column("sent_us", BigInteger, nullable=True),
    Column("reason", String(200), nullable=True),
    Column("updated_us", BigInteger, nullable=False),
    UniqueConstraint("request_id"),
    Index("ix_announcements_station", "station", "waits", "id"),
)

voice_lines = Table(
    "voice_lines",
    metadata,
    Column("station", String(16), primary_key=True),
    # When its loudspeaker will have said what it was sent last.
    Column("free_us", BigInteger, nullable=False),
)
