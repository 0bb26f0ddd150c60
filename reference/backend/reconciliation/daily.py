"""The daily reconciliation: yesterday's bills of the gateway against payments, refunds and the ledger.

It runs every day at a declared hour (Beijing time; the platform has a day's bills ready at 10:00 of the next), once for
each day however many instances there are, also for days during which the service was down. Running a day again writes
its result anew. A difference that a question to the gateway may settle (paid there, open here) is asked about at once.

UnionPay's settlement file of the clearing day (23:00 to 23:00) is compared in the same way, by a task of its own.

A payment near midnight may stand in either day's bill, and the platform's clock is not ours: what our books have in
the last ten minutes of a day is expected in that bill or in the next one.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable
from typing import Any, Final, cast

from sqlalchemy import Row, bindparam, delete, select

from protocols.sansio import RemoteProtocolError
from protocols.unionpay import SettlementFileError
from protocols.wechatpay import BEIJING, BillError, bill_day, read_fund_bill, read_trade_bill
from reference.backend.channels import PAID
from reference.backend.core import Core
from reference.backend.gateways.port import BillGateway, GatewayRefusedError, GatewayUnknownError
from reference.backend.outbox import Task
from reference.backend.reconciliation.books import (
    PAYMENT,
    look_up,
    look_up_theirs,
    ours_of_payment,
    ours_of_refund,
)
from reference.backend.reconciliation.match import Finding, Ours, match_funds, match_trades
from reference.backend.reconciliation.schema import reconciled, reconciliations
from reference.backend.reconciliation.settlement import (
    CLEARING_SHIFT_US,
    NotYetError,
    fetch_settlement,
    settlement_findings,
)
from reference.backend.store.database import Transaction
from reference.backend.store.schema import payments, refunds

__all__ = ["BILLS", "SETTLEMENT", "Reconciliation"]

BILLS: Final = ("trade", "fund")
"""WeChat's."""
SETTLEMENT: Final = "unionpay"
"""UnionPay's settlement file, where the service has its credentials."""
_WECHAT: Final = "reconcile"
_UNIONPAY: Final = "reconcile.settlement"
_DAY_US: Final = 86_400 * 1_000_000
_GRACE_US: Final = 600 * 1_000_000
# An unpaid order ends at the platform after a week; what stands in bills farther apart is not one payment.
_NEAR: Final = dt.timedelta(days=40)
_RETRY_US: Final = 600 * 1_000_000
# So long a bill is asked for again by itself; the platforms keep them for three months, and a person may ask by hand.
_GIVEN_UP_US: Final = 30 * 86_400 * 1_000_000

_PAID = (
    select(payments)
    .where(payments.c.state == "SUCCESS")
    .where(payments.c.paid_us >= bindparam("from_us"), payments.c.paid_us < bindparam("to_us"))
    .order_by(payments.c.out_trade_no)
)
_REFUNDED = (
    select(refunds, payments.c.channel)
    .select_from(refunds.outerjoin(payments, payments.c.out_trade_no == refunds.c.out_trade_no))
    .where(refunds.c.state == "SUCCESS")
    .where(refunds.c.updated_us >= bindparam("from_us"), refunds.c.updated_us < bindparam("to_us"))
    .order_by(refunds.c.out_refund_no)
)
_SEEN = (
    select(reconciled.c.subject, reconciled.c.number, reconciled.c.day)
    .where(reconciled.c.bill == bindparam("of_bill"), reconciled.c.day != bindparam("of_day"))
    .where(reconciled.c.day >= bindparam("since_day"))
    .where(reconciled.c.line.is_not(None))
    .order_by(reconciled.c.entry_id)
)
_RUN = select(reconciliations).where(
    reconciliations.c.day == bindparam("of_day"), reconciliations.c.bill == bindparam("of_bill")
)
_FORGET_ROWS = delete(reconciled).where(
    reconciled.c.day == bindparam("of_day"), reconciled.c.bill == bindparam("of_bill")
)
_FORGET_RUN = delete(reconciliations).where(
    reconciliations.c.day == bindparam("of_day"), reconciliations.c.bill == bindparam("of_bill")
)


