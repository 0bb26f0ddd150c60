"""How attempts end without money: closed or reversed at their gateway first, and only then given up here.

Two kinds of gateways. One refuses to close what is paid; there a close is harmless. The other *reverses*: what was paid in
the meantime goes back to the payer. From the first reversal on, no notice and no query that may be older decides, only
the gateway's state after it; so money that comes in the gap ends either as a payment or back with the payer.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, bindparam, select, update

from reference.backend.channels import DEAD, PAID, Channel
from reference.backend.core import Core
from reference.backend.errors import ApiError
from reference.backend.gateways.port import GatewayRefusedError, GatewayUnknownError
from reference.backend.outbox import Task
from reference.backend.store.database import Transaction
from reference.backend.store.schema import payments

__all__ = ["COUNTER", "Endings"]

COUNTER = "@"
"""Begins the name of a payer whom only the pump knows: orders of the station's own. No openid begins so."""

_ONE = select(payments).where(payments.c.out_trade_no == bindparam("number"))
_LOCK = _ONE.with_for_update()
_OPEN = select(payments).where(payments.c.order_id == bindparam("of_order"), payments.c.is_open == 1)
_CLOSE = (
    update(payments)
    .where(payments.c.out_trade_no == bindparam("number"), payments.c.state == "OPEN")
    .values(state="CLOSED", is_open=None)
)
_ENDING = (
    update(payments)
    .where(payments.c.out_trade_no == bindparam("number"), payments.c.state != "SUCCESS")
    .values(ending=1)
    .returning(payments.c.out_trade_no)
)
_UNPAID = frozenset({"PAYABLE", "PAYING", "CREATED"})


