"""The payment gateway changes what it signs with while a station is at work: no payment is lost, none is believed wrongly."""

from __future__ import annotations

import io
import json
from collections import Counter
from typing import Any

import pytest

from scenarios.loader import load
from scenarios.model import Scenario
from scenarios.oracles import judge_all
from scenarios.runner.virtual import run_once
from scenarios.verdicts import Verdict

CHECKS = ("conservation.money", "sale.exactly-once", "liveness.settled", "operations.succeeded")


def station(*changes: dict[str, Any]) -> Scenario:
    told = load("kunming-peak").scenario.model_dump(mode="json")
    told |= {"wall": None, "curve": None, "replications": 0, "settle_s": 600, "key_changes": list(changes)}
    told["demand"] |= {"duration_s": 600, "adoption": 1.0}
    told["checks"] = [{"check": check} for check in CHECKS]
    return Scenario.model_validate(told)


@pytest.mark.requirement("pay.key-rotation-loses-nothing")
def test_two_rotations_under_load_lose_no_payment_and_ask_for_the_list_once_each_and_instance() -> None:
    events = io.StringIO()
    scenario = station(
        {"at_s": 150, "kind": "rotate_certificate"}, {"at_s": 400, "kind": "rotate_certificate"}
    )
    run = run_once(scenario, "1", skip_idle_polls=True, events=events)
    results = judge_all(run.record, [(check, {}) for check in CHECKS])
    assert [f"{r.verdict} {r.check}: {r.message}" for r in results if r.verdict is not Verdict.PASS] == []
    told = [json.loads(line) for line in events.getvalue().splitlines()]
    assert sum(event["kind"] == "wechatpay.certificate" for event in told) == 2
    asked = Counter(
        (event["client"], event["status"])
        for event in told
        if event["kind"] == "http" and event["path"] == "/v3/certificates"
    )
    instances = scenario.backend.instances
    assert sum(asked.values()) <= 2 * instances
    assert {status for _, status in asked} == {200}
    taken = [e for e in told if e["kind"] == "wechatpay.callback" and e["event"] == "TRANSACTION.SUCCESS"]
    assert sum(event["outcome"] in {"200", "204"} for event in taken) > 20


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ([{"at_s": 100_000, "kind": "rotate_certificate"}], "comes at 100000 s, after the run has ended"),
        ([{"at_s": 5, "kind": "rotate_certificate"}, {"at_s": 5, "kind": "rotate_certificate"}], "in the order of their times"),
        ([{"at_s": 1, "kind": "switch_to_public_key"}, {"at_s": 2, "kind": "switch_to_public_key"}], "switches to the public key twice"),
    ],
)  # fmt: skip
def test_impossible_changes_are_refused(changes: list[dict[str, Any]], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        station(*changes)
