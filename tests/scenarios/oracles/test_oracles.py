"""A good record passes every oracle; each way of breaking it on purpose is seen by the oracle that must see it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from scenarios.oracles import ORACLES, judge
from scenarios.record import (
    AcknowledgedWrite,
    BookedDelivery,
    Delivery,
    FailoverTrial,
    FaultLanding,
    GatewayTransaction,
    HarnessLag,
    Invoice,
    JournalSale,
    LedgerSale,
    LiveObservation,
    OperationCount,
    Order,
    Payment,
    Receipt,
    Replication,
    RunRecord,
    TankDraw,
    TankerWitness,
    TankWitness,
)
from scenarios.verdicts import Verdict

SECOND = 1_000_000


def delivery(number: int) -> Delivery:
    volume_ml, price = 10_000 + 10 * number, 760
    # Two nozzles take turns; each nozzle's totals grow by its own deliveries.
    mine = [n for n in range(1, number + 1) if n % 2 == number % 2]
    return Delivery(
        station="KM01",
        nozzle=1 + number % 2,
        sequence=len(mine),
        grade="92",
        tank=1,
        volume_ml=volume_ml,
        amount_fen=(volume_ml * price + 500) // 1000,
        price_fen_per_l=price,
        started_us=number * 60 * SECOND,
        ended_us=number * 60 * SECOND + 20 * SECOND,
        end_total_volume_ml=sum(10_000 + 10 * n for n in mine),
        end_total_amount_fen=sum(((10_000 + 10 * n) * price + 500) // 1000 for n in mine),
    )


def good_record() -> RunRecord:
    deliveries = tuple(delivery(n) for n in range(1, 9))
    sales = tuple(
        LedgerSale(
            sale_id=f"S{n}", station=d.station, nozzle=d.nozzle, sequence=d.sequence, volume_ml=d.volume_ml,
            amount_fen=d.amount_fen, price_fen_per_l=d.price_fen_per_l, paid_fen=d.amount_fen,
            recorded_us=d.ended_us + SECOND, settled_us=d.ended_us + 10 * SECOND,
            end_total_volume_ml=d.end_total_volume_ml, end_total_amount_fen=d.end_total_amount_fen,
        )
        for n, d in enumerate(deliveries)
    )  # fmt: skip
    payments = (
        # A pre-pay order with a refund of what was not delivered, plain ones, and a reversed one.
        Payment(out_trade_no="T0", order_id="O0", sale_id="S0", authorised_fen=sales[0].amount_fen + 500,
                captured_fen=sales[0].amount_fen, reversed_fen=0, refunded_fen=500),
        *(
            Payment(out_trade_no=f"T{n}", order_id=f"O{n}", sale_id=f"S{n}", authorised_fen=sales[n].amount_fen,
                    captured_fen=sales[n].amount_fen, reversed_fen=0, refunded_fen=0)
            for n in range(1, 6)
        ),
        Payment(out_trade_no="T9", order_id="O9", sale_id=None, authorised_fen=900, captured_fen=0,
                reversed_fen=900, refunded_fen=0),
    )  # fmt: skip
    gateway = tuple(
        GatewayTransaction(out_trade_no=p.out_trade_no, state="CLOSED" if p.reversed_fen else "SUCCESS",
                           total_fen=p.authorised_fen, paid_fen=p.captured_fen + p.refunded_fen, refunded_fen=p.refunded_fen)
        for p in payments
    )  # fmt: skip
    orders = tuple(
        Order(order_id=f"O{p.out_trade_no[1:]}", state="CLOSED" if p.reversed_fen else "PAID", sale_id=p.sale_id,
              payable_fen=p.captured_fen, paid_fen=p.captured_fen + p.refunded_fen, refunded_fen=p.refunded_fen,
              wants_invoice=p.sale_id in {"S1", "S2"})
        for p in payments
    )  # fmt: skip
    live = tuple(
        LiveObservation(key=d.key, at_us=d.ended_us - SECOND * (2 - step), volume_ml=d.volume_ml * step // 2,
                        amount_fen=d.amount_fen * step // 2)
        for d in deliveries
        for step in (0, 1, 2)
    )  # fmt: skip
    return RunRecord(
        clock="wall",
        ended_us=7_200 * SECOND,
        deliveries=deliveries,
        journal=tuple(
            JournalSale(station=d.station, nozzle=d.nozzle, sequence=d.sequence, volume_ml=d.volume_ml,
                        amount_fen=d.amount_fen, price_fen_per_l=d.price_fen_per_l,
                        end_total_volume_ml=d.end_total_volume_ml, end_total_amount_fen=d.end_total_amount_fen)
            for d in deliveries
        ),
        ledger=sales,
        orders=orders,
        payments=payments,
        gateway=gateway,
        invoices=(
            Invoice(sale_id="S1", colour="blue", state="issued", amount_fen=sales[1].amount_fen, number="01",
                    requested_us=200 * SECOND, issued_us=201 * SECOND),
            # A wrong one, cancelled by a red one, and its successor: one valid invoice.
            Invoice(sale_id="S2", colour="blue", state="issued", amount_fen=sales[2].amount_fen, number="02",
                    requested_us=300 * SECOND, issued_us=301 * SECOND),
            Invoice(sale_id="S2", colour="red", state="issued", amount_fen=-sales[2].amount_fen, number="03",
                    requested_us=310 * SECOND, issued_us=311 * SECOND, cancels="02"),
            Invoice(sale_id="S2", colour="blue", state="issued", amount_fen=sales[2].amount_fen, number="04",
                    requested_us=320 * SECOND, issued_us=321 * SECOND),
        ),
        tank_draws=(TankDraw(tank=1, volume_ml=sum(d.volume_ml for d in deliveries)),),
        tanks=(
            TankWitness(group=1, tanks=(1,), from_us=0, until_us=5_000 * SECOND, opening_ml=20_000_000,
                        closing_ml=25_009_000 - sum(d.volume_ml for d in deliveries), received_ml=5_000_000, leaked_ml=0,
                        expanded_ml=0, error_ml=10_000),
        ),
        tankers=(TankerWitness(group=1, volume_ml=5_000_000, started_us=10 * SECOND, ended_us=20 * SECOND),),
        booked=(
            BookedDelivery(entry_key="delivery/1", group=1, site_delivery="1", volume_ml=5_009_000, started_us=10 * SECOND,
                           ended_us=30 * SECOND),
        ),
        live=live,
        receipts=(
            Receipt(sale_id="S1", volume_ml=sales[1].volume_ml, amount_fen=sales[1].amount_fen),
            Receipt(sale_id="S1", volume_ml=sales[1].volume_ml, amount_fen=sales[1].amount_fen, copy=True),
            Receipt(sale_id="S2", volume_ml=0, amount_fen=0, complete=False),
        ),
        faults=(FaultLanding(name="noise on island-1", target="wire", kind="noise", at_us=0, healed_us=500 * SECOND, landed=7),),
        operations=(OperationCount(kind="payment", tried=6, succeeded=6),),
        latencies_us={
            "payment_controlled": (90_000,) * 3_000,
            "payment_end_to_end": (180_000,) * 3_000,
            "payment_human": (8_000_000,) * 300,
            "invoice_issued": (900_000,) * 300,
            "invoice_answered": (900_000,) * 300,
            "live_amount": (400_000,) * 300,
        },
        failovers=tuple(
            FailoverTrial(instance="a", killed_us=n * 60 * SECOND, first_acknowledged_us=n * 60 * SECOND + 2 * SECOND, in_flight=3)
            for n in range(20)
        ),
        writes=(AcknowledgedWrite(key="w1", acknowledged_us=1, found=True),),
        harness=HarnessLag(lags_us=(500,) * 300),
        replications=(
            Replication(seed="1/replication/1", failures=(), latencies_us={}),
            Replication(seed="1/replication/2", failures=(), latencies_us={}),
        ),
        twin_differences=(),
    )  # fmt: skip


GOOD = good_record()
NOT_JUDGED = {"latency.payment-human"}
BILLS = {"money.reconciled", "money.tender-adds-up", "money.debits-agreed"}
"""Of backends that reconcile and drivers that are members: `test_reconciliation_oracle`, `test_member_oracles`."""
OPTIONAL = NOT_JUDGED | BILLS | {"faults.landed", "replications.safe", "harness.idle-polls"}
"""What a run may do without: faults, bills, members, further seeds, a twin. Absent is NOT_APPLICABLE, never PASS."""
ELSEWHERE = {"receipt.each-printed", "receipt.one-original"}
"""Judged in `test_receipt_oracles`: here most sales have no receipt."""
VOICE = {"voice.exactly-once", "voice.in-time", "voice.error-rate"}
"""Of stations with a loudspeaker: judged in `test_voice_oracles`."""
STAFF = {
    "shift.readings-chain",
    "shift.sales-add-up",
    "shift.litres-agree",
    "test.not-sold",
    "sale.drive-off-flagged",
}
"""Of runs with staff: judged in `test_shift_oracles`. Here they find nothing to judge."""


@pytest.mark.parametrize("slug", [slug for slug in ORACLES if slug not in STAFF | ELSEWHERE | VOICE | BILLS])
def test_a_good_record_passes(slug: str) -> None:
    result = judge(GOOD, slug)
    assert result.verdict is (Verdict.INFO if slug in NOT_JUDGED else Verdict.PASS), result.message
    assert result.check == slug
    assert result.clock == "wall"


@pytest.mark.parametrize("slug", ORACLES)
def test_an_empty_record_never_passes(slug: str) -> None:
    result = judge(RunRecord(clock="wall", ended_us=0), slug)
    assert result.verdict is (Verdict.NOT_APPLICABLE if slug in OPTIONAL else Verdict.INCONCLUSIVE)


def swap(field: str, index: int, **changes: Any) -> Callable[[RunRecord], RunRecord]:
    def breaker(record: RunRecord) -> RunRecord:
        rows = list(getattr(record, field))
        rows[index] = replace(rows[index], **changes)
        return replace(record, **{field: tuple(rows)})

    return breaker


def drop(field: str, index: int) -> Callable[[RunRecord], RunRecord]:
    return lambda record: replace(
        record, **{field: tuple(row for n, row in enumerate(getattr(record, field)) if n != index)}
    )


def twice(field: str, index: int, **changes: Any) -> Callable[[RunRecord], RunRecord]:
    return lambda record: replace(
        record, **{field: (*getattr(record, field), replace(getattr(record, field)[index], **changes))}
    )


def samples(segment: str, *values: int) -> Callable[[RunRecord], RunRecord]:
    return lambda record: replace(
        record, latencies_us={**record.latencies_us, segment: record.latencies_us[segment] + values}
    )


@pytest.mark.parametrize(
    ("slug", "breaker", "said"),
    [
        pytest.param("conservation.litres", swap("tank_draws", 0, volume_ml=1), "tank 1: 1 ml drawn", id="tank"),
        pytest.param("tank.litres-by-gauge", swap("tanks", 0, closing_ml=0), "have gone", id="gauge-lost"),
        pytest.param("tank.deliveries-booked", drop("booked", 0), "booked 0 times", id="tanker-forgotten"),
        pytest.param("tank.deliveries-booked", swap("booked", 0, volume_ml=4_900_000), "4,900,000 ml booked", id="tanker-off"),
        pytest.param("conservation.litres", drop("ledger", 0), "in the ledger", id="lost-sale"),
        pytest.param("conservation.litres", swap("journal", 0, volume_ml=10), "10 ml in the journal|in the journal", id="journal"),
        pytest.param("conservation.litres", swap("ledger", 0, nozzle=1), "nozzle 1 of KM01", id="other-nozzle"),
        pytest.param("conservation.money", swap("payments", 1, captured_fen=1), "authorised, but 1 kept", id="short"),
        pytest.param("conservation.money", swap("payments", 0, refunded_fen=0), "authorised", id="refund-forgotten"),
        pytest.param("conservation.money", drop("payments", 2), "does not know", id="gateway-took-more"),
        pytest.param("conservation.money", drop("gateway", 2), "which the gateway does not know", id="invented"),
        pytest.param("conservation.money", swap("gateway", 0, refunded_fen=0), "gateway", id="refund-not-made"),
        pytest.param("conservation.money", twice("payments", 1, out_trade_no="T1b"), "billed", id="billed-twice"),
        pytest.param("conservation.money", twice("payments", 1), "used by two payments", id="number-reused"),
        pytest.param("conservation.money", swap("ledger", 1, paid_fen=0), "ledger has it unpaid", id="paid-not-booked"),
        pytest.param("conservation.money", swap("payments", 1, sale_id="S99"), "S99, which the ledger", id="no-such-sale"),
        pytest.param("conservation.money", swap("ledger", 7, paid_fen=5), "counts 5 fen as paid", id="part-paid"),
        pytest.param("conservation.money", twice("gateway", 1), "T1 twice", id="gateway-twice"),
        pytest.param("conservation.money", drop("orders", 1), "names order O1, which there is not", id="no-such-order"),
        pytest.param("conservation.money", twice("orders", 1), "an order is there twice", id="order-twice"),
        pytest.param("conservation.money", swap("orders", 0, refunded_fen=0), "order O0 says", id="order-forgot-its-refund"),
        pytest.param("conservation.money", swap("orders", 2, paid_fen=0), "order O2 says", id="order-forgot-its-payment"),
        pytest.param("sale.exactly-once", drop("ledger", 3), "is not in the ledger", id="lost"),
        pytest.param("sale.exactly-once", drop("journal", 3), "is not in the journal", id="lost-in-journal"),
        pytest.param("sale.exactly-once", twice("ledger", 3, sale_id="S3b"), "2 times in the ledger", id="doubled"),
        pytest.param("sale.exactly-once", swap("ledger", 3, sequence=77), "no dispenser delivered", id="ghost"),
        pytest.param("sale.exactly-once", swap("ledger", 3, amount_fen=1), "the ledger says", id="recomputed"),
        pytest.param("sale.exactly-once", twice("deliveries", 3), "sequence number twice", id="sequence-reused"),
        pytest.param("invoice.one-per-sale", twice("invoices", 0, number="77"), "2 valid invoices", id="two"),
        pytest.param("invoice.one-per-sale", drop("invoices", 2), "2 valid invoices", id="red-one-missing"),
        pytest.param("invoice.one-per-sale", swap("invoices", 0, amount_fen=1), "is for 1 fen", id="amount"),
        pytest.param("invoice.one-per-sale", swap("invoices", 0, number="04"), "was given 2 times", id="number-twice"),
        pytest.param("invoice.one-per-sale", swap("invoices", 0, number=None), "has no number", id="no-number"),
        pytest.param("invoice.one-per-sale", swap("invoices", 0, sale_id="S99"), "which the ledger does not have", id="no-sale"),
        pytest.param("order.concluded", swap("orders", 1, state="PAYING"), "O1 is PAYING for 6700 s", id="never-ends"),
        pytest.param("order.concluded", swap("orders", 1, is_prepaid=True), "O1 is PAID for", id="paid-and-no-fuel"),
        pytest.param("order.concluded", swap("orders", 1, state="CLOSED"), "O1 is CLOSED, and [0-9]+ fen", id="closed-and-charged"),
        pytest.param("order.concluded", swap("orders", 1, state="CANCELLED"), "is CANCELLED, and", id="cancelled-and-charged"),
        pytest.param("order.concluded", swap("orders", 0, state="REFUNDED"), "is REFUNDED, and", id="refunded-in-part"),
        pytest.param("order.concluded", swap("orders", 0, refunded_fen=99_999), "99999 fen refunded of", id="refunded-too-much"),
        pytest.param("order.concluded", swap("orders", 6, state="COMPLETED"), "O9 is COMPLETED without money", id="no-money"),
        pytest.param("order.concluded", swap("orders", 3, wants_invoice=True), "wanted an invoice, and none", id="no-invoice-row"),
        pytest.param("order.concluded", drop("invoices", 0), "buyer of order O1 wanted", id="invoice-row-lost"),
        pytest.param("totals.monotone", swap("deliveries", 4, end_total_volume_ml=0), "total rose by", id="backwards"),
        pytest.param("totals.monotone", swap("deliveries", 4, end_total_amount_fen=0), "fen", id="amount-backwards"),
        pytest.param("totals.monotone", drop("deliveries", 4), "total rose by", id="lost-delivery"),
        pytest.param("totals.monotone", swap("deliveries", 4, ended_us=0), "total rose by", id="time"),
        pytest.param("totals.monotone", swap("ledger", 3, end_total_volume_ml=7), "7 ml in the ledger", id="captured-total"),
        pytest.param("totals.monotone", swap("journal", 3, end_total_amount_fen=7), "7 fen in the journal", id="captured-amount"),
        pytest.param("live.monotone", swap("live", 2, volume_ml=1), "fell from", id="fell"),
        pytest.param("live.monotone", drop("live", 2), "last shown", id="stopped-early"),
        pytest.param("live.monotone", swap("live", 0, key=("KM01", 9, 9)), "no dispenser delivered it", id="ghost"),
        pytest.param("receipt.equals-ledger", swap("receipts", 0, amount_fen=1), "1 fen; the ledger", id="amount"),
        pytest.param("receipt.equals-ledger", swap("receipts", 1, copy=False), "none marked as a copy", id="second-original"),
        pytest.param("receipt.equals-ledger", swap("receipts", 0, sale_id="S99"), "which the ledger does not have", id="ghost"),
        pytest.param("liveness.settled", swap("ledger", 7, settled_us=None), "never settled", id="unpaid"),
        pytest.param("liveness.settled", swap("ledger", 7, settled_us=7_000 * SECOND), "s after it could", id="late"),
        pytest.param("liveness.settled", swap("invoices", 0, issued_us=None, state="issuing"), "invoice of sale S1 never", id="invoice"),
        pytest.param("latency.payment-controlled", samples("payment_controlled", *(400_000,) * 60), "p99", id="p99"),
        pytest.param("latency.payment-controlled", samples("payment_controlled", *(2_000_000,) * 8), "p99.9", id="p999"),
        pytest.param("latency.payment-end-to-end", samples("payment_end_to_end", *(301_000,) * 200), "p95", id="e2e"),
        pytest.param("latency.invoice-issued", samples("invoice_issued", *(4_000_000,) * 20), "p99", id="invoice-slow"),
        pytest.param("latency.invoice-answered", samples("invoice_answered", 3_000_001), "longer than", id="one-late"),
        pytest.param("latency.live-amount", samples("live_amount", *(3_000_000,) * 50), "p95", id="stale"),
        pytest.param("failover.gap", swap("failovers", 5, first_acknowledged_us=5 * 60 * SECOND + 15_000_001), "trial 6", id="gap"),
        pytest.param("failover.gap", swap("failovers", 5, first_acknowledged_us=None), "never saw", id="never"),
        pytest.param("failover.no-lost-write", swap("writes", 0, found=False), "write w1", id="lost-write"),
        pytest.param("replications.safe", swap("replications", 1, failures=("seed 1/replication/2: totals.monotone: fell",)), "replication/2: totals", id="one-seed"),
        pytest.param("replications.safe", swap("replications", 0, failures=tuple("abcde")), "a; b; c; and 2 more", id="many-failures"),
    ],
)  # fmt: skip
def test_a_broken_record_fails(slug: str, breaker: Callable[[RunRecord], RunRecord], said: str) -> None:
    result = judge(breaker(GOOD), slug)
    assert result.verdict is Verdict.FAIL, result.message
    assert re.search(said, result.message), result.message


class TestTwin:
    def test_any_difference_between_the_twins_is_the_harness_s_own_error(self) -> None:
        result = judge(
            replace(GOOD, twin_differences=("ledger differ", "receipts differ")), "harness.idle-polls"
        )
        assert result.verdict is Verdict.HARNESS_ERROR
        assert "ledger differ; receipts differ" in result.message
        assert result.figures["differences"] == 2

    def test_differences_count_even_when_one_of_the_twins_delivered_nothing(self) -> None:
        record = replace(GOOD, deliveries=(), twin_differences=("deliveries differ",))
        assert judge(record, "harness.idle-polls").verdict is Verdict.HARNESS_ERROR

    def test_equal_twins_in_which_nothing_happened_prove_nothing(self) -> None:
        assert judge(replace(GOOD, deliveries=()), "harness.idle-polls").verdict is Verdict.INCONCLUSIVE

    def test_no_twin_and_no_further_seed_are_not_applicable(self) -> None:
        alone = replace(GOOD, twin_differences=None, replications=())
        assert judge(alone, "harness.idle-polls").verdict is Verdict.NOT_APPLICABLE
        assert judge(alone, "replications.safe").verdict is Verdict.NOT_APPLICABLE


class TestInconclusive:
    def test_a_fault_that_never_landed(self) -> None:
        result = judge(swap("faults", 0, landed=0)(GOOD), "faults.landed")
        assert result.verdict is Verdict.INCONCLUSIVE
        assert "noise on island-1" in result.message

    def test_an_operation_that_never_succeeded(self) -> None:
        result = judge(swap("operations", 0, succeeded=0)(GOOD), "operations.succeeded")
        assert result.verdict is Verdict.INCONCLUSIVE
        assert "payment" in result.message

    def test_an_operation_that_was_never_even_tried_beside_one_that_was(self) -> None:
        record = replace(
            GOOD, operations=(*GOOD.operations, OperationCount(kind="refund", tried=0, succeeded=0))
        )
        assert judge(record, "operations.succeeded").verdict is Verdict.INCONCLUSIVE

    @pytest.mark.parametrize("slug", [slug for slug in ORACLES if slug.startswith("latency.")])
    def test_too_few_samples(self, slug: str) -> None:
        few = replace(GOOD, latencies_us={name: values[:50] for name, values in GOOD.latencies_us.items()})
        expected = {"latency.payment-human": Verdict.INFO, "latency.invoice-answered": Verdict.PASS}
        assert judge(few, slug).verdict is expected.get(slug, Verdict.INCONCLUSIVE)

    @pytest.mark.requirement("perf.human-time-apart")
    def test_slow_people_make_nothing_slow(self) -> None:
        """A payer who takes ten minutes: both numbers stand in the report, and only the system's own is judged."""
        slow = replace(GOOD, latencies_us={**GOOD.latencies_us, "payment_human": (600_000_000,) * 300})
        human = judge(slow, "latency.payment-human")
        assert human.verdict is Verdict.INFO
        assert human.figures["median_us"] == 600_000_000
        assert judge(slow, "latency.payment-end-to-end") == judge(GOOD, "latency.payment-end-to-end")
        assert judge(GOOD, "latency.payment-end-to-end").figures["p95_us"] == 180_000

    def test_too_few_failover_trials(self) -> None:
        assert judge(drop("failovers", 0)(GOOD), "failover.gap").verdict is Verdict.INCONCLUSIVE

    def test_a_kill_with_nothing_in_flight_is_no_trial(self) -> None:
        assert judge(swap("failovers", 0, in_flight=0)(GOOD), "failover.gap").verdict is Verdict.INCONCLUSIVE

    def test_a_harness_that_was_late_or_dropped(self) -> None:
        assert (
            judge(replace(GOOD, harness=HarnessLag(lags_us=(20_000,) * 9)), "harness.open-loop").verdict
            is Verdict.INCONCLUSIVE
        )
        assert (
            judge(replace(GOOD, harness=HarnessLag(lags_us=(1,), dropped=1)), "harness.open-loop").verdict
            is Verdict.INCONCLUSIVE
        )

    def test_a_run_that_ended_before_things_could_settle(self) -> None:
        record = replace(
            swap("ledger", 7, settled_us=None)(GOOD), ended_us=GOOD.deliveries[-1].ended_us + SECOND
        )
        assert judge(record, "liveness.settled").verdict is Verdict.INCONCLUSIVE


