"""Runs a scenario as a user asks for it: in virtual time, then measured, judged, and written down as evidence."""

from __future__ import annotations

from scenarios.runner.api import Progress, ReplayOutcome, RunFailed, RunOptions, RunOutcome
from scenarios.runner.replay import replay
from scenarios.runner.run import run_scenario

__all__ = [
    "Progress",
    "ReplayOutcome",
    "RunFailed",
    "RunOptions",
    "RunOutcome",
    "replay",
    "run_scenario",
]
