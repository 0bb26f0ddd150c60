"""Invoices: asked for in the transaction that settles the sale, issued by a tax platform, no fen of it twice.

The customer has an answer at once ("issuing"), because the task that does it is stored with the payment. Our number for
an invoice never changes while it could still be issued under it, so asking again cannot make a second one.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Row, bindparam, func, select

from reference.backend.errors import ApiError
from reference.backend.invoices.issuing import Issuing, try_id
from reference.backend.invoices.money import money_of
from reference.backend.invoices.schema import invoice_uses
from reference.backend.models import InvoiceTitle
from reference.backend.store.database import Transaction
from reference.backend.store.schema import invoices, payments

__all__ = ["Invoices"]

_LIVE_OF_ORDER = (
    select(invoices.c.title)
    .join(invoice_uses, invoice_uses.c.fapiao_apply_id == invoices.c.fapiao_apply_id)
    .where(invoice_uses.c.order_id == bindparam("of_order"), invoice_uses.c.held_from.is_not(None))
)
_LIVE = (
    select(func.count().label("live"))
    .select_from(invoice_uses)
    .where(invoice_uses.c.sale_id == bindparam("of_sale"), invoice_uses.c.held_from.is_not(None))
)
# One statement for what `ask` has to know: who has the sale's fen, and the payment's number unless it was used before.
_BEFORE = select(
    _LIVE.scalar_subquery().label("live"),
    payments.c.transaction_id,
    payments.c.channel,
    select(func.count())
    .select_from(invoices)
    .where(invoices.c.fapiao_apply_id == payments.c.transaction_id)
    .scalar_subquery()
    .label("used"),
).where(payments.c.out_trade_no == bindparam("number"))


class Invoices(Issuing):
    """Applies for invoices; `Issuing` follows them to their end."""

    async def ask(
        self, tx: Transaction, sale: Row[Any], *, order: Row[Any] | None, title: dict[str, Any]
    ) -> None:
        """Apply for a settled (locked) sale's invoice over all of its money, once. A test or unpaid sale has none."""
        amount_fen = await money_of(tx, sale, order)
        if amount_fen <= 0 or sale.state == "test":
            return
        number = None
        if order is None or order.out_trade_no is None:
            before = await tx.first(_LIVE, {"of_sale": sale.sale_id})
        else:
            before = await tx.first(_BEFORE, {"of_sale": sale.sale_id, "number": order.out_trade_no})
            if before is not None and not before.used and before.channel.startswith("wechat"):
                # In WeChat's payment scene the application's number is the payment's.
                number = before.transaction_id if self.core.settings.tax.platform == "wechat" else None
        if before is not None and before.live:
            return
        apply_id = str(number) if number is not None else self.new_serial()
        order_id = order.order_id if order is not None else None
        use = (sale.sale_id, order_id, 0, amount_fen, sale.volume_ml)
        await self.create(tx, apply_id, sale.station, title, [use])

    async def create(
        self,
        tx: Transaction,
        apply_id: str,
        station: str,
        title: dict[str, Any],
        uses: list[tuple[str, str | None, int, int, int]],
        *,
        erase: bool = False,
    ) -> None:
        """Write an invoice and its task. The caller holds the locks of the sales, and knows that their fen are free.

        Args:
            tx: the transaction.
            apply_id: our number for it.
            station: whose invoice it is.
            title: for whom.
            uses: (sale, order, first fen, how many, millilitres) of each line.
            erase: the title is to be deleted as soon as the platform needs it no more.
        """
        sale_ids = {use[0] for use in uses}
        order_ids = {use[1] for use in uses}
        await tx.insert(
            invoices,
            {
                "fapiao_apply_id": apply_id,
                "sale_id": uses[0][0] if len(sale_ids) == 1 else None,
                "order_id": uses[0][1] if len(order_ids) == 1 else None,
                "station": station,
                "platform": self.core.settings.tax.platform,
                "state": "issuing",
                "fapiao_id": try_id(apply_id, 1),
                "attempt": 1,
                "amount_fen": sum(use[3] for use in uses),
                "volume_ml": sum(use[4] for use in uses),
                "title": msgspec.json.encode(title).decode(),
                "erase": 1 if erase else None,
                "requested_us": self.core.clock_us(),
            },
        )
        for line, (sale_id, order_id, from_fen, amount_fen, volume_ml) in enumerate(uses):
            row = {
                "fapiao_apply_id": apply_id,
                "line": line,
                "sale_id": sale_id,
                "order_id": order_id,
                "from_fen": from_fen,
                "amount_fen": amount_fen,
                "volume_ml": volume_ml,
                "red_fen": 0,
                "held_from": from_fen,
            }
            await tx.insert(invoice_uses, row)
        await self.core.outbox.put(tx, "invoice.issue", apply_id)

    async def ask_for(self, openid: str, order_id: str, title: InvoiceTitle) -> None:
        """The phone asks, before or after paying.

        Raises:
            ApiError: 404; 409 if there is an invoice with another title, or nothing that could be invoiced.
        """

        async def work(tx: Transaction) -> None:
            order = await self.core.orders.lock_own(tx, order_id, openid)
            wanted = title.model_dump()
            known = await tx.first(_LIVE_OF_ORDER, {"of_order": order_id})
            if known is not None:
                if msgspec.json.decode(known.title) != wanted:
                    raise ApiError(409, "invoice_exists", "this sale has an invoice with another title")
                return
            if order.state in {"CANCELLED", "CLOSED", "REFUNDED"}:
                raise ApiError(409, "nothing_to_invoice", f"an order that is {order.state} has no invoice")
            order = await self.core.orders.move(tx, order, order.state, title=title.model_dump_json())
            paid = order.state in {"PAID", "COMPLETED", "REFUNDING"}
            if paid and order.sale_id is not None:
                sale = await self.core.sales.lock(tx, order.sale_id)
                await self.ask(tx, sale, order=order, title=wanted)

        await self.core.db.run(work)

    async def make_red(self, tx: Transaction, order: Row[Any], refund_fen: int, *, cause: str) -> list[str]:
        """A refund of an invoiced (locked) order: take so much of its invoices back, whole or in part, once for ``cause``.

        Gives the red letters' numbers; none if the order has no invoice. The letters are issued afterwards, in the
        background.
        """
        return await self.core.red_letters.make(tx, order.order_id, refund_fen, cause=cause)
