"""Orders: each comes to an end in time, and no end contradicts the money or the wish for an invoice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from scenarios.oracles.answer import answer, nothing_seen
from scenarios.record import Order, RunRecord
from scenarios.verdicts import CheckResult, Verdict

__all__ = ["concluded"]

_ENDS: Final = frozenset({"COMPLETED", "REFUNDED", "CANCELLED", "CLOSED"})
_UNPAID_ENDS: Final = frozenset({"CANCELLED", "CLOSED"})


def _is_over(order: Order) -> bool:
    """PAID is the end of an order that was fuelled first; paid ahead, it still waits for its fuel."""
    return order.state in _ENDS or (order.state == "PAID" and not order.is_prepaid)


def _contradictions(order: Order) -> Iterable[str]:
    kept_fen = order.paid_fen - order.refunded_fen
    if kept_fen < 0:
        yield f"order {order.order_id}: {order.refunded_fen} fen refunded of {order.paid_fen}"
    if order.state in _UNPAID_ENDS and kept_fen > 0:
        yield f"order {order.order_id} is {order.state}, and {kept_fen} fen of it are kept"
    if order.state == "REFUNDED" and kept_fen > 0:
        yield f"order {order.order_id} is REFUNDED, and {kept_fen} fen of it are kept"
    if order.state in {"PAID", "COMPLETED"} and order.paid_fen == 0:
        yield f"order {order.order_id} is {order.state} without money"


def _money_fen(order: Order, discounts: Mapping[str, int]) -> int:
    """What is kept of an order in money: what points and coupons paid is on no invoice."""
    return max(0, order.paid_fen - order.refunded_fen - discounts.get(order.sale_id or "", 0))


def concluded(record: RunRecord, limits: Mapping[str, int]) -> CheckResult:
    """No order rests half done longer than the limit; closed is not charged; who wanted an invoice has one."""
    slug = "order.concluded"
    if not record.orders:
        return nothing_seen(slug, record, "no order")
    limit_us = limits["rest_us"]
    healed_us = max(
        (f.healed_us for f in record.faults if f.healed_us is not None and not f.spoils_a_bill), default=0
    )
    invoiced = {invoice.sale_id for invoice in record.invoices}
    discounts = {sale.sale_id: sale.discount_fen for sale in record.ledger if sale.discount_fen}
    problems: list[str] = []
    early = wanted = 0
    for order in record.orders:
        problems += _contradictions(order)
        rested_us = record.ended_us - max(order.updated_us, healed_us)
        if not _is_over(order):
            if rested_us < limit_us:
                early += 1
            else:
                problems.append(
                    f"order {order.order_id} is {order.state} for {rested_us / 1e6:.0f} s, limit {limit_us / 1e6:g} s"
                )
        elif order.wants_invoice and _money_fen(order, discounts):
            wanted += 1
            # The application is written with the payment, so not even a fault excuses it.
            if order.sale_id not in invoiced:
                problems.append(
                    f"the buyer of order {order.order_id} wanted an invoice, and none was asked for"
                )
    figures = {
        "orders": len(record.orders),
        "over": sum(map(_is_over, record.orders)),
        "wanted_an_invoice": wanted,
        "too_early_to_say": early,
        "rest_us": limit_us,
    }
    if early and not problems:
        message = f"the run ended before {early} of {len(record.orders):,} orders had their time to end"
        return CheckResult(slug, Verdict.INCONCLUSIVE, message, figures, record.clock)
    good = f"all {len(record.orders):,} orders came to their end; {wanted:,} buyers wanted an invoice, and each was asked for"
    return answer(slug, record, problems, good, figures)
