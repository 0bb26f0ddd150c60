"""Runs an evidence folder's virtual part again and compares the trace hash."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from scenarios.evidence import RunDocument
from scenarios.loader import ScenarioError, parse
from scenarios.runner.api import Progress, ReplayOutcome, RunFailed
from scenarios.runner.run import forecourt_version
from scenarios.runner.virtual import run_once
from scenarios.verdicts import ExitCode
from sim.kernel import KernelError, hash_trace_file

__all__ = ["replay"]


def replay(folder: Path, progress: Progress) -> ReplayOutcome:
    """Run the virtual part of a folder again from its own ``scenario.yaml`` and seed.

    Raises:
        RunFailed: the folder is not a complete evidence folder with a virtual part, or the harness broke.
    """
    try:
        document = RunDocument.model_validate(json.loads((folder / "run.json").read_text("utf-8")))
        loaded = parse((folder / "scenario.yaml").read_text("utf-8"), source=str(folder / "scenario.yaml"))
    except OSError as error:
        raise RunFailed(
            f"{folder}: not a complete evidence folder: {error.filename}: {error.strerror}", ExitCode.USAGE
        ) from error
    except (ValueError, ValidationError) as error:
        raise RunFailed(f"{folder / 'run.json'}: not a run document: {error}", ExitCode.USAGE) from error
    except ScenarioError as error:
        raise RunFailed(str(error), ExitCode.USAGE) from error
    if loaded.sha256 != document.scenario_sha256:
        raise RunFailed(
            f"{folder / 'scenario.yaml'} is not the file that this run was made from", ExitCode.USAGE
        )
    expected = next((run.trace_sha256 for run in document.runs if run.clock == "virtual"), None)
    if expected is None:
        raise RunFailed(
            f"{folder}: only measured, nothing to replay: a measured run is never the same twice",
            ExitCode.USAGE,
        )
    trace = folder / "events.ndjson"
    if not trace.is_file() or hash_trace_file(trace) != expected:
        raise RunFailed(
            f"{trace} has been changed since the run: its hash is not the one in run.json", ExitCode.USAGE
        )
    try:
        run = run_once(
            loaded.scenario,
            document.seed,
            skip_idle_polls=False,
            on_progress=lambda share: progress.stage("virtual time, every poll", share),
        )
    except KernelError as error:
        raise RunFailed(f"the harness broke: {error}", ExitCode.HARNESS_ERROR) from error
    same = run.trace_hash == expected
    version = forecourt_version()
    message = f"{run.events:,} events, the same trace" if same else "another trace"
    if not same and document.forecourt != version:
        message += f"; the run was made by version {document.forecourt}, this is {version}"
    return ReplayOutcome(same, expected, run.trace_hash, message)
