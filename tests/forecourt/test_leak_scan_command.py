"""The command: what it finds, what it says, and its exit code."""

from __future__ import annotations

import base64
import json
import sqlite3
import sys

import pytest
from typer.testing import CliRunner

from forecourt.cli import app
from scenarios.leaks import read_canaries

cli = CliRunner()


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def call(*arguments, code):
    result = cli.invoke(app, ["leak-scan", *map(str, arguments)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.stderr
    return result


@pytest.fixture
def canaries(tmp_path):
    call("--write-canaries", "canaries.txt", "--cards", 20, "--phones", 5, code=0)
    return read_canaries(tmp_path / "canaries.txt")


def test_clean_is_0_and_a_leak_is_1_and_shows_no_number(tmp_path, canaries):
    folder = tmp_path / "evidence"
    folder.mkdir()
    (folder / "backend.log").write_text("card 622202******7894 paid\n")
    assert "PASS" in call(folder, "--canaries", "canaries.txt", code=0).stdout
    (folder / "backend.log").write_text(f"x\n{base64.b64encode(canaries[0].digits.encode()).decode()}\n")
    said = call(folder, "--canaries", "canaries.txt", "--json", "report.json", code=1).stdout
    assert "backend.log" in said
    assert "base64" in said
    assert canaries[0].masked in said
    assert canaries[0].digits not in said
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["verdict"], report["canaries"]) == ("FAIL", 25)
    assert report["found"] == len(report["findings"]) == 2  # as it stands there, and decoded
    assert report["findings"][0] == {
        "place": "backend.log",
        "offset": 2,
        "form": "base64",
        "kind": "card",
        "masked": canaries[0].masked,
    }


def test_a_database_of_a_vendor_is_searched(tmp_path, canaries):
    database = sqlite3.connect(tmp_path / "own.db")
    database.execute("CREATE TABLE members (id INTEGER, note TEXT)")
    database.execute("INSERT INTO members VALUES (1, ?)", (canaries[3].digits,))
    database.commit()
    database.close()
    assert (
        "own.db: table members, row 1, column note"
        in call("own.db", "--canaries", "canaries.txt", code=1).stdout
    )


def test_a_database_that_cannot_be_reached_is_2(canaries):
    message = call(
        "--canaries", "canaries.txt", "--database", "postgresql://nobody@127.0.0.1:1/none", code=2
    ).stderr
    assert "--database PostgreSQL: ConnectionRefusedError" in " ".join(message.split())


def test_nothing_searched_is_3(tmp_path, canaries):
    (tmp_path / "empty").mkdir()
    call("empty", "--canaries", "canaries.txt", code=3)
    call("--canaries", "canaries.txt", code=3)
    (tmp_path / "empty" / "log.zst").write_bytes(b"\x28\xb5\x2f\xfd" + bytes(50))
    assert "Zstandard" in call("empty", "--canaries", "canaries.txt", code=3).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give one of"),
        (["--canaries", "none.txt", "x"], "there is no such file"),
        (["--canaries", "canaries.txt", "none"], "none: there is no such"),
        (["--canaries", "bad.txt"], "bad.txt: line 1"),
        (["--canaries", "canaries.txt", "--run", "smoke"], "give one of"),
        (["--run", "no-such"], "no scenario called"),
        (["--run", "smoke", "canaries.txt"], "give no folders"),
        (["--run", "smoke", "--cards", "0", "--phones", "0"], "both 0"),
        (["--run", "smoke", "--out", "canaries.txt"], "already exists"),
        (["--canaries", "canaries.txt", "--out", "x"], "--out goes with --run"),
        (["--canaries", "canaries.txt", "--json", "canaries.txt"], "already exists"),
        (["--canaries", "canaries.txt", "--json", "no/such/x"], "there is no folder"),
        (["--canaries", "canaries.txt", "--database", "mysql://x"], "expected postgresql"),
        (["--write-canaries", "canaries.txt"], "already exists"),
        (["--write-canaries", "no/such/c.txt"], "No such file"),
        (["--write-canaries", "new.txt", "--cards", "0", "--phones", "0"], "both 0"),
    ],
)
def test_wrong_use_is_2(tmp_path, canaries, arguments, said):
    (tmp_path / "bad.txt").write_text("4242424242424241\n")
    result = call(*arguments, code=2)
    assert said in " ".join(result.stderr.split())
    assert "424242" not in result.stderr
    assert result.stdout == ""


def test_the_list_in_the_searched_folder_is_left_out(tmp_path, canaries):
    (tmp_path / "log").write_text("clean")
    call(".", "--canaries", "canaries.txt", code=0)


@pytest.mark.skipif(sys.platform == "win32", reason="modes")
def test_the_list_is_for_its_owner(tmp_path, canaries):
    assert (tmp_path / "canaries.txt").stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_whole_drill(tmp_path):
    said = call("--run", "smoke", "--out", "kept", code=0).stdout
    assert "the backend" in said
    assert "0 found" in said
    assert (tmp_path / "kept" / "run.json").is_file()
    # The drill's canaries follow from the seed: the same list finds nothing in what was kept either.
    call("--write-canaries", "same.txt", code=0)
    call("kept", "--canaries", "same.txt", code=0)


def test_names_that_are_no_text_are_told_as_well_as_can_be(tmp_path, canaries):
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "b\udcff.log").write_text(canaries[0].digits)
    call("odd", "--canaries", "canaries.txt", "--json", "r.json", code=1)
    assert json.loads((tmp_path / "r.json").read_text())["findings"][0]["place"] == "b\\xff.log"


def test_what_may_not_be_read_is_not_called_clean(tmp_path, canaries, monkeypatch):
    from pathlib import Path

    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "a.log").write_text("clean")
    (tmp_path / "odd" / "b.log").write_text(canaries[0].digits)
    opened = Path.open

    def refuses(path, *arguments, **more):
        if path.name == "b.log":
            raise PermissionError(13, "Permission denied")
        return opened(path, *arguments, **more)

    monkeypatch.setattr(Path, "open", refuses)
    assert (
        "not searched: b.log: Permission denied" in call("odd", "--canaries", "canaries.txt", code=3).stdout
    )
