"""Whatever happens inside a command leaves as one message and a documented exit code."""

from __future__ import annotations

import logging
import os
import re
import signal
from pathlib import Path

import pytest
import typer

from forecourt.guard import BadInput, guarded


def code_of(error: BaseException) -> int:
    with pytest.raises(typer.Exit) as caught, guarded():
        raise error
    return caught.value.exit_code


def test_bad_input_is_said_line_by_line(capsys):
    assert code_of(BadInput("x.yaml:3: name: too long\nx.yaml:9: tank: unknown")) == 2
    assert capsys.readouterr().err == "error: x.yaml:3: name: too long\nerror: x.yaml:9: tank: unknown\n"


def test_ctrl_c_is_130_and_sigterm_143(capsys):
    assert code_of(KeyboardInterrupt()) == 130
    assert "no evidence was written" in capsys.readouterr().err
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(typer.Exit) as caught, guarded():
        os.kill(os.getpid(), signal.SIGTERM)
    assert caught.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_unexpected_error_is_one_line_and_a_file_with_the_traceback(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert code_of(ZeroDivisionError("division by zero\nsecond line")) == 4
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "harness error: ZeroDivisionError: division by zero"
    found = re.fullmatch(r"harness error: the traceback is in (.+)", lines[1])
    assert found is not None
    text = Path(found[1]).read_text("utf-8")
    assert text.startswith("Traceback")
    assert "code_of" in text


def test_an_unexpected_error_without_room_for_its_traceback_is_still_a_message(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    assert code_of(ZeroDivisionError("division by zero")) == 4
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "harness error: ZeroDivisionError: division by zero",
        "harness error: the traceback could not be kept: No such file or directory",
    ]


def test_exits_and_usage_errors_pass_through():
    assert code_of(typer.Exit(3)) == 3
    with pytest.raises(typer.BadParameter), guarded():
        raise typer.BadParameter("no")


def test_the_log_of_a_run_is_shown_until_ctrl_c_strikes(capsys):
    log = logging.getLogger("a.part")

    def part_of_a_run():
        log.warning("a callback was refused")
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            log.exception("a task crashed")
            log.warning("and so did the next")
            raise

    with pytest.raises(typer.Exit), guarded():
        part_of_a_run()
    for handler in [h for h in logging.getLogger().handlers if type(h).__module__ == "forecourt.guard"]:
        logging.getLogger().removeHandler(handler)  # it stays for the interpreter's last words
    assert capsys.readouterr().err.splitlines() == [
        "a.part: a callback was refused",
        "stopped: interrupted; no evidence was written",
    ]
