"""A station whose drivers pay in every way: in WeChat, over UnionPay's routes, with their code at the till, by card and cash."""

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

CHECKS = (
    "faults.landed",
    "conservation.money",
    "sale.exactly-once",
    "invoice.one-per-sale",
    "receipt.equals-ledger",
    "operations.succeeded",
    "liveness.settled",
)


def station(**changes: Any) -> Scenario:
    told = load("kunming-peak").scenario.model_dump(mode="json")
    told |= {"wall": None, "curve": None, "replications": 0, "settle_s": 900, "backend": {"instances": 2}}
    told["checks"] = [{"check": "conservation.money"}]
    told["demand"] |= {
        "duration_s": 600,
        "adoption": 0.6,
        "phone_channels": {"wechatpay": 0.4, "unionpay-qr": 0.3, "unionpay-jump": 0.3},
        "kiosk_mix": {"card": 0.1, "cash": 0.1, "wechatpay-code": 0.4, "unionpay-code": 0.4},
    }
    return Scenario.model_validate(told | changes)


def test_every_way_to_pay_is_used_and_the_money_adds_up_at_both_gateways() -> None:
    events = io.StringIO()
    # The backend that the drivers pay at loses answers of UnionPay's and notices get lost on their way to it.
    faults = [
        {"target": "http", "client": "backend-a", "host": "gateway.95516.com", "kind": "reply_lost", "at_s": 100, "for_s": 400, "share": 0.3},
        {"target": "http", "client": "unionpay", "host": "backend.station", "kind": "request_lost", "at_s": 100, "for_s": 400, "share": 0.5},
    ]  # fmt: skip
    run = run_once(station(faults=faults), "2", skip_idle_polls=True, events=events)
    results = judge_all(run.record, [(check, {"settle_us": 900_000_000} if check == "liveness.settled" else {}) for check in CHECKS])  # fmt: skip
    assert [f"{r.verdict} {r.check}: {r.message}" for r in results if r.verdict is not Verdict.PASS] == []
    told = [json.loads(line) for line in events.getvalue().splitlines()]
    inside = Counter(event["tender"] for event in told if event["kind"] == "kiosk.settled")
    assert {"wechatpay-code", "unionpay-code"} <= set(inside)
    numbers = {t.out_trade_no for t in run.record.gateway if t.paid_fen}
    assert len(numbers) > 20
    assert {event["kind"].split(".")[0] for event in told if "trade" in event["kind"] or "callback" in event["kind"]} >= {"wechatpay", "unionpay"}  # fmt: skip


def test_a_measurement_has_wechat_alone_and_says_so() -> None:
    wall = load("kunming-peak").scenario.model_dump(mode="json")["wall"]
    with pytest.raises(
        ValueError, match="drivers pay over unionpay-code, unionpay-jump, unionpay-qr, wechatpay-code"
    ):
        Scenario.model_validate(station().model_dump(mode="json") | {"wall": wall})


def test_a_fault_at_unionpay_where_nobody_pays_over_it_is_refused() -> None:
    fault = {
        "target": "http",
        "client": "backend-a",
        "host": "gateway.95516.com",
        "kind": "reset",
        "at_s": 10,
    }
    told = station().model_dump(mode="json")
    told["demand"] |= {"phone_channels": {"wechatpay": 1}, "kiosk_mix": {"card": 1}}
    with pytest.raises(ValueError, match=r"names host 'gateway\.95516\.com', which nobody here is called"):
        Scenario.model_validate(told | {"faults": [fault]})
