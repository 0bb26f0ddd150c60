"""The page of the Two-Wire rules says what the code does."""

from __future__ import annotations

import re

from protocols.twowire import RULES, status_changes
from protocols.twowire.document import rules_page


def test_the_diagram_shows_each_change_and_nothing_else() -> None:
    drawn = set(re.findall(r"^    (\w+) --> (\w+): .+$", rules_page(), re.MULTILINE))
    assert drawn == {(before.name, after.name) for before, after in status_changes()}
    assert rules_page().count("| `twowire-") == len(RULES)
