"""The columns that all tables are made of: whole numbers of 64 bits, short texts, numbers that the database counts."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, Column, Integer, String

__all__ = ["SERIAL", "integer", "varchar"]

SERIAL: Final = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only in a column of the type INTEGER."""


def integer(name: str, *, null: bool = False) -> Column[int]:
    """A whole number; its unit is the end of its name."""
    return Column(name, BigInteger, nullable=null)


def varchar(name: str, length: int, *, null: bool = False) -> Column[Any]:
    """A text of at most so many characters."""
    return Column(name, String(length), nullable=null)
