"""The daily reconciliation: every row of every bill was compared, what was planted was found, and both sides hold the same.

The gateway's own ledger says which rows a day's bills must have, and its faults which of these they spoilt. The backend's result is
held against that row by row, so a reconciliation that compares nothing, or finds everything equal, fails.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from scenarios.oracles.answer import answer, nothing_seen
from scenarios.reconciliation_record import BillFinding, Planted, ReconciliationRecord
from scenarios.record import RunRecord
from scenarios.verdicts import CheckResult, Verdict

__all__ = ["reconciled"]

_SETTLEMENT: Final = "unionpay"
_ROWS: Final = frozenset({"payment", "refund"})
"""Subjects of rows that stand for a movement; fees follow from these."""

_SPOILT: Final = {"extra": "missing_here", "amount": "amount_differs"}
"""What must be said of a row that a fault has spoilt, on its own day."""

Line = tuple[str, str, str]
"""(day, subject, number)"""


def _after(day: str) -> str:
    return (dt.date.fromisoformat(day) + dt.timedelta(days=1)).isoformat()


def _not_run(told: ReconciliationRecord, days: Iterable[str]) -> Iterator[str]:
    runs = Counter((run.day, run.bill) for run in told.runs)
    states = {(run.day, run.bill): run.state for run in told.runs}
    for day in days:
        for bill in told.bills:
            if runs[day, bill] != 1:
                yield f"the {bill} bill of {day} was compared {runs[day, bill]} times"
            elif states[day, bill] not in {"matched", "differs"}:
                yield f"the {bill} bill of {day} is {states[day, bill]}"


def _rows(told: ReconciliationRecord, bill: str) -> Counter[Line]:
    """The rows that the bills of all days must have, faults included."""
    rows: Counter[Line] = Counter()
    for one in told.movements:
        if (one.provider == "unionpay") == (bill == _SETTLEMENT):
            rows[one.day, one.subject, one.number] += bill == "fund" or one.in_trade
    for planted in told.planted:
        if planted.bill != bill:
            continue
        line = (planted.day, planted.subject, planted.number)
        rows[line] += (planted.kind == "extra") - (planted.kind in {"missing", "other-day"})
        if planted.kind == "other-day":
            rows[_after(planted.day), planted.subject, planted.number] += 1
    return rows


def _not_compared(told: ReconciliationRecord, days: Iterable[str]) -> Iterator[str]:
    for bill in told.bills:
        seen = Counter(
            (one.day, one.subject, one.number)
            for one in told.findings
            if one.bill == bill and one.in_bill and one.subject in _ROWS
        )
        rows = _rows(told, bill)
        for line in sorted(seen.keys() | rows.keys()):
            if line[0] in days and seen[line] != rows[line]:
                day, subject, number = line
                yield (
                    f"{subject} {number} stands {rows[line]} times in the {bill} bill of {day} and was compared "
                    f"{seen[line]} times"
                )


class _Differences:
    """What was found to differ, taken away piece by piece by what was planted."""

    def __init__(self, told: ReconciliationRecord, days: Iterable[str]) -> None:
        self._days = days
        self._known = {
            (one.day, one.subject, one.number): one.known_days for one in told.movements if one.in_trade
        }
        self.left = [one for one in told.findings if one.kind != "matched" and one.day in days]
        self.found = len(self.left)
        self.planted = self.early = 0

    def take(self, planted: Planted) -> str | None:
        """What is wrong: a planted difference that was not found. None: it was, or nobody can tell yet."""
        if planted.day not in self._days:
            return None
        days, must = self._when(planted)
        if not days:
            return None
        self.planted += 1
        kind = _SPOILT.get(planted.kind, "missing_there")
        for number, one in enumerate(self.left):
            if (one.bill, one.kind, one.subject, one.number) == (
                planted.bill,
                kind,
                planted.subject,
                planted.number,
            ) and one.day in days:
                del self.left[number]
                return None
        if not must:
            self.planted -= 1
        elif not set(days) <= set(self._days):
            self.early += 1
        else:
            return f"{planted.subject} {planted.number} of {planted.day} ({planted.kind}) was not found {_said(kind)}"
        return None

    def _when(self, planted: Planted) -> tuple[list[str], bool]:
        """On which days it may be found, and whether it must be: a row that is missing is missed when the books have it."""
        if planted.kind in _SPOILT:
            return [planted.day], True
        known = self._known.get((planted.day, planted.subject, planted.number), ())
        if planted.kind == "missing":
            return list(known), True
        before = [day for day in known if day <= planted.day]  # on the next one it is there
        return before, len(before) == len(known)


def _said(kind: str) -> str:
    return kind.replace("_", " ")


def _told(one: BillFinding) -> str:
    what = f"{one.subject} {one.number}".strip()
    return f"the {one.bill} bill of {one.day}: {what} was found {_said(one.kind)}, and nobody planted a difference"


def _balances(told: ReconciliationRecord) -> tuple[dict[str, int], dict[str, int]]:
    gateway = {number: fen for number, fen in told.gateway_fen if fen and number not in told.under_way}
    books = {number: fen for number, fen in told.books_fen if fen and number not in told.under_way}
    return gateway, books


def reconciled(record: RunRecord, limits: Mapping[str, int]) -> CheckResult:
    """Each day's bills compared whole; all planted differences found and no others; gateway and books hold the same."""
    slug = "money.reconciled"
    told = record.reconciliation
    if told is None:
        message = "this backend does not reconcile"
        return CheckResult(slug, Verdict.NOT_APPLICABLE, message, {"days": 0}, record.clock)
    days = [day for day, due_us in told.due if due_us + limits["within_us"] <= record.ended_us]
    if not days:
        return nothing_seen(slug, record, "no day's bills were due before the end of the run")
    rows = sum(one.day in days for one in told.movements)
    if not rows:
        return nothing_seen(slug, record, "the gateway moved no money on any day that was due")
    problems = [*_not_run(told, days), *_not_compared(told, days)]
    differences = _Differences(told, days)
    missed = [problem for planted in told.planted if (problem := differences.take(planted)) is not None]
    problems += missed
    problems += [_told(one) for one in differences.left]
    gateway, books = _balances(told)
    problems += [
        f"{number}: the gateway holds {gateway.get(number, 0)} fen, our books {books.get(number, 0)}"
        for number in sorted(gateway.keys() | books.keys())
        if gateway.get(number, 0) != books.get(number, 0)
    ]
    figures = {
        "days": len(days),
        "rows": rows,
        "planted": differences.planted,
        "found": differences.found,
        "gateway_fen": sum(gateway.values()),
        "books_fen": sum(books.values()),
        "under_way": len(told.under_way),
        "too_early_to_say": differences.early,
    }
    if differences.early and not problems:
        message = f"the run ended before {differences.early} planted differences could be missed"
        return CheckResult(slug, Verdict.INCONCLUSIVE, message, figures, record.clock)
    good = (
        f"{rows:,} movements on {len(days)} days, each compared in every bill it belongs in; the {differences.planted} planted differences "
        f"found and no other; {figures['gateway_fen']:,} fen at the gateway and in our books"
    )
    return answer(slug, record, problems, good, figures)
