"""Receipts through a printer in Feie's cloud, with the same rule as on a wire: never two originals of one sale.

The platform has no idempotency: an order sent twice is printed twice, and an order for a printer that is away waits in the
cloud and comes out by itself when it is back. So a copy is counted before it is ordered, an order whose reply was lost
is never sent again as it was, and what the cloud still holds is taken back before a marked copy is ordered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import httpx

from protocols.feie import PrinterState, Ret, receipt_markup
from reference.site.journal import JournalError
from reference.site.receipts.feie_client import FeieClient, FeieRefused, FeieUnknown
from reference.site.receipts.feie_config import FeieConfig
from reference.site.receipts.journal import PrintJob, PrintJournal
from reference.site.receipts.queue import Begin, PrinterQueue
from reference.site.receipts.text import receipt_content

__all__ = ["FeieSpooler"]

_PROBLEMS: Final = {
    PrinterState.OFFLINE: "offline",
    PrinterState.FAULT: "out of paper or not working",
    None: "in a state it has no words for",
}
_EXPIRY_SLACK_US: Final = 10_000_000
"""Our clock and the cloud's may differ a little."""
_STATE_EVERY: Final = 3
"""While an order is out the printer's state is asked for at each so many polls."""


class FeieSpooler(PrinterQueue):
    """Prints receipts in order; `PrinterQueue` says what its callbacks are.

    Args:
        config: account and printer.
        journal: keeps the cloud's order numbers, so that a restart asks and does not print again.
        transport: see `FeieClient`.
        clock_us: Unix time.
        more: see `PrinterQueue`.
    """

    def __init__(
        self,
        config: FeieConfig,
        *,
        journal: PrintJournal,
        transport: httpx.AsyncBaseTransport | None,
        clock_us: Callable[[], int],
        columns: int,
        limit: int,
        on_begin: Begin,
        on_done: Callable[[PrintJob], None],
        **more: Any,
    ) -> None:
        super().__init__(columns=columns, limit=limit, on_begin=on_begin, on_done=on_done, **more)
        self._config = config
        self._journal = journal
        self._clock_us = clock_us
        self._transport = transport
        self._client: FeieClient | None = None
        self._state = "idle"
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def state(self) -> str:
        """What the spooler does now."""
        return self._state

    def check(self, receipt: Any) -> None:
        """Raises ValueError for a receipt that cannot be printed, while it can still be refused."""
        receipt_markup(receipt_content(receipt), 1, width_columns=self._columns)

    def _added(self) -> None:
        self._wanted.set()

    def start(self) -> None:
        """Start on the running event loop."""
        self._client = FeieClient(self._config, self._transport, self._clock_us)
        self._task = asyncio.create_task(self._run(), name="site-feie")

    async def stop(self) -> None:
        """Stop asking. What was ordered may still be printed; the journal knows its number."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            result = (await asyncio.gather(task, return_exceptions=True))[0]
            if self._client is not None:
                await self._client.aclose()
            if isinstance(result, Exception):
                raise result

    # -- the work -----------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        assert self._client is not None  # noqa: S101 - made by start
        while True:
            while not self._queue:
                self._state = "idle"
                self._wanted.clear()
                await self._wanted.wait()
            job = self._queue[0]
            try:
                printed = await self._one(self._client, job)
            except FeieRefused as error:
                await self._blocked(str(error))
            except FeieUnknown as error:
                await self._blocked(f"no answer from the cloud ({error})")
            except JournalError as error:
                await self._blocked(f"journal cannot be written ({error})")
            else:
                if printed:
                    self._queue.popleft()
                    self._works()
                    self._on_done(job)

    async def _blocked(self, problem: str) -> None:
        self._state = "waiting for the printer"
        self._trouble((problem,))
        await asyncio.sleep(self._config.retry_us / 1e6)

    async def _one(self, client: FeieClient, job: PrintJob) -> bool:
        """One step for the receipt in front: follow the copy that is out, or order the next one. True: it is on paper."""
        order_id = self._journal.order_of(job)
        if order_id:
            return await self._follow(client, job, order_id)
        self._state = "asking for status"
        state = await client.state()
        if state is not PrinterState.READY:
            await self._blocked(_PROBLEMS[state])
            return False
        if job.attempts:  # an earlier copy may wait in the cloud; whether it does cannot be asked
            await client.clear_queue()
        try:
            self.check(job.receipt)
        except ValueError as error:
            self._drop_unprintable(error)
            return False
        copies = self._on_begin(job)
        if copies is None:
            await self._blocked("journal cannot be written")
            return False
        before, job = job, _once_more(job)
        self._queue[0] = job
        self._state = "printing"
        content = receipt_markup(receipt_content(job.receipt), copies, width_columns=self._columns)
        try:
            order_id = await client.submit(content)
        except FeieRefused as error:
            if error.is_certain:
                self._journal.withdraw(job)
                self._queue[0] = before
            raise
        self._journal.note_order(job, order_id)
        return await self._follow(client, job, order_id)

    async def _follow(self, client: FeieClient, job: PrintJob, order_id: str) -> bool:
        """Wait for an order that is out. False: it is given up, and the next copy is marked."""
        self._state = "printing"
        given_up_us = self._clock_us() + self._config.expires_us + _EXPIRY_SLACK_US
        was_cut = self._journal.order_was_cut(job)
        polls = 0
        while True:
            wait_us = self._config.poll_us
            try:
                if await client.is_printed(order_id):
                    if was_cut:  # in two pieces, on two rolls: the customer gets one whole receipt
                        break
                    return True
                if self._clock_us() > given_up_us:  # and the cloud says that it never was
                    break
                if polls % _STATE_EVERY == 0:
                    state = await client.state()
                    if state is PrinterState.FAULT and not was_cut:
                        was_cut = True
                        self._journal.note_order(job, order_id, was_cut=True)
                    if state is PrinterState.READY:
                        self._works()
                    else:
                        self._trouble((_PROBLEMS[state],))
            except FeieUnknown as error:
                wait_us = self._config.retry_us
                self._trouble((f"no answer from the cloud ({error})",))
            except FeieRefused as error:
                if error.ret == Ret.NUMBER:
                    break  # the cloud does not know its own number
                wait_us = self._config.retry_us
                self._trouble((str(error),))
            polls += 1
            await asyncio.sleep(wait_us / 1e6)
        self._journal.note_order(job, "")
        return False


def _once_more(job: PrintJob) -> PrintJob:
    return PrintJob(job.job_id, job.command_id, job.receipt, job.attempts + 1)
