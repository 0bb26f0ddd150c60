"""Invoices: asked for in the transaction that settles the sale, issued by the tax platform, at most one for a sale.

The customer has an answer at once ("issuing"), because the task that does it is stored with the payment. The
application number never changes, so asking again cannot make a second invoice; a failed try takes a new `fapiao_id`,
at most four (WXDOC 4016760559).
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Row, bindparam, select, update

from reference.backend.core import Core
from reference.backend.database import Transaction
from reference.backend.errors import ApiError
from reference.backend.fapiao_form import application_of
from reference.backend.gateway import GatewayRefusedError, InvoiceReport, NoticeRefusedError
from reference.backend.models import InvoiceTitle
from reference.backend.outbox import Task
from reference.backend.schema import invoices, orders, payments, sales

__all__ = ["Invoices"]

_ONE = select(invoices).where(invoices.c.fapiao_apply_id == bindparam("wanted"))
_LOCK = _ONE.with_for_update()
_OF_SALE = select(invoices).where(invoices.c.sale_id == bindparam("of_sale"))
_SALE = select(sales).where(sales.c.sale_id == bindparam("wanted"))
_PAYMENT = select(payments).where(payments.c.out_trade_no == bindparam("number"))
_PAID_BY = select(orders.c.out_trade_no).where(orders.c.order_id == bindparam("wanted"))
_ISSUED = (
    update(invoices)
    .where(invoices.c.fapiao_apply_id == bindparam("wanted"))
    .values(state="issued", number=bindparam("given"), issued_us=bindparam("now_us"))
)
_END = frozenset({"issued", "failed"})
# The form itself is wrong; sending it again cannot help. Everything else (quota, credit line, lost log-in) may heal.
_HOPELESS = frozenset({"PARAM_ERROR", "INVALID_REQUEST"})


class Invoices:
    """Applies for invoices and follows them to their end."""

    def __init__(self, core: Core) -> None:
        self.core = core
        core.outbox.handlers["invoice.issue"] = self._issue
        core.outbox.handlers["invoice.look"] = self._look

    async def ask(
        self, tx: Transaction, sale: Row[Any], *, order: Row[Any] | None, title: dict[str, Any]
    ) -> None:
        """Apply for a settled sale's invoice, once."""
        amount_fen = sale.amount_fen if order is None else min(order.paid_fen, sale.amount_fen)
        if amount_fen <= 0 or await tx.first(_OF_SALE, {"of_sale": sale.sale_id}) is not None:
            return
        apply_id = await self._apply_id(tx, order)
        await tx.insert(
            invoices,
            {
                "fapiao_apply_id": apply_id,
                "sale_id": sale.sale_id,
                "order_id": order.order_id if order is not None else None,
                "station": sale.station,
                "state": "issuing",
                "fapiao_id": _fapiao_id(apply_id, 1),
                "attempt": 1,
                "amount_fen": amount_fen,
                "volume_ml": sale.volume_ml,
                "title": msgspec.json.encode(title).decode(),
                "requested_us": self.core.clock_us(),
            },
        )
        await self.core.outbox.put(tx, "invoice.issue", apply_id)

    async def _apply_id(self, tx: Transaction, order: Row[Any] | None) -> str:
        """In the payment scene it is the platform's transaction number; else one of our own."""
        if order is not None and order.out_trade_no is not None:
            payment = await tx.first(_PAYMENT, {"number": order.out_trade_no})
            if payment is not None and payment.transaction_id is not None:
                return str(payment.transaction_id)
        return f"FC{self.core.ids.text(26).upper()}"

    async def ask_for(self, openid: str, order_id: str, title: InvoiceTitle) -> None:
        """The phone asks, before or after paying.

        Raises:
            ApiError: 404; 409 if there is an invoice with another title, or nothing that could be invoiced.
        """

        async def work(tx: Transaction) -> None:
            order = await self.core.orders.lock_own(tx, order_id, openid)
            wanted = title.model_dump()
            if order.sale_id is not None:
                known = await tx.first(_OF_SALE, {"of_sale": order.sale_id})
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

    async def _issue(self, task: Task) -> int | None:
        """Hand in, then look until the end is known; after the first run, always look before handing in."""
        found = await self.core.db.run(lambda tx: self._load(tx, task.subject))
        if found is None:
            return None
        row, application = found
        report = await self.core.gateway.query_invoice(row.fapiao_apply_id) if task.attempt > 1 else None
        retried = report is not None and report.state == "ISSUE_FAILED" and report.fapiao_id != row.fapiao_id
        if report is None or retried:
            try:
                await self.core.gateway.issue_invoice(application)
            except GatewayRefusedError as error:
                if error.code in _HOPELESS:
                    reason = str(error)
                    await self.core.db.run(lambda tx: self._fail(tx, row.fapiao_apply_id, reason))
                    return None
                if task.attempt == 1:
                    await self.core.alarm_alone("invoice_waits", row.fapiao_apply_id, str(error))
                raise
        elif await self.apply(report):
            return None
        schedule = self.core.settings.invoice_schedule_s
        pause_s = schedule[min(task.attempt - 1, len(schedule) - 1)]
        return self.core.clock_us() + round(pause_s * 1_000_000)

    async def _load(self, tx: Transaction, apply_id: str) -> tuple[Row[Any], dict[str, Any]] | None:
        row = await tx.first(_ONE, {"wanted": apply_id})
        if row is None or row.state in _END:
            return None
        sale = await tx.first(_SALE, {"wanted": row.sale_id})
        assert sale is not None  # noqa: S101 - sales are never deleted
        station = await self.core.stations.row(tx, row.station)
        transaction_id = None
        if row.order_id is not None:
            order = await tx.first(_PAID_BY, {"wanted": row.order_id})
            payment = await tx.first(_PAYMENT, {"number": order.out_trade_no}) if order is not None else None
            transaction_id = payment.transaction_id if payment is not None else None
        form = application_of(row, sale, station, transaction_id=transaction_id)
        return row, form

    async def apply(self, report: InvoiceReport) -> bool:
        """Take what the platform says; True if the invoice has come to its end.

        Raises:
            NoticeRefusedError: no application of ours has this number.
        """
        return await self.core.db.run(lambda tx: self._apply(tx, report))

    async def _apply(self, tx: Transaction, report: InvoiceReport) -> bool:
        row = await tx.first(_LOCK, {"wanted": report.fapiao_apply_id[:40]})
        if row is None:
            raise NoticeRefusedError("no application of ours has this fapiao_apply_id")
        if row.state in _END:
            return True
        if report.state == "ISSUED" and report.number:
            issued = {
                "wanted": row.fapiao_apply_id,
                "given": report.number[:20],
                "now_us": self.core.clock_us(),
            }
            await tx.execute(_ISSUED, issued)
            self._tell(tx, row)
            return True
        if report.state == "ISSUE_FAILED" and report.fapiao_id in {None, row.fapiao_id}:
            if row.attempt >= self.core.settings.invoice_tries:
                await self._fail(tx, row.fapiao_apply_id, report.reason or "the platform gives no reason")
                return True
            attempt = row.attempt + 1
            await tx.execute(
                update(invoices)
                .where(invoices.c.fapiao_apply_id == row.fapiao_apply_id)
                .values(
                    attempt=attempt, fapiao_id=_fapiao_id(row.fapiao_apply_id, attempt), reason=report.reason
                )
            )
            await self.core.outbox.hurry(tx, f"invoice.issue/{row.fapiao_apply_id}")
        return False

    async def _fail(self, tx: Transaction, apply_id: str, reason: str) -> None:
        row = await tx.first(_LOCK, {"wanted": apply_id})
        if row is None or row.state in _END:
            return
        await tx.execute(
            update(invoices)
            .where(invoices.c.fapiao_apply_id == apply_id)
            .values(state="failed", reason=reason[:500])
        )
        await self.core.alarm(tx, "invoice_failed", apply_id, reason)
        self._tell(tx, row)

    def _tell(self, tx: Transaction, row: Row[Any]) -> None:
        if row.order_id is not None:
            tx.notify(f"order/{row.order_id}")

    async def noticed(self, notice_id: str, report: InvoiceReport) -> None:
        """A pushed event. It says that, not which: the platform is asked for the number at once."""

        async def work(tx: Transaction) -> None:
            if not await self._apply(tx, report):
                key = f"invoice.look/{notice_id[:64]}"
                await self.core.outbox.put(tx, "invoice.look", report.fapiao_apply_id[:40], key=key)

        await self.core.db.run(work)

    async def _look(self, task: Task) -> int | None:
        report = await self.core.gateway.query_invoice(task.subject)
        if report is not None:
            await self.apply(report)
        return None


def _fapiao_id(apply_id: str, attempt: int) -> str:
    """At most 32 characters, like the application's own number."""
    return f"{apply_id[-31:]}{attempt}"
