"""What every kind of receipt printer has in common: a bounded queue, what is wrong with it, and telling the staff.

Policy when the queue is full: the newest receipt is refused, and the backend is told so (``printer queue is full``); it can
ask again. Nothing that was taken is ever dropped, and no sale waits for a printer (PRN-07).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from protocols.escpos import receipt_bytes
from reference.site.receipts.journal import PrintJob
from reference.site.receipts.text import receipt_content

__all__ = ["Begin", "PrinterQueue", "ReceiptPrinter"]

Begin = Callable[[PrintJob], int | None]
"""Called before anything of a copy goes out: how many of its sale were begun before, durable; None: it cannot be noted."""


class ReceiptPrinter(Protocol):
    """What the controller knows of a receipt printer."""

    problems: tuple[str, ...]
    near_end: bool

    def __len__(self) -> int:
        """Receipts that wait, the one being printed included."""

    @property
    def state(self) -> str:
        """What it does now."""

    @property
    def is_full(self) -> bool:
        """No further receipt is taken."""

    def check(self, receipt: Mapping[str, Any]) -> None:
        """Raises ValueError for a receipt that cannot be printed, while it can still be refused."""

    def add(self, job: PrintJob) -> None:
        """Queue a receipt that was checked and stored."""


class PrinterQueue:
    """The queue and its troubles; see `ReceiptPrinter`.

    Args:
        columns: characters per line of the paper.
        limit: receipts that may wait.
        on_begin: see `Begin`.
        on_done: called with the job when it is confirmed on paper.
        on_unprintable: called with a job that was taken under other settings and can never be printed, and why.
        on_notice: called with a sentence for the staff.

    Attributes:
        problems: why the current job waits, in words for the staff; empty when it does not.
        near_end: the paper is nearly used up.
    """

    def __init__(
        self,
        *,
        columns: int,
        limit: int,
        on_begin: Begin,
        on_done: Callable[[PrintJob], None],
        on_unprintable: Callable[[PrintJob, str], None] | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> None:
        self.problems: tuple[str, ...] = ()
        self.near_end = False
        self._columns = columns
        self._limit = limit
        self._on_begin = on_begin
        self._on_done = on_done
        self._on_unprintable = on_unprintable
        self._on_notice = on_notice
        self._queue: deque[PrintJob] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def is_full(self) -> bool:
        """No further receipt is taken."""
        return len(self._queue) >= self._limit

    def check(self, receipt: Mapping[str, Any]) -> None:
        """Raises ValueError for a receipt that cannot be printed, while it can still be refused."""
        receipt_bytes(receipt_content(receipt), 1, width_columns=self._columns)

    def add(self, job: PrintJob) -> None:
        """Queue a receipt that was checked and stored; one that waits already is not queued twice."""
        if all(job.job_id != other.job_id for other in self._queue):
            self._queue.append(job)
            self._added()

    def _added(self) -> None:
        """There is something to do."""

    def _drop_unprintable(self, error: ValueError) -> None:
        """The job in front cannot be printed: the others must not wait for it."""
        job = self._queue.popleft()
        self._tell(f"receipt printer: a receipt cannot be printed: {error}")
        if self._on_unprintable is not None:
            self._on_unprintable(job, str(error))

    # -- for the staff ------------------------------------------------------------------------------------------

    def _trouble(self, problems: tuple[str, ...]) -> None:
        if problems != self.problems:
            waiting = f"; receipts waiting: {len(self._queue)}" if self._queue else ""
            self._tell(f"receipt printer: {', '.join(problems)}{waiting}")
        self.problems = problems

    def _works(self) -> None:
        if self.problems:
            self._tell("receipt printer works again")
        self.problems = ()

    def _paper(self, *, near_end: bool) -> None:
        if near_end and not self.near_end:
            self._tell("receipt printer: the paper is nearly used up")
        self.near_end = near_end

    def _tell(self, text: str) -> None:
        if self._on_notice is not None:
            self._on_notice(text)
