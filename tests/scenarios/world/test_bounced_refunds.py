"""Refunds that bounce in a scenario: staff sends one on and pays the next in cash, and the books say so."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from scenarios.model import Scenario
from scenarios.oracles import judge
from scenarios.record import PaidOut, RunRecord
from scenarios.verdicts import Verdict
from scenarios.world.faults import plan_faults
from sim.people.api import ApiClient, Unreachable

from .test_money_in_a_scenario import evening, judged

SLUG = "conservation.money"
BOUNCES = [
    {"target": "gateway", "kind": "refund_abnormal", "at_s": 10, "repeat": {"every_s": 60, "times": 6}},
    {"target": "gateway", "kind": "refund_closed", "at_s": 40, "repeat": {"every_s": 200, "times": 2}},
    {"target": "gateway", "kind": "callback_forged", "at_s": 0, "for_s": 900, "share": 0.3},
    {"target": "gateway", "kind": "reply_forged", "at_s": 0, "for_s": 900, "share": 0.1},
    {"target": "gateway", "kind": "busy", "at_s": 0, "for_s": 900, "share": 0.1},
    {"target": "printer", "kind": "cutter_jam", "at_s": 100, "for_s": 120},
    {"target": "printer", "kind": "overheat", "at_s": 300, "for_s": 60},
    {"target": "printer", "kind": "break_down", "at_s": 450, "for_s": 90},
]  # fmt: skip


def by_phone_and_beforehand() -> dict[str, Any]:
    """Whoever orders by phone pays for a round sum beforehand and gets less: the rest goes back."""
    scenario = evening().model_dump(mode="json")
    scenario["demand"] |= {
        "phone_channels": {"wechatpay": 0.8, "wechatpay-contract": 0.2},
        "phone_mix": {"order_first": 0.9, "scan_after": 0.1},
        "kiosk_mix": {"cash": 0.9, "card": 0.1},
        "prepay": {"amount_share": 1.0, "undelivered_share": 1.0},
    }
    # Long enough that the drawer is closed when all is paid out.
    scenario["shift_changes"] = [{"at_s": 60, "attendant": "王丽"}, {"at_s": 7_200, "attendant": "李强"}]
    return scenario


def told(seed: str) -> tuple[RunRecord, list[str], list[dict[str, Any]]]:
    run, bad, events = judged(Scenario.model_validate(by_phone_and_beforehand() | {"faults": BOUNCES}), seed)
    return run.record, bad, events


@pytest.fixture(scope="module")
def evening_of_bounces() -> tuple[RunRecord, list[str], list[dict[str, Any]]]:
    return told("1")


@pytest.mark.timeout(120)
@pytest.mark.requirement("rfd.refunds-never-exceed-paid", "rfd.accepted-is-not-refunded")
def test_money_that_bounced_ends_where_it_belongs(
    evening_of_bounces: tuple[RunRecord, list[str], list[dict[str, Any]]],
) -> None:
    record, bad, events = evening_of_bounces
    assert bad == []
    assert record.paid_out
    paid_fen = sum(one.amount_fen for one in record.paid_out)
    assert sum(payment.cash_fen for payment in record.payments) == paid_fen
    said = [event["amount_fen"] for event in events if event["kind"] == "refund.paid_in_cash"]
    assert sum(said) == paid_fen
    landed = sum(fault.landed for fault in record.faults if fault.kind == "refund_abnormal")
    assert landed > len(record.paid_out), "the others were sent on"


def _paid(record: RunRecord, change: Callable[[PaidOut], tuple[PaidOut, ...]]) -> RunRecord:
    first, *others = record.paid_out
    return replace(record, paid_out=(*change(first), *others))


@pytest.mark.parametrize(
    ("breaker", "said"),
    [
        pytest.param(lambda r: _paid(r, lambda one: (one, one)), "was paid out 2 times at the till", id="twice"),
        pytest.param(lambda r: _paid(r, lambda one: ()), "fen left the till for them", id="not-paid-out"),
        pytest.param(
            lambda r: _paid(r, lambda one: (replace(one, amount_fen=one.amount_fen + 1),)),
            "fen left the till for them",
            id="too-much",
        ),
        pytest.param(
            lambda r: replace(r, payments=tuple(replace(p, cash_fen=0) for p in r.payments)),
            "backend",
            id="over-the-gateway",
        ),
    ],
)  # fmt: skip
def test_the_oracle_finds(
    evening_of_bounces: tuple[RunRecord, list[str], list[dict[str, Any]]],
    breaker: Callable[[RunRecord], RunRecord],
    said: str,
) -> None:
    record, _, _ = evening_of_bounces
    found = judge(breaker(record), SLUG)
    assert found.verdict is Verdict.FAIL
    assert said in found.message


@pytest.mark.timeout(120)
def test_an_answer_that_is_lost_does_not_lose_the_money(monkeypatch: pytest.MonkeyPatch) -> None:
    """The backend booked it and the clerk never heard: the payer has the money after the next round, once."""
    call = ApiClient.call
    lost: list[str] = []

    async def deaf(self: ApiClient, method: str, path: str, **more: Any) -> Any:
        answer = await call(self, method, path, **more)
        if path.endswith("/cash") and path not in lost:
            lost.append(path)
            raise Unreachable("the line went dead")
        return answer

    monkeypatch.setattr(ApiClient, "call", deaf)
    record, bad, _ = told("1")
    assert bad == []
    assert len(lost) == len(record.paid_out) > 0


@pytest.mark.timeout(120)
def test_a_run_that_ends_while_a_refund_waits_for_the_clerk_is_inconclusive() -> None:
    scenario = by_phone_and_beforehand()
    scenario |= {"settle_s": 60, "shift_changes": [], "backend": {"instances": 2}}
    checks = ("conservation.money", "invoice.one-per-sale", "order.concluded")
    scenario["checks"] = [{"check": check} for check in checks]
    scenario["faults"] = [{"target": "gateway", "kind": "refund_abnormal", "at_s": 10, "for_s": 1_690}]
    run, bad, _ = judged(Scenario.model_validate(scenario), "1")
    assert any(payment.pending for payment in run.record.payments)
    assert [line.partition(":")[0] for line in bad] == ["INCONCLUSIVE order.concluded"]


@pytest.mark.timeout(120)
def test_without_cash_in_the_drawer_refunds_are_sent_on_until_they_arrive() -> None:
    scenario = by_phone_and_beforehand()
    scenario["demand"]["kiosk_mix"] = {"cash": 0.1, "card": 0.9}
    scenario["faults"] = [{"target": "gateway", "kind": "refund_abnormal", "at_s": 0, "for_s": 54_000}]
    run, bad, _ = judged(Scenario.model_validate(scenario), "1")
    assert bad == []
    assert len(run.record.paid_out) < 3


def test_a_swarm_draws_what_it_drew_before() -> None:
    """A kind more in what it draws from is another draw for every seed that anybody noted."""
    swarm = {"targets": ["gateway"], "faults": 8, "longest_s": 60, "heal_before_end_s": 60}
    scenario = evening(faults=[], swarm=swarm)
    plan = [json.loads(one.spec.model_dump_json()) for one in plan_faults(scenario, "1").faults]
    assert not {"refund_abnormal", "refund_closed", "debit_failed"} & {fault["kind"] for fault in plan}
    assert len({fault["kind"] for fault in plan}) > 1


def test_a_head_that_is_too_hot_for_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="a head is too hot for some time"):
        evening(faults=[{"target": "printer", "kind": "overheat", "at_s": 60}])
