"""Writes the published page of the AA FF rules from their definitions.

``python -m protocols.aaff.document docs/aaff-rules.md`` writes it; without an argument it is printed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from protocols.aaff.rules import RULES
from protocols.aaff.states import state_table

__all__ = ["main", "rules_page"]

_INTRODUCTION: Final = """\
# AA FF (JK gas dispensers): what is taken for true

<!-- Written by `python -m protocols.aaff.document docs/aaff-rules.md`; edit protocols/aaff/rules.py and states.py
instead. -->

AA FF has no public standard. Two published programs speak it, a dispenser's firmware and a gateway, and both come from one
author family: they count as one independent source, so no device is failed on any of these rules. A rule with no source is our
own choice, where both are silent. The payment tunnel (command 71: card check, grey lock, payment request) is carried and not
interpreted; the simulated dispenser answers it 50, "not understood".

## Rules
"""

_TABLES: Final = """\
## State tables

A dispenser speaks only when spoken to. Its oldest finished sale is sent at each poll until it is acknowledged by its own number,
or skipped.
"""

_TITLES: Final = {
    "pump_link": "A dispenser's end",
    "upload": "The upload of finished sales",
    "master_link": "A master's end",
}


def rules_page() -> str:
    """Return the page as Markdown."""
    rows = ["| rule | programs | which |", "|---|---:|---|"]
    rows += [
        f"| `{rule.id}`: {rule.text} | {rule.count} | {', '.join(rule.sources) or '-'} |"
        for rule in RULES.values()
    ]
    tables = state_table()
    parts = [_INTRODUCTION, "\n".join(rows) + "\n", _TABLES]
    parts += [
        f"### {title}\n\n```mermaid\n{_diagram(tables[name])}\n```\n" for name, title in _TITLES.items()
    ]
    return "\n".join(parts)


def _diagram(table: dict[str, Any]) -> str:
    lines = ["stateDiagram-v2"]
    lines += [f"    [*] --> {name}" for name in table["initial"]]
    edges: dict[tuple[str, str], list[str]] = {}
    for row in table["transitions"]:
        edges.setdefault((row["from"], row["to"]), []).append(row["event"])
    lines += [f"    {start} --> {end}: {'; '.join(events)}" for (start, end), events in edges.items()]
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Write the page to the file named, or print it. Returns the exit code."""
    if len(arguments) > 1:
        sys.stderr.write("usage: python -m protocols.aaff.document [FILE]\n")
        return 2
    if not arguments:
        sys.stdout.write(rules_page())
        return 0
    try:
        Path(arguments[0]).write_text(rules_page(), encoding="utf-8")
    except OSError as error:
        sys.stderr.write(f"{arguments[0]}: {error.strerror}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
