"""Writes the published pages of the dispenser's state table from the table itself.

``python -m sim.dispenser.document docs`` writes ``dispenser-states.md`` and ``dispenser-states.json`` into that folder;
without an argument the page is printed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from protocols.pages import state_diagram as draw
from protocols.pages import table

from .profile import DispenserProfile
from .states import COMMANDS, STATE_TABLE, FpInput, FpState, Guard, Rule, state_table

__all__ = ["JSON_NAME", "PAGE_NAME", "main", "state_diagram", "states_json", "states_page"]

PAGE_NAME: Final = "dispenser-states.md"
JSON_NAME: Final = "dispenser-states.json"

_INTRODUCTION: Final = f"""\
# States of a fuelling point

<!-- Written by `python -m sim.dispenser.document docs`; edit sim/dispenser/states.py instead. -->

The simulated dispenser walks this table and nothing else. States carry the names and numbers of the IFSF dispenser
application. The same table as data: [{JSON_NAME}]({JSON_NAME}); `sim.dispenser.state_table()` returns it.

For a state and an input the first rule whose guard holds gives the next state. An input without a rule that holds is refused
and changes nothing: a command is answered `False` and the point says why (`refusal`).

## The changes of state

Commands of a controller are written as they are, *what happens at the pump* in brackets. A failure (power, pulser alarm,
emergency stop) leads from every state to INOPERATIVE; those arrows are left out here.
"""

_MEANINGS: Final = {
    FpInput.OPEN: "put into service",
    FpInput.CLOSE: "take out of service; during a sale it waits for the sale's end",
    FpInput.AUTHORISE: "allow one delivery; with a nozzle out it starts at once",
    FpInput.TERMINATE: "close the valve and end the sale",
    FpInput.SUSPEND: "close the valve, keep the sale",
    FpInput.RESUME: "open the valve of a suspended sale again",
    FpInput.SET_PRESET: "replace the preset",
    FpInput.SET_PRICE: "set a nozzle's unit price",
    FpInput.RESET: "zero the display",
    FpInput.LIFT: "a nozzle leaves its boot",
    FpInput.HANG_UP: "the nozzle is back in its boot",
    FpInput.START: "the authorised nozzle is out already",
    FpInput.FIRST_PULSE: "the meter counts the first pulse of a delivery",
    FpInput.PRESET_REACHED: "the preset is delivered",
    FpInput.VALVE_CLOSED: "the valve has had its closing time",
    FpInput.NO_FLOW_TIMEOUT: "nothing flowed for the declared time",
    FpInput.AUTHORISATION_EXPIRED: "no nozzle used the authorisation in its time",
    FpInput.FAIL: "power failure, pulser alarm, emergency stop, breakaway",
    FpInput.RECOVER: "power or works are back, or a person has reset the emergency stop",
}

_RECORDS: Final = """\
## What is outside the table

- **Locks.** `self-service`, `tampering`, `swapped-parts`, `memory-fault`, `journal-full`, `emergency-stop` and `breakaway`
  refuse every authorisation whatever the state, with the reason. What runs goes on to its end, except at an emergency.
- **Limits.** A preset outside the declared limits, below the minimum measured quantity, or a full journal refuse an
  authorisation in the same way.
- **Records.** Each delivery ends as one record, stored in two copies with a checksum each before anybody hears of it. Power
  may fail at any microsecond: the interrupted delivery is recorded once, flagged `power-failure`, and a totaliser loses at
  most the pulse that was just being written.
- **Flags of a record.** `preset`, `overrun`, `terminated`, `no-flow-timeout`, `power-failure`, `emergency-stop`,
  `breakaway`, `below-mmq`, `clock-lost`, `test`, `zero`.
"""


def state_diagram() -> str:
    """The changes of state as a Mermaid diagram."""
    steps = []
    for rule in _rules():
        if rule.target is rule.state or rule.trigger is FpInput.FAIL:
            continue
        is_command = rule.trigger in COMMANDS
        label = rule.trigger.value if is_command else f"({rule.trigger.value})"
        steps.append((rule.state.name, label, rule.target.name))
    return draw(
        steps, initial=["IDLE"], names={state.name: f"{int(state)} {state.name}" for state in FpState}
    )


def states_json() -> str:
    """The table as the published file holds it."""
    return json.dumps(state_table(), indent=1) + "\n"


def states_page() -> str:
    """Return the page as Markdown."""
    parts = [
        _INTRODUCTION,
        state_diagram(),
        "## Inputs\n",
        _inputs(),
        "## Commands in each state\n",
        "`-` is refused. A state of its own means that the command is taken and changes no state by itself.\n",
        _matrix(),
        "## All rules, in the order in which they are tried\n",
        _all_rules(),
        _RECORDS,
        "## Declared figures\n",
        "A make of dispenser is a `DispenserProfile`. Its fields, with the values of a make that declares nothing else:\n",
        _profile(),
    ]
    return "\n".join(parts)


def _rules() -> list[Rule]:
    return [rule for rules in STATE_TABLE.values() for rule in rules]


def _inputs() -> str:
    rows = []
    for one in FpInput:
        source = "controller" if one in COMMANDS else "pump"
        rows.append(f"| `{one.value}` | {source} | {_MEANINGS[one]} |")
    return table("| input | from | meaning |", "|---|---|---|", rows)


def _matrix() -> str:
    head = "| | " + " | ".join(state.name for state in FpState) + " |"
    rows = []
    for command in COMMANDS:
        cells = []
        for state in FpState:
            targets = [rule.target.name for rule in STATE_TABLE.get((state, command), ())]
            cells.append(" or ".join(dict.fromkeys(targets)) or "-")
        rows.append(f"| **{command.value}** | " + " | ".join(cells) + " |")
    return table(head, "|---|" + "---|" * len(FpState), rows)


def _all_rules() -> str:
    rows = []
    for rule in _rules():
        guard = "" if rule.guard is Guard.ALWAYS else rule.guard.value
        rows.append(f"| {rule.state.name} | `{rule.trigger.value}` | {guard} | {rule.target.name} |")
    return table("| state | input | if | next |", "|---|---|---|---|", rows)


def _profile() -> str:
    profile = DispenserProfile()
    rows = (f"| `{name}` | {getattr(profile, name)!r} |" for name in DispenserProfile.__dataclass_fields__)
    return table("| field | value |", "|---|---:|", rows)


def main(arguments: Sequence[str]) -> int:
    """Write the pages into the folder named, or print the page. Returns the exit code."""
    if len(arguments) > 1:
        sys.stderr.write("usage: python -m sim.dispenser.document [FOLDER]\n")
        return 2
    if not arguments:
        sys.stdout.write(states_page())
        return 0
    folder = Path(arguments[0])
    try:
        (folder / PAGE_NAME).write_text(states_page(), encoding="utf-8")
        (folder / JSON_NAME).write_text(states_json(), encoding="utf-8")
    except OSError as error:
        sys.stderr.write(f"{folder}: {error.strerror}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
