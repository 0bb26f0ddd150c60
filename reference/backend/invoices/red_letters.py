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
from sqlalchemy import Row, bindparam, select, update

from protocols.fapiao import split_gross
from reference.backend.core import Core
from reference.backend.invoices.money import money_of
from reference.backend.invoices.red_course import BLUE, RED_OPEN, USES, WHOLE, RedCourse
from reference.backend.invoices.schema import invoice_uses, red_letters
from reference.backend.store.database import Transaction

__all__ = ["RedLetters"]

_LIVE: Final = RED_OPEN | {"issued"}
_RETURN, _DISCOUNT = "02", "04"
# Causes of letters over all of an invoice that no refund asked for: the desk's word, or a wrong title.
_WISHES: Final = ("desk/", "title/")
_TITLE: Final = "title/"
_RETRIED: Final = "again/"

_OF_INVOICE = (
    select(red_letters)
    .where(red_letters.c.fapiao_apply_id == bindparam("of_invoice"))
    .order_by(red_letters.c.requested_us, red_letters.c.red_id)
)
_OF_ORDER = (
    select(invoice_uses)
    .where(invoice_uses.c.order_id == bindparam("of_order"), invoice_uses.c.held_from.is_not(None))
    .order_by(invoice_uses.c.fapiao_apply_id, invoice_uses.c.line)
)
_LETTER = select(red_letters).where(red_letters.c.red_id == bindparam("wanted"))
_AGAIN = (
    update(red_letters).where(red_letters.c.red_id == bindparam("wanted")).values(again=bindparam("what"))
)


