"""Results as a person reads them: verdicts with modelled and measured time apart, figures, lists, requirements."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from conformance.catalogue import Area, Requirement
from scenarios import REGISTRY, CheckResult, Scenario, Verdict
from scenarios.statistics import duration
from scenarios.verdicts import Clock

__all__ = [
    "limits_text",
    "print_area",
    "print_checks",
    "print_figures",
    "print_requirement",
    "print_verdicts",
]

_TABLE_WIDTH: Final = 100
"""Columns below which a table would cut off names and leave no room for what was seen."""

_STYLE: Final[Mapping[Verdict, str]] = {
    Verdict.PASS: "bold green",
    Verdict.WARN: "bold yellow",
    Verdict.INFO: "cyan",
    Verdict.NOT_APPLICABLE: "dim",
    Verdict.INCONCLUSIVE: "bold yellow",
    Verdict.FAIL: "bold red",
    Verdict.HARNESS_ERROR: "bold white on red",
}

_CLOCKS: Final[Mapping[Clock, str]] = {
    "virtual": "Modelled (virtual time: protocols, queues and services with their declared latencies)",
    "wall": "Measured (wall clock: real sockets, real processes, this machine)",
}

_MEANING: Final[Mapping[Verdict, str]] = {
    Verdict.PASS: "conformant",
    Verdict.WARN: "conformant, with warnings",
    Verdict.INCONCLUSIVE: "inconclusive: the run does not allow a verdict",
    Verdict.FAIL: "not conformant",
    Verdict.HARNESS_ERROR: "the harness failed: nothing was judged",
}

_QUANTILE_NAMES: Final[Mapping[str, str]] = {
    "p95": "p95",
    "p99": "p99",
    "p999": "p99.9",
    "maximum": "max",
    "settle": "within",
    "lag_p99": "own delay p99",
}


def limits_text(limits: Mapping[str, int]) -> str:
    """Limits as a person writes them: ``p99 ≤ 300 ms, p99.9 ≤ 1.00 s``."""
    parts = []
    for name, value in limits.items():
        if name.endswith("_us"):
            what = _QUANTILE_NAMES.get(name.removesuffix("_us"), name.removesuffix("_us").replace("_", " "))
            parts.append(f"{what} ≤ {duration(value)}")
        else:
            parts.append(f"≥ {value:,} {name.replace('_', ' ')}")
    return ", ".join(parts)


def print_verdicts(
    console: Console, results: Sequence[CheckResult], verdict: Verdict, code: int, scenario: Scenario
) -> None:
    """One table a clock, then the verdict of the whole run."""
    chosen = {check.check: check.limits for check in scenario.checks}

    def limits_of(result: CheckResult) -> str:
        info = REGISTRY.get(result.check)
        return limits_text({**info.limits, **chosen.get(result.check, {})} if info is not None else {})

    for clock, title in _CLOCKS.items():
        rows = [result for result in results if result.clock == clock]
        if not rows:
            continue
        if console.width < _TABLE_WIDTH:
            _print_stacked(console, title, rows, limits_of)
            continue
        table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
        table.add_column("verdict", no_wrap=True)
        table.add_column("check", no_wrap=True)
        table.add_column("what was seen", ratio=1)
        table.add_column("limit", max_width=26)
        for result in rows:
            table.add_row(
                Text(result.verdict.value, style=_STYLE[result.verdict]),
                Text(result.check),
                Text(result.message),
                Text(limits_of(result)),
            )
        console.print(table)
    console.print(
        Text.assemble(
            (verdict.value, _STYLE[verdict]),
            f"  {scenario.name} is {_MEANING[verdict]}" if verdict in _JUDGED else f"  {_MEANING[verdict]}",
            (f" (exit code {code})", "dim"),
        )
    )


def _print_stacked(
    console: Console, title: str, rows: Sequence[CheckResult], limits_of: Callable[[CheckResult], str]
) -> None:
    """For a window too narrow for the table: nothing of it is cut off."""
    console.print(Text(title, style="bold"))
    for result in rows:
        console.print(
            Text.assemble((result.verdict.value, _STYLE[result.verdict]), " ", (result.check, "bold"))
        )
        limits = limits_of(result)
        console.print(
            Padding(Text(f"{result.message} ({limits})" if limits else result.message), (0, 0, 0, 2))
        )


_JUDGED: Final = frozenset({Verdict.PASS, Verdict.WARN, Verdict.FAIL})


def print_figures(console: Console, figures: Mapping[str, object]) -> None:
    """Figures beside the verdicts, one a line; the unit of a figure stands in its name."""
    grid = Table.grid(padding=(0, 2))
    for name, value in figures.items():
        grid.add_row(Text(_figure_name(name)), Text(_figure(name, value), overflow="fold"))
    console.print(grid)


def _figure_name(name: str) -> str:
    for unit in ("_us", "_s"):
        name = name.removesuffix(unit)
    return name.replace("_", " ")


def _figure(name: str, value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int) and name.endswith("_us"):
        return duration(value)
    if isinstance(value, int | float) and name.endswith("_s"):
        return f"{value:,.2f} s"
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def print_checks(console: Console) -> None:
    """All checks with one line each."""
    grid = Table.grid(padding=(0, 2))
    for check in REGISTRY.values():
        grid.add_row(Text(check.slug, style="bold"), Text(check.keyword), Text(check.title))
    console.print(grid)


def print_scenarios(console: Console, scenarios: Iterable[Scenario]) -> None:
    """The first sentence of each scenario: cut to the terminal's width, whole in a pipe."""
    grid = Table.grid(padding=(0, 2))
    for scenario in scenarios:
        first = " ".join(scenario.description.split()).partition(". ")[0].rstrip(".")
        if console.is_terminal:
            grid.add_row(Text(scenario.name, style="bold"), Text(first, no_wrap=True, overflow="ellipsis"))
        else:
            console.print(Text(f"{scenario.name:14}{first}"), soft_wrap=True)
    if grid.row_count:
        console.print(grid)


def print_requirement(console: Console, requirement: Requirement) -> None:
    """A requirement of the catalogue, in full."""
    lines = [f"{requirement.slug} ({requirement.keyword})", ""]
    if requirement.withdrawn is not None:
        lines += [f"Withdrawn: {requirement.withdrawn}", ""]
    lines += [*textwrap.wrap(" ".join(requirement.text.split()), 88), ""]
    lines += _fields(
        {
            "Asked of": ", ".join(requirement.subjects),
            "A case does": requirement.stimulus,
            "What decides": requirement.observable,
            "Founded on": f"{requirement.source_kind}: {', '.join(requirement.sources)}".removesuffix(": "),
        }
    )
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def _fields(fields: Mapping[str, str]) -> Iterable[str]:
    for name, value in fields.items():
        yield from textwrap.wrap(
            " ".join(value.split()), 88, initial_indent=f"{name + ':':14}", subsequent_indent=" " * 14
        )


def print_area(console: Console, area: Area) -> None:
    """The requirements of one area with one line each."""
    console.print(Text(f"{area.title} ({area.name})", style="bold"))
    for item in area.requirements:
        console.print(Text(f"  {item.keyword:6} {item.slug}"), soft_wrap=True)
