"""Receipts: what is on paper equals the ledger, each wanted one is there, and no sale has two originals."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Final

from scenarios.oracles.answer import answer, nothing_seen
from scenarios.record import LedgerSale, Receipt, RunRecord
from scenarios.verdicts import CheckResult

__all__ = ["each_printed", "equals_ledger", "one_original"]

_SECOND_US: Final = 1_000_000
_UNITS: Final = {
    "volume_ml": "ml",
    "amount_fen": "fen",
    "price_fen_per_l": "fen/l",
    "discount_fen": "fen off",
    "grade": "as product",
    "nozzle": "as nozzle",
}
# What the paper calls the ledger's tenders; another controller may print the ledger's own word.
_WAYS: Final = {
    "微信支付": "wechatpay",
    "银联支付": "unionpay",
    "云闪付": "unionpay",
    "现金": "cash",
    "银行卡": "card",
    "加油卡": "fuel_card",
    "余额": "balance",
    "积分": "points",
    "优惠券": "coupon",
}


def _rows(receipt: Receipt, sale: LedgerSale) -> Iterable[tuple[str, object, object]]:
    """(what, on paper, in the ledger) of everything that both tell."""
    for name in ("volume_ml", "amount_fen", "price_fen_per_l", "grade", "nozzle"):
        told = getattr(receipt, name)
        if told is not None:
            yield name, told, getattr(sale, name)
    if receipt.ended_us is not None and sale.ended_us is not None:
        # Printed to the second.
        yield "end of delivery, s", receipt.ended_us // _SECOND_US, sale.ended_us // _SECOND_US
    if receipt.paid_fen is not None:
        discount_fen = receipt.discount_fen or 0
        yield "paid, fen", receipt.paid_fen, receipt.amount_fen - discount_fen
        # What is kept can be less, after a refund, and (while one is under way) more than the sale; less was not paid.
        kept_fen = min(sale.paid_fen, sale.amount_fen)
        yield "paid, fen by the ledger", receipt.paid_fen, max(receipt.paid_fen, kept_fen)
    if receipt.pay_method is not None:
        yield "way of payment", bool(receipt.pay_method), True
        if sale.tenders and receipt.pay_method:
            told = [_WAYS.get(word, word) for word in receipt.pay_method.split("+")]
            yield "way of payment", [word for word in told if word not in sale.tenders], []


def equals_ledger(record: RunRecord, _limits: Mapping[str, int]) -> CheckResult:
    """Each complete receipt carries its sale's figures; one original a sale."""
    slug = "receipt.equals-ledger"
    complete = [receipt for receipt in record.receipts if receipt.complete]
    if not complete:
        return nothing_seen(slug, record, "no complete receipt was printed")
    sales = {sale.sale_id: sale for sale in record.ledger if sale.corrects is None}
    problems = []
    originals: Counter[str] = Counter()
    for receipt in complete:
        originals[receipt.sale_id] += not receipt.copy
        sale = sales.get(receipt.sale_id)
        if sale is None:
            problems.append(f"a receipt names sale {receipt.sale_id}, which the ledger does not have")
        elif (receipt.volume_ml, receipt.amount_fen) != (sale.volume_ml, sale.amount_fen):
            problems.append(
                f"receipt of sale {receipt.sale_id} says {receipt.volume_ml} ml, {receipt.amount_fen} fen; "
                f"the ledger {sale.volume_ml} ml, {sale.amount_fen} fen"
            )
        else:
            problems += [
                f"receipt of sale {receipt.sale_id} says {told} {_UNITS.get(what, f'({what})')}, the ledger {true}"
                for what, told, true in _rows(receipt, sale)
                if told != true
            ]
    problems += [
        f"sale {sale_id} has {n} receipts, none marked as a copy" for sale_id, n in originals.items() if n > 1
    ]
    torn = len(record.receipts) - len(complete)
    good = f"{len(complete):,} receipts equal the ledger ({torn} incomplete ones set aside)"
    return answer(slug, record, problems, good, {"receipts": len(complete), "incomplete": torn})


def one_original(record: RunRecord, _limits: Mapping[str, int]) -> CheckResult:
    """Torn and incomplete paper counts, too: an original that was begun is an original; copies are numbered upwards."""
    slug = "receipt.one-original"
    by_sale: defaultdict[str, list[Receipt]] = defaultdict(list)
    for receipt in record.receipts:
        by_sale[receipt.sale_id].append(receipt)
    known = {sale.sale_id for sale in record.ledger}
    problems = []
    copies = judged = 0
    for sale_id, receipts in by_sale.items():
        if sale_id not in known and not any(receipt.complete for receipt in receipts):
            continue  # cut off before it said whose it was
        judged += 1
        originals = sum(not receipt.copy for receipt in receipts)
        if originals > 1:
            problems.append(f"sale {sale_id} has {originals} originals")
        marks = [receipt.reprint for receipt in receipts if receipt.copy]
        copies += len(marks)
        if 0 not in marks and any(later <= before for before, later in pairwise(marks)):
            problems.append(f"sale {sale_id}: its copies are marked {', '.join(map(str, marks))}")
    if not judged:
        return nothing_seen(slug, record, "nothing was printed that says whose it is")
    good = f"{judged:,} sales on paper, one original each at most, {copies} marked copies"
    return answer(slug, record, problems, good, {"sales": judged, "copies": copies})


def each_printed(record: RunRecord, limits: Mapping[str, int]) -> CheckResult:
    """Each settled sale has a whole receipt, in time after the last trouble; what the station refused was said aloud."""
    slug = "receipt.each-printed"
    if not record.receipts:
        return nothing_seen(slug, record, "nothing was printed")
    healed_us = max(
        (fault.healed_us or record.ended_us for fault in record.faults if not fault.spoils_a_bill), default=0
    )
    whole = {receipt.sale_id for receipt in record.receipts if receipt.complete}
    due, young, missing = 0, 0, []
    for sale in record.ledger:
        if sale.corrects is not None or sale.settled_us is None or sale.is_test or not sale.amount_fen:
            continue
        if max(sale.settled_us, healed_us) + limits["settle_us"] > record.ended_us:
            young += 1
            continue
        due += 1
        if sale.sale_id not in whole:
            missing.append(sale.sale_id)
    refused = record.receipts_refused
    problems = [
        f"settled sale {sale_id} has no whole receipt"
        for sale_id in missing[: max(0, len(missing) - refused)]
    ]
    figures = {"due": due, "missing": len(missing), "refused": refused, "too_young": young}
    if not due:
        return nothing_seen(slug, record, "no settled sale was old enough")
    good = f"{due - len(missing):,} of {due:,} settled sales have a whole receipt; {refused} refused aloud"
    if young:
        good += f"; {young:,} more, settled so late that theirs may still come, not judged"
    return answer(slug, record, problems, good, figures)
