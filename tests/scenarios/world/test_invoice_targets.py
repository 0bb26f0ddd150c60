"""The invoice targets in virtual time: the reference's own modelled work with the declared tax platform, and with one that stalls."""

from __future__ import annotations

from typing import Any

import pytest

from scenarios.loader import load
from scenarios.model import Scenario
from scenarios.oracles import judge
from scenarios.record import RunRecord
from scenarios.runner.virtual import run_once
from scenarios.verdicts import Verdict


def everybody_wants_one(name: str, *, faults: tuple[dict[str, Any], ...] = (), **demand: Any) -> Scenario:
    """All pay on the phone and all want an invoice."""
    told = load(name).scenario.model_dump(mode="json")
    told["demand"] |= {"adoption": 1.0, **demand}
    told["demand"]["invoices"]["wanted_share"] = 1.0
    return Scenario.model_validate({**told, "faults": faults, "replications": 0})


def passed(record: RunRecord, slug: str, limits: dict[str, int] | None = None) -> dict[str, Any]:
    found = judge(record, slug, limits)
    assert found.verdict is Verdict.PASS, found.message
    return dict(found.figures)


@pytest.mark.requirement("perf.invoice-latency")
@pytest.mark.parametrize("kind", ["accept_stall", pytest.param("stall", marks=pytest.mark.slow)])
def test_every_payer_is_answered_within_three_seconds_while_the_tax_platform_stalls(kind: str) -> None:
    stall = {"target": "tax", "kind": kind, "at_s": 0, "for_s": 900}
    scenario = everybody_wants_one(
        "smoke", faults=(stall,), arrivals_per_hour=240.0, max_cars=24, duration_s=480
    )
    record = run_once(scenario, "stalled", skip_idle_polls=True).record
    assert [fault.landed > 0 for fault in record.faults] == [True]
    figures = passed(record, "latency.invoice-answered")
    assert figures["samples"] >= 20
    assert figures["maximum_limit_us"] == 3_000_000
    waited = sum(issued_us > 60_000_000 for issued_us in record.latencies_us["invoice_issued"])
    assert waited >= 5, "they were answered, and really had to wait for their invoices"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.requirement("perf.invoice-latency")
def test_the_percentile_stands_with_the_declared_tax_platform() -> None:
    scenario = everybody_wants_one("kunming-peak", duration_s=6_300, hourly_shape=[1.0] * 24)
    services = scenario.services
    assert (services.tax_accept.median_ms + services.tax_issue.median_ms) == 600
    record = run_once(scenario, "percentiles", skip_idle_polls=True).record
    issued = passed(record, "latency.invoice-issued")
    assert issued["samples"] >= 299
    assert issued["p99_bound_us"] <= 3_000_000
    passed(record, "latency.invoice-answered")
