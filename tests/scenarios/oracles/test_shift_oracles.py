"""Two shifts with a test, a late sale and a correction pass; each way of breaking them is seen by the oracle that must see it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from scenarios.oracles import judge
from scenarios.record import Delivery, Invoice, LedgerSale, Receipt, RunRecord, TankDraw
from scenarios.shift_record import (
    HandoverWitness,
    MoneyEntry,
    ReturnedFuel,
    ShiftEntry,
    ShiftNozzle,
    ShiftReport,
)
from scenarios.verdicts import Verdict

S = 1_000_000
HOUR = 3_600 * S
SLUGS = ("shift.readings-chain", "shift.sales-add-up", "shift.litres-agree", "test.not-sold")

# nozzle, ended after, shift, is a test, flags; each 10 l at 7.60 (the total of nozzle 1 rolls over at 100 l).
FILLS = (
    (1, 1 * HOUR, 1, False, ()),
    (1, 2 * HOUR, 1, True, ("test",)),
    (2, 3 * HOUR, 1, False, ()),
    (2, 7 * HOUR, 1, False, ("offline",)),  # kept by the pump, uploaded in the second shift
    (1, 8 * HOUR + 30 * S, 2, False, ()),  # ran at the handover
    (2, 9 * HOUR, 2, False, ()),
    (2, 9 * HOUR + 60 * S, 2, False, ("recovered",)),
    (1, 17 * HOUR, None, False, ()),
)
ML, FEN = 10_000, 7_600
BEGAN = {1: (80_000, 60_800), 2: (1_000, 760)}
_MODULUS = {1: (100_000, 100_000), 2: (10**11, 10**10)}


def good_record() -> RunRecord:
    deliveries, sales = [], []
    count = {1: 0, 2: 0}
    for number, (nozzle, ended_us, shift, is_test, flags) in enumerate(FILLS, start=1):
        count[nozzle] += 1
        total = [
            (began + count[nozzle] * each) % modulus
            for began, each, modulus in zip(BEGAN[nozzle], (ML, FEN), _MODULUS[nozzle], strict=True)
        ]
        same: dict[str, Any] = {"station": "KM01", "nozzle": nozzle, "sequence": count[nozzle], "grade": "92"}
        same |= {"volume_ml": ML, "amount_fen": FEN, "price_fen_per_l": 760}
        deliveries.append(
            Delivery(
                **same, tank=1, started_us=ended_us - 60 * S, ended_us=ended_us, end_total_volume_ml=total[0],
                end_total_amount_fen=total[1], is_test=is_test,
            )
        )  # fmt: skip
        sales.append(
            LedgerSale(
                **same, sale_id=f"S{number}", paid_fen=0 if is_test else FEN, recorded_us=ended_us + S, is_test=is_test,
                shift=shift, flags=flags,
            )
        )  # fmt: skip
    return RunRecord(
        clock="virtual",
        ended_us=20 * HOUR,
        deliveries=tuple(deliveries),
        ledger=tuple(sales),
        tank_draws=(TankDraw(tank=1, volume_ml=len(FILLS) * ML, returned_ml=ML),),
        returned=(ReturnedFuel(group=1, volume_ml=ML),),
        invoices=(
            Invoice(sale_id="S1", colour="blue", state="issued", amount_fen=FEN, number="1", requested_us=0),
        ),
        receipts=(Receipt(sale_id="S1", volume_ml=ML, amount_fen=FEN),),
        handovers=(
            HandoverWitness(at_us=0),
            HandoverWitness(at_us=8 * HOUR, cash_off_fen=-500),
            HandoverWitness(at_us=16 * HOUR),
        ),
        money=(
            MoneyEntry(tender="cash", amount_fen=FEN, recorded_us=2 * HOUR),
            MoneyEntry(tender="wechatpay", amount_fen=FEN, recorded_us=4 * HOUR),
            MoneyEntry(tender="wechatpay", amount_fen=10_000, recorded_us=9 * HOUR),
            MoneyEntry(tender="wechatpay", amount_fen=-2_400, recorded_us=10 * HOUR),
        ),
        shifts=(
            ShiftReport(
                station="KM01", number=1, attendant="A", from_us=0, until_us=8 * HOUR, sales=2, volume_ml=2 * ML,
                amount_fen=2 * FEN, tests=1, tests_ml=ML, grades={"92": 2 * FEN}, tenders={"cash": FEN, "unpaid": FEN},
                taken={"cash": FEN, "wechatpay": FEN}, cash_expected_fen=FEN, cash_counted_fen=FEN - 500,
                cash_difference_fen=-500, entries=(ShiftEntry(kind="late_sale", sale_id="S4", volume_ml=ML, amount_fen=FEN),),
                nozzles=(
                    ShiftNozzle(nozzle=1, sequence=2, start_ml=80_000, start_fen=60_800, end_ml=0, end_fen=76_000, sales=1,
                                volume_ml=ML, amount_fen=FEN, tests=1, tests_ml=ML, tests_fen=FEN, late_ml=0, late_fen=0,
                                difference_ml=0, difference_fen=0),
                    ShiftNozzle(nozzle=2, sequence=1, start_ml=1_000, start_fen=760, end_ml=11_000, end_fen=8_360, sales=1,
                                volume_ml=ML, amount_fen=FEN, tests=0, tests_ml=0, tests_fen=0, late_ml=0, late_fen=0,
                                difference_ml=0, difference_fen=0, offline=True),
                ),
            ),
            ShiftReport(
                station="KM01", number=2, attendant="B", from_us=8 * HOUR, until_us=16 * HOUR, sales=3, volume_ml=3 * ML,
                amount_fen=3 * FEN, tests=0, tests_ml=0, grades={"92": 3 * FEN}, tenders={"wechatpay": 3 * FEN},
                taken={"wechatpay": FEN}, cash_counted_fen=0, cash_difference_fen=0,
                nozzles=(
                    ShiftNozzle(nozzle=1, sequence=3, start_ml=0, start_fen=76_000, end_ml=10_000, end_fen=83_600, sales=1,
                                volume_ml=ML, amount_fen=FEN, tests=0, tests_ml=0, tests_fen=0, late_ml=0, late_fen=0,
                                difference_ml=0, difference_fen=0),
                    ShiftNozzle(nozzle=2, sequence=4, start_ml=11_000, start_fen=8_360, end_ml=41_000, end_fen=31_160, sales=2,
                                volume_ml=2 * ML, amount_fen=2 * FEN, tests=0, tests_ml=0, tests_fen=0, late_ml=ML,
                                late_fen=FEN, difference_ml=0, difference_fen=0),
                ),
            ),
        ),
    )  # fmt: skip


GOOD = good_record()


@pytest.mark.parametrize("slug", SLUGS)
def test_a_good_record_passes(slug: str) -> None:
    result = judge(GOOD, slug)
    assert result.verdict is Verdict.PASS, result.message


@pytest.mark.parametrize("slug", SLUGS)
def test_a_run_without_staff_proves_nothing(slug: str) -> None:
    no_tests = tuple(replace(one, is_test=False) for one in GOOD.deliveries)
    assert (
        judge(replace(GOOD, handovers=(), shifts=(), deliveries=no_tests), slug).verdict
        is Verdict.INCONCLUSIVE
    )
    one = replace(GOOD, handovers=GOOD.handovers[:1], shifts=(), deliveries=no_tests)
    assert judge(one, slug).verdict is Verdict.INCONCLUSIVE, "one handover opens a shift and closes none"


def test_shifts_in_which_nothing_was_sold_prove_nothing() -> None:
    idle = tuple(
        replace(
            shift,
            sales=0, volume_ml=0, amount_fen=0, tests=0, tests_ml=0, grades={}, tenders={}, taken={}, entries=(),
            nozzles=tuple(
                replace(row, sequence=0, sales=0, volume_ml=0, amount_fen=0, tests=0, tests_ml=0, tests_fen=0, late_ml=0,
                        late_fen=0, start_ml=1_000, end_ml=1_000, start_fen=760, end_fen=760)
                for row in shift.nozzles
            ),
        )
        for shift in GOOD.shifts
    )  # fmt: skip
    record = replace(GOOD, shifts=idle, deliveries=(), ledger=(), money=())
    for slug in SLUGS:
        assert judge(record, slug).verdict is Verdict.INCONCLUSIVE, slug


Breaker = Callable[[RunRecord], RunRecord]


def row(shift: int, nozzle: int, **changes: Any) -> Breaker:
    """Something else in the report of a nozzle."""

    def breaker(record: RunRecord) -> RunRecord:
        shifts = list(record.shifts)
        rows = list(shifts[shift - 1].nozzles)
        rows[nozzle - 1] = replace(rows[nozzle - 1], **changes)
        shifts[shift - 1] = replace(shifts[shift - 1], nozzles=tuple(rows))
        return replace(record, shifts=tuple(shifts))

    return breaker


def swap(name: str, index: int, **changes: Any) -> Breaker:
    def breaker(record: RunRecord) -> RunRecord:
        rows = list(getattr(record, name))
        rows[index] = replace(rows[index], **changes)
        return replace(record, **{name: tuple(rows)})

    return breaker


def without(name: str, index: int) -> Breaker:
    return lambda record: replace(
        record, **{name: tuple(one for n, one in enumerate(getattr(record, name)) if n != index)}
    )


def lost_both_ends(record: RunRecord) -> RunRecord:
    """A reading that chains, and was never on the totaliser."""
    return row(2, 2, start_ml=12_000)(row(1, 2, end_ml=12_000)(record))


def closed_twice(record: RunRecord) -> RunRecord:
    return replace(record, shifts=(record.shifts[0], *record.shifts))


def counted_twice(record: RunRecord) -> RunRecord:
    """The straddling delivery in the report of both shifts."""
    moved = row(1, 1, sales=2, volume_ml=2 * ML, amount_fen=2 * FEN)(record)
    one = replace(moved.shifts[0], sales=3, volume_ml=3 * ML, amount_fen=3 * FEN)
    return replace(moved, shifts=(one, moved.shifts[1]))


def in_the_shift_before(record: RunRecord) -> RunRecord:
    """The straddling delivery counted where it began: the sums agree, the rule does not."""
    moved = swap("ledger", 4, shift=1)(counted_twice(record))
    two = replace(moved.shifts[1], sales=2, volume_ml=2 * ML, amount_fen=2 * FEN, grades={"92": 2 * FEN})
    two = replace(two, tenders={"wechatpay": 2 * FEN})
    one = replace(moved.shifts[0], grades={"92": 3 * FEN}, tenders={"cash": 3 * FEN})
    moved = replace(moved, shifts=(one, two))
    return row(2, 1, sales=0, volume_ml=0, amount_fen=0)(moved)


def carried_over(record: RunRecord) -> RunRecord:
    """A sale of the first shift that is still in the open one: the sums agree, the rule does not."""
    moved = swap("ledger", 2, shift=None)(row(1, 2, sales=0, volume_ml=0, amount_fen=0)(record))
    less = {"sales": 1, "volume_ml": ML, "amount_fen": FEN, "grades": {"92": FEN}, "tenders": {"cash": FEN}}
    return swap("shifts", 0, **less)(moved)


@pytest.mark.parametrize(("late_us", "verdict"), [(0, Verdict.FAIL), (12_000_000, Verdict.PASS)])
def test_a_preset_is_reached_in_one_shift_and_the_nozzle_put_back_in_the_next(
    late_us: int, verdict: Verdict
) -> None:
    record = carried_over(GOOD)
    deliveries = list(record.deliveries)
    at = next(n for n, one in enumerate(deliveries) if one.key == record.ledger[2].key)
    deliveries[at] = replace(deliveries[at], hung_up_us=16 * HOUR - 11_000_000 + late_us)
    result = judge(replace(record, deliveries=tuple(deliveries)), "shift.sales-add-up")
    assert result.verdict is verdict, result.message


def no_more_entries(record: RunRecord) -> RunRecord:
    return swap("shifts", 0, entries=())(record)


@pytest.mark.parametrize(
    ("slug", "breaker", "said"),
    [
        pytest.param("shift.readings-chain", row(2, 1, start_ml=10), "nozzle 1: shift 1 ends at", id="gap"),
        pytest.param("shift.readings-chain", row(2, 2, start_fen=10), "nozzle 2: shift 1 ends at", id="gap-fen"),
        pytest.param("shift.readings-chain", lost_both_ends, "the dispenser counted", id="invented-reading"),
        pytest.param("shift.readings-chain", row(2, 2, end_fen=5), "the dispenser counted", id="invented-amount"),
        pytest.param("shift.readings-chain", row(2, 2, sequence=9), "never made delivery no. 9", id="no-such-delivery"),
        pytest.param("shift.readings-chain", row(2, 2, end_ml=None), "was not read", id="not-read"),
        pytest.param("shift.readings-chain", without("shifts", 1), "shift 2 was closed 0 times", id="never-closed"),
        pytest.param("shift.readings-chain", closed_twice, "shift 1 was closed 2 times", id="closed-twice"),
        pytest.param("shift.readings-chain", swap("shifts", 1, until_us=15 * HOUR), "does not lie between", id="other-time"),
        pytest.param("shift.sales-add-up", swap("ledger", 0, shift=2), "shift 1, nozzle 1", id="moved"),
        pytest.param("shift.sales-add-up", counted_twice, "add up to", id="counted-twice"),
        pytest.param("shift.sales-add-up", in_the_shift_before, "ended after shift 1", id="wrong-side"),
        pytest.param("shift.sales-add-up", carried_over, "before the shift in which it is counted", id="carried-over"),
        pytest.param("shift.sales-add-up", swap("ledger", 0, shift=7), "which nobody closed", id="no-such-shift"),
        pytest.param("shift.sales-add-up", no_more_entries, "in the ledger", id="late-one-unmarked"),
        pytest.param("shift.sales-add-up", swap("ledger", 1, is_test=False), "in the ledger", id="test-sold"),
        pytest.param("shift.sales-add-up", swap("shifts", 0, grades={"95": 2 * FEN}), "by grade", id="grade"),
        pytest.param("shift.sales-add-up", swap("shifts", 0, tenders={"cash": FEN}), "tenders add up", id="tender"),
        pytest.param("shift.sales-add-up", swap("shifts", 0, taken={"cash": FEN}), "taken by tender", id="money"),
        pytest.param("shift.sales-add-up", swap("shifts", 0, cash_difference_fen=0), "was off by -500", id="cash"),
        pytest.param("shift.litres-agree", row(2, 1, end_ml=20_000), "off by 10,000 ml", id="unsold-litres"),
        pytest.param("shift.litres-agree", row(1, 1, difference_fen=9), "9 fen more", id="money-difference"),
        pytest.param("shift.litres-agree", row(1, 1, tests_ml=0), "off by", id="test-forgotten"),
        pytest.param("shift.litres-agree", row(2, 2, late_ml=0), "off by 10,000 ml", id="late-one-forgotten"),
        pytest.param("shift.litres-agree", row(2, 2, start_ml=None), "has no reading", id="no-reading"),
        pytest.param("test.not-sold", swap("ledger", 1, is_test=False), "is sold", id="sold"),
        pytest.param("test.not-sold", swap("ledger", 1, paid_fen=FEN), "was paid", id="paid"),
        pytest.param("test.not-sold", without("ledger", 1), "is not in the ledger", id="lost"),
        pytest.param("test.not-sold", swap("invoices", 0, sale_id="S2"), "has an invoice", id="invoiced"),
        pytest.param("test.not-sold", swap("receipts", 0, sale_id="S2"), "has a receipt", id="receipt"),
        pytest.param("test.not-sold", swap("ledger", 0, is_test=True), "a customer has the fuel", id="free-fuel"),
        pytest.param("test.not-sold", without("returned", 0), "0 ml stand in the stock book", id="not-booked"),
        pytest.param("conservation.litres", swap("tank_draws", 0, returned_ml=0), "0 ml came back", id="not-poured-back"),
    ],
)  # fmt: skip
def test_a_broken_record_fails(slug: str, breaker: Breaker, said: str) -> None:
    result = judge(breaker(GOOD), slug)
    assert result.verdict is Verdict.FAIL, result.message
    assert re.search(said, result.message), result.message


def test_a_pump_that_was_away_and_never_read_is_not_guessed() -> None:
    record = row(1, 2, end_ml=None, end_fen=None)(
        row(2, 2, start_ml=None, start_fen=None, offline=True)(GOOD)
    )
    assert judge(record, "shift.litres-agree").figures["unknown"] == 2
    assert judge(record, "shift.litres-agree").verdict is Verdict.PASS


def test_the_first_shift_may_open_before_a_pump_was_ever_read() -> None:
    record = row(1, 1, start_ml=None, start_fen=None, difference_ml=None, difference_fen=None)(GOOD)
    assert judge(record, "shift.litres-agree").verdict is Verdict.PASS
    assert judge(row(1, 1, end_ml=None)(record), "shift.litres-agree").verdict is Verdict.FAIL
    later = row(2, 1, start_ml=None, start_fen=None)(GOOD)
    assert judge(later, "shift.litres-agree").verdict is Verdict.FAIL


def test_cash_that_is_booked_at_the_very_moment_is_not_judged() -> None:
    late = MoneyEntry(tender="cash", amount_fen=FEN, recorded_us=8 * HOUR - S)
    record = replace(GOOD, money=(*GOOD.money, late))
    record = swap("shifts", 0, taken={"cash": 2 * FEN, "wechatpay": FEN}, cash_difference_fen=-8_100)(record)
    assert judge(record, "shift.sales-add-up").verdict is Verdict.PASS
    assert judge(record, "shift.sales-add-up", {"blind_us": 0}).verdict is Verdict.FAIL


def test_what_is_found_after_a_lost_link_is_in_the_shift_in_which_it_was_found() -> None:
    found = swap("deliveries", 6, ended_us=7 * HOUR)(GOOD)
    assert judge(found, "shift.sales-add-up").verdict is Verdict.PASS
    silent = swap("ledger", 6, flags=())(found)
    assert judge(silent, "shift.sales-add-up").verdict is Verdict.FAIL
