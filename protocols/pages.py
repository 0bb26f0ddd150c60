"""The parts of published pages that are written from definitions, and the command that writes such a page.

``python -m protocols.dart.document docs/dart-rules.md`` and its like write a page; without a file it is printed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from protocols.rules import Rule

__all__ = ["rules_table", "state_diagram", "table", "write_page"]


def table(head: str, ruler: str, rows: Iterable[str]) -> str:
    """A Markdown table: its head, the ruler below it (``|---:|---|``), and its rows."""
    return "\n".join([head, ruler, *rows]) + "\n"


def rules_table(rules: Mapping[str, Rule]) -> str:
    """Every rule with its number of independent sources, those that have a name, and what breaking it costs."""
    return table(
        "| rule | sources | which, where told apart | |",
        "|---|---:|---|---|",
        (
            f"| `{rule.id}`: {rule.text} | {rule.count} | {', '.join(rule.sources) or '-'} | {_weight(rule)} |"
            for rule in rules.values()
        ),
    )


def _weight(rule: Rule) -> str:
    if rule.deviation:
        return "deviation"
    return "may fail a device" if rule.mandatory else "warning only"


def state_diagram(
    steps: Iterable[tuple[str, str, str]], *, initial: Iterable[str], names: Mapping[str, str] | None = None
) -> str:
    """Draw steps as a Mermaid diagram, one arrow for all steps between the same two states.

    Args:
        steps: where from, what happens, where to.
        initial: the states it may begin in.
        names: what is written in a state, by its id, where that is not the id itself.
    """
    arrows: dict[tuple[str, str], list[str]] = {}
    for start, happening, end in steps:
        labels = arrows.setdefault((start, end), [])
        if happening not in labels:
            labels.append(happening)
    lines = ["stateDiagram-v2"]
    lines += [f"    {state}: {name}" for state, name in (names or {}).items()]
    lines += [f"    [*] --> {state}" for state in initial]
    lines += [f"    {start} --> {end}: {'; '.join(labels)}" for (start, end), labels in arrows.items()]
    return "```mermaid\n" + "\n".join(lines) + "\n```\n"


def write_page(module: str, page: Callable[[], str], arguments: Sequence[str]) -> int:
    """Write the page to the file named in the arguments of ``python -m module``, or print it. Returns the exit code."""
    if len(arguments) > 1:
        sys.stderr.write(f"usage: python -m {module} [FILE]\n")
        return 2
    if not arguments:
        sys.stdout.write(page())
        return 0
    try:
        Path(arguments[0]).write_text(page(), encoding="utf-8")
    except OSError as error:
        sys.stderr.write(f"{arguments[0]}: {error.strerror}\n")
        return 2
    return 0
