"""Writes the published page of the DART rules and quirks from their definitions.

``python -m protocols.dart.document docs/dart-rules.md`` writes it; without an argument it is printed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from protocols.dart.known_quirks import QUIRKS
from protocols.dart.rules import RULES
from protocols.dart.states import state_table
from protocols.dart.transactions import PumpStatus
from protocols.pages import rules_table, state_diagram, table, write_page

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
    quirks = (f"| {q.text} | `{q.switch}` | {q.answer} | {q.source} |" for q in QUIRKS)
    head = "| quirk | switch | what the reference driver does | source |", "|---|---|---|---|"
    return "\n".join(
        [_INTRODUCTION, rules_table(RULES), _STATUS, _diagram(), _commands(), _QUIRKS, table(*head, quirks)]
    )


def _diagram() -> str:
    status = state_table()["pump_status"]
    return state_diagram(
        (
            (row["from"], f"{row['event']} [{row['sources']}]", row["to"])
            for row in status["transitions"]
            if row["event"] != "switch off"
        ),
        initial=status["initial"],
        names={one.name: f"{int(one)} {one.name}" for one in PumpStatus},
    )


def _commands() -> str:
    rows = []
    for name, allowed in state_table()["pump_status"]["commands"].items():
        where = "every status" if len(allowed) == len(PumpStatus) else ", ".join(allowed)
        rows.append(f"| {name} | {where} |")
    return table("| command (CD1) | has an effect or an answer in |", "|---|---|", rows)


def main(arguments: Sequence[str]) -> int:
    """Write the page to the file named, or print it. Returns the exit code."""
    return write_page("protocols.dart.document", rules_page, arguments)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
