"""Receipts: a good record passes, and each way of breaking it is seen by the oracle that must see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from scenarios.oracles import judge
from scenarios.record import FaultLanding, LedgerSale, Receipt, RunRecord
from scenarios.verdicts import Verdict
from scenarios.world.receipt_harvest import printed_receipts
from sim.printer import CHINESE_80MM, Printer

S = 1_000_000


def sale(number: int, **changes: Any) -> LedgerSale:
    fields: dict[str, Any] = {
        "sale_id": f"S{number}", "station": "KM01", "nozzle": 3, "sequence": number, "volume_ml": 20_000,
        "amount_fen": 15_000, "price_fen_per_l": 750, "paid_fen": 14_200, "recorded_us": number * 60 * S,
        "settled_us": number * 60 * S, "grade": "95", "ended_us": number * 60 * S - 500_000,
        "tenders": frozenset({"wechatpay", "points"}),
    }  # fmt: skip
    return LedgerSale(**fields | changes)


def receipt(number: int, reprint: int = 0, **changes: Any) -> Receipt:
    fields: dict[str, Any] = {
        "sale_id": f"S{number}", "volume_ml": 20_000, "amount_fen": 15_000, "copy": reprint > 0, "reprint": reprint,
        "nozzle": 3, "price_fen_per_l": 750, "grade": "95", "discount_fen": 800, "paid_fen": 14_200,
        "pay_method": "微信支付", "ended_us": number * 60 * S - S,
    }  # fmt: skip
    return Receipt(**fields | changes)


GOOD = RunRecord(
    clock="virtual",
    ended_us=7_200 * S,
    ledger=(
        *(sale(n) for n in range(1, 5)),
        sale(5, settled_us=None),
        sale(6, is_test=True),
        sale(7, settled_us=7_100 * S),
    ),
    receipts=(
        receipt(1),
        receipt(2, complete=False),
        receipt(2, 1),
        receipt(2, 2),
        receipt(3, 1),
        receipt(
            0,
            sale_id="unknown sale ('KM01', 3, 0)",
            complete=False,
            paid_fen=None,
            pay_method=None,
            ended_us=None,
        ),
        receipt(0, sale_id="unknown sale ('KM01', 3, 0)", complete=False),
        receipt(4),
    ),
)
EACH = ("receipt.equals-ledger", "receipt.one-original", "receipt.each-printed")


@pytest.mark.parametrize("slug", EACH)
def test_a_good_record_passes(slug: str) -> None:
    result = judge(GOOD, slug)
    assert result.verdict is Verdict.PASS, result.message


@pytest.mark.parametrize("slug", EACH)
def test_an_empty_one_does_not(slug: str) -> None:
    assert judge(RunRecord(clock="virtual", ended_us=0), slug).verdict is Verdict.INCONCLUSIVE
    assert judge(replace(GOOD, receipts=()), slug).verdict is Verdict.INCONCLUSIVE


def swap(index: int, **changes: Any) -> Callable[[RunRecord], RunRecord]:
    def broken(record: RunRecord) -> RunRecord:
        receipts = list(record.receipts)
        receipts[index] = replace(receipts[index], **changes)
        return replace(record, receipts=tuple(receipts))

    return broken


def more(*receipts: Receipt) -> Callable[[RunRecord], RunRecord]:
    return lambda record: replace(record, receipts=(*record.receipts, *receipts))


def less(index: int) -> Callable[[RunRecord], RunRecord]:
    return lambda record: replace(record, receipts=record.receipts[:index] + record.receipts[index + 1 :])


BREAKS = [
    ("receipt.equals-ledger", swap(0, volume_ml=20_010), "20010 ml"),
    ("receipt.equals-ledger", swap(0, amount_fen=15_001), "15001 fen"),
    ("receipt.equals-ledger", swap(0, price_fen_per_l=751), "751 fen/l, the ledger 750"),
    ("receipt.equals-ledger", swap(0, grade="92"), "92 as product, the ledger 95"),
    ("receipt.equals-ledger", swap(0, nozzle=4), "4 as nozzle, the ledger 3"),
    ("receipt.equals-ledger", swap(0, ended_us=61 * S), r"end of delivery"),
    ("receipt.equals-ledger", swap(0, paid_fen=15_000), "paid, fen"),
    ("receipt.equals-ledger", swap(0, discount_fen=None), "paid, fen"),
    ("receipt.equals-ledger", swap(0, pay_method=""), "way of payment"),
    ("receipt.equals-ledger", swap(0, pay_method="现金"), "['cash']"),
    ("receipt.equals-ledger", swap(0, pay_method="微信支付+积分+优惠券"), "['coupon']"),
    ("receipt.equals-ledger", swap(0, paid_fen=14_100, discount_fen=900), "by the ledger"),
    ("receipt.equals-ledger", swap(0, sale_id="S99"), "which the ledger does not have"),
    ("receipt.equals-ledger", more(receipt(4)), "none marked as a copy"),
    ("receipt.one-original", more(receipt(1)), "sale S1 has 2 originals"),
    ("receipt.one-original", more(receipt(1, complete=False)), "sale S1 has 2 originals"),
    ("receipt.one-original", swap(2, copy=False, reprint=0), "sale S2 has 2 originals"),
    ("receipt.one-original", swap(3, reprint=1), "sale S2: its copies are marked 1, 1"),
    ("receipt.one-original", swap(2, reprint=3), "sale S2: its copies are marked 3, 2"),
    ("receipt.each-printed", less(0), "settled sale S1 has no whole receipt"),
    ("receipt.each-printed", swap(0, complete=False), "settled sale S1 has no whole receipt"),
    ("receipt.each-printed", less(4), "settled sale S3 has no whole receipt"),
]  # fmt: skip


@pytest.mark.parametrize(("slug", "broken", "words"), BREAKS)
def test_each_break_is_seen(slug: str, broken: Callable[[RunRecord], RunRecord], words: str) -> None:
    result = judge(broken(GOOD), slug)
    assert result.verdict is Verdict.FAIL, result.message
    assert words in result.message


def test_what_was_refused_aloud_or_is_young_or_in_trouble_is_not_missing() -> None:
    missing = less(0)(GOOD)
    assert judge(replace(missing, receipts_refused=1), "receipt.each-printed").verdict is Verdict.PASS
    trouble = FaultLanding(
        name="roll", target="printer", kind="paper_out", at_us=0, healed_us=7_000 * S, landed=1
    )
    assert judge(replace(missing, faults=(trouble,)), "receipt.each-printed").verdict is Verdict.INCONCLUSIVE
    assert judge(missing, "receipt.each-printed", {"settle_us": 1}).verdict is Verdict.FAIL


def test_paper_is_read_copy_by_copy() -> None:
    """A strip that was cut off by the end of the roll goes on with the whole, marked copy of the same sale."""
    from protocols.escpos import receipt_bytes
    from reference.site.receipts.text import receipt_content

    told = {
        "station": "KM01", "station_name": "昆明一站", "sequence": 2, "nozzle": 3, "grade": "95", "volume_ml": 20_000,
        "amount_fen": 15_000, "price_fen_per_l": 750, "ended_us": 1_000 * S, "tender": "cash", "paid_fen": 15_000,
    }  # fmt: skip
    printer, now_us = Printer(CHINESE_80MM), 0

    def work() -> None:
        nonlocal now_us
        while (due_us := printer.next_timer()) is not None:
            now_us = max(now_us, due_us)
            printer.handle_timer(now_us)

    whole = receipt_bytes(receipt_content(told))
    printer.receive_data(whole[:500], 0)
    work()
    printer.power_off(now_us)
    printer.power_on(now_us)
    work()
    printer.receive_data(receipt_bytes(receipt_content(told), 1), now_us)
    work()
    printer.receive_data(receipt_bytes(receipt_content(told), 2)[:-4], now_us)
    work()
    ledger = [sale(2)]
    copies = printed_receipts(printer.receipts, printer.unfinished, ledger, 40 * S)
    assert [(copy.sale_id, copy.reprint, copy.complete) for copy in copies] == [
        ("S2", 0, False), ("S2", 1, True), ("S2", 2, False),
    ]  # fmt: skip
    assert copies[1].ended_us == 960 * S
    assert (copies[1].pay_method, copies[1].discount_fen, copies[1].grade) == ("现金", None, "95")


def test_sales_that_are_too_young_to_be_judged_are_counted_aloud() -> None:
    settled = sorted(sale.settled_us for sale in GOOD.ledger if sale.settled_us is not None)
    result = judge(GOOD, "receipt.each-printed", {"settle_us": GOOD.ended_us - settled[0]})
    young = result.figures["too_young"]

    assert result.verdict is Verdict.PASS
    assert young
    assert result.message.endswith(f"; {young} more, settled so late that theirs may still come, not judged")
    assert "not judged" not in judge(GOOD, "receipt.each-printed", {"settle_us": 1}).message
