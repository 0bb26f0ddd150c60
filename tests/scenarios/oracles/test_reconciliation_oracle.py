"""A reconciliation that compared everything passes; each way in which it can be wrong, or hollow, is seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from scenarios.oracles import judge
from scenarios.reconciliation_record import BillFinding, BillRun, Movement, Planted, ReconciliationRecord
from scenarios.record import FaultLanding, RunRecord
from scenarios.verdicts import Verdict

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
MONDAY, TUESDAY, WEDNESDAY = "2026-03-02", "2026-03-03", "2026-03-04"
PASS, FAIL, OPEN = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


def moved(number: str, day: str, subject: str = "payment", fen: int = 20_000) -> Movement:
    return Movement(day=day, subject=subject, number=number, amount_fen=fen, known_days=(day,))


def found(day: str, bill: str, subject: str, number: str, kind: str = "matched") -> BillFinding:
    there = kind != "missing_there"
    return BillFinding(day=day, bill=bill, kind=kind, subject=subject, number=number, in_bill=there)


def good() -> RunRecord:
    """Two days with five movements, each of the four differences once; the third day's bills were not due yet."""
    movements = (
        moved("P1", MONDAY),
        moved("P2", MONDAY),
        moved("P3", TUESDAY),
        moved("R2", MONDAY, "refund", 500),
        moved("R3", TUESDAY, "refund", 700),
        moved("P4", WEDNESDAY),
    )
    planted = (
        Planted(day=MONDAY, kind="missing", subject="payment", number="P1"),
        Planted(day=MONDAY, kind="other-day", subject="refund", number="R2"),
        Planted(day=TUESDAY, kind="amount", subject="payment", number="P3"),
        Planted(day=TUESDAY, kind="extra", subject="refund", number="FOREIGN7"),
        Planted(day=WEDNESDAY, kind="missing", subject="payment", number="P4"),
    )
    findings = (
        found(MONDAY, "trade", "payment", "P1", "missing_there"),
        found(MONDAY, "trade", "refund", "R2", "missing_there"),
        found(MONDAY, "trade", "payment", "P2"),
        *(found(m.day, "fund", m.subject, m.number) for m in movements[:-1]),
        found(MONDAY, "fund", "fund", "4200000001"),
        found(TUESDAY, "trade", "refund", "R2"),
        found(TUESDAY, "trade", "payment", "P3", "amount_differs"),
        found(TUESDAY, "trade", "refund", "FOREIGN7", "missing_here"),
        found(TUESDAY, "trade", "refund", "R3"),
    )
    told = ReconciliationRecord(
        due=((MONDAY, 34 * HOUR_US), (TUESDAY, 58 * HOUR_US), (WEDNESDAY, 82 * HOUR_US)),
        movements=movements,
        planted=planted,
        runs=tuple(
            BillRun(day=day, bill=bill, state="matched" if bill == "fund" else "differs", compared=4, differences=2, done_us=0)
            for day in (MONDAY, TUESDAY)
            for bill in ("trade", "fund")
        ),
        findings=findings,
        gateway_fen=(("P1", 20_000), ("P2", 19_500), ("P3", 19_300), ("P4", 20_000), ("P5", 900)),
        books_fen=(("P1", 20_000), ("P2", 19_500), ("P3", 19_300), ("P4", 20_000)),
        under_way=frozenset({"P5"}),
    )  # fmt: skip
    return RunRecord(clock="virtual", ended_us=60 * HOUR_US, reconciliation=told)


def changed(record: RunRecord, **fields: Any) -> RunRecord:
    assert record.reconciliation is not None
    return replace(record, reconciliation=replace(record.reconciliation, **fields))


def told(record: RunRecord) -> ReconciliationRecord:
    assert record.reconciliation is not None
    return record.reconciliation


def without(record: RunRecord, field: str, place: int) -> RunRecord:
    rows = list(getattr(told(record), field))
    del rows[place]
    return changed(record, **{field: tuple(rows)})


def more(record: RunRecord, field: str, row: Any) -> RunRecord:
    return changed(record, **{field: (*getattr(told(record), field), row)})


