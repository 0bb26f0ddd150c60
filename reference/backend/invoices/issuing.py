"""Invoices on their way: handed in, looked after, tried again, ended.

Whatever a call's outcome, the platform is asked before anything is handed in again, and always by the same number.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Row, bindparam, func, select, update

from reference.backend.core import Core
from reference.backend.gateways.port import GatewayRefusedError, InvoiceReport, NoticeRefusedError
from reference.backend.invoices.orders import LOAD, blue_order
from reference.backend.invoices.queue import PROBE
from reference.backend.invoices.schema import (
    invoice_deliveries,
    invoice_requests,
    invoice_uses,
    red_letters,
)
from reference.backend.outbox import Task
from reference.backend.store.database import Transaction
from reference.backend.store.schema import invoices
from reference.backend.tax import BlueOrder, ExistsError, HeldError, TaxPort, WrongFormError, reason_waits

__all__ = ["Issuing", "try_id"]

_LOCK = select(invoices).where(invoices.c.fapiao_apply_id == bindparam("wanted")).with_for_update()
_ISSUED = (
    update(invoices)
    .where(invoices.c.fapiao_apply_id == bindparam("wanted"))
    .values(state="issued", number=bindparam("given"), issued_us=bindparam("now_us"), waits=None, reason=None)
)
_FAILED = (
    update(invoices)
    .where(invoices.c.fapiao_apply_id == bindparam("wanted"))
    .values(state="failed", reason=bindparam("why"), waits=None)
)
_LET_GO = (
    update(invoice_uses).where(invoice_uses.c.fapiao_apply_id == bindparam("wanted")).values(held_from=None)
)
_SENT = (
    update(invoices).where(invoices.c.fapiao_apply_id == bindparam("wanted")).values(sent=bindparam("tried"))
)
_TRY = (
    update(invoices)
    .where(invoices.c.fapiao_apply_id == bindparam("wanted"))
    .values(attempt=bindparam("tries"), fapiao_id=bindparam("named"), reason=bindparam("why"))
)
_END: Final = frozenset({"issued", "failed", "reversing", "reversed"})
_NAMING: Final = (invoices, invoice_uses, invoice_deliveries, red_letters)
_RENEWED_US: Final = 600_000_000
"""A new application after one whose tries are used up is not handed in before that."""

ENDED, AGAIN, WAITS, OPEN = "ended", "again", "waits", "open"


class Issuing:
    """Follows invoices to their end."""

    def __init__(self, core: Core) -> None:
        self.core = core
        core.outbox.handlers["invoice.issue"] = self._issue
        core.outbox.handlers["invoice.look"] = self._look

    def new_serial(self) -> str:
        """A number of our own: 28 letters and digits, so that every platform takes it."""
        return f"FC{self.core.ids.text(26).upper()}"

    async def _issue(self, task: Task) -> int | None:
        """Hand in, then look until the end is known; after the first run, always look before handing in."""
        rows = await self.core.db.single(LOAD, {"wanted": task.subject})
        row = rows[0] if rows else None
        if row is None or row.state in _END:
            return None
        queue = self.core.tax_queue
        if row.held is not None and row.waits != PROBE:
            return await queue.park(row, row.held)
        try:
            order = blue_order(self.core.settings.tax, rows)
        except ValueError as error:
            await self._wrong(row, str(error))
            return None
        if not queue.enter():
            return self.core.clock_us() + 1_000_000 + self.core.ids.below(1_000_000)
        try:
            return await self._follow(task, row, order)
        except HeldError as error:
            return await queue.wait(row, task, error)
        except WrongFormError as error:
            await self._wrong(row, str(error))
            return None
        finally:
            queue.leave()

    async def _wrong(self, row: Row[Any], reason: str) -> None:
        """It can never be issued as it is."""
        await self.core.db.run(lambda tx: self._fail(tx, row.fapiao_apply_id, reason))

    async def _follow(self, task: Task, row: Row[Any], order: BlueOrder) -> int | None:
        port = self.core.tax[row.platform]
        report = await port.query(order) if task.attempt > 1 else None
        if report is None:
            report = await self._hand_in(task, port, order)
        elif report.state == "ISSUE_FAILED" and _is_unsent(row, report):
            report = await port.retry(order)
            values = {"wanted": row.fapiao_apply_id, "tried": row.attempt}
            await self.core.db.run(lambda tx: tx.execute(_SENT, values))
        outcome = OPEN if report is None else await self.apply(report)
        if row.waits == PROBE:
            await self.core.tax_queue.lift(row.platform)
        if outcome == ENDED:
            return None
        if outcome == WAITS:
            return self.core.tax_queue.again_us(task.attempt)
        if outcome == OPEN and (lost := await self._lost(port, row, report)) is not None:
            return await self.core.tax_queue.park(row, lost)
        schedule = self.core.settings.invoice_schedule_s
        pause_s = schedule[min(task.attempt - 1, len(schedule) - 1)]
        return self.core.clock_us() + round(pause_s * 1_000_000)

    async def _hand_in(self, task: Task, port: TaxPort, order: BlueOrder) -> InvoiceReport | None:
        try:
            return await port.issue(order)
        except ExistsError:
            return await port.query(order)
        except (HeldError, WrongFormError):
            raise
        except GatewayRefusedError as error:
            if task.attempt == 1:
                await self.core.alarm_alone("invoice_waits", order.serial, str(error))
            raise

    async def _lost(self, port: TaxPort, row: Row[Any], report: InvoiceReport | None) -> str | None:
        """``login`` or ``face`` if that is why an invoice takes long; then nothing more is handed in to its platform."""
        late_us = row.requested_us + self.core.settings.tax.session_after_s * 1_000_000
        if report is None or self.core.clock_us() < late_us:
            return None
        session = await port.session()
        if session is None or session == "ok":
            return None
        await self.core.tax_queue.hold(port.name, session, "the issuer's session at the tax bureau")
        return session

    # Hearing

    async def apply(self, report: InvoiceReport) -> str:
        """Take what the platform says: ``ended``, ``again`` (a new try is due), ``waits`` or ``open``.

        Raises:
            NoticeRefusedError: no application of ours has this number.
        """
        return await self.core.db.run(lambda tx: self._apply(tx, report))

    async def _apply(self, tx: Transaction, report: InvoiceReport) -> str:
        row = await tx.first(_LOCK, {"wanted": report.fapiao_apply_id[:40]})
        if row is None:
            raise NoticeRefusedError("no application of ours has this fapiao_apply_id")
        if row.state in _END:
            return ENDED
        if report.state == "ISSUED" and report.number:
            issued = {
                "wanted": row.fapiao_apply_id,
                "given": report.number[:20],
                "now_us": self.core.clock_us(),
            }
            await tx.execute(_ISSUED, issued)
            if row.erase:
                await self.core.invoice_desk.erase(tx, row.fapiao_apply_id)
            await self._tell(tx, row)
            return ENDED
        if report.state == "ISSUE_FAILED" and not _is_unsent(row, report):
            return await self._failed_try(tx, row, report)
        return OPEN

    async def _failed_try(self, tx: Transaction, row: Row[Any], report: InvoiceReport) -> str:
        """More stock and more credit will come, so an invoice waits for them; anything else ends after some tries."""
        told = report.reason or "the platform gives no reason"
        waits = reason_waits(report.reason)
        tries = self.core.tax[row.platform].tries
        if waits is None and row.attempt >= self.core.settings.invoice_tries:
            await self._fail(tx, row.fapiao_apply_id, told)
            return ENDED
        if waits is not None and tries is not None and row.attempt >= tries:
            await self._renew(tx, row, waits, told)
            return ENDED
        attempt = row.attempt + 1
        named = try_id(row.fapiao_apply_id, attempt)
        await tx.execute(
            _TRY, {"wanted": row.fapiao_apply_id, "tries": attempt, "named": named, "why": told[:500]}
        )
        if waits is not None:
            await self.core.tax_queue.wait_alone(tx, row, waits, told)
            return WAITS
        await self.core.outbox.hurry(tx, f"invoice.issue/{row.fapiao_apply_id}")
        return AGAIN

    async def _renew(self, tx: Transaction, row: Row[Any], waits: str, told: str) -> None:
        """All tries of this application have failed and it can have no more: the invoice waits on under a new number."""
        new_id, old_id = self.new_serial(), row.fapiao_apply_id
        for table in _NAMING:
            await tx.execute(
                update(table).where(table.c.fapiao_apply_id == old_id).values(fapiao_apply_id=new_id)
            )
        await tx.execute(
            update(invoices)
            .where(invoices.c.fapiao_apply_id == new_id)
            .values(
                fapiao_id=try_id(new_id, 1),
                attempt=1,
                sent=1,
                waits=waits,
                reason=f"{told[:400]}; no more tries as {old_id}",
            )
        )
        asked = invoice_requests.c.content
        await tx.execute(
            update(invoice_requests)
            .where(asked.contains(old_id))
            .values(content=func.replace(asked, old_id, new_id))
        )
        await self.core.outbox.put(tx, "invoice.issue", new_id, delay_us=_RENEWED_US)

    async def _fail(self, tx: Transaction, apply_id: str, reason: str) -> None:
        row = await tx.first(_LOCK, {"wanted": apply_id})
        if row is None or row.state in _END:
            return
        await tx.execute(_FAILED, {"wanted": apply_id, "why": reason[:500]})
        await tx.execute(_LET_GO, {"wanted": apply_id})
        await self.core.alarm(tx, "invoice_failed", apply_id, reason)
        if row.erase:
            await self.core.invoice_desk.erase(tx, apply_id)
        await self._tell(tx, row)

    async def _tell(self, tx: Transaction, row: Row[Any]) -> None:
        if row.order_id is not None:
            tx.notify(f"order/{row.order_id}")
            return
        for order_id in await self.core.invoice_desk.orders_of(tx, row.fapiao_apply_id):
            tx.notify(f"order/{order_id}")

    async def noticed(self, notice_id: str, report: InvoiceReport) -> None:
        """A pushed event. It says that, not which: the platform is asked for the number at once."""

        async def work(tx: Transaction) -> None:
            if await self._apply(tx, report) != ENDED:
                key = f"invoice.look/{notice_id[:64]}"
                await self.core.outbox.put(tx, "invoice.look", report.fapiao_apply_id[:40], key=key)

        await self.core.db.run(work)

    async def hinted(self, apply_id: str) -> None:
        """Somebody says that something happened to an invoice. That proves nothing: the platform is asked, soon."""
        await self.core.db.run(lambda tx: self.core.outbox.hurry(tx, f"invoice.issue/{apply_id[:40]}"))

    async def _look(self, task: Task) -> int | None:
        rows = await self.core.db.single(LOAD, {"wanted": task.subject})
        if rows and rows[0].state not in _END:
            report = await self.core.tax[rows[0].platform].query(blue_order(self.core.settings.tax, rows))
            if report is not None:
                await self.apply(report)
        return None


def _is_unsent(row: Row[Any], report: InvoiceReport) -> bool:
    """Whether the failure that a platform tells is of an earlier try, and the present one is still to be handed in."""
    if report.fapiao_id is not None:
        return bool(report.fapiao_id != row.fapiao_id)
    return bool(row.sent < row.attempt)


def try_id(apply_id: str, attempt: int) -> str:
    """At most 32 characters, like the application's own number."""
    return f"{apply_id[-31:]}{attempt}"
