"""Every command says its exit codes, a number means the same in all of them, and wrong use is 2 with nothing on standard output."""

from __future__ import annotations

import re

import pytest
import typer
from typer.testing import CliRunner

from forecourt.cli import app


def walk(command, path: tuple[str, ...] = ()):
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from walk(below, (*path, name))


COMMANDS = dict(walk(typer.main.get_command(app)))
STAY = {("serve",), ("gateways",), *(path for path in COMMANDS if path[:1] == ("device",))}
JUDGE = {(), ("run",), ("swarm",), ("leak-scan",)}


def test_all_commands_are_looked_at():
    assert {("run",), ("device", "gauge"), ("replay-capture",)} <= set(COMMANDS)


def codes(path: tuple[str, ...]) -> dict[int, str]:
    """What the help of a command says of each code."""
    shown = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "400"})
    assert shown.exit_code == 0
    told = re.search(r"Exit codes: (.+?)\.\s*$", shown.output, re.MULTILINE)
    assert told is not None, f"forecourt {' '.join(path)} --help says no exit codes"
    parts = re.split(r", (?=\d+ )(?![^(]*\))", told[1])
    return {int(number): text for number, _, text in (part.partition(" ") for part in parts)}


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_says_what_its_codes_mean(path):
    told = codes(path)
    assert {0, 2, 4} <= set(told)
    assert told[2].startswith("usage or configuration")
    assert "inconclusive" in told.get(3, "inconclusive")
    assert (3 in told) == (path in JUDGE)
    assert (130 in told) == (path not in STAY)
    assert told[0].startswith("stopped by Ctrl-C, SIGTERM or SIGHUP") == (path in STAY)
    if 130 in told:
        assert told[130] == "interrupted (143 by SIGTERM, 129 by SIGHUP)"
    assert set(told) <= {0, 1, 2, 3, 4, 130}


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["run", "nothing"],
        ["run", "smoke", "--seed", "a b"],
        ["run", "smoke", "--virtual-only", "--wall-only"],
        ["run", "no-such.yaml"],
        ["explain", "no.such.check"],
        ["replay", "no-such-folder"],
        ["swarm", "smoke"],
        ["swarm", "smoke", "--seeds", "0"],
        ["serve", "nothing"],
        ["serve", "smoke", "--port", "printer"],
        ["device", "dispenser", "--tcp", "x"],
        ["device", "gauge", "--grades", "91"],
        ["device", "meter", "--unit", "0"],
        ["device", "printer", "--model", "laser"],
        ["gateways", "--callbacks", "http://192.0.2.1"],
        ["keys", "."],
        ["replay-capture", "no-such.fcap", "--against", "tcp:127.0.0.1:1"],
        ["replay-capture", "no-such.fcap"],
        ["no-such-command"],
        ["list", "--no-such-option"],
    ],
    ids=" ".join,
)
def test_wrong_use_is_two(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert result.stderr.strip()
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_wrong_use_is_nought(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for arguments in (["version"], ["list"], ["explain"], ["keys", "new"], ["--help"]):
        assert CliRunner().invoke(app, arguments).exit_code == 0, arguments
