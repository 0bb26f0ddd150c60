"""Writes the published page of the DART rules and quirks from their definitions.

``python -m protocols.dart.document docs/dart-rules.md`` writes it; without an argument it is printed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from protocols.dart.known_quirks import QUIRKS
from protocols.dart.rules import RULES
from protocols.dart.states import state_table
from protocols.dart.transactions import PumpStatus

__all__ = ["main", "rules_page"]

_INTRODUCTION: Final = """\
# Wayne DART: what is taken for true

<!-- Written by `python -m protocols.dart.document docs/dart-rules.md`; edit protocols/dart/rules.py and
known_quirks.py instead. -->

DART has no public standard. Each rule below carries the number of independent authors whose published code or line captures
state or show it. A device is failed only on a rule with two or more; the others give a warning or a remark. A behaviour that
is known only from documents that are not public is left out (suspend and resume, status 8).

## Rules
"""

_STATUS: Final = """\
## Status of a pump (DC1)

The number on an arrow is the number of sources. An illegal command is acknowledged on the line and changes nothing: look at
DC1, never at the acknowledgement. Every status goes to SWITCHED OFF by SWITCH OFF; those arrows are left out.
"""

_QUIRKS: Final = """\
## Quirk switches

Deviations that were met in the field. The simulated pump shows them when told to; the reference driver lives with all of them
and loses no sale and books none twice.
"""


def rules_page() -> str:
    """Return the page as Markdown."""
    rules = ["| rule | sources | who | |", "|---|---:|---|---|"]
    for rule in RULES.values():
        weight = "may fail a device" if rule.mandatory else "warning only"
        rules.append(
            f"| `{rule.id}`: {rule.text} | {rule.count} | {', '.join(rule.sources) or '-'} | {weight} |"
        )
    quirks = ["| quirk | switch | what the reference driver does | source |", "|---|---|---|---|"]
    quirks += [f"| {q.text} | `{q.switch}` | {q.answer} | {q.source} |" for q in QUIRKS]
    return "\n".join(
        [
            _INTRODUCTION,
            "\n".join(rules) + "\n",
            _STATUS,
            f"```mermaid\n{_diagram()}\n```\n",
            _commands(),
            _QUIRKS,
            "\n".join(quirks) + "\n",
        ]
    )


def _diagram() -> str:
    table = state_table()["pump_status"]
    lines = ["stateDiagram-v2"]
    lines += [f"    {status.name}: {int(status)} {status.name}" for status in PumpStatus]
    lines += [f"    [*] --> {name}" for name in table["initial"]]
    edges: dict[tuple[str, str], list[str]] = {}
    for row in table["transitions"]:
        if row["event"] == "switch off":
            continue
        edges.setdefault((row["from"], row["to"]), []).append(f"{row['event']} [{row['sources']}]")
    lines += [f"    {start} --> {end}: {', '.join(labels)}" for (start, end), labels in edges.items()]
    return "\n".join(lines)


def _commands() -> str:
    table = state_table()["pump_status"]
    rows = ["| command (CD1) | has an effect or an answer in |", "|---|---|"]
    for name, allowed in table["commands"].items():
        where = "every status" if len(allowed) == len(PumpStatus) else ", ".join(allowed)
        rows.append(f"| {name} | {where} |")
    return "\n".join(rows) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write the page to the file named, or print it. Returns the exit code."""
    if len(arguments) > 1:
        sys.stderr.write("usage: python -m protocols.dart.document [FILE]\n")
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