class RedLetters(RedCourse):
    """Asks for red letters; `RedCourse` follows them to their end."""

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        core.refunds.asked.append(self._refunded)

    async def _refunded(self, tx: Transaction, order: Row[Any], refund: Row[Any]) -> None:
        """A refund was written. What was not delivered, or paid twice, never was in an invoice."""
        if refund.reason == "rest" or refund.reason.startswith("duplicate"):
            return
        await self.level(tx, order, cause=refund.out_refund_no)

    async def level(self, tx: Transaction, order: Row[Any], *, cause: str) -> list[str]:
        """Money of this (locked) order goes back: take back what is invoiced beyond what is kept, once for ``cause``.

        For an order that nobody wanted an invoice for this asks the store nothing.
        """
        if order.title is None or order.sale_id is None:
            return []
        uses = await tx.rows(_OF_ORDER, {"of_order": order.order_id})
        if not uses:
            return []
        sale = await self.core.sales.lock(tx, order.sale_id)
        beyond_fen = -await money_of(tx, sale, order)
        for apply_id in dict.fromkeys(use.fapiao_apply_id for use in uses):
            letters = list(await tx.rows(_OF_INVOICE, {"of_invoice": apply_id}))
            own = [use for use in uses if use.fapiao_apply_id == apply_id]
            beyond_fen += sum(use.amount_fen - _claimed(letters, use) for use in own)
        return await self.make(tx, order.order_id, beyond_fen, cause=cause) if beyond_fen > 0 else []

    async def make(self, tx: Transaction, order_id: str, amount_fen: int, *, cause: str) -> list[str]:
        """Take ``amount_fen`` of an order's invoices back, or all there is if that is less; once for ``cause``."""
        uses = await tx.rows(_OF_ORDER, {"of_order": order_id})
        found: list[str] = []
        for apply_id in dict.fromkeys(use.fapiao_apply_id for use in uses):
            row = await tx.first(BLUE, {"wanted": apply_id})
            assert row is not None  # noqa: S101 - its uses name it
            letters = list(await tx.rows(_OF_INVOICE, {"of_invoice": apply_id}))
            known = [letter for letter in letters if letter.cause == cause[:80] or cause in _causes(letter)]
            if known:
                found += [letter.red_id for letter in known]
                amount_fen -= sum(letter.amount_fen for letter in known if letter.line != WHOLE)
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
        """A red letter over a part of one line; over all of the invoice where the platform has nothing less.

        If all of the invoice is on its way back already, what is refunded is left out of the invoice that follows.
        """
        uses = await tx.rows(USES, {"wanted": row.fapiao_apply_id})
        whole = next(
            (letter for letter in letters if letter.line == WHOLE and letter.state in RED_OPEN), None
        )
        if whole is None and self.core.tax[row.platform].takes_parts:
            is_rest = take_fen == use.amount_fen - _claimed(letters, use)
            if take_fen == row.amount_fen:
                return await self._write(tx, row, uses, WHOLE, take_fen, cause, letters, is_rest=True)
            return await self._write(tx, row, [use], use.line, take_fen, cause, letters, is_rest=is_rest)
        if whole is None:
            keep = {str(one.line): one.amount_fen for one in uses}
            again: dict[str, Any] = {"keep": keep, "causes": [], "title": None}
            red_id = await self._write(tx, row, uses, WHOLE, row.amount_fen, cause, letters, is_rest=True)
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
        row = await tx.first(BLUE, {"wanted": apply_id})
        assert row is not None  # noqa: S101 - the caller read it
        letters = list(await tx.rows(_OF_INVOICE, {"of_invoice": apply_id}))
        for letter in letters:
            if letter.cause == cause:
                return str(letter.red_id)
        if any(letter.state in _LIVE for letter in letters):
            raise ValueError("a red letter for this invoice is on its way, or issued")
        uses = await tx.rows(USES, {"wanted": apply_id})
        red_id = await self._write(
            tx, row, uses, WHOLE, row.amount_fen, cause, letters, is_rest=True, reason=reason
        )
        if title is not None:
            keep = {str(use.line): use.amount_fen for use in uses}
            again = {"keep": keep, "causes": [], "title": title}
            await tx.execute(_AGAIN, {"wanted": red_id, "what": msgspec.json.encode(again).decode()})
            # What went back and is in this invoice still (its red letter was denied, say) is not in the new one.
            for order in await self._orders(tx, uses):
                await self.level(tx, order, cause=f"kept/{red_id}")
        return red_id

    async def ask_again(self, tx: Transaction, red_id: str) -> str:
        """Ask anew for what a letter that ended without success was to take back, once; gives the invoice's number.

        After a refund that is what is invoiced beyond what is kept by now, whatever became of other letters meanwhile.

        Raises:
            LookupError: there is no such letter.
            ValueError: it is issued, or there is nothing (any more) that could be taken back.
        """
        letter = await tx.first(_LETTER, {"wanted": red_id})
        if letter is None:
            raise LookupError(f"there is no red letter {red_id}")
        apply_id = str(letter.fapiao_apply_id)
        uses = await tx.rows(USES, {"wanted": apply_id})
        orders = await self._orders(
            tx, uses if letter.line == WHOLE else [use for use in uses if use.line == letter.line]
        )
        row = await tx.first(BLUE, {"wanted": apply_id})
        letter = await tx.first(_LETTER, {"wanted": red_id})
        assert letter is not None  # noqa: S101 - it was there before, and letters stay
        assert row is not None  # noqa: S101 - letters name invoices that are there
        if letter.state == "issued":
            raise ValueError("this red letter is issued")
        cause = f"{_RETRIED}{red_id}"
        causes = {
            cause
            for one in await tx.rows(_OF_INVOICE, {"of_invoice": apply_id})
            for cause in (one.cause, *_causes(one))
        }
        if letter.state in RED_OPEN or any(f"{known}/".startswith(f"{cause}/") for known in causes):
            return apply_id
        if row.state not in {"issued", "reversing"}:
            raise ValueError(f"an invoice that is {row.state} cannot be taken back")
        wish = await self._wish(tx, letter)
        if wish is None:
            found = [await self.level(tx, order, cause=f"{cause}/{order.order_id}") for order in orders]
            if not any(found):
                raise ValueError(
                    "nothing is invoiced beyond what is kept, or a red letter for it is on its way"
                )
            return apply_id
        title = msgspec.json.decode(letter.again)["title"] if letter.again is not None else None
        if title is None and wish.startswith(_TITLE):
            raise ValueError("the new title was deleted at the customer's wish")
        await self.whole(tx, apply_id, reason=letter.reason, cause=cause, title=title)
        return apply_id

    async def _wish(self, tx: Transaction, letter: Row[Any]) -> str | None:
        """The cause of a letter that somebody wished for; None if it follows from a refund."""
        cause = str(letter.cause)
        while cause.startswith(_RETRIED):
            before = await tx.first(_LETTER, {"wanted": cause.split("/")[1]})
            assert before is not None  # noqa: S101 - it was asked for again, and letters stay
            cause = str(before.cause)
        return cause if cause.startswith(_WISHES) else None

    async def _orders(self, tx: Transaction, uses: Sequence[Row[Any]]) -> list[Row[Any]]:
        """The orders of some lines, locked in one order whoever asks."""
        wanted = sorted({use.order_id for use in uses if use.order_id is not None})
        found = [await self.core.orders.lock(tx, order_id) for order_id in wanted]
        return [order for order in found if order is not None]

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
        if line == WHOLE:
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
        elif letter.line == WHOLE:
            keep = msgspec.json.decode(letter.again)["keep"] if letter.again is not None else {}
            total += use.amount_fen - int(keep.get(str(use.line), 0))
    return total
