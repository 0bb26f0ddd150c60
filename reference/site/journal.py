"""The site's local journal: one SQLite file that survives kill -9 and power loss.

Written before the pump is reset, read after every restart. Sales are append-only (triggers refuse anything else);
what was acknowledged by the backend is a pointer, so a crash between upload and pointer leads to one more upload
of the same key and never to a lost or second sale (requirements FD-PWR-07, FD-PWR-10, FC-SALE-01).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from reference.site.pumps.witness import Witness
from reference.site.records import Authorisation, Sale

__all__ = ["Authorisation", "Journal", "JournalError", "Sale", "put_result"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sales (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    nozzle INTEGER NOT NULL, sequence INTEGER NOT NULL, fuelling_point INTEGER NOT NULL, grade TEXT NOT NULL,
    volume_ml INTEGER NOT NULL, amount_fen INTEGER NOT NULL, price_fen_per_l INTEGER NOT NULL,
    started_us INTEGER NOT NULL, ended_us INTEGER NOT NULL,
    end_total_volume_ml INTEGER NOT NULL, end_total_amount_fen INTEGER NOT NULL,
    order_id TEXT, flags TEXT NOT NULL, price_set INTEGER, price_since_us INTEGER,
    pump_ended_us INTEGER, UNIQUE (nozzle, sequence)
) STRICT;
CREATE INDEX IF NOT EXISTS sales_by_order ON sales (order_id) WHERE order_id IS NOT NULL;
CREATE TRIGGER IF NOT EXISTS sales_are_never_changed BEFORE UPDATE ON sales
    BEGIN SELECT RAISE(ABORT, 'sales are append-only'); END;
CREATE TRIGGER IF NOT EXISTS sales_are_never_deleted BEFORE DELETE ON sales
    BEGIN SELECT RAISE(ABORT, 'sales are append-only'); END;
CREATE TABLE IF NOT EXISTS nozzles (
    nozzle INTEGER PRIMARY KEY, sequence INTEGER NOT NULL,
    total_volume_ml INTEGER NOT NULL, total_amount_fen INTEGER NOT NULL,
    owed_volume_ml INTEGER NOT NULL, owed_amount_fen INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS authorisations (
    nozzle INTEGER PRIMARY KEY, command_id INTEGER, order_id TEXT, preset_fen INTEGER, preset_ml INTEGER,
    expires_us INTEGER NOT NULL, live INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS results (
    command_id INTEGER PRIMARY KEY, ok INTEGER, reason TEXT NOT NULL, version INTEGER NOT NULL, posted INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS refusals (
    sale_id INTEGER PRIMARY KEY, status INTEGER NOT NULL, answer TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS settled (
    nozzle INTEGER NOT NULL, sequence INTEGER NOT NULL, PRIMARY KEY (nozzle, sequence)
) STRICT;
CREATE TABLE IF NOT EXISTS pointers (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
"""
_SALE_COLUMNS = (
    "id, nozzle, sequence, fuelling_point, grade, volume_ml, amount_fen, price_fen_per_l, started_us, ended_us,"
    " end_total_volume_ml, end_total_amount_fen, order_id, flags, price_set, price_since_us,"
    " pump_ended_us"
)
_ADDED = {"sales": {"price_set": "INTEGER", "price_since_us": "INTEGER", "pump_ended_us": "INTEGER"}}
"""Columns that files of earlier versions lack."""
_OLDEST_FIRST = f"SELECT {_SALE_COLUMNS} FROM sales WHERE id > ? ORDER BY id LIMIT ?"  # noqa: S608 - constants


class JournalError(Exception):
    """The journal could not store or read. Nothing was stored; the caller must keep the pump as it is."""


def put_result(db: sqlite3.Connection, command_id: int, *, ok: bool, reason: str) -> None:
    """Store a command's result for posting, inside a transaction. A later result replaces an earlier one."""
    db.execute(
        "INSERT INTO results VALUES (?,?,?,1,0) ON CONFLICT (command_id) DO UPDATE SET"
        " ok = excluded.ok, reason = excluded.reason, version = version + 1, posted = 0",
        (command_id, int(ok), reason),
    )


