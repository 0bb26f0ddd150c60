"""Pages that are written by a command are current, and tests name only requirements that exist."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from conformance.catalogue import load_catalogue
from conformance.traceability import proving_tests, traceability_page
from mutants.matrix import kept_kills, matrix_page

ROOT = Path(__file__).resolve().parents[2]


def test_every_requirement_that_a_test_names_exists():
    catalogue = load_catalogue()
    unknown = {slug: tests for slug, tests in proving_tests(ROOT / "tests").items() if slug not in catalogue}
    assert unknown == {}


def test_the_requirements_page_is_current():
    page = (ROOT / "docs" / "requirements.md").read_text("utf-8")
    assert page == traceability_page(ROOT / "tests"), "run: python -m conformance"


@pytest.mark.parametrize(
    ("module", "page"),
    [
        ("protocols.aaff.document", "aaff-rules.md"),
        ("protocols.dart.document", "dart-rules.md"),
        ("protocols.ifsf.document", "ifsf-rules.md"),
        ("protocols.modbus.document", "modbus-register-map.md"),
        ("protocols.modbus.maps.document", "modbus-foreign-maps.md"),
        ("protocols.twowire.document", "twowire-rules.md"),
    ],
)
def test_a_protocol_page_is_current_and_its_command_prints_writes_and_explains(
    module, page, tmp_path, capsys
):
    main = importlib.import_module(module).main
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert (ROOT / "docs" / page).read_text("utf-8") == printed, f"run: python -m {module} docs/{page}"
    assert main([str(tmp_path / "page.md")]) == 0
    assert (tmp_path / "page.md").read_text("utf-8") == printed
    assert main([str(tmp_path)]) == 2
    assert "Is a directory" in capsys.readouterr().err
    assert main(["a", "b"]) == 2
    assert f"usage: python -m {module}" in capsys.readouterr().err


def test_the_kill_matrix_is_current():
    page = (ROOT / "docs" / "mutants.md").read_text("utf-8")
    assert page == matrix_page(kept_kills()), "run: python -m mutants"
