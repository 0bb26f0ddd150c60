"""What each fault of a run did: how often it hit, and how long those waited who came while it was active."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from scenarios.evidence import FaultLine
from scenarios.record import FaultLanding, RunRecord

__all__ = ["fault_lines"]


def fault_lines(record: RunRecord) -> list[FaultLine]:
    """One line for each planned fault, in the order of the plan.

    Several faults may be active at once; a slow sale then stands beside each of them.
    """
    settled = _settlements(record)
    issued = sorted(
        (i.requested_us, i.issued_us - i.requested_us) for i in record.invoices if i.issued_us is not None
    )
    return [_line(fault, record.ended_us, settled, issued) for fault in record.faults]


def _settlements(record: RunRecord) -> list[tuple[int, int]]:
    """(end, microseconds until settled) of the deliveries that somebody meant to pay, in the order of their ends."""
    sales = {sale.key: sale for sale in record.ledger if sale.corrects is None}
    waits = []
    for delivery in record.deliveries:
        sale = sales.get(delivery.key)
        if sale is None or sale.settled_us is None or delivery.is_test or delivery.unpaid_by_intent:
            continue
        waits.append((delivery.ended_us, max(0, sale.settled_us - delivery.ended_us)))
    return sorted(waits)


def _line(
    fault: FaultLanding, ended_us: int, settled: Sequence[tuple[int, int]], issued: Sequence[tuple[int, int]]
) -> FaultLine:
    until_us = ended_us if fault.healed_us is None else fault.healed_us
    sales, invoices = _within(settled, fault.at_us, until_us), _within(issued, fault.at_us, until_us)
    return FaultLine(
        name=fault.name,
        target=fault.target,
        kind=fault.kind,
        at_us=fault.at_us,
        healed_us=fault.healed_us,
        landed=fault.landed,
        deliveries=len(sales),
        slowest_settled_us=max(sales, default=None),
        invoices=len(invoices),
        slowest_invoice_us=max(invoices, default=None),
    )


def _within(waits: Sequence[tuple[int, int]], from_us: int, until_us: int) -> list[int]:
    first, last = bisect_left(waits, (from_us, 0)), bisect_left(waits, (until_us + 1, 0))
    return [wait_us for _, wait_us in waits[first:last]]
