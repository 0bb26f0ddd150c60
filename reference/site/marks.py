"""Handovers in the site's journal: taken at a moment, sealed a little later, sent until the backend has them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from reference.site.journal import Journal
from reference.site.pumps.witness import Witness

__all__ = ["Mark", "MarkBook"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS marks (
    number INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, attendant TEXT NOT NULL, cash_counted_fen INTEGER,
    nozzles TEXT NOT NULL, body TEXT, last_sale INTEGER NOT NULL, done INTEGER NOT NULL
) STRICT;
"""


@dataclass(frozen=True, slots=True)
class Mark:
    """One handover; it opens shift ``number``.

    Attributes:
        at_us: Unix time of the moment.
        nozzles: what was known of each nozzle at that moment.
        body: what is sent, the same at every try; None until it is sealed.
        last_sale: sales up to this one in the journal are sent before.
        done: the backend has it, or refused it for good.
    """

    number: int
    at_us: int
    attendant: str
    cash_counted_fen: int | None
    nozzles: list[dict[str, Any]]
    body: dict[str, Any] | None = None
    last_sale: int = 0
    done: bool = False


class MarkBook:
    """The handovers of one site."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        journal.extend(_SCHEMA)

    def last(self) -> Mark | None:
        """The newest handover."""
        found = self._read("ORDER BY number DESC LIMIT 1")
        return found[0] if found else None

    def open(self) -> list[Mark]:
        """Handovers that the backend does not have yet, oldest first."""
        return self._read("WHERE done = 0 ORDER BY number")

    def take(self, mark: Mark) -> None:
        """Store a new handover. Raises JournalError with nothing stored, also if there is one with this number."""
        values = (mark.number, mark.at_us, mark.attendant, mark.cash_counted_fen, json.dumps(mark.nozzles))
        with self._journal.transaction() as db:
            db.execute("INSERT INTO marks VALUES (?,?,?,?,?,NULL,0,0)", values)

    def seal(self, number: int, body: dict[str, Any], last_sale: int) -> None:
        """Its readings stand; once."""
        with self._journal.transaction() as db:
            db.execute(
                "UPDATE marks SET body = ?, last_sale = ? WHERE number = ? AND body IS NULL",
                (json.dumps(body), last_sale, number),
            )

    def finish(self, number: int) -> None:
        """The backend has it."""
        with self._journal.transaction() as db:
            db.execute("UPDATE marks SET done = 1 WHERE number = ?", (number,))

    def totals(self) -> dict[int, tuple[int, int, int]]:
        """By nozzle: number of its last sale, and the totals after it. Those that were never read are left out."""
        rows = self._journal.rows(
            "SELECT nozzle, sequence, total_volume_ml, total_amount_fen, owed_volume_ml, owed_amount_fen"
            " FROM nozzles WHERE total_volume_ml >= 0"
        )
        found = {}
        for nozzle, sequence, *figures in rows:
            settled = Witness(*figures).settled
            found[nozzle] = (sequence, settled.volume_ml, settled.amount_fen or 0)
        return found

    def after(self, nozzle: int, sequence: int) -> list[tuple[int, int, int, int, int, int]]:
        """Later sales of a nozzle with the total after them: number, end, end totals, volume, amount."""
        return self._journal.rows(
            "SELECT sequence, ended_us, end_total_volume_ml, end_total_amount_fen, volume_ml, amount_fen FROM sales"
            " WHERE nozzle = ? AND sequence > ? AND end_total_volume_ml > 0 ORDER BY sequence",
            nozzle,
            sequence,
        )

    def last_sale(self) -> int:
        """Id of the newest sale in the journal."""
        return int(self._journal.rows("SELECT coalesce(max(id), 0) FROM sales")[0][0])

    def _read(self, where: str) -> list[Mark]:
        columns = "number, at_us, attendant, cash_counted_fen, nozzles, body, last_sale, done"
        rows = self._journal.rows(f"SELECT {columns} FROM marks {where}")  # noqa: S608 - constants
        found = []
        for number, at_us, attendant, cash_fen, nozzles, body, last_sale, done in rows:
            sealed = None if body is None else json.loads(body)
            known = json.loads(nozzles)
            found.append(Mark(number, at_us, attendant, cash_fen, known, sealed, last_sale, bool(done)))
        return found