@pytest.mark.requirement("pay.reconciliation-finds-differences")
def test_a_whole_reconciliation_passes() -> None:
    result = judge(good(), "money.reconciled")
    assert (result.verdict, result.figures["planted"], result.figures["found"]) == (PASS, 4, 4), (
        result.message
    )
    assert result.figures["gateway_fen"] == result.figures["books_fen"] == 78_800


BROKEN: dict[str, tuple[Callable[[RunRecord], RunRecord], str]] = {
    "a bill was never compared": (lambda r: without(r, "runs", 1), "fund bill of 2026-03-02 was compared 0 times"),
    "a bill could not be read": (
        lambda r: changed(r, runs=(replace(told(r).runs[0], state="unreadable"), *told(r).runs[1:])),
        "trade bill of 2026-03-02 is unreadable",
    ),
    "a row was left out": (lambda r: without(r, "findings", 2), "payment P2 stands 1 times in the trade bill"),
    "a row was compared twice": (
        lambda r: more(r, "findings", found(MONDAY, "fund", "payment", "P1")),
        "P1 stands 1 times in the fund bill of 2026-03-02 and was compared 2 times",
    ),
    "a row that no bill has": (
        lambda r: more(r, "findings", found(TUESDAY, "trade", "payment", "P9")),
        "P9 stands 0 times",
    ),
    "nothing is ever wrong": (
        lambda r: changed(r, findings=tuple(replace(one, kind="matched") for one in told(r).findings if one.in_bill)),
        "was not found",
    ),
    "a missing row is not missed": (lambda r: without(r, "findings", 0), "payment P1 of 2026-03-02 (missing) was not found"),
    "a moved refund is not missed": (lambda r: without(r, "findings", 1), "refund R2 of 2026-03-02 (other-day) was not found"),
    "a fen is not seen": (
        lambda r: changed(r, findings=tuple(replace(one, kind="matched") if one.kind == "amount_differs" else one for one in told(r).findings)),
        "payment P3 of 2026-03-03 (amount) was not found amount differs",
    ),
    "found on the wrong day": (
        lambda r: changed(r, findings=(replace(told(r).findings[0], day=TUESDAY), *told(r).findings[1:])),
        "P1 of 2026-03-02 (missing) was not found",
    ),
    "a false alarm": (
        lambda r: more(r, "findings", found(MONDAY, "trade", "payment", "P2", "missing_there")),
        "payment P2 was found missing there, and nobody planted",
    ),
    "a false alarm in the account's bill": (
        lambda r: more(r, "findings", found(MONDAY, "fund", "fund", "4200000002", "missing_here")),
        "the fund bill of 2026-03-02: fund 4200000002 was found missing here",
    ),
    "totals that differ": (
        lambda r: more(r, "findings", found(TUESDAY, "trade", "bill", "", "totals_differ")),
        "bill was found totals differ",
    ),
    "the gateway holds more": (
        lambda r: changed(r, gateway_fen=(*told(r).gateway_fen, ("P6", 100))),
        "P6: the gateway holds 100 fen, our books 0",
    ),
    "our books hold more": (
        lambda r: changed(r, books_fen=(*told(r).books_fen, ("P7", 100))),
        "P7: the gateway holds 0 fen, our books 100",
    ),
}  # fmt: skip


@pytest.mark.requirement("pay.reconciliation-finds-differences")
@pytest.mark.parametrize("what", BROKEN)
def test_each_way_of_being_wrong_fails(what: str) -> None:
    spoil, message = BROKEN[what]
    result = judge(spoil(good()), "money.reconciled")
    assert result.verdict is FAIL
    assert message in result.message


def with_unionpay() -> RunRecord:
    """The same two days, and a settlement file on each: a payment after 23:00, and a refund that was left out."""
    record = good()
    movements = tuple(
        replace(moved(number, day, subject), provider="unionpay")
        for number, day, subject in (
            ("U1", MONDAY, "payment"),
            ("U2", TUESDAY, "payment"),
            ("V1", TUESDAY, "refund"),
        )
    )
    planted = Planted(day=TUESDAY, kind="missing", subject="refund", number="V1", bill="unionpay")
    runs = tuple(
        BillRun(day=day, bill="unionpay", state="differs", compared=2, differences=1, done_us=0)
        for day in (MONDAY, TUESDAY)
    )
    findings = (
        found(MONDAY, "unionpay", "payment", "U1"),
        found(TUESDAY, "unionpay", "payment", "U2"),
        found(TUESDAY, "unionpay", "refund", "V1", "missing_there"),
    )
    return changed(
        record,
        bills=("trade", "fund", "unionpay"),
        movements=(*told(record).movements, *movements),
        planted=(*told(record).planted, planted),
        runs=(*told(record).runs, *runs),
        findings=(*told(record).findings, *findings),
    )


