"""Pages that are written by a command are current, and tests name only requirements that exist."""

from __future__ import annotations

from pathlib import Path

from conformance.catalogue import load_catalogue
from conformance.traceability import proving_tests, traceability_page
from mutants.matrix import kept_kills, matrix_page
from protocols.modbus.document import register_map_page

ROOT = Path(__file__).resolve().parents[2]


def test_every_requirement_that_a_test_names_exists():
    catalogue = load_catalogue()
    unknown = {slug: tests for slug, tests in proving_tests(ROOT / "tests").items() if slug not in catalogue}
    assert unknown == {}


def test_the_requirements_page_is_current():
    page = (ROOT / "docs" / "requirements.md").read_text("utf-8")
    assert page == traceability_page(ROOT / "tests"), "run: python -m conformance"


def test_the_register_map_is_current():
    page = (ROOT / "docs" / "modbus-register-map.md").read_text("utf-8")
    assert page == register_map_page(), "run: python -m protocols.modbus.document docs/modbus-register-map.md"


def test_the_kill_matrix_is_current():
    page = (ROOT / "docs" / "mutants.md").read_text("utf-8")
    assert page == matrix_page(kept_kills()), "run: python -m mutants"
