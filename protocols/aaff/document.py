"""Writes the published page of the AA FF rules from their definitions.

``python -m protocols.aaff.document docs/aaff-rules.md`` writes it; without an argument it is printed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from protocols.aaff.rules import RULES
from protocols.aaff.states import state_table
from protocols.pages import rules_table, state_diagram, write_page

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
    tables = state_table()
    parts = [_INTRODUCTION, rules_table(RULES), _TABLES]
    for name, title in _TITLES.items():
        steps = ((row["from"], row["event"], row["to"]) for row in tables[name]["transitions"])
        parts.append(f"### {title}\n\n" + state_diagram(steps, initial=tables[name]["initial"]))
    return "\n".join(parts)


def main(arguments: Sequence[str]) -> int:
    """Write the page to the file named, or print it. Returns the exit code."""
    return write_page("protocols.aaff.document", rules_page, arguments)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
