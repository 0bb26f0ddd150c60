"""The pages of the dispenser's state table and of the DART rules say what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from protocols.dart import Quirks
from protocols.dart.document import rules_page
from protocols.dart.known_quirks import QUIRKS
from protocols.dart.rules import RULES
from sim.dispenser import COMMANDS, STATE_TABLE, DartQuirks, FpInput, FpState, state_table
from sim.dispenser.document import main, state_diagram, states_json, states_page

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.requirement("fd-state.state-table-is-exported")
def test_the_page_and_the_file_of_the_state_table_are_current() -> None:
    assert (DOCS / "dispenser-states.md").read_text("utf-8") == states_page(), (
        "run: python -m sim.dispenser.document docs"
    )
    assert (DOCS / "dispenser-states.json").read_text("utf-8") == states_json(), (
        "run: python -m sim.dispenser.document docs"
    )
    assert json.loads(states_json()) == state_table()


def test_the_diagram_shows_each_change_of_state_and_nothing_else() -> None:
    drawn = set()
    for start, end, labels in re.findall(r"^    (\w+) --> (\w+): (.+)$", state_diagram(), re.MULTILINE):
        drawn |= {(start, label.strip("()"), end) for label in labels.split("; ")}
    assert drawn == {
        (rule.state.name, rule.trigger.value, rule.target.name)
        for rules in STATE_TABLE.values()
        for rule in rules
        if rule.target is not rule.state and rule.trigger is not FpInput.FAIL
    }


def test_the_matrix_refuses_what_the_table_does_not_have() -> None:
    for command in COMMANDS:
        row = re.search(rf"^\| \*\*{command.value}\*\* \| (.+) \|$", states_page(), re.MULTILINE)
        assert row is not None
        cells = dict(zip(FpState, row[1].split(" | "), strict=True))
        assert {state for state, cell in cells.items() if cell != "-"} == {
            state for state, trigger in STATE_TABLE if trigger is command
        }


def test_each_quirk_names_a_switch_that_exists() -> None:
    line, head = set(Quirks.__dataclass_fields__), set(DartQuirks.__dataclass_fields__)
    named = {quirk.switch.split(" ")[0] for quirk in QUIRKS}
    for switch in named:
        where, name = (line, switch.removeprefix("line.")) if switch.startswith("line.") else (head, switch)
        assert name in where
    assert head - {"line"} <= named
    assert {f"line.{name}" for name in line} - named == {"line.ack_poll"}  # legal, if rare
    assert all(f"`{slug}`" in rules_page() for slug in RULES)


def test_the_command_prints_writes_and_explains(tmp_path, capsys) -> None:
    assert main([]) == 0
    assert "mermaid" in capsys.readouterr().out
    assert main([str(tmp_path)]) == 0
    assert any(tmp_path.iterdir())
    assert main([str(tmp_path / "nowhere" / "page")]) == 2
    assert "nowhere" in capsys.readouterr().err
    assert main(["one", "two"]) == 2
    assert "usage" in capsys.readouterr().err
