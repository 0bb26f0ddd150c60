"""The receipt spooler: one printer, one receipt after the other, never two originals of one sale.

A `protocols.sansio.Machine` for the printer's wire. Before each receipt the real-time status is read (DLE EOT); paper
end, open cover or an error make the job wait. Each receipt ends with GS r, whose answer proves that it is on paper;
a job that was cut off before that answer is printed again as a whole, marked 补打 with its number (PRN-01..04, PRN-07).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import Enum
from typing import Any

from protocols.escpos import (
    STATUS_REPLY_BYTES,
    PrinterStatus,
    ReceiptContent,
    completion_query,
    decode_status,
    receipt_bytes,
    status_query,
)
from protocols.sansio import Outgoing
from reference.site.journal import PrintJob

__all__ = ["ReceiptSpooler", "receipt_content"]

STATUS_PATIENCE_US = 1_000_000
RETRY_US = 2_000_000
WATCH_US = 3_000_000  # how long a receipt may take before its status is looked at
WATCHES_MOST = 10
SETTLE_US = 700_000

_TENDERS = {"wechatpay": "微信支付", "cash": "现金", "card": "银行卡", "fuel_card": "加油卡"}


class _State(Enum):
    IDLE = "idle"
    ASKING = "asking for status"
    BLOCKED = "waiting for the printer"
    SETTLING = "letting an interrupted receipt run out"
    PRINTING = "printing"
    WATCHING = "looking at a long print"


def receipt_content(receipt: Mapping[str, Any]) -> ReceiptContent:
    """A receipt as the backend describes it. Raises ValueError naming what is missing or cannot be printed."""
    try:
        amount_fen = int(receipt["amount_fen"])
        tender = str(receipt["tender"])
        return ReceiptContent(
            station_name=str(receipt["station_name"]),
            station=str(receipt["station"]),
            nozzle=int(receipt["nozzle"]),
            grade=str(receipt["grade"]),
            volume_ml=int(receipt["volume_ml"]),
            price_fen_per_l=int(receipt["price_fen_per_l"]),
            amount_fen=amount_fen,
            sequence=int(receipt["sequence"]),
            ended_us=int(receipt["ended_us"]),
            pay_method=_TENDERS.get(tender, tender),
            discount_fen=amount_fen - int(receipt.get("paid_fen", amount_fen)),
            order=str(receipt.get("out_trade_no") or ""),
        )
    except KeyError as error:
        raise ValueError(f"receipt has no {error.args[0]}") from error
    except TypeError as error:
        raise ValueError(f"receipt: {error}") from error


class ReceiptSpooler:
    """Prints receipts in order.

    Args:
        columns: characters per line of the paper.
        limit: receipts that may wait.
        on_attempt: called with the job id *before* any byte of it goes out; durable when it returns True. False makes
            the job wait: an attempt that cannot be noted could become a second original.
        on_done: called with the job id when the printer confirmed it.

    Attributes:
        on_wake: set by the host.
        problems: why the current job waits, in words for the staff; empty when it does not.
        near_end: the paper is nearly used up.
    """

    def __init__(
        self,
        *,
        columns: int,
        limit: int,
        on_attempt: Callable[[int], bool],
        on_done: Callable[[int], None],
    ) -> None:
        self.on_wake: Callable[[], None] | None = None
        self.problems: tuple[str, ...] = ()
        self.near_end = False
        self._columns = columns
        self._limit = limit
        self._on_attempt = on_attempt
        self._on_done = on_done
        self._queue: deque[PrintJob] = deque()
        self._state = _State.IDLE
        self._deadline_us: int | None = None
        self._reply = bytearray()
        self._out: list[bytes] = []
        self._unsettled = True  # bytes of an earlier job may still come out, or answer
        self._watches = 0

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def state(self) -> str:
        """What the spooler does now."""
        return self._state.value

    @property
    def is_full(self) -> bool:
        """No further receipt is taken."""
        return len(self._queue) >= self._limit

    def check(self, receipt: Mapping[str, Any]) -> None:
        """Raises ValueError for a receipt that cannot be printed, while it can still be refused."""
        receipt_bytes(receipt_content(receipt), 1, width_columns=self._columns)

    def add(self, job: PrintJob) -> bool:
        """Queue a receipt that was checked. False when the queue is full."""
        if self.is_full:
            return False
        if all(job.job_id != other.job_id for other in self._queue):
            self._queue.append(job)
            if self.on_wake is not None:
                self.on_wake()
        return True

    def connection_lost(self, now_us: int) -> None:
        """The wire to the printer is gone: whatever was on its way may be half printed."""
        self._out.clear()
        self._reply.clear()
        if self._state is not _State.IDLE:
            self._unsettled = True
            self._block(now_us, ("no connection",))

    # -- the machine --------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now_us: int) -> None:
        """See `protocols.sansio.Machine`. Unasked bytes (automatic status, flow control) are passed over."""
        for byte in data:
            if byte & 0x93 == 0x12:
                self._reply.append(byte)
                if len(self._reply) == STATUS_REPLY_BYTES:
                    status = decode_status(bytes(self._reply))
                    self._reply.clear()
                    self._on_status(status, now_us)
            elif byte & 0x90 == 0:
                self._on_completion(now_us)

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
        self._state = state
        self._reply.clear()
        self._out.append(status_query())
        self._deadline_us = now_us + STATUS_PATIENCE_US

    def _block(self, now_us: int, problems: tuple[str, ...]) -> None:
        self._state = _State.BLOCKED
        self.problems = problems
        self._deadline_us = now_us + RETRY_US

    def _on_status(self, status: PrinterStatus, now_us: int) -> None:
        self.near_end = status.paper_near_end
        if self._state is _State.ASKING:
            if not status.ready:
                self._block(now_us, status.problems)
            elif self._unsettled:
                self._state = _State.SETTLING
                self._out.append(completion_query())
                self._deadline_us = now_us + 5 * STATUS_PATIENCE_US
            else:
                self._print(now_us)
        elif self._state is _State.WATCHING:
            if status.ready:
                self._watch_again(now_us)
            else:
                # Cut off: the rest may come out later, but the customer gets one whole receipt, marked.
                self._unsettled = True
                self._block(now_us, status.problems)

    def _watch_again(self, now_us: int) -> None:
        self._watches += 1
        if self._watches >= WATCHES_MOST:
            self._unsettled = True
            self._block(now_us, ("receipt not confirmed",))
        else:
            self._state = _State.PRINTING
            self._deadline_us = now_us + WATCH_US

    def _on_completion(self, now_us: int) -> None:
        if self._state is _State.SETTLING:
            # Answers of interrupted receipts come before that of the bare query: wait until it is still.
            self._unsettled = False
            self._deadline_us = now_us + SETTLE_US
        elif self._state in (_State.PRINTING, _State.WATCHING):
            job = self._queue.popleft()
            self._state = _State.IDLE
            self._deadline_us = None
            self.problems = ()
            self._on_done(job.job_id)
            if self._queue:
                self._ask(_State.ASKING, now_us)

    def _print(self, now_us: int) -> None:
        job = self._queue[0]
        if not self._on_attempt(job.job_id):
            self._block(now_us, ("journal cannot be written",))
            return
        self._queue[0] = replace(job, attempts=job.attempts + 1)
        content = receipt_content(job.receipt)
        self._out.append(receipt_bytes(content, job.attempts, width_columns=self._columns, confirm=True))
        self._state = _State.PRINTING
        self.problems = ()
        self._watches = 0
        self._deadline_us = now_us + WATCH_US
