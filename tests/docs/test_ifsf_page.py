"""The page of the IFSF rules is current."""

from __future__ import annotations

from pathlib import Path

from protocols.ifsf.document import main, rules_page

ROOT = Path(__file__).resolve().parents[2]


def test_the_ifsf_rules_are_current(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "ifsf-rules.md").read_text("utf-8")
    assert page == rules_page(), "run: python -m protocols.ifsf.document docs/ifsf-rules.md"
    main([str(tmp_path / "page.md")])
    assert (tmp_path / "page.md").read_text("utf-8") == page
