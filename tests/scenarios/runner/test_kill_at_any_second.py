"""One of two backends dies, and comes back, at each second of a minute in which drivers fuel, pay and are invoiced."""

from __future__ import annotations

import pytest

from scenarios.model import BackendKill, Scenario
from scenarios.oracles import judge_all
from scenarios.runner.virtual import SAFETY_CHECKS, VirtualRun, run_once
from scenarios.verdicts import Verdict

SEED = "7"
CHECKS = [(slug, {}) for slug in SAFETY_CHECKS] + [("liveness.settled", {"settle_us": 300_000_000})]


def run(scenario: Scenario) -> VirtualRun:
    return run_once(scenario, SEED, skip_idle_polls=True)


@pytest.fixture(scope="module")
def few(two_islands: Scenario) -> Scenario:
    """Four cars, all of them on the phone, every one wants a fapiao."""
    demand = two_islands.demand.model_copy(
        update={
            "max_cars": 4,
            "duration_s": 300,
            "adoption": 1.0,
            "invoices": two_islands.demand.invoices.model_copy(update={"wanted_share": 1.0}),
        }
    )
    return two_islands.model_copy(update={"demand": demand, "settle_s": 300})


@pytest.fixture(scope="module")
def first_second(few: Scenario) -> int:
    """The minute is laid so that the first payment on a phone runs in its middle."""
    calm = run(few)
    tapped = [
        t_us
        for phone in calm.witness.cars.phone.values()
        for t_us, kind, _ in phone
        if kind == "phone.pay_tapped"
    ]
    assert tapped
    return min(tapped) // 1_000_000 - 25


def check(few: Scenario, at_s: int, instance: str) -> None:
    kill = BackendKill(target="backend", instance=instance, at_s=at_s, for_s=20)
    hit = run(few.model_copy(update={"faults": (kill,)}))
    bad = [f"{r.check}: {r.message}" for r in judge_all(hit.record, CHECKS) if r.verdict is Verdict.FAIL]
    assert bad == []
    assert hit.record.faults[0].landed == 1
    cars = hit.witness.cars.cars.values()
    assert [car.outcome for car in cars] == ["paid"] * len(cars)
    assert len(hit.record.deliveries) == len(cars) == 4
    assert sum(invoice.state == "issued" for invoice in hit.record.invoices) == 4


@pytest.mark.requirement("ha.no-duplicate-after-failover")
@pytest.mark.parametrize("second", range(0, 60, 10))
@pytest.mark.parametrize("instance", ["a", "b"])
def test_a_kill_now_and_then(few: Scenario, first_second: int, second: int, instance: str) -> None:
    check(few, first_second + second, instance)


@pytest.mark.slow
@pytest.mark.requirement("ha.no-duplicate-after-failover")
@pytest.mark.parametrize("second", [s for s in range(60) if s % 10])
@pytest.mark.parametrize("instance", ["a", "b"])
def test_a_kill_at_every_second(few: Scenario, first_second: int, second: int, instance: str) -> None:
    check(few, first_second + second, instance)
