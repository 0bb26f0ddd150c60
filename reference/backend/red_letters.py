"""Red letters: how an issued invoice is taken back, whole or in part.

A fully digital invoice cannot be cancelled. A confirmation form comes first (states 01 to 10, see
`protocols.fapiao.red`); if the buyer has taken the invoice up, the buyer has 72 hours for it. The letter itself takes 10 to
15 seconds on real middleware, so nobody waits for it: it is written here, followed in the background, and its state is
there to look at. Where a platform takes back whole invoices only, a new one over the rest follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Row, bindparam, or_, select, update

from protocols.fapiao import RedFormState, split_gross
from reference.backend.core import Core
from reference.backend.database import Transaction
from reference.backend.gateway import GatewayRefusedError, InvoiceReport
from reference.backend.invoice_orders import LOAD, blue_order
from reference.backend.invoice_schema import invoice_uses, red_letters
from reference.backend.outbox import Task
from reference.backend.schema import invoices
from reference.backend.tax import HeldError, RedOrder, RedPart, RedReport, WrongFormError

__all__ = ["RED_OPEN", "RedLetters"]

RED_OPEN: Final = frozenset({"asked", "confirming", "issuing"})
_LIVE: Final = RED_OPEN | {"issued"}
_WHOLE: Final = -1
_RETURN, _DISCOUNT = "02", "04"

_ONE = select(red_letters).where(red_letters.c.red_id == bindparam("wanted"))
_LOCK = _ONE.with_for_update()
_OF_INVOICE = (
    select(red_letters)
    .where(red_letters.c.fapiao_apply_id == bindparam("of_invoice"))
    .order_by(red_letters.c.requested_us, red_letters.c.red_id)
)
_BLUE = select(invoices).where(invoices.c.fapiao_apply_id == bindparam("wanted")).with_for_update()
_USES = (
    select(invoice_uses)
    .where(invoice_uses.c.fapiao_apply_id == bindparam("wanted"))
    .order_by(invoice_uses.c.line)
)
_OF_ORDER = (
    select(invoice_uses)
    .where(invoice_uses.c.order_id == bindparam("of_order"), invoice_uses.c.held_from.is_not(None))
    .order_by(invoice_uses.c.fapiao_apply_id, invoice_uses.c.line)
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
_AGAIN = (
    update(red_letters).where(red_letters.c.red_id == bindparam("wanted")).values(again=bindparam("what"))
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


class RedLetters:
    """Asks for red letters and follows them to their end."""

    def __init__(self, core: Core) -> None:
        self.core = core
        core.outbox.handlers["invoice.red"] = self._red
        core.refunds.asked.append(self._refunded)

    # Asking

    async def _refunded(self, tx: Transaction, order: Row[Any], refund: Row[Any]) -> None:
        """A refund was written: what it gives back of invoiced fuel must not stay invoiced.

        What was not delivered, or paid twice, never was in an invoice.
        """
        if order.title is None or refund.reason == "rest" or refund.reason.startswith("duplicate"):
            return
        await self.make(tx, order.order_id, refund.amount_fen, cause=refund.out_refund_no)

    async def make(self, tx: Transaction, order_id: str, amount_fen: int, *, cause: str) -> list[str]:
        """Take ``amount_fen`` of an order's invoices back, or all there is if that is less; once for ``cause``."""
        uses = await tx.rows(_OF_ORDER, {"of_order": order_id})
        found: list[str] = []
        for apply_id in dict.fromkeys(use.fapiao_apply_id for use in uses):
            row = await tx.first(_BLUE, {"wanted": apply_id})
            assert row is not None  # noqa: S101 - its uses name it
            letters = list(await tx.rows(_OF_INVOICE, {"of_invoice": apply_id}))
            known = [letter for letter in letters if letter.cause == cause[:80] or cause in _causes(letter)]
            if known:
                found += [letter.red_id for letter in known]
                amount_fen -= sum(letter.amount_fen for letter in known if letter.line != _WHOLE)
                continue
            lines = [use for use in uses if use.fapiao_apply_id == apply_id]
            for use in lines:
                if amount_fen <= 0:
                    break
                left_fen = use.amount_fen - _claimed(letters, use)
                take_fen = min(amount_fen, left_fen)
                if take_fen <= 0:
                    continue
                amount_fen -= take_fen
                found.append(await self._take(tx, row, use, take_fen, cause[:80], letters))
                letters = list(await tx.rows(_OF_INVOICE, {"of_invoice": apply_id}))
        return list(dict.fromkeys(found))

    async def _take(
        self,
        tx: Transaction,
        row: Row[Any],
        use: Row[Any],
        take_fen: int,
        cause: str,
        letters: Sequence[Row[Any]],
    ) -> str:
        """A red letter over a part of one line; over all of the invoice where the platform has nothing less."""
        uses = await tx.rows(_USES, {"wanted": row.fapiao_apply_id})
        if self.core.tax[row.platform].takes_parts:
            is_rest = take_fen == use.amount_fen - _claimed(letters, use)
            if take_fen == row.amount_fen:
                return await self._write(tx, row, uses, _WHOLE, take_fen, cause, letters, is_rest=True)
            return await self._write(tx, row, [use], use.line, take_fen, cause, letters, is_rest=is_rest)
        whole = next((letter for letter in letters if letter.line == _WHOLE and letter.state in _LIVE), None)
        if whole is None:
            keep = {str(one.line): one.amount_fen for one in uses}
            again: dict[str, Any] = {"keep": keep, "causes": [], "title": None}
            red_id = await self._write(tx, row, uses, _WHOLE, row.amount_fen, cause, letters, is_rest=True)
        else:
            again, red_id = msgspec.json.decode(whole.again), whole.red_id
            again["causes"].append(cause)
        again["keep"][str(use.line)] -= take_fen
        await tx.execute(_AGAIN, {"wanted": red_id, "what": msgspec.json.encode(again).decode()})
        return red_id

    async def whole(
        self,
        tx: Transaction,
        apply_id: str,
        *,
        reason: str,
        cause: str,
        title: dict[str, Any] | None = None,
    ) -> str:
        """Take an invoice back altogether, once for ``cause``; with a title, another one for that follows. Gives the letter.

        Raises:
            ValueError: there is a red letter for a part of it, or another for all of it.
        """
        row = await tx.first(_BLUE, {"wanted": apply_id})
        assert row is not None  # noqa: S101 - the caller read it
        letters = list(await tx.rows(_OF_INVOICE, {"of_invoice": apply_id}))
        for letter in letters:
            if letter.cause == cause:
                return str(letter.red_id)
        if any(letter.state in _LIVE for letter in letters):
            raise ValueError("a red letter for this invoice is on its way, or issued")
        uses = await tx.rows(_USES, {"wanted": apply_id})
        red_id = await self._write(
            tx, row, uses, _WHOLE, row.amount_fen, cause, letters, is_rest=True, reason=reason
        )
        if title is not None:
            keep = {str(use.line): use.amount_fen for use in uses}
            again = {"keep": keep, "causes": [], "title": title}
            await tx.execute(_AGAIN, {"wanted": red_id, "what": msgspec.json.encode(again).decode()})
        return red_id

    async def _write(
        self,
        tx: Transaction,
        row: Row[Any],
        uses: Sequence[Row[Any]],
        line: int,
        amount_fen: int,
        cause: str,
        letters: Sequence[Row[Any]],
        *,
        is_rest: bool,
        reason: str = "",
    ) -> str:
        """Write a letter and its task. What takes a line back to nothing takes its litres, too."""
        blue_net_fen = sum(split_gross(use.amount_fen)[0] for use in uses)
        if line == _WHOLE:
            net_fen, before_fen = blue_net_fen, 0
        else:
            before = [letter for letter in letters if letter.line == line and letter.state in _LIVE]
            before_fen = sum(letter.amount_fen for letter in before)
            so_far_fen = split_gross(before_fen + amount_fen)[0] if not is_rest else blue_net_fen
            # Net and tax of the parts add up to those of the line, and neither is ever below nothing.
            net_fen = min(max(1, so_far_fen - sum(letter.net_fen for letter in before)), amount_fen)
        is_all = is_rest and before_fen == 0
        red_id = f"R{self.core.ids.text(19).upper()}"
        await tx.insert(
            red_letters,
            {
                "red_id": red_id,
                "fapiao_apply_id": row.fapiao_apply_id,
                "line": line,
                "cause": cause,
                "amount_fen": amount_fen,
                "net_fen": net_fen,
                "tax_fen": amount_fen - net_fen,
                "volume_ml": sum(use.volume_ml for use in uses) if is_rest else 0,
                "reason": reason or (_RETURN if is_all else _DISCOUNT),
                "state": "asked",
                "requested_us": self.core.clock_us(),
            },
        )
        await self.core.outbox.put(tx, "invoice.red", red_id)
        await self.core.invoice_desk.tell(tx, row.fapiao_apply_id)
        return red_id

    async def revoke(self, red_id: str) -> None:
        """Take a confirmation form back, as far as the platform allows. Raises the port's errors."""
        found = await self._load(red_id)
        if found is not None:
            _, row, red = found
            await self.core.tax[row.platform].revoke_red(red)
            await self.core.db.run(lambda tx: self.core.outbox.hurry(tx, f"invoice.red/{red_id}"))

    # Following

    async def _load(self, red_id: str) -> tuple[Row[Any], Row[Any], RedOrder] | None:
        letters = await self.core.db.single(_ONE, {"wanted": red_id})
        if not letters or letters[0].state not in RED_OPEN:
            return None
        letter = letters[0]
        rows = await self.core.db.single(LOAD, {"wanted": letter.fapiao_apply_id})
        blue = blue_order(self.core.settings.tax, rows)
        if letter.line == _WHOLE:
            parts = tuple(RedPart(row.line, row.part_ml, *split_gross(row.part_fen)) for row in rows)
        else:
            parts = (RedPart(letter.line, letter.volume_ml, letter.net_fen, letter.tax_fen),)
        is_whole = letter.line == _WHOLE or (len(rows) == 1 and letter.amount_fen == rows[0].amount_fen)
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
            await self._blue_is(tx, letter, "reversing" if letter.line == _WHOLE else None)
        return False

    async def _close(self, tx: Transaction, red_id: str, state: str, report: RedReport, why: str) -> None:
        """It ends without a red letter. The invoice stays valid; a person has to know."""
        letter = await tx.first(_LOCK, {"wanted": red_id})
        if letter is None or letter.state not in RED_OPEN:
            return
        await self._set(tx, letter, state, report, why, is_over=True)
        await self._blue_is(tx, letter, "issued" if letter.line == _WHOLE else None)
        await self.core.invoice_desk.erase(tx, letter.fapiao_apply_id)
        await self.core.alarm(
            tx, "red_letter_ended", red_id, f"{letter.fapiao_apply_id}: {state}, {why}"[:500]
        )

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
        row = await tx.first(_BLUE, {"wanted": letter.fapiao_apply_id})
        if state is not None and row is not None and row.state in {"issued", "reversing"}:
            await tx.execute(
                _BLUE_STATE, {"wanted": letter.fapiao_apply_id, "new_state": state, "fen": row.red_fen}
            )

    async def _done(self, tx: Transaction, letter: Row[Any], report: RedReport) -> None:
        """It is issued. What it took back is free; the new invoice that was to follow is asked for."""
        row = await tx.first(_BLUE, {"wanted": letter.fapiao_apply_id})
        assert row is not None  # noqa: S101 - letters name invoices that are there
        await self._set(tx, letter, "issued", report, None, is_over=True)
        uses = await tx.rows(_USES, {"wanted": letter.fapiao_apply_id})
        red_fen = row.red_fen + letter.amount_fen
        is_over = red_fen >= row.amount_fen
        for use in uses:
            if letter.line not in {_WHOLE, use.line}:
                continue
            taken_fen = use.amount_fen if letter.line == _WHOLE else use.red_fen + letter.amount_fen
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


def _causes(letter: Row[Any]) -> list[str]:
    return list(msgspec.json.decode(letter.again)["causes"]) if letter.again is not None else []


def _claimed(letters: Sequence[Row[Any]], use: Row[Any]) -> int:
    """Of a line, what red letters have taken back or are about to."""
    total = 0
    for letter in letters:
        if letter.state not in _LIVE:
            continue
        if letter.line == use.line:
            total += letter.amount_fen
        elif letter.line == _WHOLE:
            keep = msgspec.json.decode(letter.again)["keep"] if letter.again is not None else {}
            total += use.amount_fen - int(keep.get(str(use.line), 0))
    return total
