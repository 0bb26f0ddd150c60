"""What docs/wires.md says is what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from sim.net import HttpFaultKind
from sim.wires import CapturedFrame, WireFaultKind, read_capture

PAGE = Path(__file__).parents[3] / "docs" / "wires.md"


@pytest.fixture
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_the_capture_on_the_page_reads_back(page, tmp_path):
    (example,) = re.findall(r"```\n(\{\"fcap\".*?)```", page, re.DOTALL)
    path = tmp_path / "page.fcap"
    path.write_text(example, encoding="utf-8")
    assert list(read_capture(path)) == [
        CapturedFrame(3438, "site", bytes.fromhex("5020fa")),
        CapturedFrame(8000, "dispenser-1", bytes.fromhex("5070fa")),
        CapturedFrame(12000, "dispenser-1", b"\x50", "cut", bytes.fromhex("5070fa")),
    ]


@pytest.mark.parametrize(("heading", "kinds"), [("wire fault", WireFaultKind), ("HTTP fault", HttpFaultKind)])
def test_the_page_lists_every_kind_of_fault_and_no_other(page, heading, kinds):
    table = page.split(f"| {heading} | effect |\n|---|---|\n")[1].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(get_args(kinds))