UNIONPAY: dict[str, tuple[Callable[[RunRecord], RunRecord], str]] = {
    "its file was never compared": (lambda r: without(r, "runs", -1), "unionpay bill of 2026-03-03 was compared 0 times"),
    "a row was left out": (lambda r: without(r, "findings", -3), "U1 stands 1 times in the unionpay bill of 2026-03-02"),
    "a row stands in the other gateway's bill": (
        lambda r: more(r, "findings", found(MONDAY, "trade", "payment", "U1")),
        "U1 stands 0 times in the trade bill",
    ),
    "a row of the other gateway's": (
        lambda r: more(r, "findings", found(MONDAY, "unionpay", "payment", "P2")),
        "P2 stands 0 times in the unionpay bill",
    ),
    "a missing row is not missed": (lambda r: without(r, "findings", -1), "refund V1 of 2026-03-03 (missing) was not found"),
    "missed in the wrong bill": (
        lambda r: more(without(r, "findings", -1), "findings", found(TUESDAY, "trade", "refund", "V1", "missing_there")),
        "refund V1 of 2026-03-03 (missing) was not found",
    ),
    "a false alarm": (
        lambda r: more(r, "findings", found(MONDAY, "unionpay", "payment", "U9", "missing_there")),
        "payment U9 was found missing there, and nobody planted",
    ),
}  # fmt: skip


@pytest.mark.requirement("pay.reconciliation-finds-differences")
def test_a_settlement_file_is_judged_beside_the_bills() -> None:
    result = judge(with_unionpay(), "money.reconciled")
    assert (result.verdict, result.figures["planted"], result.figures["rows"]) == (PASS, 5, 8), result.message


@pytest.mark.requirement("pay.reconciliation-finds-differences")
@pytest.mark.parametrize("what", UNIONPAY)
def test_each_way_of_being_wrong_about_it_fails(what: str) -> None:
    spoil, message = UNIONPAY[what]
    result = judge(spoil(with_unionpay()), "money.reconciled")
    assert result.verdict is FAIL
    assert message in result.message


def test_nothing_to_compare_proves_nothing() -> None:
    nobody = RunRecord(clock="virtual", ended_us=60 * HOUR_US)
    assert judge(nobody, "money.reconciled").verdict is Verdict.NOT_APPLICABLE
    assert judge(replace(good(), ended_us=34 * HOUR_US), "money.reconciled").verdict is OPEN
    idle = changed(good(), movements=(), planted=(), findings=(), gateway_fen=(), books_fen=())
    assert judge(idle, "money.reconciled").verdict is OPEN
    assert judge(replace(good(), reconciliation=ReconciliationRecord()), "money.reconciled").verdict is OPEN


def test_what_was_planted_around_midnight_may_be_missed_a_day_later() -> None:
    late = told(good()).movements[0]
    record = changed(
        good(), movements=(replace(late, known_days=(MONDAY, TUESDAY)), *told(good()).movements[1:])
    )
    assert judge(record, "money.reconciled").verdict is PASS
    moved_on = changed(
        record, findings=(replace(told(record).findings[0], day=TUESDAY), *told(record).findings[1:])
    )
    assert judge(moved_on, "money.reconciled").verdict is PASS
    never = without(record, "findings", 0)
    assert judge(never, "money.reconciled").verdict is FAIL
    # On the last day that was due it cannot be told yet.
    last = changed(
        never, movements=(replace(late, known_days=(TUESDAY, WEDNESDAY)), *told(never).movements[1:])
    )
    assert judge(last, "money.reconciled").verdict is OPEN


def test_a_spoilt_bill_delays_nothing_else() -> None:
    fault = FaultLanding(name="b", target="gateway", kind="bill_extra", at_us=0, healed_us=DAY_US, landed=1)
    assert fault.spoils_a_bill
    assert not replace(fault, kind="callback_lost").spoils_a_bill
