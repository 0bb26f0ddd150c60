"""Whatever goes wrong anywhere in the chain, in any mixture: nothing is lost, nothing is doubled, everything settles."""

from __future__ import annotations

import pytest

from scenarios.model import Scenario
from scenarios.oracles import judge_all
from scenarios.runner.virtual import SAFETY_CHECKS, VirtualRun, run_once
from scenarios.verdicts import Verdict

CHECKS = [(slug, {}) for slug in SAFETY_CHECKS] + [("liveness.settled", {"settle_us": 900_000_000})]


def broken(run: VirtualRun) -> list[str]:
    """What the oracles hold against a run. Too little to judge is no fault of the chain."""
    faults = ", ".join(f"{f.name}@{f.at_us // 1_000_000}x{f.landed}" for f in run.record.faults)
    return [
        f"{result.check}: {result.message} [{faults}]"
        for result in judge_all(run.record, CHECKS)
        if result.verdict in {Verdict.FAIL, Verdict.HARNESS_ERROR}
    ]


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(1, id="seed-1"),
        pytest.param(4, id="authorisation-obeyed-while-the-line-was-lost"),
        pytest.param(40, id="preset-reached-with-the-nozzle-out-after-a-lost-line"),
        pytest.param(125, id="first-car-in-the-first-second"),
        pytest.param(127, id="authorisation-runs-out-while-the-line-is-lost"),
    ],
)
def test_a_swarm_of_faults_breaks_nothing(swarm: Scenario, seed: int) -> None:
    run = run_once(swarm, str(seed), skip_idle_polls=True)
    assert broken(run) == []
    assert len(run.record.deliveries) >= 5
    assert sum(fault.landed > 0 for fault in run.record.faults) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("seed", [seed for seed in range(100, 142) if seed not in {125, 127}])
def test_forty_more_swarms_break_nothing(swarm: Scenario, seed: int) -> None:
    assert broken(run_once(swarm, str(seed), skip_idle_polls=True)) == []
