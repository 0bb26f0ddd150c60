"""The shipped `bad-hour` under seeds that once broke something, and under a dozen more."""

from __future__ import annotations

import pytest

from scenarios.loader import load
from scenarios.oracles import judge_all
from scenarios.runner.virtual import run_once
from scenarios.verdicts import Verdict


def check(seed: int, *, skip_idle_polls: bool = True) -> None:
    scenario = load("bad-hour").scenario
    run = run_once(scenario, str(seed), skip_idle_polls=skip_idle_polls)
    results = judge_all(run.record, [(check.check, check.limits) for check in scenario.checks])
    fine = {Verdict.PASS, Verdict.INFO, Verdict.NOT_APPLICABLE}
    assert [f"{r.verdict} {r.check}: {r.message}" for r in results if r.verdict not in fine] == []


def test_a_code_scan_while_the_pump_s_line_is_cut() -> None:
    """Seed 5: the driver scans, the sale is still in the pump; every fault lands and everything holds."""
    check(5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12])
def test_a_dozen_seeds(seed: int) -> None:
    check(seed)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [1, 5])
def test_with_every_poll(seed: int) -> None:
    check(seed, skip_idle_polls=False)
