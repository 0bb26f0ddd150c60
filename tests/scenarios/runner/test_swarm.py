"""The swarm: seeds over processes, verdicts, and a small scenario of what failed."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from forecourt.cli import app
from scenarios.loader import load
from scenarios.model import Check, Scenario
from scenarios.runner.swarm import (
    SwarmOptions,
    SwarmResult,
    SwarmSeed,
    run_swarm,
    violations,
    with_faults,
    write_swarm,
)
from scenarios.verdicts import ExitCode


def scenario(*, settle_us: int = 600_000_000, faults: int = 8, cars: int = 8) -> Scenario:
    """`smoke` with faults; without any, and with a tiny ``settle_us``, every seed fails `liveness.settled`."""
    smoke = load("smoke").scenario
    checks = tuple(
        Check(check=check.check, limits={"settle_us": settle_us})
        if check.check == "liveness.settled"
        else check
        for check in smoke.checks
    )
    # A few cars, soon one after another.
    demand = smoke.demand.model_copy(update={"duration_s": 300, "arrivals_per_hour": 200, "max_cars": cars})
    made = smoke.model_copy(update={"checks": checks, "demand": demand})
    return with_faults(made, faults) if faults else made


def run(made: Scenario, **options) -> SwarmResult:
    return run_swarm(made, SwarmOptions(**options), lambda _stage, _share: None)


@pytest.mark.timeout(120)
def test_seeds_run_in_processes_and_the_first_failing_one_is_made_small(tmp_path):
    made = scenario(settle_us=1, faults=0, cars=2)
    result = run(made, seeds=2, first=4, workers=2, shrink_s=2)
    assert [seed.seed for seed in result.seeds] == ["swarm-4", "swarm-5"]
    assert result.exit_code is ExitCode.NON_CONFORMANT
    assert all(seed.violations[0].startswith("liveness.settled: ") for seed in result.failing)
    assert result.seeds[0] == violations(made, "swarm-4"), "the same in this process"
    assert result.shrunk is not None
    written = write_swarm(tmp_path / "swarm", made, result)
    assert [path.name for path in written] == ["swarm.json", "smallest.yaml"]
    document = json.loads(written[0].read_text())
    assert (document["asked"], document["run"], len(document["failing"])) == (2, 2, 2)
    again = load(str(written[1])).scenario
    assert again.faults == result.shrunk.faults
    assert violations(again, "swarm-4").violations[0].startswith("liveness.settled: ")


def test_a_safe_swarm_and_one_whose_budget_ends():
    made = scenario()
    safe = run(made, seeds=1, workers=1)
    assert (safe.exit_code, safe.failing, safe.shrunk) == (ExitCode.CONFORMANT, (), None)
    assert safe.seeds[0].landed > 0
    ended = run(made, seeds=50, workers=1, budget_s=0.0)
    assert (ended.exit_code, ended.seeds) == (ExitCode.INCONCLUSIVE, ())


def test_faults_that_never_land_prove_nothing():
    seed = SwarmSeed("swarm-1", faults=5, landed=0, deliveries=3, violations=())
    assert SwarmResult(1, (seed,), None).exit_code is ExitCode.INCONCLUSIVE


def test_a_scenario_without_a_swarm_wants_to_know_how_many_faults(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["swarm", "smoke"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "smoke has no `swarm` part" in result.stderr
    assert "--faults N" in result.stderr
    assert list(tmp_path.iterdir()) == []
