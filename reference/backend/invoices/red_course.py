"""Red letters on their way: asked for, confirmed or not, issued; and what follows from that.

A confirmation form comes first (states 01 to 10, see `protocols.fapiao.red`); if the buyer has taken the invoice up, the buyer
has 72 hours for it. The letter itself takes 10 to 15 seconds on real middleware.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Row, bindparam, or_, select, update

from protocols.fapiao import RedFormState, split_gross
from reference.backend.core import Core
from reference.backend.gateways.port import GatewayRefusedError, InvoiceReport
from reference.backend.invoices.orders import LOAD, blue_order
from reference.backend.invoices.schema import invoice_uses, red_letters
from reference.backend.outbox import Task
from reference.backend.store.database import Transaction
from reference.backend.store.schema import invoices
from reference.backend.tax import PLATFORM_HOLDS, HeldError, RedOrder, RedPart, RedReport, WrongFormError

__all__ = ["BLUE", "RED_OPEN", "USES", "WHOLE", "RedCourse"]

RED_OPEN: Final = frozenset({"asked", "confirming", "issuing"})
"""States of a letter that is on its way."""

WHOLE: Final = -1
"""The line of a letter that takes the whole invoice back."""

_ONE = select(red_letters).where(red_letters.c.red_id == bindparam("wanted"))
_LOCK = _ONE.with_for_update()
BLUE: Final = select(invoices).where(invoices.c.fapiao_apply_id == bindparam("wanted")).with_for_update()
USES: Final = (
    select(invoice_uses)
    .where(invoice_uses.c.fapiao_apply_id == bindparam("wanted"))
    .order_by(invoice_uses.c.line)
)
_SET = (
    update(red_letters)
    .where(red_letters.c.red_id == bindparam("wanted"))
    .values(
        state=bindparam("new_state"),
        form_state=bindparam("form"),
        form_number=bindparam("form_no"),
        number=bindparam("given"),
        note=bindparam("why"),
        done_us=bindparam("done"),
    )
)
_TAKEN = (
    update(invoice_uses)
    .where(invoice_uses.c.fapiao_apply_id == bindparam("wanted"), invoice_uses.c.line == bindparam("number"))
    .values(red_fen=bindparam("fen"), held_from=bindparam("held"))
)
_BLUE_STATE = (
    update(invoices)
    .where(invoices.c.fapiao_apply_id == bindparam("wanted"))
    .values(state=bindparam("new_state"), red_fen=bindparam("fen"))
)
_OPEN_OF = (
    select(red_letters.c.red_id)
    .where(red_letters.c.fapiao_apply_id == bindparam("of_invoice"))
    .where(or_(*(red_letters.c.state == state for state in sorted(RED_OPEN))))
    .order_by(red_letters.c.red_id)
)
_FORM_STATES: Final = {
    RedFormState.NONE_NEEDED: "issuing",
    RedFormState.WAITS_FOR_BUYER: "confirming",
    RedFormState.WAITS_FOR_SELLER: "confirming",
    RedFormState.CONFIRMED: "issuing",
    RedFormState.DENIED_BY_BUYER: "denied",
    RedFormState.DENIED_BY_SELLER: "denied",
    RedFormState.EXPIRED: "expired",
    RedFormState.REVOKED: "revoked",
    RedFormState.REVOKED_AFTER_CONFIRMATION: "revoked",
    RedFormState.ABNORMAL: "void",
}
"""What each state of a confirmation form means for the letter. Those that are over are never sent again by themselves."""


class RedCourse:
    """Follows red letters to their end."""

    def __init__(self, core: Core) -> None:
        self.core = core
        core.outbox.handlers["invoice.red"] = self._red

    async def revoke(self, red_id: str) -> None:
        """Take a confirmation form back, as far as the platform allows. Raises the port's errors."""
        found = await self._load(red_id)
        if found is not None:
            _, row, red = found
            await self.core.tax[row.platform].revoke_red(red)
            await self.core.db.run(lambda tx: self.core.outbox.hurry(tx, f"invoice.red/{red_id}"))

    async def _load(self, red_id: str) -> tuple[Row[Any], Row[Any], RedOrder] | None:
        letters = await self.core.db.single(_ONE, {"wanted": red_id})
        if not letters or letters[0].state not in RED_OPEN:
            return None
        letter = letters[0]
        rows = await self.core.db.single(LOAD, {"wanted": letter.fapiao_apply_id})
        blue = blue_order(self.core.settings.tax, rows)
        if letter.line == WHOLE:
            parts = tuple(RedPart(row.line, row.part_ml, *split_gross(row.part_fen)) for row in rows)
        else:
            parts = (RedPart(letter.line, letter.volume_ml, letter.net_fen, letter.tax_fen),)
        is_whole = letter.line == WHOLE or (len(rows) == 1 and letter.amount_fen == rows[0].amount_fen)
        return letter, rows[0], RedOrder(red_id, blue, letter.reason, parts, is_whole)

    async def _red(self, task: Task) -> int | None:
        """Ask, then look, for as long as it takes: 15 seconds as a rule, 72 hours if the buyer has to agree."""
        found = await self._load(task.subject)
        if found is None:
            return None
        letter, row, red = found
        schedule = self.core.settings.tax.red_schedule_s
        again_us = self.core.clock_us() + schedule[min(task.attempt - 1, len(schedule) - 1)] * 1_000_000
        if row.state == "failed":
            await self.core.db.run(
                lambda tx: self._close(tx, red.red_id, "void", RedReport(), "the invoice was never issued")
            )
            return None
        if row.number is None or row.held is not None:
            return again_us  # not issued yet, or nothing can be asked for now
        if not self.core.tax_queue.enter():
            return self.core.clock_us() + 1_000_000 + self.core.ids.below(1_000_000)
        try:
            port = self.core.tax[row.platform]
            report = await port.query_red(red) if task.attempt > 1 else None
            if report is None or (letter.state != "issuing" and _may_issue(report)):
                report = await port.enter_red(red)
        except HeldError as error:
            if error.why in PLATFORM_HOLDS:
                await self.core.tax_queue.hold(row.platform, error.why, str(error))
            return again_us
        except WrongFormError as error:
            reason = str(error)
            await self.core.db.run(lambda tx: self._close(tx, red.red_id, "failed", RedReport(), reason))
            return None
        except GatewayRefusedError as error:
            if task.attempt == 1:
                await self.core.alarm_alone("red_letter_waits", red.red_id, str(error))
            raise
        finally:
            self.core.tax_queue.leave()
        return None if await self.core.db.run(lambda tx: self._apply(tx, red.red_id, report)) else again_us

    async def _apply(self, tx: Transaction, red_id: str, report: RedReport) -> bool:
        """Take what the platform says; True if the letter has come to its end."""
        letter = await tx.first(_LOCK, {"wanted": red_id})
        if letter is None or letter.state not in RED_OPEN:
            return True
        if report.number is not None:
            await self._done(tx, letter, report)
            return True
        state = "issuing"
        if report.form_state is not None:
            known = report.form_state in set(RedFormState)
            state = _FORM_STATES[RedFormState(report.form_state)] if known else letter.state
        if state not in RED_OPEN:
            await self._close(
                tx, red_id, state, report, f"the confirmation form ended as {report.form_state}"
            )
            return True
        if (state, report.form_state) != (letter.state, letter.form_state):
            await self._set(tx, letter, state, report, None)
            await self._blue_is(tx, letter, "reversing" if letter.line == WHOLE else None)
        return False

    async def _close(self, tx: Transaction, red_id: str, state: str, report: RedReport, why: str) -> None:
        """It ends without a red letter. The invoice stays valid; a person has to know."""
        letter = await tx.first(_LOCK, {"wanted": red_id})
        if letter is None or letter.state not in RED_OPEN:
            return
        await self._set(tx, letter, state, report, why, is_over=True)
        await self._blue_is(tx, letter, "issued" if letter.line == WHOLE else None)
        await self.core.invoice_desk.erase(tx, letter.fapiao_apply_id)
        # What made it necessary, such as a refund, goes on all the same; the invoice is over too much until it is asked again.
        again = f"POST /v1/admin/red-letters/{red_id}/retry asks again"
        told = f"{letter.fapiao_apply_id}: {letter.amount_fen} fen are not taken back: {state}, {why}"
        await self.core.alarm(tx, "red_letter_ended", red_id, f"{told[:400]}; {again}")

    async def _set(
        self,
        tx: Transaction,
        letter: Row[Any],
        state: str,
        report: RedReport,
        why: str | None,
        *,
        is_over: bool = False,
    ) -> None:
        values = {
            "wanted": letter.red_id,
            "new_state": state,
            "form": report.form_state or letter.form_state,
            "form_no": report.form_number or letter.form_number,
            "given": report.number,
            "why": why,
            "done": self.core.clock_us() if is_over else None,
        }
        await tx.execute(_SET, values)
        await self.core.invoice_desk.tell(tx, letter.fapiao_apply_id)

    async def _blue_is(self, tx: Transaction, letter: Row[Any], state: str | None) -> None:
        row = await tx.first(BLUE, {"wanted": letter.fapiao_apply_id})
        if state is not None and row is not None and row.state in {"issued", "reversing"}:
            await tx.execute(
                _BLUE_STATE, {"wanted": letter.fapiao_apply_id, "new_state": state, "fen": row.red_fen}
            )

    async def _done(self, tx: Transaction, letter: Row[Any], report: RedReport) -> None:
        """It is issued. What it took back is free; the new invoice that was to follow is asked for."""
        row = await tx.first(BLUE, {"wanted": letter.fapiao_apply_id})
        assert row is not None  # noqa: S101 - letters name invoices that are there
        await self._set(tx, letter, "issued", report, None, is_over=True)
        uses = await tx.rows(USES, {"wanted": letter.fapiao_apply_id})
        red_fen = row.red_fen + letter.amount_fen
        is_over = red_fen >= row.amount_fen
        for use in uses:
            if letter.line not in {WHOLE, use.line}:
                continue
            taken_fen = use.amount_fen if letter.line == WHOLE else use.red_fen + letter.amount_fen
            held = None if taken_fen >= use.amount_fen else use.held_from
            values = {"wanted": letter.fapiao_apply_id, "number": use.line, "fen": taken_fen, "held": held}
            await tx.execute(_TAKEN, values)
        state = "reversed" if is_over else "issued"
        await tx.execute(_BLUE_STATE, {"wanted": letter.fapiao_apply_id, "new_state": state, "fen": red_fen})
        if letter.again is not None:
            await self._follow_up(tx, row, uses, msgspec.json.decode(letter.again))
        await self.core.invoice_desk.erase(tx, row.fapiao_apply_id)

    async def _follow_up(
        self, tx: Transaction, row: Row[Any], uses: Sequence[Row[Any]], again: dict[str, Any]
    ) -> None:
        """A new invoice over what was not refunded, or for another buyer; the litres are those of the sale still."""
        kept = [
            (use.sale_id, use.order_id, use.from_fen, int(again["keep"].get(str(use.line), 0)), use.volume_ml)
            for use in uses
        ]
        kept = [use for use in kept if use[3] > 0]
        if kept:
            title = again["title"] or msgspec.json.decode(row.title)
            serial = self.core.invoices.new_serial()
            await self.core.invoices.create(tx, serial, row.station, title, kept, erase=bool(row.erase))

    async def noticed(self, report: InvoiceReport) -> None:
        """A pushed event says that an invoice was reversed; the platform is asked at once."""

        async def work(tx: Transaction) -> None:
            for letter in await tx.rows(_OPEN_OF, {"of_invoice": report.fapiao_apply_id[:40]}):
                await self.core.outbox.hurry(tx, f"invoice.red/{letter.red_id}")

        await self.core.db.run(work)


def _may_issue(report: RedReport) -> bool:
    """Whether the form has come to allow a red letter that is not there yet."""
    return report.number is None and report.form_state in {RedFormState.NONE_NEEDED, RedFormState.CONFIRMED}
