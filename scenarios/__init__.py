"""Scenario files, their schema, the runner, the oracles and the run report."""

from __future__ import annotations

from scenarios.checks import REGISTRY, CheckInfo, UnknownCheckError, explain
from scenarios.loader import LoadedScenario, ScenarioError, library_names, load, load_file, parse
from scenarios.model import Scenario
from scenarios.oracles import judge, judge_all
from scenarios.record import RunRecord
from scenarios.verdicts import CheckResult, ExitCode, Verdict, exit_code, worst

__all__ = [
    "REGISTRY",
    "CheckInfo",
    "CheckResult",
    "ExitCode",
    "LoadedScenario",
    "RunRecord",
    "Scenario",
    "ScenarioError",
    "UnknownCheckError",
    "Verdict",
    "exit_code",
    "explain",
    "judge",
    "judge_all",
    "library_names",
    "load",
    "load_file",
    "parse",
    "worst",
]
