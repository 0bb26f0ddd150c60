"""The page of the AA FF rules says what the code does."""

from __future__ import annotations

import re

from protocols.aaff import RULES, state_table
from protocols.aaff.document import rules_page


def test_the_diagrams_show_each_step_of_the_tables_and_nothing_else() -> None:
    drawn = set()
    for start, end, labels in re.findall(r"^    (\w+) --> (\w+): (.+)$", rules_page(), re.MULTILINE):
        drawn |= {(start, label, end) for label in labels.split("; ")}
    steps = [row for table in state_table().values() for row in table["transitions"]]
    assert drawn == {(row["from"], row["event"], row["to"]) for row in steps}
    assert rules_page().count("| `aaff-") == len(RULES)
