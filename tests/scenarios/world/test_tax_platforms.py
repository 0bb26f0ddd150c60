"""A station whose invoices go over Nuonuo or Baiwang instead of WeChat's platform, with the same bureau behind them and its troubles."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from scenarios.loader import load
from scenarios.model import Scenario
from scenarios.model.hosts import TAX_HOSTS
from scenarios.oracles import judge_all
from scenarios.runner.virtual import run_once
from scenarios.verdicts import Verdict

CHECKS: dict[str, dict[str, int]] = {
    "faults.landed": {},
    "conservation.money": {},
    "invoice.one-per-sale": {},
    "order.concluded": {},
    "latency.invoice-answered": {},
    "operations.succeeded": {},
    "liveness.settled": {"settle_us": 3_600_000_000},
}


def station(platform: str, **changes: Any) -> Scenario:
    told = load("kunming-peak").scenario.model_dump(mode="json")
    told |= {"wall": None, "curve": None, "replications": 0, "settle_s": 3_600, "idle_polls": "left_out"}
    told |= {
        "backend": {"instances": 2},
        "checks": [{"check": check, "limits": limits} for check, limits in CHECKS.items()],
    }
    told["services"]["tax_platform"] = platform
    told["demand"] |= {
        "duration_s": 400,
        "adoption": 0.8,
        "invoices": {"wanted_share": 1.0, "organisation_share": 0.5},
        "members": {"points_share": 0.5, "points": 5_000},
    }
    return Scenario.model_validate(told | changes)


def faults(platform: str) -> list[dict[str, Any]]:
    host = TAX_HOSTS[platform][0]
    return [
        {"target": "tax", "kind": "stall", "at_s": 60, "for_s": 90},
        {"target": "tax", "kind": "login_lost", "at_s": 200, "for_s": 90},
        {"target": "tax", "kind": "quota_exhausted", "at_s": 290, "for_s": 200, "share": 0.5},
        {"target": "tax", "kind": "reply_late", "at_s": 290, "for_s": 400, "delay_ms": 20_000, "share": 0.5},
        {"target": "http", "client": "backend-a", "host": host, "kind": "reply_lost", "at_s": 290, "for_s": 400, "share": 0.5},
        {"target": "backend", "instance": "b", "at_s": 330, "for_s": 30},
    ]  # fmt: skip


@pytest.mark.timeout(120)
@pytest.mark.requirement("inv.one-blue-invoice-per-sale", "inv.lost-login-pauses-the-queue")
@pytest.mark.parametrize("platform", ["nuonuo", pytest.param("baiwang", marks=pytest.mark.slow)])
def test_every_invoice_is_issued_once_over_the_platform_of_the_station(platform: str) -> None:
    events = io.StringIO()
    scenario = station(platform, faults=faults(platform))
    run = run_once(scenario, "1", skip_idle_polls=True, events=events)
    results = judge_all(run.record, [(check.check, check.limits) for check in scenario.checks])
    assert [f"{r.verdict} {r.check}: {r.message}" for r in results if r.verdict is not Verdict.PASS] == []
    told = [json.loads(line) for line in events.getvalue().splitlines()]
    accepted = [event for event in told if event["kind"] == "fapiao.accepted"]
    # WeChat's platform would have named the application.
    assert len(accepted) > 10
    assert all("serial" in event and "apply_id" not in event for event in accepted)
    assert {invoice.state for invoice in run.record.invoices} == {"issued"}


def test_ways_to_a_platform_that_the_station_does_not_use_are_refused() -> None:
    wrong = [fault for fault in faults("baiwang") if fault["target"] == "http"]
    with pytest.raises(ValueError, match=r"names host 'openapi\.baiwang\.com', which nobody here is called"):
        station("nuonuo", faults=wrong)
    told = station("baiwang").model_dump(mode="json")
    told["demand"]["members"] = None
    with pytest.raises(ValueError, match="invoices go over baiwang, which the world of a measurement does"):
        Scenario.model_validate(told | {"wall": {}})
