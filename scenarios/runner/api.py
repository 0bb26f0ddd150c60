"""What a caller of the runner gives and gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from scenarios.verdicts import CheckResult, ExitCode, Verdict

__all__ = ["Progress", "ReplayOutcome", "RunFailed", "RunOptions", "RunOutcome"]


class Progress(Protocol):
    """Where a run tells how far it is."""

    def stage(self, name: str, share: float) -> None:
        """``share`` (0..1) of the stage called ``name`` is over."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What to run.

    Attributes:
        seed: decides every draw.
        virtual: run in virtual time.
        wall: measure on real sockets and processes (if the scenario has a ``wall`` part).
        backend_urls: someone else's backend to measure, in place of the reference; one URL an instance.
        out: the evidence folder; must not exist yet, or be empty.
        numbered: the number at the end of ``out`` was chosen for the run; when another run takes the name first, the next
            free number is used.
    """

    seed: str
    out: Path
    virtual: bool = True
    wall: bool = True
    backend_urls: tuple[str, ...] = ()
    numbered: bool = False


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What came of it."""

    results: tuple[CheckResult, ...]
    verdict: Verdict
    exit_code: int
    folder: Path
    trace_hash: str | None
    figures: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReplayOutcome:
    """Whether a folder's run gives the same trace again."""

    same: bool
    expected_hash: str
    actual_hash: str
    message: str


class RunFailed(Exception):  # noqa: N818 - what happened, for the person at the terminal
    """The run could not be done or finished; the text says why and what to do."""

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.HARNESS_ERROR) -> None:
        super().__init__(message)
        self.exit_code = int(exit_code)