def test_faults_move_the_time_by_which_things_must_settle() -> None:
    late = swap("ledger", 0, settled_us=610 * SECOND)(
        GOOD
    )  # the delivery ended at 80 s, the fault healed at 500 s
    assert judge(late, "liveness.settled").verdict is Verdict.PASS
    assert judge(replace(late, faults=()), "liveness.settled").verdict is Verdict.FAIL


def test_a_driver_who_left_without_paying_is_counted_not_blamed() -> None:
    record = swap("deliveries", 7, unpaid_by_intent=True)(
        swap("ledger", 7, settled_us=None, paid_fen=0)(GOOD)
    )
    result = judge(record, "liveness.settled")
    assert result.verdict is Verdict.PASS
    assert result.figures["unpaid_by_intent"] == 1


def test_a_scenario_s_limit_replaces_the_check_s() -> None:
    assert judge(GOOD, "latency.payment-controlled", {"p99_us": 50_000}).verdict is Verdict.FAIL


def test_a_correction_row_changes_what_was_sold() -> None:
    row = replace(GOOD.ledger[0], sale_id="C1", corrects="S0", volume_ml=-10, amount_fen=-8, paid_fen=0)
    record = replace(GOOD, ledger=(*GOOD.ledger, row))
    assert judge(record, "sale.exactly-once").verdict is Verdict.PASS
    assert judge(record, "conservation.litres").verdict is Verdict.FAIL


