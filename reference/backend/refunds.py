"""Refunds: decided once, in the transaction that makes them due; sent with one number until their end is known."""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import Row, bindparam, func, select, update

from reference.backend.core import Core
from reference.backend.database import Transaction
from reference.backend.gateway import GatewayRefusedError, NoticeRefusedError, RefundReport
from reference.backend.outbox import Task
from reference.backend.schema import refunds

__all__ = ["Refunds"]

_ONE = select(refunds).where(refunds.c.out_refund_no == bindparam("number"))
_LOCK = _ONE.with_for_update()
_SUM = select(func.coalesce(func.sum(refunds.c.amount_fen), 0)).where(
    refunds.c.out_trade_no == bindparam("paid_by"), refunds.c.state != "CLOSED"
)
_SET = (
    update(refunds)
    .where(refunds.c.out_refund_no == bindparam("number"))
    .values(state=bindparam("new_state"), refund_id=bindparam("theirs"), updated_us=bindparam("now_us"))
)
_END = frozenset({"SUCCESS", "CLOSED", "ABNORMAL"})


class Refunds:
    """Gives money back, to where it came from."""

    def __init__(self, core: Core) -> None:
        self.core = core
        core.outbox.handlers["refund.send"] = self._send

    async def give_back(self, tx: Transaction, order: Row[Any], amount_fen: int, reason: str) -> None:
        """Refund a part or all of an order's payment, once for the order; the order is REFUNDING until it is done."""
        order = await self.core.orders.move(tx, order, "REFUNDING")
        await self.put(tx, order, order.out_trade_no, amount_fen, order.paid_fen, reason)

    async def put(
        self,
        tx: Transaction,
        order: Row[Any],
        out_trade_no: str,
        amount_fen: int,
        total_fen: int,
        reason: str,
    ) -> None:
        """Write a refund and its task. The number follows from the payment and the reason, so it cannot be two.

        Raises:
            ValueError: more would be given back than was paid (a defect of this service).
        """
        word = "duplicate" if reason == "paid twice" else "rest"
        number = self.number(out_trade_no, word)
        before = await tx.first(_SUM, {"paid_by": out_trade_no})
        if await tx.first(_ONE, {"number": number}) is not None:
            return
        if before is not None and before[0] + amount_fen > total_fen:
            raise ValueError(f"refunds of {out_trade_no} would exceed the {total_fen} fen paid")
        now_us = self.core.clock_us()
        await tx.insert(
            refunds,
            {
                "out_refund_no": number,
                "out_trade_no": out_trade_no,
                "order_id": order.order_id,
                "reason": word if word == "rest" else f"{word}-{out_trade_no[-8:]}",
                "amount_fen": amount_fen,
                "total_fen": total_fen,
                "state": "PENDING",
                "created_us": now_us,
                "updated_us": now_us,
            },
        )
        await self.core.outbox.put(tx, "refund.send", number)

    def number(self, out_trade_no: str, word: str) -> str:
        """The `out_refund_no` (at most 64 of ``[0-9A-Za-z_|*@-]``): the same for the same payment and purpose."""
        check = hashlib.sha256(f"{out_trade_no}/{word}".encode()).hexdigest()[:8]
        return f"{out_trade_no}-{word}-{check}"

    async def _send(self, task: Task) -> int | None:
        row = await self.core.db.run(lambda tx: tx.first(_ONE, {"number": task.subject}))
        if row is None or row.state in _END:
            return None
        report = None
        if task.attempt > 1:  # the first call may have had its effect: ask before sending again
            report = await self.core.gateway.query_refund(task.subject)
        if report is None:
            try:
                report = await self.core.gateway.refund(
                    out_trade_no=row.out_trade_no,
                    out_refund_no=row.out_refund_no,
                    amount_fen=row.amount_fen,
                    total_fen=row.total_fen,
                    reason="未加油部分退款",
                )
            except GatewayRefusedError as error:
                if task.attempt == 1:
                    await self.core.alarm_alone("refund_refused", task.subject, str(error))
                raise
        await self.apply(report)
        if report.state in _END:
            return None
        schedule = self.core.settings.refund_schedule_s
        pause_s = schedule[min(task.attempt - 1, len(schedule) - 1)]
        return self.core.clock_us() + pause_s * 1_000_000

    async def apply(self, report: RefundReport) -> None:
        """Take what the gateway says of a refund. "Accepted" is not "refunded".

        Raises:
            NoticeRefusedError: it is not a refund of ours as we asked for it; an alarm is on record.
        """
        try:
            await self.core.db.run(lambda tx: self._apply(tx, report))
        except NoticeRefusedError as error:
            await self.core.alarm_alone("refund_notice_refused", report.out_refund_no, str(error))
            raise

    async def _apply(self, tx: Transaction, report: RefundReport) -> None:
        found = await tx.first(_ONE, {"number": report.out_refund_no[:64]})
        order = await self.core.orders.lock(tx, found.order_id) if found is not None else None
        row = await tx.first(_LOCK, {"number": report.out_refund_no[:64]})
        if row is None or order is None:
            raise NoticeRefusedError("no refund of ours has this out_refund_no")
        if report.amount_fen != row.amount_fen:
            raise NoticeRefusedError(
                f"{report.amount_fen} fen were refunded, {row.amount_fen} were asked for"
            )
        if row.state in _END or report.state not in {"PROCESSING", *_END}:
            return
        now_us = self.core.clock_us()
        await tx.execute(
            _SET,
            {
                "number": row.out_refund_no,
                "new_state": report.state,
                "theirs": report.refund_id or row.refund_id,
                "now_us": now_us,
            },
        )
        if report.state == "SUCCESS":
            await self._done(tx, order, row)
        elif report.state != "PROCESSING":
            await self.core.alarm(tx, f"refund_{report.state.lower()}", row.out_refund_no, order.order_id)

    async def _done(self, tx: Transaction, order: Row[Any], row: Row[Any]) -> None:
        await self.core.enter(
            tx,
            kind="refund",
            entry_key=f"refund/{row.out_refund_no}",
            station=order.station,
            nozzle=order.nozzle,
            sale_id=order.sale_id,
            order_id=order.order_id,
            amount_fen=row.amount_fen,
        )
        refunded_fen = order.refunded_fen + row.amount_fen
        state = order.state
        if state == "REFUNDING":
            state = "COMPLETED" if order.paid_fen > refunded_fen else "REFUNDED"
        await self.core.orders.move(tx, order, state, refunded_fen=refunded_fen)
