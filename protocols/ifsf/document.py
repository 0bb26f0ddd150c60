"""Writes the published page of the IFSF rules and tables from their definitions.

``python -m protocols.ifsf.document docs/ifsf-rules.md`` writes it; without an argument it is printed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from protocols.ifsf.databases import DATABASES
from protocols.ifsf.rules import RULES
from protocols.ifsf.states import command_table

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
    lines = [_INTRODUCTION, "| rule | sources | who | |", "|---|---:|---|---|"]
    for rule in RULES.values():
        weight = "deviation" if rule.deviation else "may fail a device" if rule.mandatory else "warning only"
        who = ", ".join(rule.sources) or "-"
        lines.append(f"| `{rule.id}`: {rule.text} | {rule.count} | {who} | {weight} |")
    table = command_table()
    lines += ["", _COMMANDS, "| command | states |", "|---|---|"]
    for section in ("commands", "transactions"):
        lines += [f"| {name} | {', '.join(states)} |" for name, states in table[section].items()]
    lines += ["", _DATABASES]
    for kind, fields in DATABASES.items():
        lines += [f"### {kind.value.capitalize()}", "", "| id | data | form | bytes | access | sources |"]
        lines.append("|---:|---|---|---:|---|---:|")
        for row in fields.values():
            size = "any" if row.size is None else str(row.size)
            lines.append(
                f"| {row.data_id} (`{row.data_id:02X}`) | {row.name} | {row.form} | {size} | {row.access.value} "
                f"| {row.sources} |"
            )
        lines.append("")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page to the file named, or print it."""
    names = sys.argv[1:] if arguments is None else list(arguments)
    if names:
        Path(names[0]).write_text(rules_page(), "utf-8")
    else:
        sys.stdout.write(rules_page())


if __name__ == "__main__":
    main()