class Endings:
    """Gives attempts up."""

    def __init__(self, core: Core) -> None:
        self.core = core
        core.outbox.handlers["payment.close"] = self._close_stray
        core.outbox.handlers["payment.late"] = self._look_late

    async def abandon(self, order_id: str, end: str) -> None:
        """Give up an unpaid order: ask, close at the gateway, and only then free the sale.

        Raises:
            ApiError: 503 if the gateway gives no sure answer (then nothing was given up).
        """
        payment = await self.core.db.run(lambda tx: tx.first(_OPEN, {"of_order": order_id}))
        if payment is not None:
            if payment.sent == 0 and await self.drop_unsent(order_id, payment.out_trade_no):
                await self.give_up(order_id, None, end)
                return
            try:
                if not await self.is_over(payment):
                    return
            except (GatewayUnknownError, GatewayRefusedError) as error:
                await self.go_on(payment)
                raise ApiError(503, "payment_unknown", f"no sure answer from the gateway: {error}") from error
        await self.give_up(order_id, payment.out_trade_no if payment is not None else None, end)

    async def give_up(
        self,
        order_id: str,
        number: str | None,
        end: str | None,
        *,
        way_free: bool = False,
        notice: str | None = None,
    ) -> None:
        """Close the attempt here and release its parts; the order ends as ``end``, or (None) can be paid again.

        Args:
            order_id: the order.
            number: of its attempt, if it has one.
            end: CANCELLED or CLOSED.
            way_free: another attempt follows at once; an order of the counter is kept for it.
            notice: what the phone is told.
        """

        async def work(tx: Transaction) -> None:
            order = await self.core.orders.lock(tx, order_id)
            if order is not None and order.state in _UNPAID and order.out_trade_no == number:
                await self._give_up(tx, order, end, way_free=way_free, notice=notice)

        await self.core.db.run(work)

    async def drop_unsent(self, order_id: str, number: str) -> bool:
        """Give up an attempt that no gateway can have heard of; False if one has since, or may have."""

        async def work(tx: Transaction) -> bool:
            order = await self.core.orders.lock(tx, order_id)
            row = await tx.first(_LOCK, {"number": number})
            if (
                order is None
                or row is None
                or (row.state, row.sent, order.out_trade_no) != ("OPEN", 0, number)
            ):
                return False
            await self._give_up(tx, order, None, way_free=True)
            return True

        return await self.core.db.run(work)

    async def _give_up(
        self, tx: Transaction, order: Row[Any], end: str | None, *, way_free: bool, notice: str | None = None
    ) -> None:
        number = order.out_trade_no
        if end is None and order.openid.startswith(COUNTER) and not way_free:
            end = "CLOSED"  # the next code that is scanned makes a new order
        if number is not None:
            await tx.execute(_CLOSE, {"number": number})
            await self._look_later(tx, order, number)
        more: dict[str, Any] = {}
        if order.parts_fen:
            await self.core.members.release(tx, number)
            more = {"parts_fen": 0}
        if end is None:
            state = "PAYABLE" if order.mode == "postpay" else "CREATED"
            order = await self.core.orders.move(tx, order, state, out_trade_no=None, **more)
            if notice is not None:
                await self.core.contracts.failed(tx, order, notice)
            return
        await self.core.orders.move(tx, order, end, **more)
        if order.sale_id is not None:
            await self.core.sales.set(tx, order.sale_id, "payable", None)

    async def go_on(self, payment: Row[Any]) -> None:
        """An end that was begun is brought about by the attempt's own task, without waiting for its next look."""
        if self.core.channels.of(payment.channel).may_undo:
            key = f"payment.query/{payment.out_trade_no}"
            await self.core.db.run(lambda tx: self.core.outbox.hurry(tx, key))

    async def close_other(self, tx: Transaction, order: Row[Any], number: str) -> Row[Any]:
        """The money came on a number that was given up; a newer open one must not be payable any more."""
        other = await tx.first(_OPEN, {"of_order": order.order_id})
        if other is None or other.out_trade_no == number:
            return order
        await tx.execute(_CLOSE, {"number": other.out_trade_no})
        await self.core.outbox.put(tx, "payment.close", other.out_trade_no)
        if order.parts_fen:
            await self.core.members.release(tx, other.out_trade_no)
            order = await self.core.orders.move(tx, order, order.state, parts_fen=0)
        return order

    async def is_over(self, payment: Row[Any]) -> bool:
        """Query, then close. False if it turned out to be paid (and that was applied).

        Raises:
            GatewayUnknownError, GatewayRefusedError: no sure answer.
        """
        channel = self.core.channels.of(payment.channel)
        if channel.may_undo:
            return await self._is_undone(channel, payment)
        report = await channel.query(payment)
        if report is None or report.state in DEAD:
            return True
        if report.state not in PAID:
            try:
                await channel.close(payment)
            except GatewayRefusedError:
                # Perhaps it was paid between the two calls.
                report = await channel.query(payment)
                if report is not None and report.state not in PAID | DEAD:
                    raise
            else:
                return True
        if report is not None and report.state in PAID:
            await self.core.payments.apply(report, "query")
            return False
        return True

    async def _is_undone(self, channel: Channel, payment: Row[Any]) -> bool:
        number = payment.out_trade_no
        report = await channel.query(payment)
        if report is not None and report.state in DEAD:
            return True
        if report is not None and report.state in PAID and not payment.ending:
            await self.core.payments.apply(report, "query")
            if not await self._is_ending(number):
                return False
        if not payment.ending and not await self.core.db.single(_ENDING, {"number": number}):
            return False  # somebody else has just proved it, or given it up
        refusal: GatewayRefusedError | None = None
        try:
            await channel.close(payment)
        except GatewayRefusedError as error:
            refusal = error
        report = await channel.query(payment)
        if report is not None and report.state in DEAD:
            return True
        if report is None:
            if not channel.may_appear(payment):
                return True
            raise GatewayUnknownError("the gateway does not know it; the request may still be on its way")
        if report.state in PAID and refusal is not None and channel.cannot_undo(refusal):
            await self.core.payments.apply(report, "query", is_final=True)
            return False
        raise GatewayUnknownError(f"not ended yet: {refusal or report.state}")

    async def _is_ending(self, number: str) -> bool:
        payment = (await self.core.db.single(_ONE, {"number": number}))[0]
        return bool(payment.state == "OPEN" and payment.ending)

    async def by_ourselves(self, payment: Row[Any], task: Task) -> int | None:
        """Nobody has paid in time: end it at the gateway, again and again until that is sure."""
        try:
            is_over = await self.is_over(payment)
        except (GatewayUnknownError, GatewayRefusedError) as error:
            late_us = self.core.clock_us() - payment.expires_us
            if task.attempt % 20 == 0:
                await self.core.alarm_alone("payment_not_ended", payment.out_trade_no, str(error))
            # Every 5 s at first, up to every minute, and up to a fifth more by chance.
            pause_us: int = min(60_000_000, max(5_000_000, late_us // 4))
            return self.core.clock_us() + pause_us + self.core.ids.below(pause_us // 5)
        if is_over:
            await self.give_up(payment.order_id, payment.out_trade_no, None)
        return None

    async def debit_failed(self, payment: Row[Any]) -> None:
        """A debit by contract did not work: closed at the gateway, it leaves an ordinary unpaid order and a notice."""
        if not await self.is_over(payment):
            return
        await self.give_up(payment.order_id, payment.out_trade_no, None, notice="contract_debit_failed")

    # Doubts and late looks

    async def doubt(self, number: str) -> None:
        """A notice came for an attempt that was reversed, or is being: only a query after that tells where the money is.

        Raises:
            GatewayUnknownError, GatewayRefusedError: no sure answer; the gateway is to send its notice again.
        """
        payment = (await self.core.db.single(_ONE, {"number": number}))[0]
        if payment.state == "OPEN":
            await self.core.db.run(lambda tx: self.core.outbox.hurry(tx, f"payment.query/{number}"))
        elif payment.state == "CLOSED":
            await self._is_found_late(payment)

    async def _look_later(self, tx: Transaction, order: Row[Any], number: str) -> None:
        channel = self.core.channels.known.get(order.pay_by) if order.pay_by is not None else None
        if channel is not None and channel.late_look_s:
            delay_us = channel.late_look_s[0] * 1_000_000
            await self.core.outbox.put(tx, "payment.late", number, delay_us=delay_us)

    async def _look_late(self, task: Task) -> int | None:
        """Money that came after the end and is announced by nobody."""
        payment = (await self.core.db.single(_ONE, {"number": task.subject}))[0]
        waits_s = self.core.channels.of(payment.channel).late_look_s
        if payment.state != "CLOSED" or await self._is_found_late(payment) or task.attempt >= len(waits_s):
            return None
        return self.core.clock_us() + waits_s[task.attempt] * 1_000_000

    async def _is_found_late(self, payment: Row[Any]) -> bool:
        report = await self.core.channels.of(payment.channel).query(payment)
        if report is None or report.state not in PAID:
            return False
        await self.core.payments.apply(report, "query", is_final=True)
        return True

    async def _close_stray(self, task: Task) -> int | None:
        payment = (await self.core.db.single(_ONE, {"number": task.subject}))[0]
        await self.is_over(payment)
        return None
