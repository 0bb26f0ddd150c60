"""The receipts' part of the journal: what is to be printed, and how many copies of each sale were begun.

A copy is counted *before* its first byte goes out and belongs to the sale, not to the command that asked for it. So
the one unmarked original exists at most once, whatever is killed, lost or asked for again (PRN-03, PRN-04).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from reference.site.journal import Journal, put_result

__all__ = ["QUEUE_FULL", "PrintJob", "PrintJournal", "sale_of"]

QUEUE_FULL: Final = "printer queue is full"
"""What the backend is told of a receipt that was refused."""


_SCHEMA = """
CREATE TABLE IF NOT EXISTS print_jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, command_id INTEGER UNIQUE, receipt TEXT NOT NULL,
    attempts INTEGER NOT NULL, done INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS print_jobs_to_do ON print_jobs (id) WHERE done = 0;
CREATE TABLE IF NOT EXISTS receipt_copies (sale TEXT PRIMARY KEY, begun INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS cloud_orders (
    job_id INTEGER PRIMARY KEY, order_id TEXT NOT NULL, was_cut INTEGER NOT NULL
) STRICT;
"""


@dataclass(frozen=True, slots=True)
class PrintJob:
    """One receipt to print. ``attempts`` counts how often this job's bytes began to go out."""

    job_id: int
    command_id: int | None
    receipt: Mapping[str, Any]
    attempts: int
    done: bool = False


def sale_of(receipt: Mapping[str, Any]) -> str:
    """The key of the sale that a receipt tells of: station, nozzle and sequence number. Raises ValueError without them."""
    try:
        return f"{receipt['station']}/{int(receipt['nozzle'])}/{int(receipt['sequence'])}"
    except (KeyError, TypeError) as error:
        raise ValueError(f"receipt does not say which sale it is of: {error}") from error


class PrintJournal:
    """Receipts in the site's journal. Every method that writes is durable when it returns, and raises JournalError if not."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        journal.extend(_SCHEMA)
        self._count_old_copies()

    def _count_old_copies(self) -> None:
        """A journal from before copies were counted by sale: what was begun then counts."""
        if self._journal.rows("SELECT 1 FROM receipt_copies LIMIT 1"):
            return
        with self._journal.transaction() as db:
            rows = db.execute("SELECT receipt, attempts FROM print_jobs WHERE attempts > 0").fetchall()
            for receipt, attempts in rows:
                db.execute(
                    "INSERT INTO receipt_copies VALUES (?,?) ON CONFLICT (sale) DO UPDATE SET begun = begun + excluded.begun",
                    (sale_of(json.loads(receipt)), attempts),
                )

    def add(self, command_id: int | None, receipt: Mapping[str, Any]) -> PrintJob:
        """Store a receipt to print. One job per command, however often the command arrives."""
        with self._journal.transaction() as db:
            if command_id is not None:
                row = db.execute(
                    "SELECT id, receipt, attempts, done FROM print_jobs WHERE command_id = ?", (command_id,)
                ).fetchone()
                if row is not None:
                    return PrintJob(row[0], command_id, json.loads(row[1]), row[2], bool(row[3]))
            cursor = db.execute(
                "INSERT INTO print_jobs (command_id, receipt, attempts, done) VALUES (?,?,0,0)",
                (command_id, json.dumps(receipt)),
            )
        return PrintJob(cursor.lastrowid or 0, command_id, receipt, 0)

    def knows(self, command_id: int) -> bool:
        """Whether this command's receipt was taken already."""
        return bool(self._journal.rows("SELECT 1 FROM print_jobs WHERE command_id = ?", command_id))

    def begin(self, job: PrintJob) -> int:
        """A copy is about to go out. Returns how many of this sale were begun before: 0 only once in the sale's life."""
        with self._journal.transaction() as db:
            db.execute("UPDATE print_jobs SET attempts = attempts + 1 WHERE id = ?", (job.job_id,))
            row = db.execute(
                "INSERT INTO receipt_copies VALUES (?,1) ON CONFLICT (sale) DO UPDATE SET begun = begun + 1 RETURNING begun",
                (sale_of(job.receipt),),
            ).fetchone()
        return int(row[0]) - 1

    def withdraw(self, job: PrintJob) -> None:
        """The copy begun last was refused in so many words: nothing of it can ever come out."""
        with self._journal.transaction() as db:
            db.execute("UPDATE print_jobs SET attempts = attempts - 1 WHERE id = ?", (job.job_id,))
            db.execute("UPDATE receipt_copies SET begun = begun - 1 WHERE sale = ?", (sale_of(job.receipt),))

    def finish(self, job: PrintJob) -> None:
        """The receipt is confirmed on paper. The command that asked for it is answered in the same commit."""
        with self._journal.transaction() as db:
            db.execute("UPDATE print_jobs SET done = 1 WHERE id = ?", (job.job_id,))
            if job.command_id is not None:
                put_result(db, job.command_id, ok=True, reason="printed")

    def give_up(self, job: PrintJob, reason: str) -> None:
        """The receipt can never be printed. The command that asked for it is told so in the same commit."""
        with self._journal.transaction() as db:
            db.execute("UPDATE print_jobs SET done = 1 WHERE id = ?", (job.job_id,))
            if job.command_id is not None:
                put_result(db, job.command_id, ok=False, reason=reason[:200])

    def refusals(self) -> int:
        """How many print commands were refused because the queue was full."""
        rows = self._journal.rows("SELECT count(*) FROM results WHERE ok = 0 AND reason = ?", QUEUE_FULL)
        return int(rows[0][0])

    def to_do(self) -> list[PrintJob]:
        """Receipts not yet confirmed, oldest first."""
        rows = self._journal.rows(
            "SELECT id, command_id, receipt, attempts FROM print_jobs WHERE done = 0 ORDER BY id"
        )
        return [PrintJob(row[0], row[1], json.loads(row[2]), row[3]) for row in rows]

    # -- a cloud printer's orders -------------------------------------------------------------------------------

    def note_order(self, job: PrintJob, order_id: str, *, was_cut: bool = False) -> None:
        """The cloud took the copy under this number; an empty one: the copy is nobody's any more.

        ``was_cut``: the printer was in trouble while the order was out, so that its paper may be in two pieces.
        """
        with self._journal.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO cloud_orders VALUES (?,?,?)", (job.job_id, order_id, int(was_cut))
            )

    def order_of(self, job: PrintJob) -> str:
        """The cloud's number of the copy that may still come out; empty when there is none."""
        rows = self._journal.rows("SELECT order_id FROM cloud_orders WHERE job_id = ?", job.job_id)
        return str(rows[0][0]) if rows else ""

    def order_was_cut(self, job: PrintJob) -> bool:
        """See `note_order`."""
        rows = self._journal.rows("SELECT was_cut FROM cloud_orders WHERE job_id = ?", job.job_id)
        return bool(rows and rows[0][0])
