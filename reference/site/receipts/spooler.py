"""The receipt spooler: one ESC/POS printer, one receipt after the other, never two originals of one sale.

A `protocols.sansio.Machine` for the printer's wire. Before each receipt the real-time status is read (DLE EOT); paper
end, open cover or an error make the job wait. Each receipt ends with a query whose answer proves that it is on paper (GS r,
or a process id where the printer knows it); a receipt that was cut off before that answer is printed again as a whole,
marked 补打 with its number (PRN-01..04, PRN-07).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Final, Literal

from protocols.escpos import PrinterStatus, completion_query, receipt_bytes, status_query
from protocols.sansio import Outgoing
from reference.site.receipts.journal import PrintJob
from reference.site.receipts.queue import Begin, PrinterQueue
from reference.site.receipts.replies import (
    AutomaticStatus,
    JobAnswer,
    PaperAnswer,
    PrinterReply,
    ReplyReader,
    StatusAnswer,
    process_id,
    process_id_query,
)
from reference.site.receipts.text import receipt_content

__all__ = ["ReceiptSpooler"]

STATUS_PATIENCE_US: Final = 1_000_000
RETRY_US: Final = 2_000_000
WATCH_US: Final = 3_000_000
"""How long a receipt may take before its status is looked at."""
WATCHES_MOST: Final = 10
SETTLE_US: Final = 700_000
_RECOVER: Final = b"\x10\x05\x02"
"""DLE ENQ 2: recover from a cutter error, with what was buffered thrown away. Nothing happens while the jam is there."""
_PADDING_FIRST: Final = 4_096
_PADDING_MOST: Final = 65_536
"""A receipt that was cut off inside a command leaves the printer swallowing what comes next, as many bytes as the command's
two length bytes say. NULs feed it until it listens again; to a printer that listens they mean nothing."""


class _State(Enum):
    IDLE = "idle"
    ASKING = "asking for status"
    BLOCKED = "waiting for the printer"
    SETTLING = "letting an interrupted receipt run out"
    PRINTING = "printing"
    WATCHING = "looking at a long print"


class ReceiptSpooler(PrinterQueue):
    """Prints receipts in order; `PrinterQueue` says what its callbacks are.

    Args:
        codepage: of the printer's Chinese mode: ``gb18030``, ``gbk`` or ``gb2312``.
        confirm: ``status`` (GS r, known to every printer) or ``process-id`` (GS ( H, Epson and its followers): the
            latter says *which* receipt is on paper, so that one whose answer came late needs no reprint.
        more: see `PrinterQueue`.

    Attributes:
        on_wake: set by the host.
    """

    def __init__(
        self,
        *,
        columns: int,
        limit: int,
        on_begin: Begin,
        on_done: Callable[[PrintJob], None],
        codepage: str = "gb18030",
        confirm: Literal["status", "process-id"] = "status",
        **more: Any,
    ) -> None:
        super().__init__(columns=columns, limit=limit, on_begin=on_begin, on_done=on_done, **more)
        self.on_wake: Callable[[], None] | None = None
        self._codepage = codepage
        self._by_id = confirm == "process-id"
        self._state = _State.IDLE
        self._deadline_us: int | None = None
        self._reader = ReplyReader()
        self._out: list[bytes] = []
        self._unsettled = True  # bytes of an earlier job may still come out, or answer
        self._watches = 0
        self._padding = 0
        self._query = 0  # number of the last completion query
        self._receipt_query = 0  # number of the one behind the receipt that is out; 0: none is
        self._interrupted = False  # it was cut in two, whatever its answer says

    @property
    def state(self) -> str:
        """What the spooler does now."""
        return self._state.value

    def _added(self) -> None:
        if self.on_wake is not None:
            self.on_wake()

    def connection_lost(self, now_us: int) -> None:
        """The wire to the printer is gone: whatever was on its way may be half printed."""
        self._out.clear()
        self._reader.reset()
        if self._state is not _State.IDLE:
            self._block(now_us, ("no connection",))

    # -- the machine --------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now_us: int) -> None:
        """See `protocols.sansio.Machine`."""
        for reply in self._reader.feed(data):
            self._on_reply(reply, now_us)

    def _on_reply(self, reply: PrinterReply, now_us: int) -> None:
        match reply:
            case StatusAnswer(status):
                self._on_status(status, now_us)
            case AutomaticStatus(status):
                self._paper(near_end=status.paper_near_end)
                if self._state in (_State.PRINTING, _State.WATCHING) and not status.ready:
                    self._cut_off(status, now_us)
            case PaperAnswer(status) if not self._by_id:
                self._paper(near_end=status.paper_near_end)
                if self._state is _State.SETTLING:
                    # Answers of interrupted receipts come before that of the bare query: wait until it is still.
                    self._unsettled = False
                    self._deadline_us = now_us + SETTLE_US
                elif self._state in (_State.PRINTING, _State.WATCHING) and not status.paper_end:
                    self._confirmed(now_us)
            case JobAnswer(job) if self._by_id:
                self._on_job_answer(job, now_us)

    def _on_job_answer(self, job: bytes, now_us: int) -> None:
        if self._receipt_query and job == process_id(self._receipt_query):
            # Whole, however late: a receipt that nothing interrupted needs no reprint.
            if not self._interrupted:
                self._confirmed(now_us)
        elif self._state is _State.SETTLING and job == process_id(self._query):
            self._unsettled = False
            self._print(now_us)

    def data_to_send(self, now_us: int) -> list[Outgoing]:
        """See `protocols.sansio.Machine`."""
        if self._state is _State.IDLE and self._queue:
            self._ask(_State.ASKING, now_us)
        out, self._out = self._out, []
        return [Outgoing(data) for data in out]

    def next_timer(self) -> int | None:
        """See `protocols.sansio.Machine`."""
        return self._deadline_us

    def handle_timer(self, now_us: int) -> None:
        """See `protocols.sansio.Machine`."""
        if self._deadline_us is None or now_us < self._deadline_us:
            return
        match self._state:
            case _State.ASKING:
                self._block(now_us, ("no answer",))
            case _State.BLOCKED:
                self._ask(_State.ASKING, now_us)
            case _State.SETTLING:
                if self._unsettled:  # not even the bare query was answered
                    self._padding = min(max(4 * self._padding, _PADDING_FIRST), _PADDING_MOST)
                    self._block(now_us, ("no answer",))
                else:
                    self._print(now_us)
            case _State.PRINTING:
                self._ask(_State.WATCHING, now_us)
            case _State.WATCHING:
                self._watch_again(now_us)  # a busy printer may not pass the question on
            case _State.IDLE:
                self._deadline_us = None

    # -- inner --------------------------------------------------------------------------------------------------

    def _ask(self, state: _State, now_us: int) -> None:
        if state is _State.ASKING and "cutter error" in self.problems:
            self._out.append(_RECOVER)
        self._state = state
        self._reader.forget_status()
        self._out.append(status_query())
        self._deadline_us = now_us + STATUS_PATIENCE_US

    def _block(self, now_us: int, problems: tuple[str, ...]) -> None:
        if self._state is not _State.ASKING:
            self._unsettled = True
        self._state = _State.BLOCKED
        self._trouble(problems)
        self._deadline_us = now_us + RETRY_US

    def _cut_off(self, status: PrinterStatus, now_us: int) -> None:
        """The rest may come out later, but the customer gets one whole receipt, marked."""
        self._interrupted = True
        self._block(now_us, status.problems)

    def _on_status(self, status: PrinterStatus, now_us: int) -> None:
        self._paper(near_end=status.paper_near_end)
        if self._state is _State.ASKING:
            if not status.ready:
                self._interrupted = True
                self._block(now_us, status.problems)
            elif self._unsettled:
                self._state = _State.SETTLING
                self._out.append(bytes(self._padding) + self._completion())
                self._deadline_us = now_us + 5 * STATUS_PATIENCE_US
            else:
                self._print(now_us)
        elif self._state is _State.WATCHING:
            if status.ready:
                self._watch_again(now_us)
            else:
                self._cut_off(status, now_us)

    def _watch_again(self, now_us: int) -> None:
        self._watches += 1
        if self._watches >= WATCHES_MOST:
            self._block(now_us, ("receipt not confirmed",))
        else:
            self._state = _State.PRINTING
            self._deadline_us = now_us + WATCH_US

    def _confirmed(self, now_us: int) -> None:
        job = self._queue.popleft()
        self._receipt_query = 0
        self._works()
        self._on_done(job)
        self._next(now_us)

    def _next(self, now_us: int) -> None:
        if self._queue:
            self._ask(_State.ASKING, now_us)
        else:
            self._state = _State.IDLE
            self._deadline_us = None

    def _completion(self) -> bytes:
        self._query += 1
        return process_id_query(self._query) if self._by_id else completion_query()

    def _print(self, now_us: int) -> None:
        self._padding = 0
        job = self._queue[0]
        try:
            content = receipt_content(job.receipt)
        except ValueError as error:
            self._drop_unprintable(error)
            self._next(now_us)
            return
        copies = self._on_begin(job)
        if copies is None:
            self._block(now_us, ("journal cannot be written",))
            return
        receipt = receipt_bytes(content, copies, width_columns=self._columns, codepage=self._codepage)
        self._out.append(receipt + self._completion())
        self._receipt_query = self._query
        self._interrupted = False
        self._state = _State.PRINTING
        self._works()
        self._watches = 0
        self._deadline_us = now_us + WATCH_US
