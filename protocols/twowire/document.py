"""Writes the published page of the Two-Wire rules from their definitions.

``python -m protocols.twowire.document docs/twowire-rules.md`` writes it; without an argument it is printed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from protocols.twowire.decoding import DeviationKind
from protocols.twowire.rules import RULES
from protocols.twowire.states import STATUS_TABLE
from protocols.twowire.wire import Status

__all__ = ["main", "rules_page"]

_INTRODUCTION: Final = """\
# Gilbarco Two-Wire: what is taken for true

<!-- Written by `python -m protocols.twowire.document docs/twowire-rules.md`; edit protocols/twowire/rules.py, states.py and
decoding.py instead. -->

Two-Wire has no public standard. Six authors published programs that speak it or notes on its line. A rule on which at least two of
them agree may fail a device; the others give a warning or a remark. A rule with no source is our own choice.

## Rules
"""

_DEVIATIONS: Final = """\
## Deviations that are lived with

Each is accepted and recorded as a warning.
"""

_STATES: Final = """\
## The status of a pump

The number is the high nibble of the status answer. A happening that is not drawn changes nothing. A preset that is reached, or a
pause, leaves a pump busy until the nozzle is back.
"""


def rules_page() -> str:
    """Return the page as Markdown."""
    rows = ["| rule | sources | which, where told apart |", "|---|---:|---|"]
    rows += [
        f"| `{rule.id}`: {rule.text} | {rule.count} | {', '.join(rule.sources) or '-'} |"
        for rule in RULES.values()
    ]
    deviations = [f"- {kind.value}" for kind in DeviationKind]
    parts = [
        _INTRODUCTION,
        "\n".join(rows) + "\n",
        _DEVIATIONS,
        "\n".join(deviations) + "\n",
        _STATES,
        f"```mermaid\n{_diagram()}\n```\n",
    ]
    return "\n".join(parts)


def _diagram() -> str:
    lines = ["stateDiagram-v2"]
    lines += [
        f"    {status.name}: {int(status):X} {status.name.lower()}"
        for status in Status
        if any(status is state for state, _ in STATUS_TABLE)
    ]
    lines.append(f"    [*] --> {Status.IDLE.name}")
    edges: dict[tuple[str, str], list[str]] = {}
    for (status, event), afters in STATUS_TABLE.items():
        for after in afters:
            edges.setdefault((status.name, after.name), []).append(event.value)
    lines += [f"    {start} --> {end}: {', '.join(events)}" for (start, end), events in edges.items()]
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Write the page to the file named, or print it. Returns the exit code."""
    if len(arguments) > 1:
        sys.stderr.write("usage: python -m protocols.twowire.document [FILE]\n")
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
