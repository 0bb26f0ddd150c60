"""One run from the scenario file to the evidence folder."""

from __future__ import annotations

import errno
import logging
import os
import platform
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from scenarios.checks import REGISTRY
from scenarios.evidence import (
    ClockRun,
    CurveLine,
    EvidenceError,
    EvidenceFolder,
    Floor,
    RunDocument,
    ShiftLine,
    check_lines,
    overall,
    segments,
    write_histograms,
)
from scenarios.junit import junit_xml
from scenarios.loader import LoadedScenario
from scenarios.model import Check, Scenario
from scenarios.oracles import ORACLES
from scenarios.record import Replication, RunRecord
from scenarios.runner.api import Progress, RunFailed, RunOptions, RunOutcome
from scenarios.runner.fault_toll import fault_lines
from scenarios.runner.timeline import pick_car, timeline
from scenarios.runner.virtual import FarmResult, VirtualRun, farm_out, run_virtual
from scenarios.statistics import minimum_samples
from scenarios.timings import floor_figures
from scenarios.verdicts import CheckResult, ExitCode, worst
from sim.kernel import KernelError

__all__ = ["forecourt_version", "run_scenario"]

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})
"""What the disk says when it is full or was taken away in mid-run."""

_MEASURED_ONLY: Final = frozenset({"failover.gap", "failover.no-lost-write", "harness.open-loop"})
_MEASURED: Final = _MEASURED_ONLY | {
    "operations.succeeded",
    "latency.payment-controlled",
    "latency.payment-end-to-end",
    "latency.invoice-issued",
    "latency.invoice-answered",
}
"""What is judged on the wall clock; all the rest needs witnesses that only the virtual world has."""

_QUANTILES: Final = {"p95_us": 0.95, "p99_us": 0.99, "p999_us": 0.999}


def forecourt_version() -> str:
    """The installed version, or ``0`` in a bare checkout."""
    try:
        return version("forecourt")
    except PackageNotFoundError:
        return "0"


@dataclass(slots=True)
class _Judged:
    """One clock's part of the run, on its way into the evidence."""

    clock_run: ClockRun
    results: list[CheckResult]
    latencies_us: Mapping[str, tuple[int, ...]]
    figures: dict[str, object] = field(default_factory=dict)


def run_scenario(loaded: LoadedScenario, options: RunOptions, progress: Progress) -> RunOutcome:
    """Run a scenario on the clocks that were asked for, judge it, and leave a complete evidence folder.

    Raises:
        RunFailed: nothing complete was written; the message says why and the exit code what kind of trouble it was.
    """
    scenario = loaded.scenario
    started = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    try:
        with EvidenceFolder(options.out, numbered=options.numbered) as folder:
            (folder.path / "scenario.yaml").write_text(loaded.text, encoding="utf-8", newline="")
            judged: list[_Judged] = []
            curve: list[CurveLine] = []
            if options.virtual:
                with _log_of_the_site(folder.path / "site.log"):
                    part, curve = _virtual(scenario, options.seed, folder.path, progress)
                judged.append(part)
            environment = _environment()
            if options.wall and scenario.wall is not None:
                part, more = _measured(scenario, options, folder.path, progress)
                environment |= more
                judged.append(part)
            if not judged:
                raise RunFailed(f"{loaded.source}: nothing to run: it has no `wall` part", ExitCode.USAGE)
            progress.stage("writing the report", 0.0)
            document = _document(loaded, options, started, judged, curve, environment)
            for part in judged:
                write_histograms(folder.path / "histograms", part.clock_run.clock, part.latencies_us)
            # Its plots take a second to load, which those who only run hours need not wait for.
            from scenarios.report import render_report

            html = render_report(
                document,
                {part.clock_run.clock: part.latencies_us for part in judged},
                limits_us={check.check: check.limits for check in scenario.checks if check.limits},
            )
            target = folder.finish(document, report_html=html, junit_xml=junit_xml(document))
            progress.stage("writing the report", 1.0)
    except EvidenceError as error:
        raise RunFailed(str(error), ExitCode.USAGE) from error
    except KernelError as error:
        raise RunFailed(f"the harness broke: {error}", ExitCode.HARNESS_ERROR) from error
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise RunFailed(f"{options.out} cannot be written: {error.strerror}", ExitCode.USAGE) from error
    figures: dict[str, object] = {}
    for part in judged:
        figures |= part.figures
    trace = next((p.clock_run.trace_sha256 for p in judged if p.clock_run.clock == "virtual"), None)
    results = tuple(result for part in judged for result in part.results)
    return RunOutcome(results, document.verdict, document.exit_code, target, trace, figures)


