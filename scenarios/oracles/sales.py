"""Sales, invoices, totals and live amounts: each thing once, and every copy of a figure the same."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise

from scenarios.oracles.answer import answer, nothing_seen
from scenarios.record import Delivery, Invoice, JournalSale, LedgerSale, RunRecord, SaleKey
from scenarios.verdicts import CheckResult

__all__ = ["exactly_once", "live_amounts", "one_invoice", "totals"]

_TOTALISER_DIGITS = range(5, 14)
"""Digits of totalisers, in fen or ml, as makes have them."""

_SURELY_ROLLED_OVER = 10**8
"""Captured totals may go on where the pump's begin again at 0: 100,000 L or one million yuan are the shortest totaliser."""


def _name(key: SaleKey) -> str:
    return f"{key[0]} nozzle {key[1]} no. {key[2]}"


def _compare(
    deliveries: Mapping[SaleKey, Delivery], rows: Iterable[JournalSale | LedgerSale], witness: str
) -> Iterable[str]:
    times = Counter(row.key for row in rows)
    for key in deliveries:
        if times[key] == 0:
            yield f"{_name(key)} is not in the {witness}"
        elif times[key] > 1:
            yield f"{_name(key)} is {times[key]} times in the {witness}"
    for row in rows:
        delivery = deliveries.get(row.key)
        if delivery is None:
            yield f"the {witness} has {_name(row.key)}, which no dispenser delivered"
            continue
        told = (row.volume_ml, row.amount_fen, row.price_fen_per_l)
        true = (delivery.volume_ml, delivery.amount_fen, delivery.price_fen_per_l)
        if told != true:
            yield f"{_name(row.key)}: the {witness} says {told} (ml, fen, fen/l), the pump {true}"


def exactly_once(record: RunRecord, _limits: Mapping[str, int]) -> CheckResult:
    """Each delivery once in the journal and once in the ledger, with the pump's own figures."""
    slug = "sale.exactly-once"
    if not record.deliveries:
        return nothing_seen(slug, record, "no delivery")
    deliveries = {delivery.key: delivery for delivery in record.deliveries}
    problems = []
    if len(deliveries) != len(record.deliveries):
        problems.append("the dispensers' journals use a sequence number twice")
    sales = [sale for sale in record.ledger if sale.corrects is None]
    problems += _compare(deliveries, record.journal, "journal")
    problems += _compare(deliveries, sales, "ledger")
    good = f"{len(deliveries):,} deliveries, each once in the journal and once in the ledger"
    figures = {"deliveries": len(deliveries), "journal": len(record.journal), "ledger": len(sales)}
    return answer(slug, record, problems, good, figures)


def _sale_invoices(
    sale_id: str, invoices: list[Invoice], due_fen: int | None, *, is_under_way: bool
) -> Iterable[str]:
    cancelled = {
        invoice.cancels for invoice in invoices if invoice.colour == "red" and invoice.state == "issued"
    }
    blue = [invoice for invoice in invoices if invoice.colour == "blue" and invoice.state == "issued"]
    valid = [invoice for invoice in blue if invoice.number not in cancelled]
    if len(valid) > 1:
        yield f"sale {sale_id} has {len(valid)} valid invoices: {', '.join(str(i.number) for i in valid)}"
    if due_fen is None:
        yield f"an invoice names sale {sale_id}, which the ledger does not have"
        return
    for invoice in blue:
        if invoice.number is None:
            yield f"an issued invoice of sale {sale_id} has no number"
        if invoice.amount_fen != due_fen and not is_under_way:
            yield f"invoice {invoice.number} is for {invoice.amount_fen} fen, sale {sale_id} was paid {due_fen} fen in money"


def one_invoice(record: RunRecord, _limits: Mapping[str, int]) -> CheckResult:
    """At most one valid invoice a sale, numbers unique, amount equal to what was paid in money: points and coupons are none."""
    slug = "invoice.one-per-sale"
    issued = [invoice for invoice in record.invoices if invoice.state == "issued"]
    if not issued:
        return nothing_seen(slug, record, "no invoice was issued")
    by_sale: defaultdict[str, list[Invoice]] = defaultdict(list)
    for invoice in record.invoices:
        by_sale[invoice.sale_id].append(invoice)
    paid = {
        sale.sale_id: sale.paid_fen - sale.discount_fen for sale in record.ledger if sale.corrects is None
    }
    # While money is still on its way back, more is paid than the invoice is for.
    under_way = {payment.sale_id for payment in record.payments if payment.pending}
    problems = [
        problem
        for sale_id in by_sale
        for problem in _sale_invoices(
            sale_id, by_sale[sale_id], paid.get(sale_id), is_under_way=sale_id in under_way
        )
    ]
    numbers = Counter(invoice.number for invoice in issued if invoice.number is not None)
    problems += [f"invoice number {number} was given {n} times" for number, n in numbers.items() if n > 1]
    good = f"{len(issued):,} invoices issued, none twice, each for the amount paid"
    figures = {"issued": len(issued), "sales_with_invoice": len(by_sale)}
    return answer(slug, record, problems, good, figures)


