"""Many seeds of one scenario over all cores: each must be safe. Failing seeds are kept by name and made small."""

from __future__ import annotations

import io
import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

from scenarios.model import Scenario, Swarm
from scenarios.oracles import judge
from scenarios.runner.shrink import shrink
from scenarios.runner.virtual import SAFETY_CHECKS, run_once
from scenarios.runner.workers import worker_pool
from scenarios.verdicts import ExitCode, Verdict

__all__ = [
    "SwarmOptions",
    "SwarmResult",
    "SwarmSeed",
    "run_swarm",
    "violations",
    "with_faults",
    "write_swarm",
]

_JUDGED: Final = (*SAFETY_CHECKS, "liveness.settled")
"""What each seed must hold, as far as the scenario asks for it: safety first, then that everything comes to an end."""


@dataclass(frozen=True, slots=True)
class SwarmOptions:
    """How a swarm is run.

    Attributes:
        seeds: how many; they are called ``<prefix>-<number>``.
        first: number of the first.
        prefix: of the seeds' names.
        budget_s: wall-clock seconds after which no further seed is begun; None for no limit.
        shrink_s: wall-clock seconds for making the first failing seed small; 0 leaves it as it is.
        workers: processes; None for one a core.
    """

    seeds: int = 100
    first: int = 1
    prefix: str = "swarm"
    budget_s: float | None = None
    shrink_s: float = 120.0
    workers: int | None = None


@dataclass(frozen=True, slots=True)
class SwarmSeed:
    """What one seed gave: its faults and how many of them landed, and what it broke."""

    seed: str
    faults: int
    landed: int
    deliveries: int
    violations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SwarmResult:
    """What a swarm gave, in the order of the seeds.

    Attributes:
        asked: how many seeds were wanted.
        seeds: those that were run.
        shrunk: the first failing seed's scenario, made small; None without one.
    """

    asked: int
    seeds: tuple[SwarmSeed, ...]
    shrunk: Scenario | None

    @property
    def failing(self) -> tuple[SwarmSeed, ...]:
        """The seeds that broke something."""
        return tuple(seed for seed in self.seeds if seed.violations)

    @property
    def exit_code(self) -> ExitCode:
        """1 with a failing seed, 3 when seeds were left out or no fault ever landed, else 0."""
        if self.failing:
            return ExitCode.NON_CONFORMANT
        planned, landed = sum(s.faults for s in self.seeds), sum(s.landed for s in self.seeds)
        if len(self.seeds) < self.asked or (planned and not landed):
            return ExitCode.INCONCLUSIVE
        return ExitCode.CONFORMANT


def with_faults(scenario: Scenario, faults: int) -> Scenario:
    """The scenario with a swarm of so many faults on everything that it has; its own schedule stays."""
    longest_s = max(1, min(120, scenario.demand.duration_s // 10))
    swarm = Swarm(
        faults=faults,
        targets=("wire", "http", "gateway", "tax", "printer", "dispenser", "backend"),
        longest_s=longest_s,
        heal_before_end_s=min(longest_s, scenario.demand.duration_s // 4),
    )
    return scenario.model_copy(update={"swarm": swarm})


def violations(scenario: Scenario, seed: str) -> SwarmSeed:
    """Run one seed in virtual time and judge it.

    Raises:
        KernelError: the harness broke.
    """
    run = run_once(scenario, seed, skip_idle_polls=True)
    asked = {check.check: check.limits for check in scenario.checks}
    broken = []
    for slug in _JUDGED:
        if slug in asked:
            result = judge(run.record, slug, asked[slug])
            if result.verdict is Verdict.FAIL:
                broken.append(f"{slug}: {result.message}")
    return SwarmSeed(
        seed=seed,
        faults=len(run.record.faults),
        landed=sum(fault.landed > 0 for fault in run.record.faults),
        deliveries=len(run.record.deliveries),
        violations=tuple(broken),
    )


def run_swarm(
    scenario: Scenario,
    options: SwarmOptions,
    progress: Callable[[str, float], None],
) -> SwarmResult:
    """Run the seeds on all cores, then make the first failing one small.

    Args:
        scenario: what to run; its ``swarm`` part draws the faults of each seed.
        options: see `SwarmOptions`.
        progress: called with a stage and the share of it that is over.

    Raises:
        KernelError: the harness broke.
    """
    progress("seeds", 0.0)
    names = [f"{options.prefix}-{options.first + number}" for number in range(options.seeds)]
    found = _run_all(scenario, names, options, progress)
    seeds = tuple(found[name] for name in names if name in found)
    failing = next((seed for seed in seeds if seed.violations), None)
    shrunk = None
    if failing is not None and options.shrink_s > 0:
        shrunk = _made_small(scenario, failing, options.shrink_s, progress)
    return SwarmResult(options.seeds, seeds, shrunk)


def _run_all(
    scenario: Scenario,
    names: Sequence[str],
    options: SwarmOptions,
    progress: Callable[[str, float], None],
) -> dict[str, SwarmSeed]:
    end_s = None if options.budget_s is None else time.monotonic() + options.budget_s
    workers = options.workers or len(os.sched_getaffinity(0))
    found: dict[str, SwarmSeed] = {}
    waiting = iter(names)
    pending: set[Future[SwarmSeed]] = set()
    with worker_pool(workers, _quietly) as pool:
        while True:
            # Seeds are handed out one by one, so that the end of the budget leaves no long queue behind.
            while len(pending) < workers and (end_s is None or time.monotonic() < end_s):
                name = next(waiting, None)
                if name is None:
                    break
                pending.add(pool.submit(violations, scenario, name))
            if not pending:
                return found
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                result = future.result()
                found[result.seed] = result
            progress("seeds", len(found) / len(names))


def _quietly() -> None:
    """What the site logs under hundreds of faults is no news to whoever waits for the verdict."""
    logging.getLogger().addHandler(logging.NullHandler())


def _made_small(
    scenario: Scenario,
    failing: SwarmSeed,
    limit_s: float,
    progress: Callable[[str, float], None],
) -> Scenario:
    """Another failure of the same check counts as the same failure."""
    slugs = {text.partition(":")[0] for text in failing.violations}
    begun_s = time.monotonic()
    stage = f"making seed {failing.seed} small"

    def fails(smaller: Scenario) -> bool:
        passed_s = time.monotonic() - begun_s
        if passed_s > limit_s:
            return False
        progress(stage, min(0.99, passed_s / limit_s))
        now = violations(smaller, failing.seed).violations
        return any(text.partition(":")[0] in slugs for text in now)

    progress(stage, 0.0)
    small = shrink(scenario, failing.seed, fails)
    progress(stage, 1.0)
    return small


def write_swarm(folder: Path, scenario: Scenario, result: SwarmResult) -> list[Path]:
    """Write ``swarm.json`` and the small scenario of the first failing seed.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / "swarm.json"]
    document: dict[str, Any] = {
        "scenario": scenario.name,
        "asked": result.asked,
        "run": len(result.seeds),
        "failing": [asdict(seed) for seed in result.failing],
        "seeds": [asdict(seed) for seed in result.seeds],
    }
    written[0].write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if result.shrunk is not None:
        written.append(folder / "smallest.yaml")
        seed = result.failing[0].seed
        text = io.StringIO()
        YAML().dump(result.shrunk.model_dump(mode="json", exclude_none=True), text)
        head = f"# What is left of seed {seed} of {scenario.name}: forecourt run FILE --virtual-only --seed {seed}\n"
        written[1].write_text(head + text.getvalue(), encoding="utf-8")
    return written
