"""Runs an evidence folder's virtual part again and compares the trace hash."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from scenarios.evidence import RunDocument
from scenarios.loader import ScenarioError, load_file
from scenarios.runner.api import Progress, ReplayOutcome, RunFailed
from scenarios.runner.run import forecourt_version
from scenarios.runner.virtual import run_once
from scenarios.verdicts import ExitCode
from sim.kernel import KernelError, hash_trace_file

__all__ = ["replay"]

_LARGEST_DOCUMENT: Final = 100_000_000
"""The queue of a day with a hundred thousand cars takes 10 MB."""


def replay(folder: Path, progress: Progress) -> ReplayOutcome:
    """Run the virtual part of a folder again from its own ``scenario.yaml`` and seed.

    Raises:
        RunFailed: the folder is not a complete evidence folder with a virtual part, or the harness broke.
    """
    try:
        for name in ("run.json", "scenario.yaml"):
            # A pipe would be waited for, a device never end.
            if (path := folder / name).exists() and not path.is_file():
                raise RunFailed(f"{path} is no file", ExitCode.USAGE)
        document = _read_document(folder / "run.json")
        loaded = load_file(folder / "scenario.yaml")
    except OSError as error:
        raise RunFailed(
            f"{folder}: not a complete evidence folder: {error.filename}: {error.strerror}", ExitCode.USAGE
        ) from error
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
            skip_idle_polls=loaded.scenario.idle_polls == "left_out",
            on_progress=lambda share: progress.stage("virtual time again", share),
        )
    except KernelError as error:
        raise RunFailed(f"the harness broke: {error}", ExitCode.HARNESS_ERROR) from error
    same = run.trace_hash == expected
    version = forecourt_version()
    message = f"{run.events:,} events, the same trace" if same else "another trace"
    if not same and document.forecourt != version:
        message += f"; the run was made by version {document.forecourt}, this is {version}"
    if changed := _changed(folder):
        message += f"; changed since the run, as SHA256SUMS tells: {', '.join(changed)}"
    return ReplayOutcome(same, expected, run.trace_hash, message)


def _changed(folder: Path) -> list[str]:
    """Files that are not what they were when the run ended. The trace does not depend on them, but a reader may."""
    sums = folder / "SHA256SUMS"
    try:
        lines = sums.read_text("utf-8").splitlines() if sums.is_file() else []
    except (OSError, ValueError):
        lines = []
    if not lines:
        return ["SHA256SUMS"]
    changed = []
    for line in lines:
        digest, _, name = line.partition("  ")
        if not (folder / name).is_file():
            changed.append(name or "SHA256SUMS")
            continue
        try:
            with (folder / name).open("rb") as file:
                same = hashlib.file_digest(file, "sha256").hexdigest() == digest
        except (OSError, ValueError):
            same = False
        if not same:
            changed.append(name)
    return changed


def _read_document(path: Path) -> RunDocument:
    """``run.json``. Raises OSError when it cannot be read, RunFailed when it is something else."""
    with path.open("rb") as file:
        data = file.read(_LARGEST_DOCUMENT + 1)
    if len(data) > _LARGEST_DOCUMENT:
        raise RunFailed(
            f"{path}: larger than {_LARGEST_DOCUMENT:,} bytes, that is no run document", ExitCode.USAGE
        )
    try:
        tree = json.loads(data.decode("utf-8"))
    except json.JSONDecodeError as error:
        raise RunFailed(
            f"{path}:{error.lineno}: not a run document: broken or cut off: {error.msg}", ExitCode.USAGE
        ) from error
    except (ValueError, RecursionError) as error:
        raise RunFailed(f"{path}: not a run document: {error}", ExitCode.USAGE) from error
    try:
        document = RunDocument.model_validate(tree)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "the whole"
        made_by = tree.get("forecourt") if isinstance(tree, dict) else None
        other = isinstance(made_by, str) and made_by != forecourt_version()
        hint = f" (it was made by version {made_by:.40}, this is {forecourt_version()})" if other else ""
        raise RunFailed(
            f"{path}: not a run document: {field}: {first['msg']}{hint}", ExitCode.USAGE
        ) from error
    if not document.seed.isprintable():
        raise RunFailed(
            f"{path}: not a run document: the seed {document.seed!r:.80} is no text", ExitCode.USAGE
        )
    return document
