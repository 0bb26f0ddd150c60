"""What the report says of each fault: who came while it was active, and how long the slowest waited."""

from __future__ import annotations

from dataclasses import replace

from scenarios.loader import load
from scenarios.record import FaultLanding
from scenarios.runner.fault_toll import fault_lines
from scenarios.runner.virtual import run_once


def test_each_fault_shows_those_who_came_in_its_window_and_no_others() -> None:
    record = run_once(load("smoke").scenario, "1", skip_idle_polls=True).record
    paid = sorted(
        (d.ended_us, sale.settled_us - d.ended_us)
        for d in record.deliveries
        for sale in record.ledger
        if sale.key == d.key and sale.corrects is None and sale.settled_us is not None
    )
    (first_us, _), (last_us, last_wait_us) = paid[0], paid[-1]

    def fault(name: str, at_us: int, healed_us: int | None) -> FaultLanding:
        return FaultLanding(name=name, target="tax", kind="stall", at_us=at_us, healed_us=healed_us, landed=1)

    faults = (
        fault("before", 0, first_us - 1),
        fault("all", first_us, last_us),
        fault("last", last_us, None),
        fault("after", last_us + 1, last_us + 2),
    )
    lines = {line.name: line for line in fault_lines(replace(record, faults=faults))}
    assert {name: line.deliveries for name, line in lines.items()} == {
        "before": 0,
        "all": len(paid),
        "last": 1,
        "after": 0,
    }
    assert lines["all"].slowest_settled_us == max(wait for _, wait in paid)
    assert lines["last"].slowest_settled_us == max(0, last_wait_us)
    assert lines["before"].slowest_settled_us is None
    asked = [i for i in record.invoices if i.issued_us is not None and first_us <= i.requested_us <= last_us]
    assert lines["all"].invoices == len(asked)
