"""The vault's own database: sealed numbers by token, announced bindings, and what was done with them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from reference.vault.keys import Sealed

__all__ = ["Binding", "Entry", "Store", "StoreError"]

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS cards (
    token TEXT PRIMARY KEY, merchant TEXT NOT NULL, found_by BLOB NOT NULL UNIQUE,
    key_id TEXT NOT NULL, nonce BLOB NOT NULL, ciphertext BLOB NOT NULL,
    bin TEXT NOT NULL, last4 TEXT NOT NULL, network TEXT NOT NULL, created_us INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS cards_by_key ON cards (key_id);
CREATE TABLE IF NOT EXISTS bindings (
    binding TEXT PRIMARY KEY, merchant TEXT NOT NULL, secret_digest TEXT NOT NULL UNIQUE,
    token TEXT, expires_us INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS acts (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at_us INTEGER NOT NULL, merchant TEXT NOT NULL,
    act TEXT NOT NULL, token TEXT, reason TEXT NOT NULL
) STRICT;
CREATE TRIGGER IF NOT EXISTS acts_are_never_changed BEFORE UPDATE ON acts
    BEGIN SELECT RAISE(ABORT, 'acts are append-only'); END;
CREATE TRIGGER IF NOT EXISTS acts_are_never_deleted BEFORE DELETE ON acts
    BEGIN SELECT RAISE(ABORT, 'acts are append-only'); END;
"""
_CARD: Final = "token, merchant, found_by, key_id, nonce, ciphertext, bin, last4, network, created_us"


class StoreError(Exception):
    """The database cannot be opened, read or written; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A card as the vault keeps it.

    Attributes:
        token: stands for it everywhere else.
        found_by: keyed hash of merchant and number.
        bin, last4: first six and last four digits.
        created_us: Unix microseconds.
    """

    token: str
    merchant: str
    found_by: bytes
    sealed: Sealed
    bin: str
    last4: str
    network: str
    created_us: int


@dataclass(frozen=True, slots=True)
class Binding:
    """A card that was announced: whoever knows its secret may hand in one number, once, before it expires."""

    binding: str
    merchant: str
    token: str | None
    expires_us: int


class Store:
    """The database. One process; each public call that writes stands inside `transaction`.

    Args:
        path: a file that only its owner may read, or ``:memory:``.

    Raises:
        StoreError: it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        try:
            if path != ":memory:":
                _make_private(Path(path))
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.execute("PRAGMA secure_delete = ON")
            if path != ":memory:":
                # No log file beside it that would keep what was deleted; a commit is on the disk before it returns.
                self._db.execute("PRAGMA journal_mode = TRUNCATE")
                self._db.execute("PRAGMA synchronous = FULL")
            self._db.executescript(_SCHEMA)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
        except ValueError:
            raise StoreError(f"{path!a}: no file can have this name") from None

    def copy_to(self, path: Path) -> None:
        """Write all of it into a file, as evidence: what is in there tells no number."""
        with closing(sqlite3.connect(path)) as copy:
            self._db.backup(copy)

    def close(self) -> None:
        """Close it."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, and no other writer meanwhile. Raises `StoreError`."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise StoreError(f"the vault's database: {error}") from None

    def find(self, merchant: str, indexes: list[bytes]) -> Entry | None:
        """The entry of a merchant under any of these indexes."""
        marks = ", ".join("?" * len(indexes))
        return self._one(f"merchant = ? AND found_by IN ({marks})", merchant, *indexes)

    def of_token(self, merchant: str, token: str) -> Entry | None:
        """The entry of a merchant's token."""
        return self._one("merchant = ? AND token = ?", merchant, token)

    def under_other_keys(self, key_id: str, most: int) -> list[Entry]:
        """Entries that another key has sealed, at most so many."""
        rows = self._db.execute(f"SELECT {_CARD} FROM cards WHERE key_id <> ? LIMIT ?", (key_id, most))  # noqa: S608 - constants
        return [_entry(row) for row in rows]

    def key_ids(self) -> set[str]:
        """Ids of the keys that entries were sealed with."""
        return {row[0] for row in self._rows("SELECT DISTINCT key_id FROM cards")}

    def put(self, entry: Entry) -> None:
        """Write an entry, or write it anew."""
        sealed = entry.sealed
        self._db.execute(
            f"INSERT OR REPLACE INTO cards ({_CARD}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants
            (
                entry.token,
                entry.merchant,
                entry.found_by,
                sealed.key_id,
                sealed.nonce,
                sealed.ciphertext,
                entry.bin,
                entry.last4,
                entry.network,
                entry.created_us,
            ),
        )

    def forget(self, merchant: str, token: str) -> bool:
        """Delete a card; tells whether it was there. Its bytes on the disk are overwritten."""
        done = self._db.execute("DELETE FROM cards WHERE merchant = ? AND token = ?", (merchant, token))
        self._db.execute("DELETE FROM bindings WHERE merchant = ? AND token = ?", (merchant, token))
        return done.rowcount > 0

    def announce(self, binding: Binding, secret_digest: str, now_us: int) -> None:
        """Write a binding; those that expired unused go."""
        self._db.execute("DELETE FROM bindings WHERE expires_us < ?", (now_us,))
        self._db.execute(
            "INSERT INTO bindings (binding, merchant, secret_digest, expires_us) VALUES (?, ?, ?, ?)",
            (binding.binding, binding.merchant, secret_digest, binding.expires_us),
        )

    def binding(self, *, name: str | None = None, secret_digest: str | None = None) -> Binding | None:
        """A binding by its name or by the digest of its secret."""
        rows = self._rows(
            "SELECT binding, merchant, token, expires_us FROM bindings WHERE binding = ? OR secret_digest = ?",
            name,
            secret_digest,
        )
        return Binding(*rows[0]) if rows else None

    def bind(self, name: str, token: str) -> None:
        """A number was handed in."""
        self._db.execute("UPDATE bindings SET token = ? WHERE binding = ?", (token, name))

    def act(self, at_us: int, merchant: str, act: str, token: str | None, reason: str) -> None:
        """Put on record what was done, by whom and why."""
        self._db.execute(
            "INSERT INTO acts (at_us, merchant, act, token, reason) VALUES (?, ?, ?, ?, ?)",
            (at_us, merchant, act, token, reason),
        )

    def acts(self) -> list[tuple[int, str, str, str | None, str]]:
        """(Unix µs, merchant, act, token, reason), oldest first."""
        return self._db.execute("SELECT at_us, merchant, act, token, reason FROM acts ORDER BY id").fetchall()

    def _one(self, where: str, *values: object) -> Entry | None:
        rows = self._rows(f"SELECT {_CARD} FROM cards WHERE {where}", *values)  # noqa: S608 - constants
        return _entry(rows[0]) if rows else None

    def _rows(self, statement: str, *values: object) -> list[Any]:
        try:
            return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"the vault's database: {error}") from None


def _make_private(path: Path) -> None:
    # What is there and no file keeps its mode: of a folder its owner would be locked out.
    if path.exists() and not path.is_file():
        raise StoreError(f"{path}: not a file")
    path.touch(mode=0o600)
    path.chmod(0o600)


def _entry(row: tuple[str, str, bytes, str, bytes, bytes, str, str, str, int]) -> Entry:
    token, merchant, found_by, key_id, nonce, ciphertext, front, last4, network, created_us = row
    return Entry(
        token, merchant, found_by, Sealed(key_id, nonce, ciphertext), front, last4, network, created_us
    )
