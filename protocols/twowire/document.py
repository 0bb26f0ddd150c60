"""Writes the published page of the Two-Wire rules from their definitions.

``python -m protocols.twowire.document docs/twowire-rules.md`` writes it; without an argument it is printed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from protocols.pages import rules_table, state_diagram, write_page
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
    deviations = "".join(f"- {kind.value}\n" for kind in DeviationKind)
    return "\n".join([_INTRODUCTION, rules_table(RULES), _DEVIATIONS, deviations, _STATES, _diagram()])


def _diagram() -> str:
    drawn = {status for status, _ in STATUS_TABLE}
    return state_diagram(
        (
            (status.name, event.value, after.name)
            for (status, event), afters in STATUS_TABLE.items()
            for after in afters
        ),
        initial=[Status.IDLE.name],
        names={status.name: f"{int(status):X} {status.name.lower()}" for status in Status if status in drawn},
    )


def main(arguments: Sequence[str]) -> int:
    """Write the page to the file named, or print it. Returns the exit code."""
    return write_page("protocols.twowire.document", rules_page, arguments)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
