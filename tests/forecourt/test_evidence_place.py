"""The folder of a run is chosen and tried out before the run."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path

import pytest

from forecourt import folders
from forecourt.folders import claimed_folder, evidence_folder
from forecourt.guard import BadInput


def test_the_first_free_number_is_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in (1, 2, 3):
        folder = evidence_folder(None, "smoke", "7")
        assert folder == Path(f"evidence/smoke-7-{number}")
        folder.mkdir(parents=True)
    assert evidence_folder(None, "smoke", "8") == Path("evidence/smoke-8-1")


def test_a_folder_is_claimed_once_by_whatever_name_and_free_again_afterwards(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    with claimed_folder(Path("e"), "smoke", "1") as folder:
        assert folder == Path("e")
        for same in (Path("e"), tmp_path / "e", Path("link/e"), Path("x/../e")):
            with pytest.raises(BadInput, match=r"e is where another run writes just now; give another"):
                claimed_folder(same, "smoke", "1").__enter__()
        with claimed_folder(Path("f"), "smoke", "1") as other:
            assert other == Path("f")
    with claimed_folder(tmp_path / "e", "smoke", "1"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


def test_two_runs_without_a_name_get_one_number_each(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with claimed_folder(None, "smoke", "7") as first, claimed_folder(None, "smoke", "7") as second:
        assert (first, second) == (Path("evidence/smoke-7-1"), Path("evidence/smoke-7-2"))


def test_a_run_that_ended_between_look_and_claim_is_noticed(tmp_path, monkeypatch):
    target = tmp_path / "e"
    claim = folders._claim

    def late(folder: Path):
        folder.mkdir()
        (folder / "run.json").touch()
        return claim(folder)

    monkeypatch.setattr(folders, "_claim", late)
    with pytest.raises(BadInput, match="already exists and holds files"):
        claimed_folder(target, "smoke", "1").__enter__()


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


@pytest.mark.parametrize("target", ["nowhere", "loop", "empty"])
def test_a_link_is_refused_before_the_run_and_not_after_it(tmp_path, target):
    (tmp_path / "empty").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    link = tmp_path / "link"
    link.symlink_to(target)
    with pytest.raises(BadInput, match="is a link"):
        evidence_folder(link, "smoke", "1")
    with pytest.raises(BadInput, match=r"cannot be (written|used)"):
        evidence_folder(tmp_path / "loop" / "e", "smoke", "1")


@pytest.mark.parametrize("name", ["", ".", "..", "/", "x/.."])
def test_a_path_without_a_name_of_its_own_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="is no name for a new folder"):
        evidence_folder(Path(name), "smoke", "1")


@pytest.mark.parametrize("name", ["a" * 201, "a" * 256, "x/" * 2_100 + "y"])
def test_a_name_that_no_file_system_takes_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=r"more than 200 bytes|File name too long"):
        evidence_folder(Path(name), "smoke", "1")


def test_a_current_folder_that_has_gone_is_told(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(BadInput, match="the current folder has been removed"):
        evidence_folder(None, "smoke", "1")
