"""Payments: asked for, proved by a verified callback or a query, applied once.

A payment is OPEN from the moment its number is written until it is proved paid (SUCCESS) or given up (CLOSED).
An order has at most one OPEN payment; a unique index keeps it so.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Row, bindparam, select, update

from reference.backend.core import Core
from reference.backend.database import Transaction
from reference.backend.errors import ApiError
from reference.backend.gateway import (
    GatewayRefusedError,
    GatewayUnknownError,
    NoticeRefusedError,
    TradeReport,
)
from reference.backend.outbox import Task
from reference.backend.schema import payments
from reference.backend.trade_number import TradeNumberError

__all__ = ["Payments"]

# A prepay_id lives two hours (pay.weixin.qq.com 4012791897).
_PREPAY_US = 110 * 60 * 1_000_000
_PAID = frozenset({"SUCCESS", "REFUND"})
_DEAD = frozenset({"CLOSED", "REVOKED", "PAYERROR"})

_ONE = select(payments).where(payments.c.out_trade_no == bindparam("number"))
_LOCK = _ONE.with_for_update()
_OPEN = select(payments).where(payments.c.order_id == bindparam("of_order"), payments.c.is_open == 1)
_PREPAID = (
    update(payments)
    .where(payments.c.out_trade_no == bindparam("number"))
    .values(prepay_id=bindparam("given"), prepay_us=bindparam("now_us"))
    .returning(payments.c.out_trade_no)
)
_CLOSE = (
    update(payments)
    .where(payments.c.out_trade_no == bindparam("number"), payments.c.state == "OPEN")
    .values(state="CLOSED", is_open=None)
)
_SUCCESS = (
    update(payments)
    .where(payments.c.out_trade_no == bindparam("number"))
    .values(
        state="SUCCESS",
        is_open=None,
        transaction_id=bindparam("txid"),
        proof=bindparam("how"),
        paid_us=bindparam("now_us"),
    )
)
_QUERIED = (
    update(payments)
    .where(payments.c.out_trade_no == bindparam("number"))
    .values(queries=payments.c.queries + 1)
)


class Payments:
    """The only place that marks an order paid."""

    def __init__(self, core: Core) -> None:
        self.core = core
        core.outbox.handlers["payment.query"] = self._query
        core.outbox.handlers["payment.close"] = self._close_stray

    # Asking

    async def pay(self, openid: str, order_id: str) -> dict[str, Any]:
        """Open a payment, or come back to the open one, and sign it for the phone.

        Raises:
            ApiError: 404; 409 ``already_paid`` or ``not_payable``; 502 the gateway refused; 503 the outcome is
                unknown: ask again, and the same number is used.
        """
        payment = await self.core.db.run(lambda tx: self._begin(tx, openid, order_id))
        prepay_id = payment.prepay_id
        if prepay_id is None or payment.prepay_us + _PREPAY_US < self.core.clock_us():
            prepay_id = await self._prepay(payment)
        return {
            "out_trade_no": payment.out_trade_no,
            "prepay_id": prepay_id,
            "pay_sign": self.core.gateway.pay_sign(prepay_id),
        }

    async def _begin(self, tx: Transaction, openid: str, order_id: str) -> Row[Any]:
        order = await self.core.orders.lock_own(tx, order_id, openid)
        if order.paid_fen > 0:
            raise ApiError(409, "already_paid", "the order is paid")
        if order.state == "PAYING":
            row = await tx.first(_OPEN, {"of_order": order_id})
            if row is not None:
                return row
        payable = order.state == "PAYABLE" or (order.state == "CREATED" and order.mode == "prepay")
        if not payable:
            raise ApiError(409, "not_payable", f"an order that is {order.state} cannot be paid")
        now_us = self.core.clock_us()
        number = self.core.numbers.make(
            self.core.settings.station_keys[order.station], f"{order.station}/{order.nozzle}"
        )
        await tx.insert(
            payments,
            {
                "out_trade_no": number,
                "order_id": order_id,
                "openid": openid,
                "amount_fen": order.payable_fen,
                "state": "OPEN",
                "is_open": 1,
                "queries": 0,
                "expires_us": now_us + self.core.settings.order_ttl_s * 1_000_000,
                "created_us": now_us,
            },
        )
        await self.core.orders.move(tx, order, "PAYING", out_trade_no=number)
        first_us = self.core.settings.query_schedule_s[0] * 1_000_000
        await self.core.outbox.put(tx, "payment.query", number, delay_us=first_us)
        row = await tx.first(_ONE, {"number": number})
        assert row is not None  # noqa: S101 - inserted above
        return row

    async def _prepay(self, payment: Row[Any]) -> str:
        """Ask for a prepay_id: once, then after an unknown outcome ask what became of it, then once more."""
        call = {
            "out_trade_no": payment.out_trade_no,
            "amount_fen": payment.amount_fen,
            "openid": payment.openid,
            "description": "成品油",
            "expires_us": payment.expires_us,
        }
        for is_last in (False, True):
            try:
                prepay_id = await self.core.gateway.prepay(**call)
            except GatewayUnknownError as error:
                if is_last:
                    raise ApiError(
                        503, "payment_unknown", f"no sure answer from the gateway: {error}"
                    ) from error
                if await self._is_paid_after_asking(payment.out_trade_no):
                    raise ApiError(409, "already_paid", "the order is paid") from error
                continue
            except GatewayRefusedError as error:
                if error.code in {"ORDERPAID", "ORDER_PAID"} and await self._is_paid_after_asking(
                    payment.out_trade_no
                ):
                    raise ApiError(409, "already_paid", "the order is paid") from error
                await self._give_up(payment.order_id, payment.out_trade_no, None)
                await self.core.alarm_alone("prepay_refused", payment.out_trade_no, str(error))
                raise ApiError(502, "gateway_refused", f"the gateway refused: {error.code}") from error
            now_us = self.core.clock_us()
            values = {"number": payment.out_trade_no, "given": prepay_id, "now_us": now_us}
            await self.core.db.single(_PREPAID, values)
            return prepay_id
        raise AssertionError("unreachable")

    async def _is_paid_after_asking(self, number: str) -> bool:
        try:
            report = await self.core.gateway.query(number)
        except (GatewayUnknownError, GatewayRefusedError):
            return False
        if report is not None and report.state in _PAID:
            await self.apply(report, "query")
            return True
        return False

    # Proof

    async def apply(self, report: TradeReport, proof: str) -> None:
        """Take a proved payment. Repeating it, even at once on two instances, has one effect.

        Args:
            report: from a verified callback or a query; its state is SUCCESS (or REFUND, which follows SUCCESS).
            proof: ``callback`` or ``query``.

        Raises:
            NoticeRefusedError: it is not about a payment of ours as we asked for it; an alarm is on record.
        """
        try:
            self.check(report)
            await self.core.db.run(lambda tx: self._apply(tx, report, proof))
        except NoticeRefusedError as error:
            await self.core.alarm_alone("payment_refused", report.out_trade_no, str(error))
            raise

    def check(self, report: TradeReport) -> None:
        """What can be judged without the tables: number, merchant, application, currency."""
        merchant = self.core.settings.merchant
        try:
            self.core.numbers.parse(report.out_trade_no)
        except TradeNumberError as error:
            raise NoticeRefusedError(str(error)) from error
        if report.mchid != merchant.mchid or report.appid != merchant.appid:
            raise NoticeRefusedError("the payment names another merchant or application")
        if report.currency != "CNY" or not report.transaction_id:
            raise NoticeRefusedError("the payment names another currency or no transaction")

    async def _apply(self, tx: Transaction, report: TradeReport, proof: str) -> None:
        found = await tx.first(_ONE, {"number": report.out_trade_no})
        order = await self.core.orders.lock(tx, found.order_id) if found is not None else None
        payment = await tx.first(_LOCK, {"number": report.out_trade_no})
        if payment is None or order is None:
            raise NoticeRefusedError("no payment of ours has this out_trade_no")
        try:
            self.core.numbers.parse_for(
                report.out_trade_no,
                self.core.settings.station_keys.get(order.station, ""),
                f"{order.station}/{order.nozzle}",
            )
        except TradeNumberError as error:
            raise NoticeRefusedError(str(error)) from error
        if report.amount_fen != payment.amount_fen:
            raise NoticeRefusedError(
                f"{report.amount_fen} fen were paid, {payment.amount_fen} were asked for"
            )
        if self.is_applied(payment):
            if payment.transaction_id != report.transaction_id:
                await self.core.alarm(tx, "paid_twice", report.out_trade_no, str(report.transaction_id))
            return
        await self._effect(tx, order, payment, report, proof)

    def is_applied(self, payment: Row[Any]) -> bool:
        """True if the (locked) payment has had its effect already."""
        return bool(payment.state == "SUCCESS")

    async def _effect(
        self, tx: Transaction, order: Row[Any], payment: Row[Any], report: TradeReport, proof: str
    ) -> None:
        now_us = self.core.clock_us()
        number = payment.out_trade_no
        values = {"number": number, "txid": report.transaction_id, "how": proof, "now_us": now_us}
        await tx.execute(_SUCCESS, values)
        await self.core.enter(
            tx,
            kind="payment",
            entry_key=f"payment/{number}",
            station=order.station,
            nozzle=order.nozzle,
            sale_id=order.sale_id,
            order_id=order.order_id,
            amount_fen=payment.amount_fen,
            content=msgspec.json.encode({"transaction_id": report.transaction_id, "proof": proof}).decode(),
        )
        paid_fen = order.paid_fen + payment.amount_fen
        if order.paid_fen > 0:
            # Two numbers of one order were both paid: keep the first, give the second back.
            order = await self.core.orders.move(tx, order, order.state, paid_fen=paid_fen)
            await self.core.refunds.put(
                tx, order, number, payment.amount_fen, payment.amount_fen, "paid twice"
            )
            await self.core.alarm(tx, "paid_twice", order.order_id, number)
            return
        await self._close_other(tx, order, number)
        if order.mode == "prepay":
            await self._prepaid(tx, order, number, paid_fen)
        else:
            await self._postpaid(tx, order, number, paid_fen)

    async def _close_other(self, tx: Transaction, order: Row[Any], number: str) -> None:
        """The money came on a number that was given up; a newer open one must not be payable any more."""
        other = await tx.first(_OPEN, {"of_order": order.order_id})
        if other is not None and other.out_trade_no != number:
            await tx.execute(_CLOSE, {"number": other.out_trade_no})
            await self.core.outbox.put(tx, "payment.close", other.out_trade_no)

    async def _prepaid(self, tx: Transaction, order: Row[Any], number: str, paid_fen: int) -> None:
        paid = {"paid_fen": paid_fen, "out_trade_no": number}
        if order.state in {"CREATED", "PAYING"}:
            if order.state == "CREATED":
                order = await self.core.orders.move(tx, order, "PAYING")
            order = await self.core.orders.move(tx, order, "PAID", **paid)
            await self.core.orders.authorise(
                tx, order.order_id, order.station, order.nozzle, order.payable_fen, None
            )
        else:
            order = await self.core.orders.move(tx, order, order.state, **paid)
            await self.core.refunds.give_back(tx, order, paid_fen, "paid after the end")

    async def _postpaid(self, tx: Transaction, order: Row[Any], number: str, paid_fen: int) -> None:
        paid = {"paid_fen": paid_fen, "out_trade_no": number}
        sale = await self.core.sales.lock(tx, order.sale_id)
        if order.state in {"CANCELLED", "CLOSED"} and sale.state != "payable":
            # Meanwhile somebody else has paid, or is paying, for this sale.
            order = await self.core.orders.move(tx, order, order.state, **paid)
            await self.core.refunds.give_back(tx, order, paid_fen, "paid after the end")
            return
        if order.state == "PAYABLE":
            order = await self.core.orders.move(tx, order, "PAYING")
        order = await self.core.orders.move(tx, order, "PAID", **paid)
        await self.core.sales.set(tx, sale.sale_id, "cleared", order.order_id)
        if order.title is not None:
            await self.core.invoices.ask(tx, sale, order=order, title=msgspec.json.decode(order.title))
        await self.core.sales.finish(
            tx, sale, order_id=order.order_id, tender="wechatpay", paid_fen=paid_fen, number=number
        )

    # Asking what became of it

    async def ask_now(self, openid: str, order_id: str) -> None:
        """The phone says that something happened: that proves nothing, so query at once."""

        async def work(tx: Transaction) -> None:
            await self.core.orders.lock_own(tx, order_id, openid)
            row = await tx.first(_OPEN, {"of_order": order_id})
            if row is not None:
                await self.core.outbox.hurry(tx, f"payment.query/{row.out_trade_no}")

        await self.core.db.run(work)

    async def _query(self, task: Task) -> int | None:
        """The declared schedule of queries, until the outcome is known."""
        found = await self.core.db.single(_ONE, {"number": task.subject})
        payment = found[0] if found else None
        if payment is None or payment.state != "OPEN":
            return None
        report = await self.core.gateway.query(task.subject)
        if report is not None and report.state in _PAID:
            await self.apply(report, "query")
            return None
        if report is not None and report.state in _DEAD:
            await self._give_up(payment.order_id, task.subject, None)
            return None
        await self.core.db.run(lambda tx: tx.execute(_QUERIED, {"number": task.subject}))
        schedule = self.core.settings.query_schedule_s
        pause_s: int = schedule[min(payment.queries + 1, len(schedule) - 1)]
        return self.core.clock_us() + pause_s * 1_000_000

    # Giving up

    async def abandon(self, order_id: str, end: str) -> None:
        """Give up an unpaid order: ask, close at the gateway, and only then free the sale.

        Raises:
            ApiError: 503 if the gateway gives no sure answer (then nothing was given up).
        """
        payment = await self.core.db.run(lambda tx: tx.first(_OPEN, {"of_order": order_id}))
        if payment is not None:
            try:
                if not await self._closed_at_gateway(payment.out_trade_no):
                    return
            except (GatewayUnknownError, GatewayRefusedError) as error:
                raise ApiError(503, "payment_unknown", f"no sure answer from the gateway: {error}") from error
        await self._give_up(order_id, payment.out_trade_no if payment is not None else None, end)

    async def _closed_at_gateway(self, number: str) -> bool:
        """Query, then close. False if it turned out to be paid (and that was applied)."""
        report = await self.core.gateway.query(number)
        if report is None or report.state in _DEAD:
            return True
        if report.state not in _PAID:
            try:
                await self.core.gateway.close(number)
            except GatewayRefusedError:
                # Perhaps it was paid between the two calls.
                report = await self.core.gateway.query(number)
                if report is not None and report.state not in _PAID | _DEAD:
                    raise
            else:
                return True
        if report is not None and report.state in _PAID:
            await self.apply(report, "query")
            return False
        return True

    async def _give_up(self, order_id: str, number: str | None, end: str | None) -> None:
        """Close the payment here; the order ends as ``end``, or (None) can be paid again."""

        async def work(tx: Transaction) -> None:
            order = await self.core.orders.lock(tx, order_id)
            if (
                order is None
                or order.state not in {"PAYABLE", "PAYING", "CREATED"}
                or order.out_trade_no != number
            ):
                return
            if number is not None:
                await tx.execute(_CLOSE, {"number": number})
            if end is None:
                state = "PAYABLE" if order.mode == "postpay" else "CREATED"
                await self.core.orders.move(tx, order, state, out_trade_no=None)
                return
            await self.core.orders.move(tx, order, end)
            if order.sale_id is not None:
                await self.core.sales.set(tx, order.sale_id, "payable", None)

        await self.core.db.run(work)

    async def _close_stray(self, task: Task) -> int | None:
        await self._closed_at_gateway(task.subject)
        return None
