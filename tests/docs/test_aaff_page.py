"""The page of the AA FF rules is current, and says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from protocols.aaff import RULES, state_table
from protocols.aaff.document import main, rules_page

PAGE = Path(__file__).resolve().parents[2] / "docs" / "aaff-rules.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text("utf-8") == rules_page(), (
        "run: python -m protocols.aaff.document docs/aaff-rules.md"
    )


def test_the_diagrams_show_each_step_of_the_tables_and_nothing_else() -> None:
    drawn = set()
    for start, end, labels in re.findall(r"^    (\w+) --> (\w+): (.+)$", rules_page(), re.MULTILINE):
        drawn |= {(start, label, end) for label in labels.split("; ")}
    steps = [row for table in state_table().values() for row in table["transitions"]]
    assert drawn == {(row["from"], row["event"], row["to"]) for row in steps}
    assert rules_page().count("| `aaff-") == len(RULES)


def test_writing_it(tmp_path: Path, capsys) -> None:
    assert main([str(tmp_path / "page.md")]) == 0
    assert (tmp_path / "page.md").read_text("utf-8") == rules_page()
    assert main([str(tmp_path)]) == 2
    assert "Is a directory" in capsys.readouterr().err
    assert main(["a", "b"]) == 2
    capsys.readouterr()
    assert main([]) == 0
    assert capsys.readouterr().out == rules_page()