@contextmanager
def _log_of_the_site(path: Path) -> Iterator[None]:
    """What site controller and backends log in virtual time goes into a file: a week of faults is no news for a terminal."""
    system, handler = logging.getLogger("reference"), logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    outward = system.propagate
    system.addHandler(handler)
    system.propagate = False
    try:
        yield
    finally:
        system.propagate = outward
        system.removeHandler(handler)
        handler.close()


def _document(
    loaded: LoadedScenario,
    options: RunOptions,
    started: str,
    judged: list[_Judged],
    curve: list[CurveLine],
    environment: dict[str, str],
) -> RunDocument:
    runs = [part.clock_run for part in judged]
    verdict, code = overall(runs)
    return RunDocument(
        forecourt=forecourt_version(),
        scenario=loaded.scenario.name,
        scenario_sha256=loaded.sha256,
        description=loaded.scenario.description,
        seed=options.seed,
        started_utc=started,
        replay=_command(loaded, options),
        verdict=verdict,
        exit_code=code,
        runs=runs,
        curve=curve,
        environment=environment,
    )


def _command(loaded: LoadedScenario, options: RunOptions) -> str:
    """What to type for this run again. A shipped scenario is called by its name, wherever it is installed."""
    words = ["forecourt", "run", loaded.name, "--seed", options.seed]
    if options.backend_urls:
        words += [word for url in options.backend_urls for word in ("--backend", url)]
    elif not options.virtual:
        words.append("--wall-only")
    elif not options.wall:
        words.append("--virtual-only")
    return shlex.join(words)


def _unasked(scenario: Scenario, record: RunRecord) -> list[Check]:
    """A plan of faults that hit nothing would let everything else pass: that is judged whether the file asks for it or not."""
    if record.clock == "wall" or not scenario.faults:
        return []
    asked = any(check.check == "faults.landed" for check in scenario.checks)
    return [] if asked else [Check(check="faults.landed")]


def _judge(
    scenario: Scenario, record: RunRecord, wanted: Callable[[str], bool]
) -> tuple[list[CheckResult], list[str]]:
    """Judge the checks of one clock. A tail percentile that the run was never going to have samples for is left out and said."""
    results, notes = [], []
    for check in [*scenario.checks, *_unasked(scenario, record)]:
        if not wanted(check.check):
            continue
        limits = {**REGISTRY[check.check].limits, **check.limits}
        if record.clock == "wall" and scenario.wall is not None:
            expected = scenario.wall.duration_s * scenario.wall.payments_per_s
            for name in [name for name in limits if name in _QUANTILES and len(limits) > 1]:
                needed = minimum_samples(_QUANTILES[name])
                if needed > expected * 1.1:
                    del limits[name]
                    notes.append(
                        f"{check.check}: {name.removesuffix('_us')} needs {needed:,} samples; this measurement makes "
                        f"about {expected:,}, so it is judged in virtual time only"
                    )
        results.append(ORACLES[check.check](record, limits))
    return results, notes


def _pooled(record: RunRecord, replications: tuple[Replication, ...]) -> RunRecord:
    """The record with the latencies of all runs, in the order of the seeds."""
    latencies = {
        name: samples + tuple(value for one in replications for value in one.latencies_us.get(name, ()))
        for name, samples in record.latencies_us.items()
    }
    return replace(record, replications=replications, latencies_us=latencies)


