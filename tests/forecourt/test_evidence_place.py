"""The folder of a run is chosen and tried out before the run."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path

import pytest

from forecourt.folders import evidence_folder
from forecourt.guard import BadInput


def test_the_first_free_number_is_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in (1, 2, 3):
        folder = evidence_folder(None, "smoke", "7")
        assert folder == Path(f"evidence/smoke-7-{number}")
        folder.mkdir(parents=True)
    assert evidence_folder(None, "smoke", "8") == Path("evidence/smoke-8-1")


def test_trying_out_leaves_nothing_behind(tmp_path):
    evidence_folder(tmp_path / "a" / "b", "smoke", "1")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_may_be_used(tmp_path):
    folder = tmp_path / "e"
    folder.mkdir()
    assert evidence_folder(folder, "smoke", "1") == folder


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_folder_that_cannot_be_written_is_named_with_the_reason(tmp_path, monkeypatch, number):
    def refuse(**_: object) -> None:
        raise OSError(number, "the system says no")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", refuse)
    with pytest.raises(BadInput, match=r"e cannot be written: .*the system says no; give another folder"):
        evidence_folder(tmp_path / "e", "smoke", "1")
