"""The catalogue is data that can break: each way of breaking it gives a message that names file and slug."""

from __future__ import annotations

from importlib.resources import files

import pytest

from conformance.catalogue import Catalogue, CatalogueError, _load_area, load_catalogue


def test_every_founding_requirement_is_there_once():
    catalogue = load_catalogue()
    assert len(catalogue) == 273
    assert len(set(catalogue.slugs)) == 273
    assert catalogue["pay.client-ok-proves-nothing"].keyword == "MUST"


def test_unknown_slug_suggests_near_ones():
    with pytest.raises(KeyError, match=r"did you mean .*pay\.client-ok-proves-nothing"):
        load_catalogue()["pay.client-ok-prove-nothing"]


VALID = """area: pay
title: Payments
requirements:
  pay.one:
    keyword: MUST
    text: A requirement of some length.
    subjects: [backend]
    source_kind: decided
    stimulus: something
    observable: something else
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("area: pay", "area: rfd", "file and area carry one name"),
        ("keyword: MUST", "keyword: SHALL", r"pay\.yaml: pay\.one: (?s:.*)keyword"),
        ("pay.one", "pay.One", "is not of the form"),
        ("pay.one", "rfd.one", "is not of the form"),
        ("subjects: [backend]", "subjects: []", "at least 1 item"),
        ("stimulus: something\n", "stimulus: something\n    colour: red\n", "colour"),
        ("requirements:", "requirements: [", "not YAML"),
    ],
)
def test_broken_area_names_file_and_slug(tmp_path, old, new, message):
    path = tmp_path / "pay.yaml"
    path.write_text(VALID, "utf-8")
    assert _load_area(path).requirements[0].slug == "pay.one"
    path.write_text(VALID.replace(old, new, 1), "utf-8")
    with pytest.raises(CatalogueError, match=message):
        _load_area(path)


def test_catalogue_ships_as_package_data():
    names = [file.name for file in (files("conformance") / "requirements").iterdir()]
    assert "fd-link.yaml" in names


def test_marks_are_read_from_the_source_and_unknown_slugs_refused(tmp_path):
    from conformance.traceability import proving_tests, traceability_page

    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "test_x.py").write_text(
        "import pytest\n@pytest.mark.requirement('pay.one', 'pay.two')\ndef test_a(): pass\n", "utf-8"
    )
    assert proving_tests(tests) == {
        "pay.one": ["tests/test_x.py::test_a"],
        "pay.two": ["tests/test_x.py::test_a"],
    }
    with pytest.raises(KeyError, match=r"pay\.one"):
        traceability_page(tests)
    assert "no requirement" not in traceability_page(tmp_path / "none", Catalogue(load_catalogue().areas))
