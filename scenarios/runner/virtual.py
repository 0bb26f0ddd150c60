"""The virtual part of a run: the scenario with every poll, the same without idle polls, and more hours of other seeds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Final

from scenarios.curve import CurvePoint, curve_point, curve_tasks
from scenarios.model import Scenario
from scenarios.oracles import judge
from scenarios.record import Replication, RunRecord
from scenarios.runner.workers import worker_pool
from scenarios.verdicts import Verdict
from scenarios.world.harvest import harvest
from scenarios.world.keys import keys_of
from scenarios.world.virtual import VirtualWorld, WorldOptions
from scenarios.world.witness import Witness
from sim.kernel import Trace
from sim.wires import is_tcp, write_pcapng

__all__ = ["SAFETY_CHECKS", "FarmResult", "VirtualRun", "farm_out", "run_once", "run_virtual"]

SAFETY_CHECKS: Final = (
    "conservation.litres",
    "conservation.money",
    "money.reconciled",
    "money.tender-adds-up",
    "money.debits-agreed",
    "sale.exactly-once",
    "invoice.one-per-sale",
    "totals.monotone",
    "live.monotone",
    "receipt.equals-ledger",
    "receipt.one-original",
    "receipt.each-printed",
    "shift.readings-chain",
    "shift.sales-add-up",
    "shift.litres-agree",
    "test.not-sold",
)
"""What every replication must hold as well, whatever its latencies."""

_SKIPPED: Final = "virtual time, idle polls skipped"


@dataclass(frozen=True, slots=True)
class VirtualRun:
    """One virtual run, and what it cost.

    Attributes:
        record: what the oracles judge.
        witness: the people's log and the payment chain, for plots.
        receipts_us: (station nozzle sequence) text and instant of each receipt on paper.
        trace_hash, events: hash and number of the trace's events.
        duration_us: virtual time that passed.
        cpu_s: processor time it took on one core.
    """

    record: RunRecord
    witness: Witness
    receipts_us: dict[tuple[int, int], int]
    trace_hash: str
    events: int
    duration_us: int
    cpu_s: float


def run_once(
    scenario: Scenario,
    seed: str,
    *,
    skip_idle_polls: bool,
    events: IO[str] | None = None,
    captures: Path | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> VirtualRun:
    """Run a scenario once in virtual time.

    Args:
        scenario: what to run.
        seed: the seed.
        skip_idle_polls: leave out polls that change nothing.
        events: file that takes the trace.
        captures: folder that takes a capture of each wire, and a pcapng beside it if it is TCP.
        on_progress: called with the share that is over.

    Raises:
        KernelError: the harness broke.
    """
    trace = Trace(events)
    options = WorldOptions(skip_idle_polls=skip_idle_polls, captures=captures is not None)
    world = VirtualWorld(scenario, seed, keys=keys_of(scenario), trace=trace, options=options)
    try:
        begun = time.process_time()
        world.run(on_progress=on_progress)
        cpu_s = time.process_time() - begun
        trace_hash, count = trace.hexdigest(), trace.count
        record = harvest(world)
        if captures is not None:
            captures.mkdir(parents=True, exist_ok=True)
            for capture in world.captures:
                capture.write(captures / f"{capture.wire}.fcap")
                if is_tcp(capture):
                    write_pcapng(
                        capture, captures / f"{capture.wire}.pcapng", epoch_us=scenario.station.epoch_us
                    )
        return VirtualRun(
            record, world.witness, world.receipts_us(), trace_hash, count, world.ended_us, cpu_s
        )
    finally:
        world.close()


def _differences(full: RunRecord, skipped: RunRecord) -> tuple[str, ...]:
    """What differs between a run with every poll and one without idle polls; nothing should."""
    compared = (
        "deliveries",
        "journal",
        "ledger",
        "orders",
        "payments",
        "invoices",
        "tank_draws",
        "tanks",
        "booked",
        "shifts",
        "returned",
        "members",
        "reconciliation",
        "receipts",
    )
    return tuple(f"{name} differ" for name in compared if getattr(full, name) != getattr(skipped, name))


def run_virtual(
    scenario: Scenario,
    seed: str,
    folder: Path,
    progress: Callable[[str, float], None],
) -> tuple[VirtualRun, VirtualRun | None]:
    """The run, traced and captured below ``folder``; and the same without idle polls, if the scenario plays both.

    The first one's record carries what differs between the two.
    """
    both = scenario.idle_polls == "both"
    stage = "virtual time, every poll" if both else _SKIPPED
    with (folder / "events.ndjson").open("w", encoding="utf-8") as events:
        run = run_once(
            scenario,
            seed,
            skip_idle_polls=not both,
            events=events,
            captures=folder / "captures",
            on_progress=lambda share: progress(stage, share),
        )
    if not both:
        return run, None
    skipped = run_once(
        scenario, seed, skip_idle_polls=True, on_progress=lambda share: progress(_SKIPPED, share)
    )
    return replace(
        run, record=replace(run.record, twin_differences=_differences(run.record, skipped.record))
    ), skipped


@dataclass(frozen=True, slots=True)
class FarmResult:
    """What the other processes brought home."""

    replications: tuple[Replication, ...]
    curve: tuple[CurvePoint, ...]


def _replicate(scenario: Scenario, seed: str) -> Replication:
    """One more hour, in a process of its own: its latencies, and what it broke."""
    run = run_once(scenario, seed, skip_idle_polls=True)
    asked = {check.check: check.limits for check in scenario.checks}
    failures = []
    for slug in SAFETY_CHECKS:
        if slug in asked:
            result = judge(run.record, slug, asked[slug])
            if result.verdict is Verdict.FAIL:
                failures.append(f"seed {seed}: {slug}: {result.message}")
    return Replication(seed=seed, failures=tuple(failures), latencies_us=dict(run.record.latencies_us))


def farm_out(
    scenario: Scenario, seed: str, progress: Callable[[str, float], None], *, workers: int
) -> FarmResult:
    """Replications and curve on all cores. Results do not depend on how many cores there are, nor on their order."""
    seeds = [f"{seed}/replication/{number}" for number in range(1, scenario.replications + 1)]
    tasks = list(curve_tasks(scenario, seed))
    if not seeds and not tasks:
        return FarmResult((), ())
    with worker_pool(workers) as pool:
        hours = [pool.submit(_replicate, scenario, one) for one in seeds]
        points = [pool.submit(curve_point, scenario, task) for task in tasks]
        _watch([*hours, *points], progress)
        return FarmResult(tuple(hour.result() for hour in hours), tuple(point.result() for point in points))


def _watch(futures: Iterable[Future[Any]], progress: Callable[[str, float], None]) -> None:
    pending = set(futures)
    total = len(pending)
    while pending:
        done, pending = wait(pending, return_when=FIRST_COMPLETED)
        for future in done:
            future.result()
        progress("more hours and the curve", (total - len(pending)) / total)
