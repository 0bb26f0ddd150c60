"""Who caught whom: plays the drills on the mutants, and writes the kill matrix."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from importlib.resources import files
from multiprocessing import get_context
from typing import Final, TypeAlias

from mutants.catalogue import DRILLS, MUTANTS
from mutants.checks import CHECKS, said
from mutants.mutant import Mutant
from scenarios.verdicts import CheckResult, Verdict

__all__ = ["ELSEWHERE", "Kills", "all_kills", "kept_kills", "kills", "matrix_page", "play", "survivors"]

Kills: TypeAlias = dict[str, dict[str, list[str]]]
"""Mutant -> drill -> checks that said FAIL. A drill without any is left out."""

ELSEWHERE: Final[Mapping[str, str]] = {
    "M23-M31": "payment, high availability, receipts and voice: not defects of drivers, dispensers or gauges",
    "M34": "a shift closed twice: a defect of a backend; the tests of its shifts close one twice",
}
"""Mutants of the catalogue of field defects that are not built here, and why."""


def play(mutant: Mutant | None, drill: str) -> list[CheckResult]:
    """Play one drill on a mutant, or on the reference itself (None).

    A mutant that makes the station fall over is caught by ``drill.runs``; an error of the unchanged reference is raised.
    """
    if mutant is None:
        return DRILLS[drill]()
    with mutant.switch():
        try:
            return DRILLS[drill]()
        except Exception as error:  # noqa: BLE001 - whatever a defect leads to
            return [said("drill.runs", [f"{type(error).__name__}: {error}"[:200]], "")]


def _failed(results: Iterable[CheckResult]) -> list[str]:
    return sorted({result.check for result in results if result.verdict is Verdict.FAIL})


def kills(mutant: Mutant, drills: Iterable[str]) -> dict[str, list[str]]:
    """Drill -> checks that caught this mutant in it."""
    found = {drill: _failed(play(mutant, drill)) for drill in drills}
    return {drill: checks for drill, checks in found.items() if checks}


def _kills_by_slug(slug: str) -> tuple[str, dict[str, list[str]]]:
    mutant = next(mutant for mutant in MUTANTS if mutant.slug == slug)
    return slug, kills(mutant, DRILLS)


def all_kills(*, jobs: int = 1) -> Kills:
    """Every drill on every mutant; ``jobs`` processes. The result does not depend on ``jobs``."""
    slugs = [mutant.slug for mutant in MUTANTS]
    if jobs == 1:
        return dict(_kills_by_slug(slug) for slug in slugs)
    quiet = (logging.CRITICAL,)  # broken parts complain, as they should
    with ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), initializer=logging.disable, initargs=quiet
    ) as pool:
        return dict(pool.map(_kills_by_slug, slugs))


def survivors(found: Kills) -> list[str]:
    """Mutants that no check caught."""
    return [mutant.slug for mutant in MUTANTS if not found.get(mutant.slug)]


def kept_kills() -> Kills:
    """What ``python -m mutants`` found last; the page is made from it."""
    kept: Kills = json.loads((files("mutants") / "kills.json").read_text("utf-8"))
    return kept


def matrix_page(found: Kills) -> str:
    """``docs/mutants.md``."""
    lines = [
        "# Mutants",
        "",
        "A suite that never failed proves nothing. Each row below is a defect that real pumps, drivers or gauges have shown;",
        "it is built into the reference (package `mutants`, outside the production path, switched on for one drill at a",
        "time), and the drills are played on it. The unchanged reference passes every drill; a mutant that no check catches",
        "fails the tests. This page and `mutants/kills.json` are written by `python -m mutants`.",
        "",
        f"{len(MUTANTS)} mutants, {len(MUTANTS) - len(survivors(found))} caught, {len(DRILLS)} drills.",
        "",
        "## What is wrong with them, and what it breaks",
        "",
        "| mutant | part | defect | in the field | breaks |",
        "|---|---|---|---|---|",
    ]
    for mutant in MUTANTS:
        breaks = "<br>".join(f"`{slug}`" for slug in mutant.violates)
        lines.append(f"| {mutant.slug} | {mutant.part} | {mutant.title} | {mutant.field} | {breaks} |")
    notes = [f"- {mutant.slug}: {mutant.note}." for mutant in MUTANTS if mutant.note]
    lines += ["", *notes, "", "Not built here:", ""]
    lines += [f"- {slugs}: {why}." for slugs, why in ELSEWHERE.items()]
    lines += ["", "## Kill matrix", "", *_matrix(found), "", "## Checks", ""]
    lines += [f"- `{check}`: {what}." for check, what in CHECKS.items()]
    lines += ["", "## Drills", ""]
    for name, drill in DRILLS.items():
        lines.append(f"- `{name}`: {(drill.__doc__ or '').strip().splitlines()[0]}")
    return "\n".join(lines) + "\n"


def _matrix(found: Kills) -> list[str]:
    """Mutants down, checks across, in each cell the number of drills in which this check caught it."""
    caught = {check for drills in found.values() for checks in drills.values() for check in checks}
    columns = [check for check in CHECKS if check in caught]
    letters = {check: chr(ord("A") + index) for index, check in enumerate(columns)}
    lines = ["In each cell: in how many drills the check caught the mutant.", ""]
    lines += [f"- {letter}: `{check}`" for check, letter in letters.items()]
    lines += ["", f"| mutant | {' | '.join(letters.values())} | drills that caught it |"]
    lines.append("|---|" + "---|" * (len(columns) + 1))
    for mutant in MUTANTS:
        drills = found.get(mutant.slug, {})
        counts = (sum(check in checks for checks in drills.values()) for check in columns)
        cells = " | ".join(str(count) if count else "" for count in counts)
        names = (
            ", ".join(drills)
            if len(drills) <= 6
            else f"{', '.join(list(drills)[:6])} and {len(drills) - 6} more"
        )
        lines.append(f"| {mutant.slug} | {cells} | {names or '**survives**'} |")
    return lines