class Journal:
    """The journal of one site. One process, one thread.

    Args:
        path: a file, or ":memory:" for a simulated site (which then has no crash safety, and no disk waits).
    """

    def __init__(self, path: str) -> None:
        try:
            # isolation_level None: transactions are written out below, so that none is ever implicit.
            self._db = sqlite3.connect(path, isolation_level=None, cached_statements=64)
            if path != ":memory:":
                self._db.execute("PRAGMA journal_mode=WAL")
                # FULL: a commit is on the disk before it returns, also when the power goes.
                self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
            self._add_columns(_ADDED)
        except sqlite3.Error as error:
            raise JournalError(f"journal {path}: {error}") from error

    def _add_columns(self, added: Mapping[str, Mapping[str, str]]) -> None:
        for table, columns in added.items():
            known = {row[1] for row in self._db.execute(f"PRAGMA table_info({table})")}
            for name, kind in columns.items():
                if name not in known:
                    self._db.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")

    def copy_to(self, path: Path) -> None:
        """Write all of it into a file, as evidence."""
        with closing(sqlite3.connect(path)) as copy:
            self._db.backup(copy)

    def close(self) -> None:
        """Close the file. Everything stored stays stored."""
        self._db.close()

    def extend(self, schema: str, added: Mapping[str, Mapping[str, str]] | None = None) -> None:
        """Add tables of another part of the site to the file, if they are not there. Raises JournalError.

        Args:
            schema: the tables, as they are made anew.
            added: by table, name and type of columns that files of earlier versions lack.
        """
        try:
            self._db.executescript(schema)
            self._add_columns(added or {})
        except sqlite3.Error as error:
            raise JournalError(f"journal cannot be written: {error}") from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One commit, durable when it returns. Raises JournalError with nothing stored."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise JournalError(f"journal cannot be written: {error}") from error
        try:
            yield self._db
            self._db.execute("COMMIT")
        except BaseException as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise JournalError(f"journal cannot be written: {error}") from error
            raise

    # -- sales and totals -------------------------------------------------------------------------------------

    def record_sales(self, sales: Iterable[tuple[Sale, Witness]], *, spend: int | None = None) -> list[Sale]:
        """Store sales with their witnesses in one commit; the sequence numbers are given here.

        Args:
            sales: each sale (its ``sequence`` is ignored) with the nozzle's new witness.
            spend: a nozzle whose authorisation ends with these sales.

        Returns:
            The sales as stored. Raises JournalError with nothing stored.
        """
        stored = []
        with self.transaction() as db:
            for sale, witness in sales:
                row = db.execute("SELECT sequence FROM nozzles WHERE nozzle = ?", (sale.nozzle,)).fetchone()
                sequence = (row[0] if row else 0) + 1
                cursor = db.execute(
                    "INSERT INTO sales (nozzle, sequence, fuelling_point, grade, volume_ml, amount_fen,"
                    " price_fen_per_l, started_us, ended_us, end_total_volume_ml, end_total_amount_fen, order_id,"
                    " price_set, price_since_us, pump_ended_us, flags) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                    (
                        sale.nozzle, sequence, sale.fuelling_point, sale.grade, sale.volume_ml, sale.amount_fen,
                        sale.price_fen_per_l, sale.started_us, sale.ended_us, sale.end_total_volume_ml,
                        sale.end_total_amount_fen, sale.order_id, sale.price_set, sale.price_since_us,
                        sale.pump_ended_us, json.dumps(sale.flags),
                    ),
                )  # fmt: skip
                self._put_witness(db, sale.nozzle, sequence, witness)
                stored.append(replace(sale, sequence=sequence, sale_id=cursor.lastrowid or 0))
            if spend is not None:
                db.execute("DELETE FROM authorisations WHERE nozzle = ?", (spend,))
        return stored

    def record_witness(self, nozzle: int, witness: Witness) -> None:
        """Store a nozzle's totals without a sale."""
        with self.transaction() as db:
            row = db.execute("SELECT sequence FROM nozzles WHERE nozzle = ?", (nozzle,)).fetchone()
            self._put_witness(db, nozzle, row[0] if row else 0, witness)

    @staticmethod
    def _put_witness(db: sqlite3.Connection, nozzle: int, sequence: int, witness: Witness) -> None:
        db.execute(
            "INSERT OR REPLACE INTO nozzles VALUES (?,?,?,?,?,?)",
            (
                nozzle, sequence, witness.volume_ml, witness.amount_fen, witness.owed_volume_ml,
                witness.owed_amount_fen,
            ),
        )  # fmt: skip

    def witness(self, nozzle: int) -> Witness | None:
        """The nozzle's last totals, or None if it was never read."""
        row = self._one(
            "SELECT total_volume_ml, total_amount_fen, owed_volume_ml, owed_amount_fen FROM nozzles"
            " WHERE nozzle = ? AND total_volume_ml >= 0",
            nozzle,
        )
        return Witness(*row) if row else None

    def unsent_sales(self, limit: int = 50) -> list[Sale]:
        """Sales that the backend has not acknowledged yet, oldest first."""
        return self._sales(_OLDEST_FIRST, self.pointer("uploaded"), limit)

    def all_sales(self) -> list[Sale]:
        """Every sale ever captured, oldest first."""
        return self._sales(_OLDEST_FIRST, 0, -1)

    def has_sale_of(self, order_id: str) -> bool:
        """Whether a delivery was captured for this order."""
        return self._one("SELECT 1 FROM sales WHERE order_id = ?", order_id) is not None

    def count_unsent(self) -> int:
        """How many sales wait for the backend."""
        row = self._one("SELECT count(*) FROM sales WHERE id > ?", self.pointer("uploaded"))
        return int(row[0]) if row else 0

    def uploaded(self, sale_id: int) -> None:
        """Move the upload pointer: everything up to this sale is acknowledged."""
        self.set_pointer("uploaded", sale_id)

    def refused(self, sale_id: int, status: int, answer: str) -> None:
        """The backend refused this sale for good (other content under the same key). Keep it for a person."""
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO refusals VALUES (?,?,?)", (sale_id, status, answer[:1000]))
            db.execute("INSERT OR REPLACE INTO pointers VALUES ('uploaded', ?)", (sale_id,))

    def refusals(self) -> list[tuple[int, int, str]]:
        """(sale id, HTTP status, answer) of refused uploads."""
        return self.rows("SELECT sale_id, status, answer FROM refusals ORDER BY sale_id")

    def settle(self, nozzle: int, sequence: int) -> None:
        """Note that the backend reports this sale as paid. Repeating it changes nothing."""
        with self.transaction() as db:
            db.execute("INSERT OR IGNORE INTO settled VALUES (?,?)", (nozzle, sequence))

    def is_settled(self, nozzle: int, sequence: int) -> bool:
        """Whether the backend reported this sale as paid."""
        return (
            self._one("SELECT 1 FROM settled WHERE nozzle = ? AND sequence = ?", nozzle, sequence) is not None
        )

    # -- authorisations ---------------------------------------------------------------------------------------

    def put_authorisation(self, held: Authorisation) -> None:
        """Store (or replace) the one authorisation of a nozzle."""
        with self.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO authorisations VALUES (?,?,?,?,?,?,?)",
                (
                    held.nozzle, held.command_id, held.order_id, held.preset_fen, held.preset_ml, held.expires_us,
                    int(held.live),
                ),
            )  # fmt: skip

    def drop_authorisation(self, nozzle: int) -> None:
        """Forget the nozzle's authorisation."""
        with self.transaction() as db:
            db.execute("DELETE FROM authorisations WHERE nozzle = ?", (nozzle,))

    def authorisations(self) -> list[Authorisation]:
        """All authorisations held, for a restart."""
        rows = self.rows(
            "SELECT nozzle, command_id, order_id, preset_fen, preset_ml, expires_us, live FROM authorisations"
            " ORDER BY nozzle"
        )
        return [Authorisation(*(*row[:6], bool(row[6]))) for row in rows]

    # -- commands ---------------------------------------------------------------------------------------------

    def begin_command(self, command_id: int) -> Literal["new", "open", "finished"]:
        """Note that a command arrived.

        "open": it arrived before and has no result yet (handlers can be repeated). "finished": it must not be
        carried out again; its stored result will be posted again.
        """
        with self.transaction() as db:
            row = db.execute("SELECT ok FROM results WHERE command_id = ?", (command_id,)).fetchone()
            if row is None:
                db.execute("INSERT INTO results VALUES (?, NULL, '', 0, 1)", (command_id,))
                return "new"
            if row[0] is None:
                return "open"
            db.execute("UPDATE results SET posted = 0 WHERE command_id = ?", (command_id,))
            return "finished"

    def finish_command(self, command_id: int, *, ok: bool, reason: str) -> None:
        """Store a command's result for posting. A later result (an order that expired) replaces an earlier one."""
        with self.transaction() as db:
            put_result(db, command_id, ok=ok, reason=reason)

    def unposted_results(self) -> list[tuple[int, bool, str, int]]:
        """(command id, ok, reason, version) that the backend has not taken yet, oldest first."""
        rows = self.rows(
            "SELECT command_id, ok, reason, version FROM results WHERE posted = 0 AND ok IS NOT NULL"
            " ORDER BY command_id"
        )
        return [(row[0], bool(row[1]), row[2], row[3]) for row in rows]

    def owes_result(self, command_id: int) -> bool:
        """Whether a command's result waits for the backend."""
        query = "SELECT 1 FROM results WHERE command_id = ? AND posted = 0 AND ok IS NOT NULL"
        return self._one(query, command_id) is not None

    def result_posted(self, command_id: int, version: int) -> None:
        """The backend took this version of the result."""
        with self.transaction() as db:
            db.execute(
                "UPDATE results SET posted = 1 WHERE command_id = ? AND version = ?", (command_id, version)
            )

    # -- pointers ---------------------------------------------------------------------------------------------

    def pointer(self, name: str) -> int:
        """A named position; 0 when never set."""
        row = self._one("SELECT value FROM pointers WHERE name = ?", name)
        return int(row[0]) if row else 0

    def set_pointer(self, name: str, value: int) -> None:
        """Store a named position."""
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO pointers VALUES (?,?)", (name, value))

    # -- reading ----------------------------------------------------------------------------------------------

    def _sales(self, query: str, *arguments: int) -> list[Sale]:
        return [
            Sale(*(*row[1:13], tuple(json.loads(row[13])), row[0], *row[14:]))
            for row in self.rows(query, *arguments)
        ]

    def _one(self, query: str, *arguments: object) -> tuple[Any, ...] | None:
        rows = self.rows(query, *arguments)
        return rows[0] if rows else None

    def rows(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        """The rows that a query gives. Raises JournalError."""
        try:
            return self._db.execute(query, arguments).fetchall()
        except sqlite3.Error as error:
            raise JournalError(f"journal cannot be read: {error}") from error
