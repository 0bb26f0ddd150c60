"""``python -m conformance [--check]``: write ``docs/requirements.md``, or say whether it is current."""

from __future__ import annotations

import sys
from pathlib import Path

from conformance.traceability import traceability_page


def main(arguments: list[str]) -> int:
    """Run from a checkout; returns 0, or 1 when ``--check`` finds the page out of date, or 2 outside a checkout."""
    tests, page = Path("tests"), Path("docs/requirements.md")
    if not tests.is_dir() or not page.parent.is_dir():
        print(
            "run this in a checkout of the project: tests/ and docs/ must lie below the current folder",
            file=sys.stderr,
        )
        return 2
    text = traceability_page(tests)
    if "--check" in arguments:
        current = page.is_file() and page.read_text("utf-8") == text
        print(f"{page} is {'current' if current else 'out of date: run `python -m conformance`'}")
        return 0 if current else 1
    page.write_text(text, "utf-8")
    print(f"wrote {page}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
