"""What customers and operators do about invoices that are there: look, correct, take back, have their data deleted."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec
from sqlalchemy import Row, bindparam, select, update

from protocols.fapiao import split_gross
from reference.backend.core import Core
from reference.backend.errors import ApiError
from reference.backend.gateways.port import GatewayRefusedError
from reference.backend.invoices.models import InvoiceCorrection, InvoiceReversal
from reference.backend.invoices.red_course import RED_OPEN
from reference.backend.invoices.schema import invoice_deliveries, invoice_uses, red_letters
from reference.backend.store.database import Transaction
from reference.backend.store.schema import invoices

__all__ = ["InvoiceDesk"]

_OF_ORDER = (
    select(invoices)
    .join(invoice_uses, invoice_uses.c.fapiao_apply_id == invoices.c.fapiao_apply_id)
    .where(invoice_uses.c.order_id == bindparam("of_order"))
    .order_by(invoices.c.requested_us, invoices.c.fapiao_apply_id)
)
_ONE = select(invoices).where(invoices.c.fapiao_apply_id == bindparam("wanted"))
_LOCK = _ONE.with_for_update()
_USES = (
    select(invoice_uses)
    .where(invoice_uses.c.fapiao_apply_id == bindparam("wanted"))
    .order_by(invoice_uses.c.line)
)
_LETTERS = (
    select(red_letters)
    .where(red_letters.c.fapiao_apply_id == bindparam("wanted"))
    .order_by(red_letters.c.requested_us, red_letters.c.red_id)
)
_LETTER = select(red_letters.c.red_id).where(red_letters.c.red_id == bindparam("wanted"))
_DELIVERIES = (
    select(invoice_deliveries)
    .where(invoice_deliveries.c.fapiao_apply_id == bindparam("wanted"))
    .order_by(invoice_deliveries.c.created_us, invoice_deliveries.c.delivery_id)
)
_ERASE_LATER = update(invoices).where(invoices.c.fapiao_apply_id == bindparam("wanted")).values(erase=1)
_ERASE = (
    update(invoices).where(invoices.c.fapiao_apply_id == bindparam("wanted")).values(title="{}", erase=None)
)
_FORGET_LETTERS = (
    update(red_letters).where(red_letters.c.fapiao_apply_id == bindparam("wanted")).values(again=None)
)
_FORGET_DELIVERIES = (
    update(invoice_deliveries)
    .where(invoice_deliveries.c.fapiao_apply_id == bindparam("wanted"))
    .values(address=None)
)
_GIVE_UP_DELIVERIES = (
    update(invoice_deliveries)
    .where(
        invoice_deliveries.c.fapiao_apply_id == bindparam("wanted"), invoice_deliveries.c.state == "waiting"
    )
    .values(state="failed", note="deleted at the customer's wish")
)
_MASKED_MAIL: Final = 1
_MASKED_PHONE: Final = 3


class InvoiceDesk:
    """Serves whoever asks about an invoice."""

    def __init__(self, core: Core) -> None:
        self.core = core

    # Looking

    async def view(self, openid: str, order_id: str) -> list[dict[str, Any]]:
        """The invoices that an order of this phone is in, oldest first. Raises `ApiError` 404."""
        await self.core.orders.view(order_id, openid)

        async def work(tx: Transaction) -> list[dict[str, Any]]:
            rows = {row.fapiao_apply_id: row for row in await tx.rows(_OF_ORDER, {"of_order": order_id})}
            return [await self.shown(tx, row) for row in rows.values()]

        return await self.core.db.run(work)

    async def shown(self, tx: Transaction, row: Row[Any]) -> dict[str, Any]:
        """An invoice as the API shows it."""
        wanted = {"wanted": row.fapiao_apply_id}
        uses = await tx.rows(_USES, wanted)
        net_fen = sum(split_gross(use.amount_fen)[0] for use in uses)
        names = ("sale_id", "order_id", "from_fen", "amount_fen", "volume_ml", "red_fen")
        letter_names = (
            "red_id",
            "state",
            "form_state",
            "amount_fen",
            "reason",
            "number",
            "requested_us",
            "done_us",
        )
        return {
            "fapiao_apply_id": row.fapiao_apply_id,
            "platform": row.platform,
            "state": row.state,
            "waits": row.waits,
            "number": row.number,
            "amount_fen": row.amount_fen,
            "net_fen": net_fen,
            "tax_fen": row.amount_fen - net_fen,
            "volume_ml": row.volume_ml,
            "red_fen": row.red_fen,
            "requested_us": row.requested_us,
            "issued_us": row.issued_us,
            "lines": [{name: getattr(use, name) for name in names} for use in uses],
            "red_letters": [
                {name: getattr(letter, name) for name in letter_names}
                for letter in await tx.rows(_LETTERS, wanted)
            ],
            "deliveries": [
                {
                    "delivery_id": one.delivery_id,
                    "channel": one.channel,
                    "address": _masked(one.address),
                    "state": one.state,
                    "tries": one.tries,
                }
                for one in await tx.rows(_DELIVERIES, wanted)
            ],
        }

    async def orders_of(self, tx: Transaction, apply_id: str) -> list[str]:
        """The orders that an invoice is about."""
        found = [use.order_id for use in await tx.rows(_USES, {"wanted": apply_id})]
        return list(dict.fromkeys(order_id for order_id in found if order_id is not None))

    async def tell(self, tx: Transaction, apply_id: str) -> None:
        """Wake the streams of its orders."""
        for order_id in await self.orders_of(tx, apply_id):
            tx.notify(f"order/{order_id}")

    # Taking back

    async def correct(self, openid: str, order_id: str, body: InvoiceCorrection) -> list[dict[str, Any]]:
        """The title was wrong: a red letter for the whole invoice, and a new one for this title when that is issued.

        Raises:
            ApiError: 404; 409 ``not_issued`` without an issued invoice, ``red_letter`` if it is being taken back already.
        """

        async def work(tx: Transaction) -> None:
            await self.core.orders.lock_own(tx, order_id, openid)
            rows = await tx.rows(_OF_ORDER, {"of_order": order_id})
            row = next((row for row in reversed(rows) if row.state in {"issued", "reversing"}), None)
            if row is None:
                raise ApiError(409, "not_issued", "there is no issued invoice to correct")
            title = body.title.model_dump()
            if msgspec.json.decode(row.title) == title:
                raise ApiError(409, "same_title", "the invoice has this title", "title")
            cause = f"title/{body.title.title_type}/{body.title.taxpayer_id or ''}/{body.title.name}"
            await self._whole(tx, row.fapiao_apply_id, "01", _digest(cause), title)

        await self.core.db.run(work)
        return await self.view(openid, order_id)

    async def reverse(self, apply_id: str, body: InvoiceReversal) -> dict[str, Any]:
        """An operator takes a whole invoice back; nothing follows it.

        Raises:
            ApiError: 404; 409 as in `correct`.
        """

        async def work(tx: Transaction) -> dict[str, Any]:
            row = await tx.first(_LOCK, {"wanted": apply_id})
            if row is None:
                raise ApiError(404, "unknown_invoice", f"there is no invoice {apply_id}", "fapiao_apply_id")
            if row.state not in {"issued", "reversing", "reversed"}:
                raise ApiError(409, "not_issued", f"an invoice that is {row.state} cannot be taken back")
            await self._whole(tx, apply_id, body.reason, f"desk/{body.client_token}"[:80], None)
            return await self.shown(tx, row)

        return await self.core.db.run(work)

    async def _whole(
        self, tx: Transaction, apply_id: str, reason: str, cause: str, title: dict[str, Any] | None
    ) -> None:
        try:
            await self.core.red_letters.whole(tx, apply_id, reason=reason, cause=cause, title=title)
        except ValueError as error:
            raise ApiError(409, "red_letter", str(error)) from error

    async def ask_again(self, red_id: str) -> dict[str, Any]:
        """An operator asks again for a red letter that was denied, expired, revoked or refused, once; gives the invoice.

        Raises:
            ApiError: 404; 409 ``red_letter`` if it is issued, or there is nothing to take back (any more).
        """

        async def work(tx: Transaction) -> dict[str, Any]:
            try:
                apply_id = await self.core.red_letters.ask_again(tx, red_id)
            except LookupError as error:
                raise ApiError(404, "unknown_red_letter", str(error), "red_id") from error
            except ValueError as error:
                raise ApiError(409, "red_letter", str(error)) from error
            row = await tx.first(_ONE, {"wanted": apply_id})
            assert row is not None  # noqa: S101 - it was read before
            return await self.shown(tx, row)

        return await self.core.db.run(work)

    async def revoke(self, red_id: str) -> None:
        """An operator takes a red letter's confirmation form back.

        Raises:
            ApiError: 404; 502 if the platform does not allow it (any more).
        """
        if await self.core.db.run(lambda tx: tx.first(_LETTER, {"wanted": red_id})) is None:
            raise ApiError(404, "unknown_red_letter", f"there is no red letter {red_id}", "red_id")
        try:
            await self.core.red_letters.revoke(red_id)
        except GatewayRefusedError as error:
            raise ApiError(502, "platform_refused", f"the tax platform refused: {error}") from error

    # Deleting

    async def forget(self, openid: str, order_id: str) -> None:
        """Delete the title and addresses of an order's invoices; what was issued stays as the law keeps it: number and sums.

        Before payment this withdraws the wish. While an invoice or a red letter is on its way the platform needs the title
        once more: then it is deleted the moment that is over (Personal Information Protection Law, articles 19 and 47).

        Raises:
            ApiError: 404.
        """

        async def work(tx: Transaction) -> None:
            order = await self.core.orders.lock_own(tx, order_id, openid)
            rows = await tx.rows(_OF_ORDER, {"of_order": order_id})
            for apply_id in dict.fromkeys(row.fapiao_apply_id for row in rows):
                await self._forget(tx, apply_id)
            if order.title is not None:
                await self.core.orders.move(tx, order, order.state, title="{}" if rows else None)

        await self.core.db.run(work)

    async def forget_one(self, apply_id: str) -> None:
        """The same for one invoice, at the desk: of a customer who paid there and has no phone with us. Raises `ApiError` 404."""

        async def work(tx: Transaction) -> None:
            if await tx.first(_LOCK, {"wanted": apply_id}) is None:
                raise ApiError(404, "unknown_invoice", f"there is no invoice {apply_id}", "fapiao_apply_id")
            await self._forget(tx, apply_id)

        await self.core.db.run(work)

    async def _forget(self, tx: Transaction, apply_id: str) -> None:
        await tx.first(_LOCK, {"wanted": apply_id})
        await tx.execute(_ERASE_LATER, {"wanted": apply_id})
        await tx.execute(_FORGET_DELIVERIES, {"wanted": apply_id})
        await tx.execute(_GIVE_UP_DELIVERIES, {"wanted": apply_id})
        await self.erase(tx, apply_id)

    async def erase(self, tx: Transaction, apply_id: str) -> None:
        """Delete the title now, if that was asked for and no platform needs it any more."""
        row = await tx.first(_ONE, {"wanted": apply_id})
        if row is None or not row.erase or row.state in {"issuing", "reversing"}:
            return
        letters = await tx.rows(_LETTERS, {"wanted": apply_id})
        if any(letter.state in RED_OPEN for letter in letters):
            return
        await tx.execute(_ERASE, {"wanted": apply_id})
        await tx.execute(_FORGET_LETTERS, {"wanted": apply_id})
        await tx.execute(_FORGET_DELIVERIES, {"wanted": apply_id})


def _digest(text: str) -> str:
    """A cause that shows nothing of the title."""
    return f"title/{hashlib.sha256(text.encode()).hexdigest()[:40]}"


def _masked(address: str | None) -> str | None:
    if address is None:
        return None
    if "@" in address:
        name, _, host = address.partition("@")
        return f"{name[:_MASKED_MAIL]}***@{host}"
    return f"{address[:_MASKED_PHONE]}****{address[-4:]}"
