"""Liveness and the guards against empty proofs: what must have happened for the other verdicts to mean anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from scenarios.oracles.answer import answer, nothing_seen
from scenarios.record import RunRecord
from scenarios.verdicts import CheckResult, Verdict

__all__ = ["faults_landed", "operations_succeeded", "settled"]


class Calm:
    """When work is due that needs some time on end without any fault.

    Args:
        windows: (from, until) of each fault, microseconds; one that never heals is left out, work is due in spite of it.
        needed_us: how long it has to be calm.
    """

    def __init__(self, windows: Iterable[tuple[int, int | None]], needed_us: int) -> None:
        self._windows = sorted((at_us, until_us) for at_us, until_us in windows if until_us is not None)
        self._needed_us = needed_us

    def due_us(self, since_us: int) -> int:
        """The first instant at which it has been calm for long enough since ``since_us``."""
        due_us = since_us + self._needed_us
        for at_us, until_us in self._windows:
            if at_us >= due_us:
                break
            if until_us > since_us:
                due_us = max(due_us, until_us + self._needed_us)
        return due_us


def settled(record: RunRecord, limits: Mapping[str, int]) -> CheckResult:
    """Each delivery is in the ledger and paid, each invoice issued, after at most the limit of time without a fault."""
    slug = "liveness.settled"
    if not record.deliveries:
        return nothing_seen(slug, record, "no delivery")
    limit_us = limits["settle_us"]
    trouble = [fault for fault in record.faults if not fault.spoils_a_bill]
    calm = Calm(((fault.at_us, fault.healed_us) for fault in trouble), limit_us)
    sales = {sale.key: sale for sale in record.ledger if sale.corrects is None}
    late: list[str] = []
    early = unpaid = 0
    slowest_us = 0

    def judge(what: str, since_us: int, done_us: int | None) -> int:
        nonlocal slowest_us
        due_us = calm.due_us(since_us)
        if done_us is None and record.ended_us < due_us:
            return 1
        if done_us is None:
            late.append(f"{what} never settled")
        elif done_us > due_us:
            late.append(
                f"{what} settled {(done_us - due_us + limit_us) / 1e6:.1f} s after it could, limit {limit_us / 1e6:g} s"
            )
        else:
            slowest_us = max(slowest_us, done_us - due_us + limit_us)
        return 0

    for delivery in record.deliveries:
        sale = sales.get(delivery.key)
        name = f"{delivery.station} nozzle {delivery.nozzle} no. {delivery.sequence}"
        if delivery.unpaid_by_intent or delivery.is_test:
            unpaid += delivery.unpaid_by_intent
            early += judge(f"{name} (ledger)", delivery.ended_us, sale.recorded_us if sale else None)
        else:
            early += judge(name, delivery.ended_us, sale.settled_us if sale else None)
    for invoice in record.invoices:
        early += judge(f"invoice of sale {invoice.sale_id}", invoice.requested_us, invoice.issued_us)
    figures = {
        "deliveries": len(record.deliveries),
        "invoices": len(record.invoices),
        "unpaid_by_intent": unpaid,
        "too_early_to_say": early,
        "slowest_us": slowest_us,
        "settle_us": limit_us,
    }
    if early and not late:
        message = f"the run ended before {early} of the sales and invoices had their time to settle"
        return CheckResult(slug, Verdict.INCONCLUSIVE, message, figures, record.clock)
    good = f"all {len(record.deliveries):,} deliveries settled, the slowest {slowest_us / 1e6:.1f} s after it was due to start"
    return answer(slug, record, late, good, figures)


def faults_landed(record: RunRecord, _limits: Mapping[str, int]) -> CheckResult:
    """INCONCLUSIVE when a planned fault never touched anything; NOT_APPLICABLE when none was planned."""
    slug = "faults.landed"
    if not record.faults:
        return CheckResult(slug, Verdict.NOT_APPLICABLE, "no fault was planned", {"planned": 0}, record.clock)
    missed = [fault.name for fault in record.faults if fault.landed == 0]
    figures = {
        "planned": len(record.faults),
        "missed": len(missed),
        "hits": sum(f.landed for f in record.faults),
    }
    if missed:
        message = f"{len(missed)} of {len(record.faults)} faults never hit anything: {', '.join(missed[:5])}"
        return CheckResult(slug, Verdict.INCONCLUSIVE, message, figures, record.clock)
    message = f"all {len(record.faults)} faults landed, {figures['hits']:,} hits"
    return CheckResult(slug, Verdict.PASS, message, figures, record.clock)


def operations_succeeded(record: RunRecord, _limits: Mapping[str, int]) -> CheckResult:
    """INCONCLUSIVE when a kind of operation never succeeded, or nothing was tried at all."""
    slug = "operations.succeeded"
    tried = [operation for operation in record.operations if operation.tried]
    if not tried:
        return nothing_seen(slug, record, "no operation was tried")
    never = [operation.kind for operation in record.operations if not operation.succeeded]
    figures = {operation.kind.replace("-", "_"): operation.succeeded for operation in record.operations}
    if never:
        message = f"never succeeded once: {', '.join(never)}"
        return CheckResult(slug, Verdict.INCONCLUSIVE, message, figures, record.clock)
    message = ", ".join(
        f"{operation.kind} {operation.succeeded:,}/{operation.tried:,}" for operation in tried
    )
    return CheckResult(slug, Verdict.PASS, message, figures, record.clock)
