"""Payments: proved by a verified callback, reply or query, whatever the channel, and applied once."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Row, bindparam, select, update

from reference.backend.channels import Channel
from reference.backend.core import Core
from reference.backend.gateways.port import NoticeRefusedError, TradeReport
from reference.backend.payments.trade_number import TradeNumberError
from reference.backend.store.database import Transaction
from reference.backend.store.schema import payments

__all__ = ["Payments"]

_ONE = select(payments).where(payments.c.out_trade_no == bindparam("number"))
_LOCK = _ONE.with_for_update()
_other = payments.alias("other")
_SUCCESS = (
    update(payments)
    .where(
        payments.c.out_trade_no == bindparam("number"),
        ~select(_other.c.out_trade_no)
        .where(_other.c.transaction_id == bindparam("txid"), _other.c.out_trade_no != bindparam("number"))
        .exists(),
    )
    .values(
        state="SUCCESS",
        is_open=None,
        transaction_id=bindparam("txid"),
        proof=bindparam("how"),
        paid_us=bindparam("now_us"),
    )
)


class Payments:
    """The only place that marks an order paid."""

    def __init__(self, core: Core) -> None:
        self.core = core

    async def apply(self, report: TradeReport, proof: str, *, is_final: bool = False) -> None:
        """Take a proved payment. Repeating it, even at once on two instances, has one effect.

        Args:
            report: from a verified callback, reply or query; its state is SUCCESS (or REFUND, which follows SUCCESS).
            proof: ``callback``, ``query`` or ``reply`` (of a gateway that tells the outcome at once).
            is_final: known after the attempt's end was asked for; see `reference.backend.payments.endings`.

        Raises:
            NoticeRefusedError: it is not about a payment of ours as we asked for it; an alarm is on record.
            GatewayUnknownError, GatewayRefusedError: the gateway had to be asked, and gave no sure answer.
        """
        try:
            self.check(report)
            if not await self.core.db.run(lambda tx: self._apply(tx, report, proof, is_final)):
                await self.core.endings.doubt(report.out_trade_no)
        except NoticeRefusedError as error:
            await self.core.alarm_alone("payment_refused", report.out_trade_no, str(error))
            raise

    def check(self, report: TradeReport) -> None:
        """What can be judged without the tables: the number's own check."""
        try:
            self.core.numbers.parse(report.out_trade_no)
        except TradeNumberError as error:
            raise NoticeRefusedError(str(error)) from error

    async def _apply(self, tx: Transaction, report: TradeReport, proof: str, is_final: bool) -> bool:
        """False if the attempt is being reversed, or was: then its gateway must be asked."""
        found = await tx.first(_ONE, {"number": report.out_trade_no})
        order = await self.core.orders.lock(tx, found.order_id) if found is not None else None
        payment = await tx.first(_LOCK, {"number": report.out_trade_no})
        if payment is None or order is None:
            raise NoticeRefusedError("no payment of ours has this out_trade_no")
        channel = self.core.channels.of(payment.channel)
        if report.provider != channel.provider:
            raise NoticeRefusedError(f"{report.provider} speaks of a payment over {channel.name}")
        channel.check(payment, report)
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
            return True
        if payment.ending and not is_final:
            return False
        await self._effect(tx, order, payment, channel, report, proof)
        return True

    def is_applied(self, payment: Row[Any]) -> bool:
        """True if the (locked) payment has had its effect already."""
        return bool(payment.state == "SUCCESS")

    async def _effect(
        self,
        tx: Transaction,
        order: Row[Any],
        payment: Row[Any],
        channel: Channel,
        report: TradeReport,
        proof: str,
    ) -> None:
        now_us = self.core.clock_us()
        number = payment.out_trade_no
        values = {"number": number, "txid": report.transaction_id, "how": proof, "now_us": now_us}
        if not await tx.execute(_SUCCESS, values):
            raise NoticeRefusedError(f"transaction {report.transaction_id} has paid something else already")
        await self.core.enter(
            tx,
            kind="payment",
            entry_key=f"payment/{number}",
            station=order.station,
            nozzle=order.nozzle,
            sale_id=order.sale_id,
            order_id=order.order_id,
            amount_fen=payment.amount_fen,
            content=msgspec.json.encode(_said(channel, report, proof)).decode(),
        )
        paid: dict[str, Any] = {"paid_fen": order.paid_fen + payment.amount_fen}
        if order.paid_fen > 0:
            # Two numbers of one order were both paid: keep the first, give the second back.
            order = await self.core.orders.move(tx, order, order.state, **paid)
            await self.core.refunds.put(
                tx, order, number, payment.amount_fen, payment.amount_fen, "paid twice"
            )
            await self.core.alarm(tx, "paid_twice", order.order_id, number)
            return
        paid["out_trade_no"] = number
        order = await self.core.endings.close_other(tx, order, number)
        if (order.pay_by or "wechatpay") != channel.name:
            paid["pay_by"] = channel.name  # it came on a number that was given up for another channel's
        if payment.amount_fen != order.payable_fen:
            parts_fen = await self.core.members.take(tx, order, number)
            if parts_fen is None:
                await self._too_little(tx, order, paid)
                return
            paid["paid_fen"] += parts_fen
            paid["parts_fen"] = parts_fen
        if order.mode == "prepay":
            await self._prepaid(tx, order, paid)
        else:
            await self._postpaid(tx, order, paid, channel.tender, has_parts="parts_fen" in paid)

    async def paid_by_parts(self, tx: Transaction, order: Row[Any], number: str) -> None:
        """Points, coupon and balance, which this transaction holds, are worth the whole (locked) order."""
        parts_fen = await self.core.members.take(tx, order, number)
        paid = {"paid_fen": parts_fen, "out_trade_no": number}
        await self._postpaid(tx, order, paid, "member", has_parts=True)

    async def _too_little(self, tx: Transaction, order: Row[Any], paid: dict[str, Any]) -> None:
        """It came late, and the parts that were to go with it are spent: the money goes back, the sale is free."""
        if order.state in {"PAYABLE", "PAYING"}:
            await self.core.sales.lock(tx, order.sale_id)
            await self.core.sales.set(tx, order.sale_id, "payable", None)
            order = await self.core.orders.move(tx, order, "CLOSED")
        order = await self.core.orders.move(tx, order, order.state, **paid)
        await self.core.refunds.give_back(tx, order, order.paid_fen, "paid after the end")

    async def _prepaid(self, tx: Transaction, order: Row[Any], paid: dict[str, Any]) -> None:
        if order.state in {"CREATED", "PAYING"}:
            if order.state == "CREATED":
                order = await self.core.orders.move(tx, order, "PAYING")
            order = await self.core.orders.move(tx, order, "PAID", **paid)
            await self.core.orders.authorise(
                tx, order.order_id, order.station, order.nozzle, order.payable_fen, None
            )
        else:
            order = await self.core.orders.move(tx, order, order.state, **paid)
            await self.core.refunds.give_back(tx, order, order.paid_fen, "paid after the end")

    async def _postpaid(
        self, tx: Transaction, order: Row[Any], paid: dict[str, Any], tender: str, *, has_parts: bool = False
    ) -> None:
        sale = await self.core.sales.lock(tx, order.sale_id)
        if order.state in {"CANCELLED", "CLOSED"} and sale.state != "payable":
            # Meanwhile somebody else has paid, or is paying, for this sale.
            order = await self.core.orders.move(tx, order, order.state, **paid)
            await self.core.refunds.give_back(tx, order, order.paid_fen, "paid after the end")
            return
        if order.state == "PAYABLE":
            order = await self.core.orders.move(tx, order, "PAYING")
        order = await self.core.orders.move(tx, order, "PAID", **paid)
        await self.core.sales.set(tx, sale.sale_id, "cleared", order.order_id)
        if order.title is not None:
            await self.core.invoices.ask(tx, sale, order=order, title=msgspec.json.decode(order.title))
        await self.core.sales.finish(
            tx,
            sale,
            order_id=order.order_id,
            tender=tender,
            paid_fen=order.paid_fen,
            number=order.out_trade_no,
            parts=await self.core.members.told(tx, order.out_trade_no) if has_parts else (),
        )


def _said(channel: Channel, report: TradeReport, proof: str) -> dict[str, Any]:
    """What the ledger keeps of a payment; the tender stands there unless it is the ordinary one."""
    said = {"transaction_id": report.transaction_id, "proof": proof}
    return said if channel.tender == "wechatpay" else {**said, "tender": channel.tender}
