"""The page of the Two-Wire rules is current, and says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from protocols.twowire import RULES, status_changes
from protocols.twowire.document import main, rules_page

PAGE = Path(__file__).resolve().parents[2] / "docs" / "twowire-rules.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text("utf-8") == rules_page(), (
        "run: python -m protocols.twowire.document docs/twowire-rules.md"
    )


def test_the_diagram_shows_each_change_and_nothing_else() -> None:
    drawn = set(re.findall(r"^    (\w+) --> (\w+): .+$", rules_page(), re.MULTILINE))
    assert drawn == {(before.name, after.name) for before, after in status_changes()}
    assert rules_page().count("| `twowire-") == len(RULES)


def test_writing_it(tmp_path: Path, capsys) -> None:
    assert main([str(tmp_path / "page.md")]) == 0
    assert (tmp_path / "page.md").read_text("utf-8") == rules_page()
    assert main([str(tmp_path)]) == 2
    assert "Is a directory" in capsys.readouterr().err
    assert main(["a", "b"]) == 2
    capsys.readouterr()
    assert main([]) == 0
    assert capsys.readouterr().out == rules_page()