def _virtual(
    scenario: Scenario, seed: str, folder: Path, progress: Progress
) -> tuple[_Judged, list[CurveLine]]:
    run, skipped = run_virtual(scenario, seed, folder, progress.stage)
    farm = farm_out(scenario, seed, progress.stage, workers=max(1, len(os.sched_getaffinity(0))))
    record = _pooled(run.record, farm.replications)
    results, notes = _judge(scenario, record, lambda slug: slug not in _MEASURED_ONLY)
    figures: dict[str, object] = {}
    if skipped is not None:
        figures["virtual time, every poll"] = _speed(run)
    figures["virtual time, idle polls skipped"] = _speed(skipped or run)
    notes = [f"{name}: {value}" for name, value in figures.items()] + notes
    notes.append(
        "Times of this part are modelled: protocols, queues and stated service times, not this machine's speed."
    )
    if farm.replications:
        notes.append(
            f"Latencies are pooled over {len(farm.replications) + 1} runs under seeds derived from this one."
        )
    clock_run = ClockRun(
        clock="virtual",
        duration_us=run.duration_us,
        trace_sha256=run.trace_hash,
        verdict=worst(result.verdict for result in results),
        checks=check_lines(results),
        latencies=segments(record.latencies_us),
        faults=fault_lines(record),
        floor=_floor(run),
        shifts=_shifts(record),
        notes=notes,
    )
    return _Judged(clock_run, results, record.latencies_us, figures), _curve_lines(farm)


def _speed(run: VirtualRun) -> str:
    virtual_s = run.duration_us / 1_000_000
    return f"{virtual_s:,.0f} s in {run.cpu_s:.1f} s of one core ({virtual_s / run.cpu_s:,.0f} x)"


def _shifts(record: RunRecord) -> list[ShiftLine]:
    return [
        ShiftLine(
            shift=shift.number,
            attendant=shift.attendant,
            from_us=shift.from_us,
            until_us=shift.until_us,
            sales=shift.sales,
            volume_ml=shift.volume_ml,
            amount_fen=shift.amount_fen,
            unpaid_fen=shift.tenders.get("unpaid", 0),
            tests_ml=shift.tests_ml,
            taken_fen=sum(shift.taken.values()),
            cash_expected_fen=shift.cash_expected_fen,
            cash_counted_fen=shift.cash_counted_fen,
            difference_ml=sum(abs(row.difference_ml or 0) for row in shift.nozzles),
            corrections=len(shift.entries),
        )
        for shift in record.shifts
    ]


def _floor(run: VirtualRun) -> Floor:
    log = run.witness.cars
    figures = floor_figures(log, until_us=max(run.duration_us, 1))
    number = pick_car(run.witness)
    return Floor(
        arrived=figures.arrived,
        served=figures.served,
        balked=figures.balked,
        reneged=figures.reneged,
        served_per_hour=figures.served_per_hour,
        position_us=figures.position_us,
        station_us=figures.station_us,
        paying_share=figures.paying_share,
        longest_queue=figures.longest_queue,
        queue=list(log.queue),
        car=number,
        timeline=[] if number is None else timeline(run.witness, number, run.receipts_us),
    )


def _curve_lines(farm: FarmResult) -> list[CurveLine]:
    return [
        CurveLine(
            mode=point.mode,
            arrivals_per_hour=point.arrivals_per_hour,
            seed=point.seed,
            served_per_hour=point.figures.served_per_hour,
            position_us=point.figures.position_us,
            station_us=point.figures.station_us,
            paying_share=point.figures.paying_share,
        )
        for point in farm.curve
    ]


def _measured(
    scenario: Scenario, options: RunOptions, folder: Path, progress: Progress
) -> tuple[_Judged, dict[str, str]]:
    from scenarios.measured import MeasureError, measure, run_to_end

    logs = folder / "logs"
    logs.mkdir()
    try:
        measured = run_to_end(
            measure(
                scenario,
                options.seed,
                folder=logs,
                backend_urls=list(options.backend_urls) or None,
                progress=progress.stage,
            )
        )
    except MeasureError as error:
        raise RunFailed(str(error), ExitCode(error.exit_code)) from error
    record = measured.record
    failover = bool(record.failovers)
    results, notes = _judge(
        scenario,
        record,
        lambda slug: slug in _MEASURED and (failover or not slug.startswith("failover.")),
    )
    notes.append(
        "Times of this part are measured on this machine, harness, load and system under test sharing its cores."
    )
    clock_run = ClockRun(
        clock="wall",
        duration_us=record.ended_us,
        verdict=worst(result.verdict for result in results),
        checks=check_lines(results),
        latencies=segments(record.latencies_us),
        faults=fault_lines(record),
        notes=notes,
    )
    return _Judged(clock_run, results, record.latencies_us, dict(measured.figures)), dict(
        measured.environment
    )


def _environment() -> dict[str, str]:
    """What a reader needs to compare figures; no host name, no user, no path."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}",
        "cores": str(len(os.sched_getaffinity(0))) if sys.platform == "linux" else str(os.cpu_count() or 0),
    }
