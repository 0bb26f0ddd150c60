"""Oracles: pure functions over a `RunRecord`. `judge` runs the one behind a slug."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from scenarios.checks import REGISTRY, UnknownCheckError, suggest
from scenarios.oracles import (
    conservation,
    drive_offs,
    latency,
    liveness,
    members,
    orders,
    receipts,
    reconciliation,
    repetition,
    sales,
    shifts,
    tanks,
    voice,
)
from scenarios.oracles.answer import Oracle
from scenarios.record import RunRecord
from scenarios.verdicts import CheckResult

__all__ = ["ORACLES", "Oracle", "judge", "judge_all"]

ORACLES: Mapping[str, Oracle] = MappingProxyType(
    {
        "conservation.litres": conservation.litres,
        "conservation.money": conservation.money,
        "money.reconciled": reconciliation.reconciled,
        "money.tender-adds-up": members.tender_adds_up,
        "money.debits-agreed": members.debits_agreed,
        "sale.exactly-once": sales.exactly_once,
        "invoice.one-per-sale": sales.one_invoice,
        "order.concluded": orders.concluded,
        "totals.monotone": sales.totals,
        "live.monotone": sales.live_amounts,
        "receipt.equals-ledger": receipts.equals_ledger,
        "receipt.one-original": receipts.one_original,
        "receipt.each-printed": receipts.each_printed,
        "tank.litres-by-gauge": tanks.litres_by_gauge,
        "tank.deliveries-booked": tanks.deliveries_booked,
        "shift.readings-chain": shifts.readings_chain,
        "shift.sales-add-up": shifts.sales_add_up,
        "shift.litres-agree": shifts.litres_agree,
        "test.not-sold": shifts.not_sold,
        "sale.drive-off-flagged": drive_offs.flagged,
        "voice.exactly-once": voice.exactly_once,
        "voice.in-time": voice.in_time,
        "voice.error-rate": voice.error_rate,
        "liveness.settled": liveness.settled,
        "faults.landed": liveness.faults_landed,
        "operations.succeeded": liveness.operations_succeeded,
        "latency.payment-controlled": latency.percentiles("latency.payment-controlled", "payment_controlled"),
        "latency.payment-end-to-end": latency.percentiles("latency.payment-end-to-end", "payment_end_to_end"),
        "latency.payment-human": latency.human_time,
        "latency.invoice-issued": latency.percentiles("latency.invoice-issued", "invoice_issued"),
        "latency.invoice-answered": latency.invoice_answered,
        "latency.live-amount": latency.percentiles("latency.live-amount", "live_amount"),
        "failover.gap": latency.failover_gap,
        "failover.no-lost-write": latency.no_lost_write,
        "replications.safe": repetition.replications_safe,
        "harness.idle-polls": repetition.idle_polls,
        "harness.open-loop": latency.open_loop,
    }
)


def judge(record: RunRecord, slug: str, limits: Mapping[str, int] | None = None) -> CheckResult:
    """Judge one check; limits not given are the check's own.

    Raises:
        UnknownCheckError: no such check.
    """
    oracle = ORACLES.get(slug)
    if oracle is None:
        raise UnknownCheckError(f"no such check: {slug!r}{suggest(slug, REGISTRY)}")
    return oracle(record, {**REGISTRY[slug].limits, **(limits or {})})


def judge_all(record: RunRecord, checks: Iterable[tuple[str, Mapping[str, int]]]) -> list[CheckResult]:
    """Judge several checks, in order."""
    return [judge(record, slug, limits) for slug, limits in checks]
