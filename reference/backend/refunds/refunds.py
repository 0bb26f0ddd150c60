"""Refunds: decided once, in the transaction that makes them due; sent with one number until their end is known.

A refund that is written is owed: PENDING until it was accepted, PROCESSING until a notice or a query tells its end.
SUCCESS is the only good one. CLOSED gave nothing back, so what was owed is written again under a new number, a few
times; ABNORMAL (the payer's card is gone) and HELD (a limit that waiting does not heal) need a person, and the order
says REFUNDING until then: `reference.backend.refunds.by_hand`. CASH is a refund that a person paid out at the station.

Others may follow refunds: a function in `Refunds.asked` is called in the transaction that writes one (an invoice goes
red with it), one in `Refunds.done` in the transaction that books its success (points go back), and one in
`Refunds.gates` may keep it from being sent until a later time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from itertools import accumulate
from typing import Any, Final

import msgspec
from sqlalchemy import Row

from reference.backend.core import Core
from reference.backend.gateways.port import (
    GatewayRefusedError,
    GatewayUnknownError,
    NoticeRefusedError,
    RefundReport,
)
from reference.backend.outbox import Task
from reference.backend.refunds import queries as q
from reference.backend.refunds.limits import RefundLimits
from reference.backend.store.database import Transaction
from reference.backend.store.schema import refunds

__all__ = ["Follower", "Gate", "Refunds"]

Follower = Callable[[Transaction, Row[Any], Row[Any]], Awaitable[None]]
"""Called with the transaction, the locked order and the refund."""
Gate = Callable[[Transaction, Row[Any], Row[Any]], Awaitable[int | None]]
"""The same; answers None, or the Unix µs until which the refund is not to be sent."""

# What the gateway may say; PROCESSING is not an end, and ABNORMAL not always.
_HEARD: Final = frozenset({"PROCESSING", "SUCCESS", "CLOSED", "ABNORMAL"})
_END: Final = frozenset({"SUCCESS", "CLOSED"})
# What the gateway may say of a refund that is over, without contradicting us.
_FITS: Final = {
    "SUCCESS": frozenset({"SUCCESS"}),
    "CLOSED": frozenset({"CLOSED"}),
    "CASH": frozenset({"CLOSED"}),
}
# Refusals that no repetition changes, and why a person must see to it: the payer's account cannot take money (WXDOC
# refund page: the merchant gives it back by itself), or the time for refunds is over (39 is UnionPay's).
_FOR_GOOD: Final = {"USER_ACCOUNT_ABNORMAL": "account", "TRADE_OVERDUE": "too_old", "39": "too_old"}
# What the payer is told, by whose refund it is.
_TOLD: Final = {"rest": "未加油部分退款", "duplicate": "重复支付退款"}
_QUIET: Final = _END | {"ABNORMAL", "HELD", "CASH"}


class Refunds:
    """Gives money back, to where it came from.

    Attributes:
        asked, done, gates: who follows refunds; see the module.
    """

    def __init__(self, core: Core) -> None:
        self.core = core
        self.limits = RefundLimits(core)
        self.asked: list[Follower] = []
        self.done: list[Follower] = []
        self.gates: list[Gate] = []
        core.outbox.handlers["refund.send"] = self._send
        core.outbox.handlers["refund.look"] = self._look

    # Owing

    async def give_back(self, tx: Transaction, order: Row[Any], amount_fen: int, reason: str) -> None:
        """Refund a part or all of an order's payment, once for the order; the order is REFUNDING until it is done."""
        order = await self.core.orders.move(tx, order, "REFUNDING")
        if order.parts_fen:
            # Points, coupon and balance go back here; what came through a gateway goes back there.
            order, amount_fen = await self.core.members.give_back(tx, order, amount_fen)
        if amount_fen:
            # A prepayment that came in twice is in what was paid; the number that counts was for the preset.
            total_fen = order.payable_fen if order.mode == "prepay" else order.paid_fen - order.parts_fen
            await self.put(tx, order, order.out_trade_no, amount_fen, total_fen, reason)

    async def put(
        self,
        tx: Transaction,
        order: Row[Any],
        out_trade_no: str,
        amount_fen: int,
        total_fen: int,
        reason: str,
    ) -> None:
        """Write a refund that the service owes by itself. Its number follows from payment and reason, so it cannot be two.

        Raises:
            ValueError: more would be given back than was paid (a defect of this service).
        """
        word = "duplicate" if reason == "paid twice" else "rest"
        if await tx.first(q.ONE, {"number": self.number(out_trade_no, word)}) is not None:
            return
        if await self.asked_fen(tx, out_trade_no) + amount_fen > total_fen:
            raise ValueError(f"refunds of {out_trade_no} would exceed the {total_fen} fen paid")
        await self.write(tx, order, out_trade_no, amount_fen, total_fen, word)

    async def asked_fen(self, tx: Transaction, out_trade_no: str) -> int:
        """What is given back of a payment, or owed. The caller holds the order's lock."""
        row = await tx.first(q.SUM, {"paid_by": out_trade_no})
        return 0 if row is None else int(row.asked_fen)

    async def write(
        self,
        tx: Transaction,
        order: Row[Any],
        out_trade_no: str,
        amount_fen: int,
        total_fen: int,
        word: str,
        *,
        attempt: int = 1,
        held: str | None = None,
    ) -> Row[Any]:
        """Write a refund and its task; gives the row. ``word`` says which refund of the payment it is.

        A held one has no task: a person decides.
        """
        # From the second attempt on the word tells that as well, so each has a number of its own.
        word = word if attempt == 1 else f"{word.partition('~')[0]}~{attempt}"
        number = self.number(out_trade_no, word)
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
                "state": "PENDING" if held is None else "HELD",
                "held": held,
                "attempt": attempt,
                "created_us": now_us,
                "updated_us": now_us,
            },
        )
        row = await tx.first(q.ONE, {"number": number})
        assert row is not None  # noqa: S101 - inserted above
        if held is None:
            await self.core.outbox.put(tx, "refund.send", number)
        if attempt == 1:
            for follow in self.asked:
                await follow(tx, order, row)
        return row

    def number(self, out_trade_no: str, word: str) -> str:
        """The `out_refund_no` (at most 64 of ``[0-9A-Za-z_|*@-]``): the same for the same payment and purpose."""
        check = hashlib.sha256(f"{out_trade_no}/{word}".encode()).hexdigest()[:8]
        return f"{out_trade_no}-{word.replace('~', '-')}-{check}"

    def root(self, row: Row[Any]) -> str:
        """The `out_refund_no` under which what this refund gives back was asked for first."""
        return self.number(row.out_trade_no, _word(row).partition("~")[0])

    # Sending

    async def _send(self, task: Task) -> int | None:
        """Ask for the refund when its turn has come, then look until its end is known."""
        claimed = await self.core.db.run(lambda tx: self._claim(tx, task.subject))
        if claimed is None or isinstance(claimed, int):
            return claimed
        row, was_sent = claimed
        asked = False
        try:
            # It may have had its effect: ask before sending again.
            refunder = self.core.channels.refunder(row.channel)
            report = await refunder.query_refund(task.subject) if was_sent else None
            if report is None:
                asked = True
                report = await refunder.refund(
                    out_trade_no=row.out_trade_no,
                    out_refund_no=row.out_refund_no,
                    amount_fen=row.amount_fen,
                    total_fen=row.total_fen,
                    reason=_TOLD.get(_word(row).partition("~")[0], "门店退款"),
                )
        except GatewayRefusedError as error:
            await self.limits.failed()
            # A question that is refused says nothing of the refund: that may have been given long ago.
            why = _FOR_GOOD.get(error.code) if asked else None
            if why is not None and await self.core.db.run(lambda tx: self._refused(tx, task.subject, why)):
                return None
            if not was_sent:
                await self.core.alarm_alone("refund_refused", task.subject, str(error))
            raise
        except GatewayUnknownError:
            await self.limits.failed()
            raise
        await self.apply(report)
        if report.state in _QUIET:
            return None
        return self._look_us(row.sent_us)

    async def _claim(self, tx: Transaction, number: str) -> int | tuple[Row[Any], bool] | None:
        """The refund and whether it was sent before; or when its turn comes; or None if there is nothing to do."""
        found = await tx.first(q.ONE, {"number": number})
        order = await self.core.orders.lock(tx, found.order_id) if found is not None else None
        row = await tx.first(q.LOCK, {"number": number})
        if row is None or order is None or row.state in _QUIET:
            return None
        if row.sent_us is not None:
            turn_us = await self.limits.of_merchant(tx)
            return turn_us if turn_us is not None else (row, True)
        for gate in self.gates:
            wait_us = await gate(tx, order, row)
            if wait_us is not None:
                return wait_us
        turn = await self.limits.of_payment(tx, row)
        if isinstance(turn, str):
            await self._hold(tx, row, turn)
            return None
        if turn is None:
            turn = await self.limits.of_merchant(tx)
        if turn is not None:
            return turn
        await tx.execute(q.SENT, {"number": number, "now_us": self.core.clock_us()})
        row = await tx.first(q.ONE, {"number": number})
        assert row is not None  # noqa: S101 - it is locked
        return row, False

    def _look_us(self, sent_us: int) -> int:
        """When to look next: the schedule's steps count from the sending, however long the refund had queued."""
        now_us = self.core.clock_us()
        schedule = self.core.settings.refund_schedule_s
        past = sum(sent_us + after_s * 1_000_000 <= now_us for after_s in accumulate(schedule))
        return now_us + schedule[min(past, len(schedule) - 1)] * 1_000_000

    async def _hold(self, tx: Transaction, row: Row[Any], why: str) -> None:
        await self.move(tx, row, "HELD", held=why)
        detail = f"{row.amount_fen} fen of {row.out_trade_no} cannot go back through the gateway: {why}"
        await self.core.alarm(tx, "refund_held", row.out_refund_no, detail)

    async def row(self, tx: Transaction, out_refund_no: str) -> Row[Any] | None:
        """A refund, with the channel of its payment."""
        return await tx.first(q.ONE, {"number": out_refund_no})

    async def lock(self, tx: Transaction, out_refund_no: str) -> Row[Any] | None:
        """The same, and nobody else moves it. Who needs the order as well locks that before."""
        return await tx.first(q.LOCK, {"number": out_refund_no})

    async def move(
        self,
        tx: Transaction,
        row: Row[Any],
        state: str,
        *,
        refund_id: str | None = None,
        held: str | None = None,
    ) -> None:
        """Give a locked refund another state."""
        values = {
            "number": row.out_refund_no,
            "new_state": state,
            "theirs": refund_id or row.refund_id,
            "why": held,
            "now_us": self.core.clock_us(),
        }
        await tx.execute(q.SET, values)

    # Hearing

    async def apply(self, report: RefundReport, *, is_notice: bool = False) -> None:
        """Take what the gateway says of a refund. "Accepted" is not "refunded".

        A notice may tell of what was before: that a refund is abnormal, which has been sent on since, a query decides.

        Raises:
            NoticeRefusedError: it is not a refund of ours as we asked for it; an alarm is on record.
        """
        try:
            await self.core.db.run(lambda tx: self._apply(tx, report, is_notice=is_notice))
        except NoticeRefusedError as error:
            await self.core.alarm_alone("refund_notice_refused", report.out_refund_no, str(error))
            raise

    async def _apply(self, tx: Transaction, report: RefundReport, *, is_notice: bool) -> None:
        found = await tx.first(q.ONE, {"number": report.out_refund_no[:64]})
        order = await self.core.orders.lock(tx, found.order_id) if found is not None else None
        row = await tx.first(q.LOCK, {"number": report.out_refund_no[:64]})
        if row is None or order is None:
            raise NoticeRefusedError("no refund of ours has this out_refund_no")
        if report.out_trade_no not in {None, row.out_trade_no}:
            raise NoticeRefusedError(f"the refund is of {report.out_trade_no}, not of {row.out_trade_no}")
        if report.amount_fen != row.amount_fen:
            raise NoticeRefusedError(
                f"{report.amount_fen} fen were refunded, {row.amount_fen} were asked for"
            )
        if report.state not in _HEARD or report.state == row.state:
            return
        if row.state in _FITS:
            if report.state in _END - _FITS[row.state]:
                detail = f"the gateway says {report.state} of a refund that was {row.state}"
                await self.core.alarm(tx, "refund_contradicted", row.out_refund_no, detail)
            return
        if row.state == "ABNORMAL" and report.state == "PROCESSING":
            return
        if is_notice and report.state == "ABNORMAL" and await self._was_sent_on(tx, row):
            key = f"refund.look/{row.out_refund_no}/{self.core.clock_us()}"
            await self.core.outbox.put(tx, "refund.look", row.out_refund_no, key=key)
            return
        await self.move(tx, row, report.state, refund_id=report.refund_id)
        if report.state == "SUCCESS":
            await self._done(tx, order, row)
        elif report.state == "CLOSED":
            await self._closed(tx, order, row)
        elif report.state == "ABNORMAL":
            detail = f"{order.order_id}: {row.amount_fen} fen did not reach the payer's account"
            await self.core.alarm(tx, "refund_abnormal", row.out_refund_no, detail)

    async def _was_sent_on(self, tx: Transaction, row: Row[Any]) -> bool:
        if row.state != "PROCESSING":
            return False
        return await tx.first(q.SENT_ON, {"number": row.out_refund_no}) is not None

    async def paid_in_cash(self, tx: Transaction, order: Row[Any], row: Row[Any], operator: str) -> None:
        """A person has paid this (locked) refund out at the station: it is back, and the gateway owes nothing of it."""
        await self.move(tx, row, "CASH", held=row.held)
        said = msgspec.json.encode({"tender": "cash", "by": operator}).decode()
        await self._done(tx, order, row, said)

    async def _done(self, tx: Transaction, order: Row[Any], row: Row[Any], said: str | None = None) -> None:
        await self.core.enter(
            tx,
            kind="refund",
            entry_key=f"refund/{row.out_refund_no}",
            station=order.station,
            nozzle=order.nozzle,
            sale_id=order.sale_id,
            order_id=order.order_id,
            amount_fen=row.amount_fen,
            content=said or self.core.channels.said_of(row.channel),
        )
        order = await self.settle(tx, order, row.amount_fen)
        for follow in self.done:
            await follow(tx, order, row)

    async def settle(self, tx: Transaction, order: Row[Any], amount_fen: int = 0) -> Row[Any]:
        """So much more is back; a REFUNDING order that owes nothing any more is over. Gives the order."""
        refunded_fen = order.refunded_fen + amount_fen
        state = order.state
        if state == "REFUNDING" and await tx.first(q.OPEN, {"of_order": order.order_id}) is None:
            state = "COMPLETED" if order.paid_fen > refunded_fen else "REFUNDED"
        return await self.core.orders.move(tx, order, state, refunded_fen=refunded_fen)

    async def _refused(self, tx: Transaction, number: str, why: str) -> bool:
        """The gateway will never take it, and nothing was done: a person gives the money back in another way.

        False: it was accepted before, so something was done.
        """
        found = await tx.first(q.ONE, {"number": number})
        order = await self.core.orders.lock(tx, found.order_id) if found is not None else None
        row = await tx.first(q.LOCK, {"number": number})
        if order is None or row is None or row.state != "PENDING":
            return False
        await self.move(tx, row, "CLOSED")
        await self._closed(tx, order, row, held=why)
        return True

    async def _closed(
        self, tx: Transaction, order: Row[Any], row: Row[Any], *, held: str | None = None
    ) -> None:
        """Nothing went back, and this number is spent: what is owed goes under a new one, in the end to a person."""
        attempt = row.attempt + 1
        if attempt > self.core.settings.refund_tries:
            held = held or "closed"
        new = await self.write(
            tx, order, row.out_trade_no, row.amount_fen, row.total_fen, _word(row), attempt=attempt, held=held
        )
        what = "held for a person" if held else "asked for again"
        detail = f"{order.order_id}: {row.amount_fen} fen, {what} as {new.out_refund_no}"
        await self.core.alarm(tx, "refund_closed", row.out_refund_no, detail)

    async def _look(self, task: Task) -> int | None:
        row = (await self.core.db.single(q.ONE, {"number": task.subject}))[0]
        report = await self.core.channels.refunder(row.channel).query_refund(task.subject)
        if report is not None:
            await self.apply(report)
        return None


def _word(row: Row[Any]) -> str:
    return str(row.reason).removesuffix(f"-{row.out_trade_no[-8:]}")