def test_an_order_that_is_still_young_or_rests_since_a_fault_is_not_judged_yet() -> None:
    young = swap("orders", 1, state="PAYING", updated_us=4_000 * SECOND)(GOOD)
    result = judge(young, "order.concluded")
    assert (result.verdict, result.figures["too_early_to_say"]) == (Verdict.INCONCLUSIVE, 1)
    assert judge(young, "order.concluded", {"rest_us": 3_000 * SECOND}).verdict is Verdict.FAIL
    faulty = swap("faults", 0, healed_us=5_000 * SECOND)(swap("orders", 1, state="PAYING")(GOOD))
    assert judge(faulty, "order.concluded").verdict is Verdict.INCONCLUSIVE


def test_a_pending_payment_is_not_yet_a_contradiction() -> None:
    pending = Payment(out_trade_no="T77", order_id="O77", sale_id=None, authorised_fen=100, captured_fen=0,
                      reversed_fen=0, refunded_fen=0, pending=True)  # fmt: skip
    result = judge(replace(GOOD, payments=(*GOOD.payments, pending)), "conservation.money")
    assert result.verdict is Verdict.PASS
    assert result.figures["pending"] == 1


def test_an_answer_in_the_message_that_says_paid_has_no_age() -> None:
    with_paid = judge(replace(GOOD, latencies_us={"invoice_answered": (0, 0)}), "latency.invoice-answered")
    assert (with_paid.verdict, with_paid.message) == (
        Verdict.PASS,
        "all 2 answered, by the very message that said PAID",
    )
    assert judge(GOOD, "latency.invoice-answered").message == "all 300 answered, slowest 900 ms"


