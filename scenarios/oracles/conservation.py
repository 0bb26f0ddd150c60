"""Conservation: litres and money are neither made nor lost on the way from meter to ledger to gateway."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from scenarios.member_record import TenderPart
from scenarios.oracles.answer import answer, nothing_seen
from scenarios.record import Payment, RunRecord
from scenarios.verdicts import CheckResult

__all__ = ["litres", "money"]


def _by_nozzle(rows: Iterable[tuple[str, int, int]]) -> Counter[tuple[str, int]]:
    total: Counter[tuple[str, int]] = Counter()
    for station, nozzle, volume_ml in rows:
        total[station, nozzle] += volume_ml
    return total


def litres(record: RunRecord, _limits: Mapping[str, int]) -> CheckResult:
    """Litres at the meter = in the journal = in the ledger (each nozzle) = out of the tank (each tank)."""
    slug = "conservation.litres"
    if not record.deliveries:
        return nothing_seen(slug, record, "no delivery")
    if not record.tank_draws:
        return nothing_seen(slug, record, "no tank counted its draws")
    meter = _by_nozzle((d.station, d.nozzle, d.volume_ml) for d in record.deliveries)
    journal = _by_nozzle((s.station, s.nozzle, s.volume_ml) for s in record.journal)
    # Correction rows carry their signed difference, so the plain sum is what was sold.
    ledger = _by_nozzle((s.station, s.nozzle, s.volume_ml) for s in record.ledger)
    problems: list[str] = []
    for witness, sums in (("journal", journal), ("ledger", ledger)):
        problems += [
            f"nozzle {key[1]} of {key[0]}: {meter[key]:,} ml at the meter, {sums[key]:,} ml in the {witness}"
            for key in sorted(meter.keys() | sums.keys())
            if meter[key] != sums[key]
        ]
    delivered: Counter[int] = Counter()
    for delivery in record.deliveries:
        delivered[delivery.tank] += delivery.volume_ml
    drawn: Counter[int] = Counter()
    for draw in record.tank_draws:
        drawn[draw.tank] += draw.volume_ml
    problems += [
        f"tank {tank}: {drawn[tank]:,} ml drawn, {delivered[tank]:,} ml at the meters"
        for tank in sorted(delivered.keys() | drawn.keys())
        if delivered[tank] != drawn[tank]
    ]
    returned: Counter[int] = Counter()
    for delivery in record.deliveries:
        if delivery.is_test:
            returned[delivery.tank] += delivery.volume_ml
    problems += [
        f"tank {draw.tank}: {draw.returned_ml:,} ml came back, {returned[draw.tank]:,} ml were test deliveries"
        for draw in record.tank_draws
        if draw.returned_ml != returned[draw.tank]
    ]
    figures = {
        "meter_ml": meter.total(),
        "journal_ml": journal.total(),
        "ledger_ml": ledger.total(),
        "tanks_ml": drawn.total(),
        "returned_ml": returned.total(),
    }
    good = f"{meter.total():,} ml at the meter, in the journal, in the ledger and out of the tanks"
    return answer(slug, record, problems, good, figures)


def _payment_problems(record: RunRecord) -> Iterable[str]:
    for payment in record.payments:
        accounted = payment.captured_fen + payment.reversed_fen + payment.refunded_fen
        if min(payment.captured_fen, payment.reversed_fen, payment.refunded_fen) < 0:
            yield f"payment {payment.out_trade_no} has a negative part"
        if payment.pending:
            if accounted > payment.authorised_fen:
                yield f"pending payment {payment.out_trade_no} accounts for more than was authorised"
        elif accounted != payment.authorised_fen:
            yield (
                f"payment {payment.out_trade_no}: {payment.authorised_fen} fen authorised, but {payment.captured_fen} kept"
                f" + {payment.reversed_fen} reversed + {payment.refunded_fen} refunded = {accounted}"
            )


def _gateway_problems(record: RunRecord) -> Iterable[str]:
    payments: dict[str, Payment] = {}
    for payment in record.payments:
        if payment.out_trade_no in payments:
            yield f"out_trade_no {payment.out_trade_no} is used by two payments"
        payments[payment.out_trade_no] = payment
    seen: set[str] = set()
    for transaction in record.gateway:
        if transaction.out_trade_no in seen:
            yield f"the gateway has {transaction.out_trade_no} twice"
        seen.add(transaction.out_trade_no)
        known = payments.get(transaction.out_trade_no)
        if known is None:
            if transaction.paid_fen:
                yield f"the gateway took {transaction.paid_fen} fen for {transaction.out_trade_no}, which the backend does not know"
            continue
        gross, over_gateway_fen = (
            known.captured_fen + known.refunded_fen,
            known.refunded_fen - known.cash_fen,
        )
        if not known.pending and (gross, over_gateway_fen) != (
            transaction.paid_fen,
            transaction.refunded_fen,
        ):
            yield (
                f"{transaction.out_trade_no}: gateway {transaction.paid_fen} fen paid, {transaction.refunded_fen} refunded;"
                f" backend {gross} and {over_gateway_fen}"
            )
    for number in sorted(payments.keys() - seen):
        if payments[number].captured_fen or payments[number].refunded_fen:
            yield f"the backend captured {number}, which the gateway does not know"


def _cash_problems(record: RunRecord) -> Iterable[str]:
    """Refunds that count as paid in cash, against what left the till for them."""
    numbers = Counter(one.out_refund_no for one in record.paid_out)
    for number, times in numbers.items():
        if times > 1:
            yield f"refund {number} was paid out {times} times at the till"
    booked, out = sum(p.cash_fen for p in record.payments), sum(one.amount_fen for one in record.paid_out)
    if booked != out:
        yield f"{booked} fen of refunds count as paid in cash, {out} fen left the till for them"


def _parts(record: RunRecord) -> Iterable[TenderPart]:
    """Points, coupons and balance that went towards orders."""
    return () if record.members is None else [part for part in record.members.parts if part.is_spent]


def _billed_otherwise(sale_id: str, amount_fen: int, paid_fen: int, kept_fen: int) -> Iterable[str]:
    """A sale, what the ledger counts as paid for it, and what was kept of its payments on the phone."""
    if paid_fen not in {0, amount_fen}:
        yield f"sale {sale_id} of {amount_fen} fen counts {paid_fen} fen as paid"
    if kept_fen not in {0, amount_fen}:
        yield f"sale {sale_id} of {amount_fen} fen was billed {kept_fen} fen on the phone, parts included"
    elif kept_fen and not paid_fen:
        yield f"sale {sale_id} was billed on the phone but the ledger has it unpaid"


def _sale_problems(record: RunRecord) -> Iterable[str]:
    kept: defaultdict[str, int] = defaultdict(int)
    sale_of = {order.order_id: order.sale_id for order in record.orders}
    for part in _parts(record):
        sale_id = sale_of.get(part.order_id)
        if sale_id is None:
            yield f"{part.kind} of {part.out_trade_no} went towards order {part.order_id}, which has no sale"
        else:
            kept[sale_id] += part.amount_fen - part.returned_fen
    for payment in record.payments:
        if payment.sale_id is not None:
            kept[payment.sale_id] += payment.captured_fen
    amounts = {sale.sale_id: sale.amount_fen for sale in record.ledger if sale.corrects is None}
    paid = {sale.sale_id: sale.paid_fen for sale in record.ledger if sale.corrects is None}
    for sale in record.ledger:
        if sale.corrects is not None and sale.corrects in amounts:
            amounts[sale.corrects] += sale.amount_fen
    under_way = {payment.sale_id for payment in record.payments if payment.pending}
    for sale_id, amount_fen in amounts.items():
        if sale_id not in under_way:  # else it has to come to its end first, see `order.concluded`
            yield from _billed_otherwise(sale_id, amount_fen, paid[sale_id], kept.get(sale_id, 0))
    for sale_id in sorted(kept.keys() - amounts.keys()):
        yield f"{kept[sale_id]} fen were taken for sale {sale_id}, which the ledger does not have"


def _order_problems(record: RunRecord) -> Iterable[str]:
    """Where an order says another thing about its money than its payments do."""
    orders = {order.order_id: order for order in record.orders}
    if len(orders) != len(record.orders):
        yield "an order is there twice"
    paid: Counter[str] = Counter()
    refunded: Counter[str] = Counter()
    open_orders = set()
    for payment in record.payments:
        if payment.order_id is None:
            continue
        if payment.pending:
            open_orders.add(payment.order_id)
        elif payment.order_id not in orders:
            yield f"payment {payment.out_trade_no} names order {payment.order_id}, which there is not"
        paid[payment.order_id] += payment.captured_fen + payment.refunded_fen
        refunded[payment.order_id] += payment.refunded_fen
    for part in _parts(record):
        paid[part.order_id] += part.amount_fen
        refunded[part.order_id] += part.returned_fen
    for order in record.orders:
        told, true = (
            (order.paid_fen, order.refunded_fen),
            (paid[order.order_id], refunded[order.order_id]),
        )
        if told != true and order.order_id not in open_orders:
            yield f"order {order.order_id} says {told} fen paid and refunded, its payments and parts {true}"


def money(record: RunRecord, _limits: Mapping[str, int]) -> CheckResult:
    """Authorised = captured + reversed + refunded; gateway, orders and ledger agree; each sale is billed once."""
    slug = "conservation.money"
    if not record.payments:
        return nothing_seen(slug, record, "no payment")
    if all(payment.pending for payment in record.payments) and not any(t.paid_fen for t in record.gateway):
        return nothing_seen(slug, record, "every payment is still pending")
    problems = [*_payment_problems(record), *_gateway_problems(record), *_sale_problems(record)]
    problems += [*_order_problems(record), *_cash_problems(record)]
    figures = {
        "authorised_fen": sum(p.authorised_fen for p in record.payments),
        "captured_fen": sum(p.captured_fen for p in record.payments),
        "reversed_fen": sum(p.reversed_fen for p in record.payments),
        "refunded_fen": sum(p.refunded_fen for p in record.payments),
        "refunded_in_cash_fen": sum(p.cash_fen for p in record.payments),
        "pending": sum(p.pending for p in record.payments),
        "gateway_paid_fen": sum(t.paid_fen for t in record.gateway),
        "parts_fen": sum(part.amount_fen for part in _parts(record)),
    }
    good = (
        f"{figures['authorised_fen']:,} fen authorised = {figures['captured_fen']:,} kept + "
        f"{figures['reversed_fen']:,} reversed + {figures['refunded_fen']:,} refunded, as the gateway says"
    )
    if figures["refunded_in_cash_fen"]:
        good += f" ({figures['refunded_in_cash_fen']:,} of it bounced and left the till in cash)"
    if figures["pending"] and not problems:
        good = f"{figures['pending']} payments still pending; for the rest, what was authorised is kept, reversed or refunded"
    return answer(slug, record, problems, good, figures)