def _captured_totals(record: RunRecord) -> Iterable[str]:
    """Where the end totals of a journal's or ledger's row are not those of the pump."""
    deliveries = {delivery.key: delivery for delivery in record.deliveries}
    sales = [sale for sale in record.ledger if sale.corrects is None]
    for witness, rows in (("journal", record.journal), ("ledger", sales)):
        for row in rows:
            delivery = deliveries.get(row.key)
            if delivery is None:
                continue  # another check's matter
            for what, told, true in (
                ("ml", row.end_total_volume_ml, delivery.end_total_volume_ml),
                ("fen", row.end_total_amount_fen, delivery.end_total_amount_fen),
            ):
                if told is not None and (told - true) % _SURELY_ROLLED_OVER:
                    yield f"{_name(row.key)}: end total {told:,} {what} in the {witness}, {true:,} {what} at the pump"


def totals(record: RunRecord, _limits: Mapping[str, int]) -> CheckResult:
    """End totals of consecutive deliveries differ by exactly the later delivery, and are captured as the pump has them."""
    slug = "totals.monotone"
    by_nozzle: defaultdict[tuple[str, int], list[Delivery]] = defaultdict(list)
    for delivery in record.deliveries:
        by_nozzle[delivery.station, delivery.nozzle].append(delivery)
    steps = 0
    problems = []
    for deliveries in by_nozzle.values():
        deliveries.sort(key=lambda d: (d.ended_us, d.sequence))  # sequence numbers may wrap
        for before, after in pairwise(deliveries):
            steps += 1
            rise_ml = _rise(before.end_total_volume_ml, after.end_total_volume_ml, after.volume_ml)
            rise_fen = _rise(before.end_total_amount_fen, after.end_total_amount_fen, after.amount_fen)
            if rise_ml != after.volume_ml:
                problems.append(
                    f"{_name(after.key)}: total rose by {rise_ml:,} ml, delivery was {after.volume_ml:,} ml"
                )
            if rise_fen != after.amount_fen:
                problems.append(
                    f"{_name(after.key)}: total rose by {rise_fen:,} fen, delivery was {after.amount_fen:,} fen"
                )
    problems += _captured_totals(record)
    if not steps and not problems:
        return nothing_seen(slug, record, "no nozzle delivered twice")
    good = f"{steps:,} consecutive pairs on {len(by_nozzle)} nozzles, each total rises by its delivery"
    return answer(slug, record, problems, good, {"pairs": steps, "nozzles": len(by_nozzle)})


def _rise(before: int, after: int, delivered: int) -> int:
    """How far a totaliser rose. One that rolled over shows it: modulo its digits it rose by the delivery."""
    rise = after - before
    if rise < 0:
        for digits in _TOTALISER_DIGITS:
            modulus = 10**digits
            if before < modulus and rise % modulus == delivered:
                return delivered
    return rise


def live_amounts(record: RunRecord, _limits: Mapping[str, int]) -> CheckResult:
    """Live figures never fall and end at the sale. Some pumps tell running money alone: then no volume is ever shown."""
    slug = "live.monotone"
    if not record.live:
        return nothing_seen(slug, record, "no phone saw a live amount")
    deliveries = {delivery.key: delivery for delivery in record.deliveries}
    last: dict[SaleKey, tuple[int, int]] = {}
    problems = []
    for seen in record.live:  # in the order the phones showed them
        before = last.get(seen.key, (0, 0))
        if seen.volume_ml < before[0] or seen.amount_fen < before[1]:
            problems.append(
                f"{_name(seen.key)}: fell from {before} to {(seen.volume_ml, seen.amount_fen)} (ml, fen)"
            )
        last[seen.key] = (seen.volume_ml, seen.amount_fen)
    for key, shown in last.items():
        delivery = deliveries.get(key)
        if delivery is None:
            problems.append(f"{_name(key)} was shown live, but no dispenser delivered it")
        elif shown[1] != delivery.amount_fen or shown[0] not in (delivery.volume_ml, 0):
            problems.append(
                f"{_name(key)}: last shown {shown}, sold {(delivery.volume_ml, delivery.amount_fen)} (ml, fen)"
            )
    good = f"{len(record.live):,} live figures for {len(last):,} deliveries only grew and ended at the sale"
    return answer(slug, record, problems, good, {"observations": len(record.live), "deliveries": len(last)})
