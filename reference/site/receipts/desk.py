"""The receipt desk: takes print commands, keeps them in the journal, and hands them to the station's one printer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx

from reference.site.journal import JournalError
from reference.site.receipts.feie import FeieSpooler
from reference.site.receipts.journal import QUEUE_FULL, PrintJob, PrintJournal
from reference.site.receipts.spooler import ReceiptSpooler
from reference.site.receipts.text import masked_receipt

if TYPE_CHECKING:
    from reference.site.config import PrinterConfig
    from reference.site.controller import SiteController

__all__ = ["ReceiptDesk"]


class ReceiptDesk:
    """One station's receipts.

    Args:
        site: the controller.
        config: the printer.
        http_transport: what carries a cloud printer's requests; None for real sockets.

    Attributes:
        journal: what is to be printed.
        printer: the spooler.
        wired: the spooler as the machine to wire to the printer; None for a cloud printer.
    """

    def __init__(
        self, site: SiteController, config: PrinterConfig, http_transport: httpx.AsyncBaseTransport | None
    ) -> None:
        self._site = site
        self.journal = PrintJournal(site.journal)
        self.wired: ReceiptSpooler | None = None
        self._cloud: FeieSpooler | None = None
        self._is_full = False
        if config.feie is not None:
            self.printer: ReceiptSpooler | FeieSpooler = FeieSpooler(
                config.feie,
                journal=self.journal,
                transport=http_transport,
                clock_us=site.clock_us,
                columns=config.columns,
                limit=config.queue_limit,
                on_begin=self._begin,
                on_done=self._done,
                on_unprintable=self._unprintable,
                on_notice=site.alarm,
            )
            self._cloud = self.printer
        else:
            self.printer = self.wired = ReceiptSpooler(
                columns=config.columns,
                limit=config.queue_limit,
                codepage=config.codepage,
                confirm=config.confirm,
                on_begin=self._begin,
                on_done=self._done,
                on_unprintable=self._unprintable,
                on_notice=site.alarm,
            )

    @classmethod
    def of(cls, site: SiteController, http_transport: httpx.AsyncBaseTransport | None) -> ReceiptDesk | None:
        """The desk of a site; None if it has no printer."""
        return None if site.config.printer is None else cls(site, site.config.printer, http_transport)

    def start(self) -> None:
        """Take up what the journal holds: all of it, even if less may wait by now."""
        for job in self.journal.to_do():
            self.printer.add(job)
        if self._cloud is not None:
            self._cloud.start()

    async def stop(self) -> None:
        """Leave a cloud printer alone; the journal knows how far things got."""
        if self._cloud is not None:
            await self._cloud.stop()

    def take(self, command_id: int, receipt: Any) -> tuple[bool, str] | None:
        """Take a print command: None until the receipt is on paper, or the answer at once.

        Raises:
            ValueError, TypeError: the receipt cannot be printed.
            JournalError: it could not be stored; the command will come again.
        """
        if not isinstance(receipt, dict):
            raise TypeError("receipt is missing")
        if not self.journal.knows(command_id):
            if self.printer.is_full:
                self._refused()
                return False, QUEUE_FULL
            self.printer.check(receipt)
        self._is_full = False
        job = self.journal.add(command_id, masked_receipt(receipt))
        if job.done:
            return True, "printed"
        self.printer.add(job)
        return None

    def _refused(self) -> None:
        if not self._is_full:
            self._is_full = True
            self._site.alarm("receipt printer: its queue is full, new receipts are refused")

    def _begin(self, job: PrintJob) -> int | None:
        try:
            return self.journal.begin(job)
        except JournalError as error:
            self._site.alarm(str(error))
            return None

    def _unprintable(self, job: PrintJob, reason: str) -> None:
        self._close(lambda: self.journal.give_up(job, f"cannot be printed: {reason}"))

    def _done(self, job: PrintJob) -> None:
        self._close(lambda: self.journal.finish(job))

    def _close(self, write: Callable[[], None]) -> None:
        try:
            write()
        except JournalError as error:
            self._site.alarm(str(error))  # after a restart it is printed once more, marked
        else:
            self._site.uplink.result_stored()
