"""Writes the published page of the IFSF rules and tables from their definitions.

``python -m protocols.ifsf.document docs/ifsf-rules.md`` writes it; without an argument it is printed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from protocols.ifsf.databases import DATABASES
from protocols.ifsf.rules import RULES
from protocols.ifsf.states import command_table
from protocols.pages import rules_table, table, write_page

__all__ = ["main", "rules_page"]

_INTRODUCTION: Final = """\
# IFSF dispenser application over TCP/IP: what is taken for true

<!-- Written by `python -m protocols.ifsf.document docs/ifsf-rules.md`; edit protocols/ifsf/rules.py, states.py and
databases.py instead. -->

The standard itself is sold, so each rule below rests on independently published implementations and line captures, and carries
the number of those that state or show it. A device is failed only on a rule with two or more; the others give a warning or a
remark. A deviation is what real peers do: it is accepted and recorded.

## Rules
"""

_COMMANDS: Final = """\
## Commands

States in which a command is taken. Elsewhere it is refused, with an error message and the status after it.
"""

_DATABASES: Final = """\
## Databases

Sizes and access are those of the captures; where no capture shows them they are this project's own reading. The number is
that of the independent sources that have the data id.
"""


def rules_page() -> str:
    """Return the page as Markdown."""
    sections = command_table()
    commands = (
        f"| {name} | {', '.join(states)} |"
        for section in ("commands", "transactions")
        for name, states in sections[section].items()
    )
    parts = [
        _INTRODUCTION,
        rules_table(RULES),
        _COMMANDS,
        table("| command | states |", "|---|---|", commands),
    ]
    parts.append(_DATABASES)
    for kind, fields in DATABASES.items():
        rows = (
            f"| {row.data_id} (`{row.data_id:02X}`) | {row.name} | {row.form} "
            f"| {'any' if row.size is None else row.size} | {row.access.value} | {row.sources} |"
            for row in fields.values()
        )
        head = "| id | data | form | bytes | access | sources |", "|---:|---|---|---:|---|---:|"
        parts.append(f"### {kind.value.capitalize()}\n\n" + table(*head, rows))
    return "\n".join(parts)


def main(arguments: Sequence[str]) -> int:
    """Write the page to the file named, or print it. Returns the exit code."""
    return write_page("protocols.ifsf.document", rules_page, arguments)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
