"""Drivers who leave without paying, in a whole virtual run, and the oracle that judges what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from scenarios.demand import demand_profile
from scenarios.loader import load
from scenarios.model import Scenario
from scenarios.oracles import judge
from scenarios.record import RunRecord
from scenarios.runner.virtual import SAFETY_CHECKS, run_once
from scenarios.verdicts import Verdict
from sim.people import draw_car

SLUG = "sale.drive-off-flagged"


def dishonest(share: float, **changes: Any) -> Scenario:
    document = load("smoke").scenario.model_dump(mode="json")
    document["demand"]["drive_off_share"] = share
    document["checks"] += [{"check": SLUG}]
    return Scenario.model_validate(document | changes)


@pytest.fixture(scope="module")
def record() -> RunRecord:
    handovers = [{"at_s": at_s, "attendant": f"A{at_s}"} for at_s in (0, 3_000)]
    return run_once(
        dishonest(0.4, shift_changes=handovers, settle_s=900), "gone", skip_idle_polls=True
    ).record


@pytest.mark.requirement("fc-sale.drive-off-is-flagged")
def test_what_they_took_is_in_the_books_and_in_the_report_of_the_shift(record: RunRecord) -> None:
    gone = [delivery for delivery in record.deliveries if delivery.unpaid_by_intent]
    assert 3 <= len(gone) < len(record.deliveries)
    told = judge(record, SLUG)
    assert told.verdict is Verdict.PASS, told.message
    assert told.figures["in_closed_shifts"] == told.figures["drive_offs"] == len(gone)
    (shift,) = record.shifts
    assert 0 < shift.drive_offs <= len(gone), "those who left long before the end of the shift"
    assert [check for check in SAFETY_CHECKS if judge(record, check).verdict is Verdict.FAIL] == []
    # The clock that matters is the sale's own: nobody waits for a payment that was never meant.
    assert judge(record, "liveness.settled", {"settle_us": 900_000_000}).figures["unpaid_by_intent"] == len(
        gone
    )


def spoil(
    name: str, pick: Callable[[Any], bool] = lambda _: True, **changes: Any
) -> Callable[[RunRecord], RunRecord]:
    def spoilt(record: RunRecord) -> RunRecord:
        rows = getattr(record, name)
        at = next(number for number, row in enumerate(rows) if pick(row))
        return replace(record, **{name: (*rows[:at], replace(rows[at], **changes), *rows[at + 1 :])})

    return spoilt


def without_ledger_row(record: RunRecord) -> RunRecord:
    gone = {delivery.key for delivery in record.deliveries if delivery.unpaid_by_intent}
    return replace(record, ledger=tuple(sale for sale in record.ledger if sale.key not in gone))


def with_why(record: RunRecord, why: tuple[str, ...]) -> RunRecord:
    (shift,) = record.shifts
    flagged = next(sale_id for sale_id, told in shift.odd.items() if "drive_off" in told)
    odd = {**shift.odd, flagged: why}
    return replace(record, shifts=(replace(shift, odd=odd),))


def blames_the_honest(record: RunRecord) -> RunRecord:
    (shift,) = record.shifts
    paid = next(sale for sale in record.ledger if sale.settled_us is not None and sale.shift == shift.number)
    return replace(record, shifts=(replace(shift, odd={**shift.odd, paid.sale_id: ("drive_off",)}),))


def paid(record: RunRecord) -> RunRecord:
    gone = {delivery.key for delivery in record.deliveries if delivery.unpaid_by_intent}
    return spoil("ledger", lambda sale: sale.key in gone, paid_fen=100)(record)


def forgets_the_shift(record: RunRecord) -> RunRecord:
    gone = {delivery.key for delivery in record.deliveries if delivery.unpaid_by_intent}
    ledger = tuple(replace(sale, shift=None) if sale.key in gone else sale for sale in record.ledger)
    shifts = tuple(replace(shift, odd={}, drive_offs=0, drive_off_fen=0) for shift in record.shifts)
    return replace(record, ledger=ledger, shifts=shifts)


@pytest.mark.requirement("fc-sale.drive-off-is-flagged")
@pytest.mark.parametrize(
    ("breaker", "said"),
    [
        pytest.param(without_ledger_row, "is not in the ledger", id="deleted"),
        pytest.param(paid, "is paid in the books", id="paid"),
        pytest.param(lambda r: with_why(r, ()), "does not list sale", id="hidden"),
        pytest.param(lambda r: with_why(r, ("unpaid",)), "does not call it a drive-off", id="not-flagged"),
        pytest.param(forgets_the_shift, "stands in no shift", id="no-shift"),
        pytest.param(blames_the_honest, "and it was paid before", id="blames-the-honest"),
        pytest.param(spoil("shifts", drive_off_fen=1), "and lists", id="wrong-sum"),
        pytest.param(
            spoil("shifts", drive_off_after_us=10**12), "calls it a drive-off already", id="too-early"
        ),
    ],
)
def test_the_oracle_finds(record: RunRecord, breaker: Callable[[RunRecord], RunRecord], said: str) -> None:
    found = judge(breaker(record), SLUG)
    assert found.verdict is Verdict.FAIL
    assert said in found.message


def test_a_run_in_which_nobody_drove_off_proves_nothing(record: RunRecord) -> None:
    honest = tuple(replace(delivery, unpaid_by_intent=False) for delivery in record.deliveries)
    assert judge(replace(record, deliveries=honest), SLUG).verdict is Verdict.INCONCLUSIVE


def test_a_run_in_which_no_shift_was_closed_proves_half_of_it(record: RunRecord) -> None:
    ledger = tuple(replace(sale, shift=None) for sale in record.ledger)
    found = judge(replace(record, ledger=ledger, shifts=()), SLUG)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "no shift was closed" in found.message
    assert found.figures["in_closed_shifts"] == 0


def test_the_honest_do_the_same_whatever_the_share() -> None:
    some, none = (demand_profile(dishonest(share).demand) for share in (0.4, 0.0))
    pairs = [(draw_car(some, "s", number), draw_car(none, "s", number)) for number in range(200)]
    assert all(replace(one, drives_off=False) == other for one, other in pairs)
    share = sum(one.drives_off for one, _ in pairs) / sum(not one.prepaid for one, _ in pairs)
    assert 0.3 < share < 0.5
    assert not any(one.drives_off for one, _ in pairs if one.prepaid)


@pytest.mark.parametrize("share", [-0.1, 1.1, "some"])
def test_a_share_that_is_none_is_refused(share: Any) -> None:
    with pytest.raises(ValidationError, match="drive_off_share"):
        dishonest(share)
