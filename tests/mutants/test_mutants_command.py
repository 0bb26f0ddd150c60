"""``python -m mutants``: what it says, and what it returns."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

import mutants.__main__ as command
import mutants.matrix as matrix
from mutants import DRILLS, MUTANTS


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three mutants and two drills, so that a whole matrix takes no time."""
    drills = {name: DRILLS[name] for name in ("every-byte", "tanker")}
    chosen = tuple(mutant for mutant in MUTANTS if mutant.slug in {"M02", "M03", "M33"})
    for module in (command, matrix):
        monkeypatch.setattr(module, "DRILLS", drills)
        monkeypatch.setattr(module, "MUTANTS", chosen)


def checkout(folder: Path) -> None:
    (folder / "mutants").mkdir()
    (folder / "docs").mkdir()


def test_it_writes_the_matrix_and_finds_it_current(few: None, tmp_path: Path, monkeypatch, capsys) -> None:
    checkout(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert command.main(["--check"]) == 1
    assert "out of date" in capsys.readouterr().out
    assert command.main([]) == 0
    page = (tmp_path / "docs" / "mutants.md").read_text("utf-8")
    assert "3 mutants, 3 caught, 2 drills." in page
    assert command.main(["--check"]) == 0
    (tmp_path / "docs" / "mutants.md").write_text(page.replace("caught", "seen"), "utf-8")
    assert command.main(["--check"]) == 1


def test_a_survivor_is_an_error(few: None, tmp_path: Path, monkeypatch, capsys) -> None:
    checkout(tmp_path)
    monkeypatch.chdir(tmp_path)
    for module in (command, matrix):
        monkeypatch.setattr(module, "DRILLS", {"every-byte": DRILLS["every-byte"]})
    assert command.main([]) == 1
    assert capsys.readouterr().err == "M33 survives\n"
    assert "| **survives** |" in (tmp_path / "docs" / "mutants.md").read_text("utf-8")


def test_a_reference_that_fails_a_drill_is_an_error(few: None, tmp_path: Path, monkeypatch, capsys) -> None:
    checkout(tmp_path)
    monkeypatch.chdir(tmp_path)
    broken = next(mutant for mutant in MUTANTS if mutant.slug == "M02")
    with broken.switch():
        assert command.main([]) == 1
    assert "the reference itself does not pass: every-byte" in capsys.readouterr().err
    assert not (tmp_path / "mutants" / "kills.json").exists()


def test_it_shows_why_a_mutant_is_caught(few: None, capsys) -> None:
    assert command.main(["M33"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("M33: a tanker's delivery is booked twice when it pauses\n")
    assert "tanker: drill.tanker-once: booked 2 times" in said


@pytest.mark.parametrize(("arguments", "words"), [(["M99"], "no mutant M99"), ([], "in a checkout")])
def test_called_wrongly_it_says_how(few: None, arguments, words, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert command.main(arguments) == 2
    assert words in capsys.readouterr().err
