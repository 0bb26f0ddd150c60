"""``forecourt swarm``: many seeds of a scenario in virtual time, each of which must be safe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.table import Table
from rich.text import Text

from forecourt.console import out, progress
from forecourt.folders import claimed_folder
from forecourt.guard import BadInput
from forecourt.tables import print_figures

if TYPE_CHECKING:
    from scenarios import Scenario
    from scenarios.runner.swarm import SwarmResult

__all__ = ["swarm_scenario"]

_SHOWN = 20
"""Failing seeds that are listed; all of them are in ``swarm.json``."""


def swarm_scenario(
    scenario: Scenario,
    *,
    seeds: int,
    first: int,
    faults: int | None,
    budget_s: float | None,
    shrink_s: float,
    workers: int | None,
    out_folder: Path | None,
) -> None:
    """Run the seeds, print what failed, write the folder, and leave with the exit code.

    Raises:
        BadInput: the scenario draws no faults and none were asked for, or the folder cannot be used.
        typer.Exit: with 0, 1 or 3.
    """
    from scenarios.runner.swarm import SwarmOptions, run_swarm, with_faults, write_swarm

    if faults is not None:
        scenario = with_faults(scenario, faults)
    elif scenario.swarm is None:
        raise BadInput(
            f"{scenario.name} has no `swarm` part, so every seed would have the same faults: give --faults N"
        )
    options = SwarmOptions(seeds=seeds, first=first, budget_s=budget_s, shrink_s=shrink_s, workers=workers)
    with claimed_folder(out_folder, f"{scenario.name}-swarm", str(first)) as folder:
        with progress() as stages:
            result = run_swarm(scenario, options, stages.stage)
        try:
            written = write_swarm(folder, scenario, result)
        except OSError as error:
            raise BadInput(f"{folder} cannot be written: {error.strerror or error}") from None
    _print(result)
    print_figures(out(), {"results": written[0], **({"smallest": written[1]} if len(written) > 1 else {})})
    raise typer.Exit(int(result.exit_code))


def _print(result: SwarmResult) -> None:
    console = out()
    if result.failing:
        table = Table(title="Failing seeds", title_justify="left", title_style="bold")
        table.add_column("seed", no_wrap=True)
        table.add_column("what it broke", overflow="fold")
        for seed in result.failing[:_SHOWN]:
            table.add_row(Text(seed.seed), Text("\n".join(seed.violations)))
        console.print(table)
        if (more := len(result.failing) - _SHOWN) > 0:
            console.print(f"... and {more} more")
    deliveries = sum(seed.deliveries for seed in result.seeds)
    faults, landed = sum(seed.faults for seed in result.seeds), sum(seed.landed for seed in result.seeds)
    console.print(
        Text(
            f"{len(result.seeds):,} of {result.asked:,} seeds run, {len(result.failing):,} failing; "
            f"{deliveries:,} deliveries, {landed:,} of {faults:,} faults landed"
        )
    )
    if result.shrunk is not None:
        small = result.shrunk
        points = sum(len(line.points) for line in small.station.lines)
        console.print(
            Text(
                f"seed {result.failing[0].seed} still fails with {len(small.faults)} faults, {points} fuelling points "
                f"and {small.demand.duration_s} s"
            )
        )
