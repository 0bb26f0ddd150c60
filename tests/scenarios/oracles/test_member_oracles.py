"""Mixed tenders that add up and debits that were agreed to pass; each way of being wrong is seen by the oracle that must see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from scenarios.member_record import Debit, Holding, MemberRecord, TenderPart
from scenarios.oracles import judge
from scenarios.record import GatewayTransaction, Invoice, LedgerSale, Order, Payment, Receipt, RunRecord
from scenarios.verdicts import Verdict

PASS, FAIL, OPEN, NOT_APPLICABLE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.NOT_APPLICABLE
TENDER, DEBITS = "money.tender-adds-up", "money.debits-agreed"


def part(number: str, kind: str, fen: int, **changes: Any) -> TenderPart:
    told = TenderPart(
        out_trade_no=number, order_id=f"O{number[1:]}", kind=kind, units=1 if kind == "coupon" else fen, amount_fen=fen,
        returned_fen=0, state="taken", booked_fen=fen, booked_back_fen=0,
    )  # fmt: skip
    return replace(told, **changes)


def payment(number: str, fen: int) -> Payment:
    return Payment(
        out_trade_no=number, order_id=f"O{number[1:]}", sale_id=f"S{number[1:]}", authorised_fen=fen, captured_fen=fen,
        reversed_fen=0, refunded_fen=0,
    )  # fmt: skip


def good() -> RunRecord:
    """1: all three parts and 15,000 fen over the channel. 2: balance alone. 3: given up, then paid without parts. 4, 5: debited."""
    orders = tuple(
        Order(order_id=f"O{n}", state="PAID", sale_id=f"S{n}", payable_fen=20_000, paid_fen=20_000, refunded_fen=0, wants_invoice=n == 1)
        for n in range(1, 6)
    )  # fmt: skip
    sales = tuple(
        LedgerSale(sale_id=f"S{n}", station="KM01", nozzle=n, sequence=1, volume_ml=25_000, amount_fen=20_000,
                   price_fen_per_l=800, paid_fen=20_000, recorded_us=0, settled_us=0, discount_fen=3_000 if n == 1 else 0)
        for n in range(1, 6)
    )  # fmt: skip
    charged = {"N1": 15_000, "N3": 20_000, "N4": 20_000, "N5": 20_000}
    lost = Payment(
        out_trade_no="N30", order_id="O3", sale_id="S3", authorised_fen=0, captured_fen=0, reversed_fen=0, refunded_fen=0
    )  # fmt: skip
    members = MemberRecord(
        has_parts=True,
        has_debits=True,
        parts=(
            part("N1", "points", 1_000),
            part("N1", "coupon", 2_000),
            part("N1", "balance", 2_000),
            part("N2", "balance", 20_000),
            part("N30", "points", 500, order_id="O3", state="released", booked_fen=0),
        ),
        holdings=(
            Holding(car=1, order_ids=("O1",), points=1_000, coupon_fen=2_000, coupon_from_fen=20_000, balance_fen=2_500),
            Holding(car=2, order_ids=("O0", "O2"), points=0, coupon_fen=0, coupon_from_fen=0, balance_fen=20_000),
            Holding(car=3, order_ids=("O3",), points=500, coupon_fen=0, coupon_from_fen=0, balance_fen=0),
        ),
        debits=tuple(
            Debit(out_trade_no=number, amount_fen=20_000, is_signed=True, limit_fen=50_000, paid_fen=20_000)
            for number in ("N4", "N5")
        ),
        by_contract=frozenset({"O4", "O5", "O9"}),
        left={"points": 500, "coupon": 0, "balance": 500},
    )  # fmt: skip
    return RunRecord(
        clock="virtual",
        ended_us=3_600_000_000,
        orders=orders,
        ledger=sales,
        payments=(*(payment(number, fen) for number, fen in charged.items()), lost),
        gateway=tuple(
            GatewayTransaction(out_trade_no=number, state="SUCCESS", total_fen=fen, paid_fen=fen, refunded_fen=0)
            for number, fen in charged.items()
        ),
        invoices=(
            Invoice(sale_id="S1", colour="blue", state="issued", amount_fen=17_000, number="F1", requested_us=0, issued_us=1),
        ),
        members=members,
    )  # fmt: skip


def changed(record: RunRecord, **fields: Any) -> RunRecord:
    assert record.members is not None
    return replace(record, members=replace(record.members, **fields))


def swap(field: str, place: int, **changes: Any) -> Callable[[RunRecord], RunRecord]:
    def spoil(record: RunRecord) -> RunRecord:
        rows = list(getattr(record.members, field))
        rows[place] = replace(rows[place], **changes)
        return changed(record, **{field: tuple(rows)})

    return spoil


def drop(field: str, place: int) -> Callable[[RunRecord], RunRecord]:
    def spoil(record: RunRecord) -> RunRecord:
        rows = list(getattr(record.members, field))
        del rows[place]
        return changed(record, **{field: tuple(rows)})

    return spoil


@pytest.mark.requirement("pay.mixed-tender-sums-exactly")
def test_what_adds_up_and_was_agreed_passes() -> None:
    tender = judge(good(), TENDER)
    assert (tender.verdict, tender.figures["orders"], tender.figures["paid_by_parts_alone"]) == (PASS, 2, 1)
    assert (judge(good(), DEBITS).verdict, judge(good(), DEBITS).figures["debited"]) == (PASS, 2)
    for slug in ("conservation.money", "invoice.one-per-sale", "order.concluded"):
        assert judge(good(), slug, {}).verdict is PASS, judge(good(), slug).message


BROKEN: dict[str, tuple[str, Callable[[RunRecord], RunRecord], str]] = {
    "a part is not in the sum": (TENDER, drop("parts", 2), "order O1 of 20000 fen: 3000 fen by parts and 15000 at the gateway"),
    "a part is too much": (TENDER, swap("parts", 2, amount_fen=2_100, units=2_100, booked_fen=2_100), "5100 fen by parts"),
    "a part is not in the ledger": (TENDER, swap("parts", 0, booked_fen=0), "1000 fen are taken, 0 in the ledger"),
    "a released part is": (TENDER, swap("parts", 4, booked_fen=500), "0 fen are released, 500 in the ledger"),
    "a part given back is not": (TENDER, swap("parts", 3, returned_fen=50), "50 fen were given back, 0 in the ledger"),
    "more given back than taken": (TENDER, swap("parts", 3, returned_fen=20_001, booked_back_fen=20_001), "20001 fen were given back of 20000"),
    "a part is held for ever": (TENDER, swap("parts", 4, state="held"), "500 fen are held for a payment that is over"),
    "points worth more than they are": (TENDER, swap("parts", 0, units=900), "900 of them pay 1000 fen"),
    "points out of nothing": (TENDER, swap("holdings", 0, points=999), "car 1 was given 999 of points and spent 1000"),
    "points that were spent are still there": (TENDER, lambda record: changed(record, left={**record.members.left, "points": 1_500}), "hold 1500 of points, by what was given and spent it is 500"),
    "a coupon can be used again": (TENDER, lambda record: changed(record, left={**record.members.left, "coupon": 1}), "hold 1 of coupon"),
    "balance is gone": (TENDER, lambda record: changed(record, left={**record.members.left, "balance": 0}), "hold 0 of balance"),
    "balance of somebody else": (TENDER, drop("holdings", 1), "balance of N2 belongs to nobody who was given any"),
    "a coupon that is worth less": (TENDER, swap("holdings", 0, coupon_fen=1_999), "is worth 1999 fen, 2000 were taken"),
    "an order too small for the coupon": (TENDER, swap("holdings", 0, coupon_from_fen=20_001), "too small for the coupon"),
    "parts of a dead order": (
        TENDER,
        lambda r: replace(r, orders=(replace(r.orders[0], state="CLOSED"), *r.orders[1:])),
        "order O1, which is CLOSED",
    ),
    "nobody had signed": (DEBITS, swap("debits", 0, is_signed=False), "its payer had signed nothing"),
    "above the limit": (DEBITS, swap("debits", 0, limit_fen=19_999), "above the contract's 19999"),
    "nobody asked": (
        DEBITS,
        lambda r: changed(r, by_contract=frozenset({"O5"})),
        "the phone of order O4 asked for no debit",
    ),
    "another sum": (DEBITS, swap("debits", 1, amount_fen=19_000), "of 19000 fen, order O5 of 20000"),
    "twice": (
        DEBITS,
        lambda r: changed(
            replace(r, payments=(*r.payments, replace(payment("N40", 20_000), order_id="O4"))),
            debits=(*r.members.debits, replace(r.members.debits[0], out_trade_no="N40")),  # type: ignore[union-attr]
        ),
        "order O4 was debited 2 times",
    ),
    "for nothing of ours": (DEBITS, swap("debits", 0, out_trade_no="N77"), "debit N77 is for no order of ours"),
    "billed less than the sale": ("conservation.money", drop("parts", 2), "was billed 18000 fen on the phone, parts included"),
    "billed more than the sale": ("conservation.money", swap("parts", 4, state="taken"), "sale S3 of 20000 fen was billed 20500"),
    "invoiced with the points": (
        "invoice.one-per-sale",
        lambda r: replace(r, invoices=(replace(r.invoices[0], amount_fen=20_000),)),
        "sale S1 was paid 17000 fen in money",
    ),
}  # fmt: skip


@pytest.mark.requirement("pay.mixed-tender-sums-exactly")
@pytest.mark.parametrize("what", BROKEN)
def test_each_way_of_being_wrong_fails(what: str) -> None:
    slug, spoil, message = BROKEN[what]
    result = judge(spoil(good()), slug)
    assert result.verdict is FAIL, result.message
    assert message in result.message


def test_nobody_and_nothing_prove_nothing() -> None:
    nobody = replace(good(), members=None)
    assert judge(nobody, TENDER).verdict is judge(nobody, DEBITS).verdict is NOT_APPLICABLE
    hollow = replace(good(), members=MemberRecord(has_parts=True, has_debits=True))
    assert judge(hollow, TENDER).verdict is judge(hollow, DEBITS).verdict is OPEN
    only = replace(good(), members=MemberRecord(has_parts=True))
    assert judge(only, DEBITS).verdict is NOT_APPLICABLE
    given_up = changed(
        good(),
        parts=(part("N30", "points", 500, order_id="O3", state="released", booked_fen=0),),
        left=None,
    )
    assert judge(given_up, TENDER).verdict is OPEN
    held = changed(good(), parts=(part("N30", "points", 500, order_id="O3", state="held", booked_fen=0),))
    assert judge(held, TENDER).verdict is FAIL  # nothing was spent, and something is wrong
    refused = changed(good(), debits=tuple(replace(one, paid_fen=0) for one in good().members.debits))  # type: ignore[union-attr]
    assert judge(refused, DEBITS).verdict is OPEN


def test_a_buyer_who_paid_with_points_alone_gets_no_invoice_and_need_not() -> None:
    record = good()
    free = replace(record.ledger[0], discount_fen=20_000)
    record = replace(record, ledger=(free, *record.ledger[1:]), invoices=())
    result = judge(record, "order.concluded")
    assert (result.verdict, result.figures["wanted_an_invoice"]) == (PASS, 0)
    money = replace(record, ledger=(replace(free, discount_fen=19_999), *record.ledger[1:]))
    assert judge(money, "order.concluded").verdict is FAIL


def test_paper_that_says_nothing_and_payments_that_never_came_prove_nothing() -> None:
    blank = Receipt(sale_id="", volume_ml=0, amount_fen=0, complete=False)
    record = RunRecord(clock="virtual", ended_us=1, receipts=(blank,))
    for slug in ("receipt.one-original", "receipt.equals-ledger", "receipt.each-printed"):
        assert judge(record, slug).verdict is OPEN
    waiting = replace(good().payments[0], pending=True, authorised_fen=0, captured_fen=0)
    assert (
        judge(RunRecord(clock="virtual", ended_us=1, payments=(waiting,)), "conservation.money").verdict
        is OPEN
    )
