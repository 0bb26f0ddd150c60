"""Rows of databases as text that can be searched: what the files hold is compressed, split over pages, or not at hand."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

__all__ = ["SQLITE_MAGIC", "TableText", "postgres_tables", "sqlite_tables", "table_texts"]

SQLITE_MAGIC: Final = b"SQLite format 3\0"

_ROWS: Final = 1000
_OVERLAP: Final = 8  # rows repeated in the next piece, so that a number split over neighbours is seen
_BETWEEN: Final = b"\x1f"


@dataclass(slots=True)
class TableText:
    """A piece of a table.

    Attributes:
        name: of the table, with its database.
        data: the rows, a line each, their values with a separator between them.
        starts: where each row begins, with its number.
        columns: their names.
        cells: where each value begins: (offset, row number, column).
    """

    name: str
    data: bytes
    columns: Sequence[str]
    starts: list[tuple[int, int]] = field(default_factory=list)
    cells: list[tuple[int, int, int]] = field(default_factory=list)

    def place(self, offset: int) -> str:
        """Row and column of a byte, for a person."""
        where = bisect_right(self.cells, (offset, 1 << 62, 0)) - 1
        _, row, column = self.cells[max(where, 0)]
        name = self.columns[column] if column < len(self.columns) else "?"
        return f"{self.name}, row {row}, column {name}"


def table_texts(name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[TableText]:
    """Rows put into searchable pieces; numbers as decimal text, bytes as they are."""
    kept: list[tuple[int, Sequence[Any]]] = []
    is_new = False
    for number, row in enumerate(rows, start=1):
        kept.append((number, row))
        is_new = True
        if len(kept) >= _ROWS:
            yield _text(name, columns, kept)
            kept, is_new = kept[-_OVERLAP:], False
    if is_new:
        yield _text(name, columns, kept)


def _text(name: str, columns: Sequence[str], rows: list[tuple[int, Sequence[Any]]]) -> TableText:
    made = TableText(name, b"", columns)
    data = bytearray()
    for number, row in rows:
        made.starts.append((len(data), number))
        for column, value in enumerate(row):
            made.cells.append((len(data), number, column))
            data += _value(value) + _BETWEEN
        data += b"\n"
    made.data = bytes(data)
    return made


def _value(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    return b"" if value is None else str(value).encode("utf-8", "surrogatepass")


def sqlite_tables(path: Path, told: str) -> Iterator[TableText | str]:
    """Every table of a SQLite file, which stays as it is. One with a log beside it is read from a copy of both."""
    logs = [
        beside for ending in ("-wal", "-journal") if (beside := path.with_name(path.name + ending)).is_file()
    ]
    try:
        if not logs:
            yield from _tables_of(path, told)
            return
        with tempfile.TemporaryDirectory(prefix="forecourt-leak-scan-") as folder:
            for file in (path, *logs):
                shutil.copyfile(file, Path(folder, file.name))
            yield from _tables_of(Path(folder, path.name), told, with_log=True)
    except (sqlite3.Error, OSError) as error:
        yield f"{told}: its tables cannot be read: {error}"


def _tables_of(path: Path, told: str, *, with_log: bool = False) -> Iterator[TableText | str]:
    # Immutable: nothing is locked and no file appears beside it; a log is not read then.
    options = "mode=rw" if with_log else "mode=ro&immutable=1"
    with closing(sqlite3.connect(f"file:{quote(str(path))}?{options}", uri=True)) as database:
        yield from connection_tables(database, told)


def connection_tables(database: sqlite3.Connection, told: str) -> Iterator[TableText | str]:
    """Every table of an open SQLite database."""
    database.text_factory = lambda raw: raw.decode("utf-8", "replace")
    names = [
        row[0]
        for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    ]
    for name in names:
        quoted = name.replace('"', '""')
        try:
            rows = database.execute(f'SELECT * FROM "{quoted}"')  # noqa: S608 - a name of its own, quoted
            columns = [column[0] for column in rows.description]
            yield from table_texts(f"{told}: table {name}", columns, rows)
        except sqlite3.Error as error:
            yield f"{told}: table {name} cannot be read: {error}"


async def postgres_tables(url: str, told: str = "PostgreSQL") -> list[TableText | str]:
    """Every table of a PostgreSQL database, in one repeatable reading.

    Args:
        url: ``postgresql://…`` of somebody who may read all of it.
        told: what the report calls it; the URL may hold a password.

    Raises:
        ConnectionError: the server cannot be reached, or lets nobody in.
    """
    import asyncpg

    try:
        connection = await asyncpg.connect(url)
    except (OSError, asyncpg.PostgresError, ValueError, TimeoutError) as error:
        raise ConnectionError(
            f"{told}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        ) from None
    made: list[TableText | str] = []
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            tables = await connection.fetch(
                "SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                "WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema') "
                "AND n.nspname NOT LIKE 'pg_toast%' ORDER BY 1, 2"
            )
            for schema, name in tables:
                quoted = ".".join('"' + part.replace('"', '""') + '"' for part in (schema, name))
                place = f"{told}: table {schema}.{name}"
                try:
                    # Text of the server's own making: every type has one.
                    async with connection.transaction():
                        found = await connection.fetch(f"SELECT t::text FROM {quoted} AS t")  # noqa: S608 - quoted
                except asyncpg.PostgresError as error:
                    made.append(f"{place} cannot be read: {error}")
                else:
                    rows = [tuple(record.values()) for record in found]
                    made.extend(table_texts(place, ["(the whole row)"], rows))
    finally:
        await connection.close()
    return made
