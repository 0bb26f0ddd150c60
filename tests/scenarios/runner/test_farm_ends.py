"""The processes that run more hours end with the harness, however it ends.

The farm and the swarm have their processes from one pool, so one of them shows it by default.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

FARM = """
import sys
from scenarios.loader import load
from scenarios.runner.virtual import farm_out

def progress(name, share):
    print("one hour is done", flush=True)
    sys.stdin.read()

if __name__ == "__main__":
    smoke = load("smoke").scenario
    demand = smoke.demand.model_copy(update={"max_cars": 1, "duration_s": 60})
    farm_out(smoke.model_copy(update={"demand": demand, "replications": 9}), "1", progress, workers=2)
"""
SWARM = """
import sys
from scenarios.loader import load
from scenarios.runner.swarm import SwarmOptions, run_swarm, with_faults

def progress(name, share):
    if share:
        print("one hour is done", flush=True)
        sys.stdin.read()

if __name__ == "__main__":
    smoke = load("smoke").scenario
    demand = smoke.demand.model_copy(update={"max_cars": 1, "duration_s": 60})
    run_swarm(with_faults(smoke.model_copy(update={"demand": demand}), 1), SwarmOptions(seeds=99, workers=2), progress)
"""


@pytest.mark.parametrize(
    "harness",
    [
        pytest.param(FARM, id="farm"),
        pytest.param(SWARM, id="swarm", marks=[pytest.mark.slow, pytest.mark.timeout(300)]),
    ],
)
def test_kill_9_of_the_harness_takes_the_workers_along(tmp_path: Path, harness: str) -> None:
    program = tmp_path / "harness.py"
    program.write_text(harness, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, str(program)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "one hour is done\n"
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 2
        process.kill()
        process.wait()
        _, alive = psutil.wait_procs(children, timeout=30)
        for one in alive:
            one.kill()
    assert alive == []
