"""Issued invoices on their way to the customer: by message, mail or into the wallet.

Each delivery is tried again by itself and ends by itself. It only ever reads the invoice, so sending it once more cannot
issue anything. The channel's service gets the delivery's own number and takes a repeat of it for the same.
"""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
from sqlalchemy import Row, bindparam, select, update

from reference.backend.core import Core
from reference.backend.errors import ApiError
from reference.backend.gateways.outgoing import Outgoing
from reference.backend.gateways.port import GatewayUnknownError
from reference.backend.invoices.models import NewDelivery
from reference.backend.invoices.schema import invoice_deliveries, invoice_uses
from reference.backend.outbox import Task
from reference.backend.store.database import Transaction
from reference.backend.store.schema import invoices, orders

__all__ = ["Deliveries"]

_LATEST = (
    select(invoices)
    .join(invoice_uses, invoice_uses.c.fapiao_apply_id == invoices.c.fapiao_apply_id)
    .where(invoice_uses.c.order_id == bindparam("of_order"), invoice_uses.c.held_from.is_not(None))
    .order_by(invoices.c.requested_us.desc(), invoices.c.fapiao_apply_id)
    .limit(1)
)
_TO_DO = (
    select(
        invoice_deliveries,
        invoices.c.state.label("invoice_state"),
        invoices.c.number.label("number"),
        invoices.c.amount_fen.label("amount_fen"),
        orders.c.openid.label("openid"),
    )
    .select_from(
        invoice_deliveries.join(invoices, invoices.c.fapiao_apply_id == invoice_deliveries.c.fapiao_apply_id)
        .join(invoice_uses, invoice_uses.c.fapiao_apply_id == invoices.c.fapiao_apply_id)
        .outerjoin(orders, orders.c.order_id == invoice_uses.c.order_id)
    )
    .where(invoice_deliveries.c.delivery_id == bindparam("wanted"))
    .order_by(invoice_uses.c.line)
    .limit(1)
)
_SAME = select(invoice_deliveries.c.delivery_id).where(
    invoice_deliveries.c.fapiao_apply_id == bindparam("of_invoice"),
    invoice_deliveries.c.channel == bindparam("over"),
    invoice_deliveries.c.state == "waiting",
)
_ENDED = (
    update(invoice_deliveries)
    .where(invoice_deliveries.c.delivery_id == bindparam("wanted"), invoice_deliveries.c.state == "waiting")
    .values(
        state=bindparam("new_state"),
        address=None,
        tries=bindparam("count"),
        note=bindparam("why"),
        done_us=bindparam("now_us"),
    )
)
_TRIED = (
    update(invoice_deliveries)
    .where(invoice_deliveries.c.delivery_id == bindparam("wanted"), invoice_deliveries.c.state == "waiting")
    .values(tries=bindparam("count"), note=bindparam("why"))
)
_WAIT_US = 5_000_000
_LONGEST_WAIT_US = 300_000_000


class Deliveries:
    """Hands invoices over to the channels' services."""

    def __init__(self, core: Core, transport: httpx.AsyncBaseTransport) -> None:
        self.core = core
        settings = core.settings
        # A service of its own for each channel: one that has trouble must not slow the others down.
        self._outgoing = {
            channel: Outgoing(transport, core.clock_us, core.ids, settings.call_timeout_s, settings.busy_qps)
            for channel in settings.tax.delivery_urls
        }
        core.outbox.handlers["invoice.deliver"] = self._deliver

    async def ask(self, openid: str, order_id: str, body: NewDelivery) -> None:
        """Have an order's invoice sent, or sent again. One that is on its way over this channel already stays the only one.

        Raises:
            ApiError: 404; 409 ``no_invoice`` if there is none, ``no_channel`` if this service has no such channel.
        """
        if body.channel not in self.core.settings.tax.delivery_urls:
            raise ApiError(409, "no_channel", f"invoices are not delivered by {body.channel} here", "channel")

        async def work(tx: Transaction) -> None:
            await self.core.orders.lock_own(tx, order_id, openid)
            row = await tx.first(_LATEST, {"of_order": order_id})
            if row is None:
                raise ApiError(409, "no_invoice", "the order has no invoice that could be sent")
            if await tx.first(_SAME, {"of_invoice": row.fapiao_apply_id, "over": body.channel}) is not None:
                return
            number = self.core.ids.make("dlv")
            await tx.insert(
                invoice_deliveries,
                {
                    "delivery_id": number,
                    "fapiao_apply_id": row.fapiao_apply_id,
                    "channel": body.channel,
                    "address": body.address,
                    "state": "waiting",
                    "tries": 0,
                    "created_us": self.core.clock_us(),
                },
            )
            await self.core.outbox.put(tx, "invoice.deliver", number)

        await self.core.db.run(work)

    async def _deliver(self, task: Task) -> int | None:
        rows = await self.core.db.single(_TO_DO, {"wanted": task.subject})
        row = rows[0] if rows else None
        if row is None or row.state != "waiting":
            return None
        if row.invoice_state == "issuing":
            pause_us = min(_WAIT_US << min(task.attempt - 1, 6), _LONGEST_WAIT_US)
            return self.core.clock_us() + pause_us
        if row.number is None:
            await self._end(row, "failed", row.tries, "there is no invoice to deliver")
            return None
        problem = await self._hand_over(row)
        tries = row.tries + 1
        if problem is None:
            await self._end(row, "delivered", tries, None)
            return None
        schedule = self.core.settings.tax.delivery_schedule_s
        if tries > len(schedule):
            await self._end(row, "failed", tries, problem)
            await self.core.alarm_alone(
                "invoice_undelivered", row.delivery_id, f"{row.channel}: {problem}"[:500]
            )
            return None
        values = {"wanted": row.delivery_id, "count": tries, "why": problem[:500]}
        await self.core.db.run(lambda tx: tx.execute(_TRIED, values))
        again_us: int = self.core.clock_us() + schedule[tries - 1] * 1_000_000
        return again_us

    async def _hand_over(self, row: Row[Any]) -> str | None:
        """None when the channel took it, else what it said."""
        content = {
            "delivery_id": row.delivery_id,
            "channel": row.channel,
            "to": row.address if row.address is not None else row.openid,
            "invoice_number": row.number,
            "amount_fen": row.amount_fen,
        }
        url = self.core.settings.tax.delivery_urls[row.channel]
        headers = {"Content-Type": "application/json"}
        try:
            reply = await self._outgoing[row.channel].send("POST", url, msgspec.json.encode(content), headers)
        except GatewayUnknownError as error:
            return str(error)
        return None if 200 <= reply.status_code < 300 else f"the channel answered {reply.status_code}"

    async def _end(self, row: Row[Any], state: str, tries: int, why: str | None) -> None:
        values = {
            "wanted": row.delivery_id,
            "new_state": state,
            "count": tries,
            "why": why,
            "now_us": self.core.clock_us(),
        }

        async def work(tx: Transaction) -> None:
            await tx.execute(_ENDED, values)
            await self.core.invoice_desk.tell(tx, row.fapiao_apply_id)

        await self.core.db.run(work)