class Reconciliation:
    """Fetches bills, compares them, keeps the result."""

    def __init__(self, core: Core) -> None:
        self.core = core
        core.outbox.handlers[_WECHAT] = core.outbox.handlers[_UNIONPAY] = self._scheduled
        core.outbox.handlers["payment.recheck"] = self._recheck

    # When

    async def plan(self) -> None:
        """See to it that the next day's run is written down, if the settings have an hour for it."""
        if self.core.settings.reconcile_at_s is None:
            return
        today = bill_day(self.core.clock_us())
        day = today - dt.timedelta(days=1)
        if self._due_us(day) <= self.core.clock_us():
            day = today
        await self.core.db.run(lambda tx: self._put(tx, _WECHAT, day))
        if self.core.unionpay is not None:
            await self.core.db.run(lambda tx: self._put(tx, _UNIONPAY, day))

    def _due_us(self, day: dt.date) -> int:
        """When a day's bills are to be fetched: the next day at the declared hour."""
        after_s = 86_400 + (self.core.settings.reconcile_at_s or 0)
        return _start_us(day) + after_s * 1_000_000

    async def _put(self, tx: Transaction, topic: str, day: dt.date) -> None:
        delay_us = max(0, self._due_us(day) - self.core.clock_us())
        await self.core.outbox.put(tx, topic, day.isoformat(), delay_us=delay_us)

    def bills(self) -> tuple[str, ...]:
        """What there is to compare for each day."""
        return BILLS if self.core.unionpay is None else (*BILLS, SETTLEMENT)

    async def _scheduled(self, task: Task) -> int | None:
        # A task for each platform: one that is late keeps nothing of the other waiting.
        if task.topic == _UNIONPAY and self.core.unionpay is None:
            return None  # its credentials were taken out of the settings
        day = dt.date.fromisoformat(task.subject)
        # First of all: a bill that can never be read must not keep the days after it from being compared.
        await self.core.db.run(lambda tx: self._put(tx, task.topic, day + dt.timedelta(days=1)))
        is_over = self.core.clock_us() > self._due_us(day) + _GIVEN_UP_US
        for bill in BILLS if task.topic == _WECHAT else (SETTLEMENT,):
            try:
                is_read, why = await self.run(day, bill), "it cannot be read"
            except NotYetError as error:
                is_read, why = False, str(error)
            except (GatewayUnknownError, GatewayRefusedError) as error:
                if not is_over:
                    raise
                is_read, why = False, str(error)
            if not is_read and is_over:
                await self.core.alarm_alone(
                    "reconciliation_given_up", f"{bill} bill of {day.isoformat()}", why[:500]
                )
            elif not is_read:
                return self.core.clock_us() + _RETRY_US
        return None

    # What

    async def run(self, day: dt.date, bill: str) -> bool:
        """Fetch and compare one bill of a day; False if it could not be read as one (that is on record, with an alarm).

        Raises:
            GatewayUnknownError, GatewayRefusedError: there is no bill to be had now.
        """
        content: bytes | RemoteProtocolError | None
        try:
            if bill == SETTLEMENT:
                content = await fetch_settlement(self.core, day)
                if content is None:
                    await self._never_had(day, bill)
            else:
                content = await cast("BillGateway", self.core.gateway).bill(bill, day.isoformat())
        except (BillError, SettlementFileError) as error:
            content = error
        return await self.core.db.run(lambda tx: self.compare(tx, day, bill, content))

    async def _never_had(self, day: dt.date, bill: str) -> None:
        """A file that was there once is kept by the platform for a time: "none" then says nothing about that day."""
        before = await self.core.db.single(_RUN, {"of_day": day.isoformat(), "of_bill": bill})
        if before and before[0].sha1 is not None:
            raise GatewayRefusedError(
                0, "GONE", f"the file of {day.isoformat()} was compared before and is not there any more"
            )

    async def compare(
        self, tx: Transaction, day: dt.date, bill: str, content: bytes | RemoteProtocolError | None
    ) -> bool:
        """Compare a bill, and write the result in place of an older one; False if it is none.

        ``content`` None: the platform has no bill, so nothing happened there.
        """
        findings: list[Finding] = []
        problem = sha1 = None
        try:
            if isinstance(content, RemoteProtocolError):
                raise content
            if content is not None:
                sha1 = hashlib.sha1(content, usedforsecurity=False).hexdigest()
            findings = await self._findings(tx, day, bill, content)
        except (BillError, SettlementFileError) as error:
            problem = str(error)[:500]
        names = {"of_day": day.isoformat(), "of_bill": bill}
        before = await tx.first(_RUN, names)
        await tx.execute(_FORGET_ROWS, names)
        await tx.execute(_FORGET_RUN, names)
        for finding in findings:
            values = {name: getattr(finding, name) for name in finding.__slots__}
            await tx.insert(reconciled, {"day": names["of_day"], "bill": bill, **values})
        differences = [finding for finding in findings if finding.kind != "matched"]
        state = "unreadable" if problem else "differs" if differences else "matched"
        runs = 1 if before is None else before.runs + 1
        await tx.insert(
            reconciliations,
            {
                "day": names["of_day"],
                "bill": bill,
                "state": state,
                "compared": len(findings),
                "differences": len(differences),
                "sha1": sha1,
                "problem": problem,
                "runs": runs,
                "instance": self.core.instance,
                "done_us": self.core.clock_us(),
            },
        )
        await self._ask(tx, differences, f"{day.isoformat()}/{bill}/{runs}")
        as_before = before is not None and (before.state, before.differences) == (state, len(differences))
        if state != "matched" and not as_before:
            detail = problem or _told(differences)
            await self.core.alarm(tx, f"reconciliation_{state}", f"{bill} bill of {day.isoformat()}", detail)
        return problem is None

    async def _findings(
        self, tx: Transaction, day: dt.date, bill: str, content: bytes | None
    ) -> list[Finding]:
        names = {"of_day": day.isoformat(), "of_bill": bill}
        since = {"since_day": (day - _NEAR).isoformat()}
        days = {(row.subject, row.number): row.day for row in await tx.rows(_SEEN, names | since)}
        expected = await self._expected(tx, day, bill)
        ours = {item.key: item for item in expected}
        theirs: dict[tuple[str, str], Ours] = {}
        if bill == "trade":
            trades = read_trade_bill(content) if content is not None else None
            for _, row in trades.rows if trades is not None else ():
                for key in (("payment", row.out_trade_no), ("refund", row.out_refund_no)):
                    await look_up(tx, key, ours)
            if trades is None:
                return _none(expected, days)
            merchant = self.core.settings.merchant
            return match_trades(
                trades,
                mchid=merchant.mchid,
                appid=merchant.appid,
                find=lambda subject, number: ours.get((subject, number)),
                days=days,
                expected=expected,
            )
        if content is None:
            return _none(expected, days)
        if bill == SETTLEMENT:
            return await settlement_findings(self.core, tx, content, expected=expected, days=days)
        funds = read_fund_bill(content)
        for _, fund in funds.rows:
            for subject in ("payment", "refund"):
                await look_up_theirs(tx, (subject, fund.business_no), theirs)
            # A reversal's own number is unknown here; its voucher is ours.
            await look_up(tx, ("payment", fund.voucher), theirs)
        return match_funds(
            funds,
            find=lambda subject, number: theirs.get((subject, number)),
            days=days,
            expected=expected,
        )

    async def _expected(self, tx: Transaction, day: dt.date, bill: str) -> list[Ours]:
        start_us = _start_us(day) - (CLEARING_SHIFT_US if bill == SETTLEMENT else 0)
        yesterday = (day - dt.timedelta(days=1)).isoformat()
        follows = await tx.first(_RUN, {"of_day": yesterday, "of_bill": bill}) is not None
        window = {
            "from_us": start_us - (_GRACE_US if follows else 0),
            "to_us": start_us + _DAY_US - _GRACE_US,
        }
        provider = "unionpay" if bill == SETTLEMENT else "wechatpay"
        paid = [row for row in await tx.rows(_PAID, window) if self._is_of(provider, row)]
        back = [row for row in await tx.rows(_REFUNDED, window) if self._is_of(provider, row)]
        return [
            *[await ours_of_payment(tx, row) for row in paid],
            *[await ours_of_refund(tx, row) for row in back],
        ]

    def _is_of(self, provider: str, row: Row[Any]) -> bool:
        """Whether this provider's bills are about it."""
        known = self.core.channels.known.get(row.channel or "wechatpay")
        return known is not None and known.provider == provider

    # And then

    async def _ask(self, tx: Transaction, differences: Iterable[Finding], run: str) -> None:
        for finding in differences:
            if finding.kind != "state_differs":
                continue
            topic = "payment.recheck" if finding.subject == "payment" else "refund.look"
            await self.core.outbox.put(tx, topic, finding.number, key=f"{topic}/{run}/{finding.number}"[:120])

    async def _recheck(self, task: Task) -> int | None:
        """The bill says paid, we do not: the gateway's own answer decides, as ever."""
        found = await self.core.db.single(PAYMENT, {"number": task.subject})
        report = await self.core.channels.of(found[0].channel).query(found[0]) if found else None
        if report is not None and report.state in PAID:
            await self.core.payments.apply(report, "query")
        return None


def _start_us(day: dt.date) -> int:
    return int(dt.datetime.combine(day, dt.time(), BEIJING).timestamp()) * 1_000_000


def _none(expected: Iterable[Ours], days: dict[tuple[str, str], str]) -> list[Finding]:
    return [
        Finding("missing_there", ours.subject, ours.number, None, ours.amount_fen, None, "there is no bill")
        for ours in expected
        if ours.key not in days
    ]


def _told(differences: list[Finding]) -> str:
    counts: dict[str, int] = {}
    for finding in differences:
        counts[finding.kind] = counts.get(finding.kind, 0) + 1
    return ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in sorted(counts.items()))