def test_long_lists_of_problems_are_counted() -> None:
    record = replace(GOOD, ledger=())
    result = judge(record, "sale.exactly-once")
    assert "and 5 more" in result.message
    assert result.figures["problems"] == 8


@pytest.mark.requirement("fd-met.totaliser-rollover-is-no-loss")
@pytest.mark.parametrize("digits", [5, 6, 8])
def test_totals_that_roll_over_hold_and_those_that_fall_do_not(digits: int) -> None:
    modulus = 10**digits
    high = modulus - 30_000  # between the second and the fourth delivery of each nozzle
    rolled = replace(
        GOOD,
        deliveries=tuple(
            replace(
                one,
                end_total_volume_ml=(one.end_total_volume_ml + high) % modulus,
                end_total_amount_fen=(one.end_total_amount_fen + high) % modulus,
            )
            for one in GOOD.deliveries
        ),
        journal=(),  # how they are captured is another matter
        ledger=(),
    )
    assert any(
        after.end_total_volume_ml < before.end_total_volume_ml
        for before, after in zip(rolled.deliveries, rolled.deliveries[2:], strict=False)
    )
    assert judge(rolled, "totals.monotone").verdict is Verdict.PASS
    last = rolled.deliveries[-1]
    fallen = replace(last, end_total_volume_ml=last.end_total_volume_ml - 10)
    assert (
        judge(replace(rolled, deliveries=(*rolled.deliveries[:-1], fallen)), "totals.monotone").verdict
        is Verdict.FAIL
    )
