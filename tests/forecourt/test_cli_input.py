"""What a person can type: each wrong input gives one clear message and the documented exit code, before any long work."""

from __future__ import annotations

import socket

import pytest
from typer.testing import CliRunner

from forecourt.cli import app
from scenarios import REGISTRY, library_names
from scenarios.loader import LIBRARY

cli = CliRunner()
SMOKE = (LIBRARY / "smoke.yaml").read_text("utf-8")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def refused(*arguments: str) -> str:
    """Run a command that must be refused; its message."""
    result = cli.invoke(app, list(arguments))
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr


def test_help_of_the_program_and_of_run_documents_every_exit_code():
    for arguments in (["--help"], ["run", "--help"]):
        text = " ".join(cli.invoke(app, arguments).stdout.split())
        for words in (
            "0 conformant",
            "1 not conformant",
            "2 usage or configuration",
            "3 inconclusive",
            "4 harness error",
            "130 interrupted",
        ):
            assert words in text


def test_version_is_that_of_the_distribution():
    from importlib.metadata import version

    assert cli.invoke(app, ["version"]).stdout == f"forecourt {version('forecourt')}\n"


def test_list_names_every_scenario_on_a_line_of_its_own():
    result = cli.invoke(app, ["list"])
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == library_names()


def test_list_shows_the_others_beside_a_broken_file(monkeypatch, tmp_path):
    monkeypatch.setattr("scenarios.loader.LIBRARY", tmp_path)
    (tmp_path / "smoke.yaml").write_text(SMOKE, "utf-8")
    (tmp_path / "broken.yaml").write_text("name: [", "utf-8")
    (tmp_path / "folder.yaml").mkdir()
    result = cli.invoke(app, ["list"])
    assert result.exit_code == 2
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["smoke"]
    assert "broken.yaml:" in result.stderr
    assert "folder.yaml: cannot be read" in result.stderr
    assert "harness error" not in result.stderr


def test_explain_without_a_name_lists_every_check():
    assert [line.split()[0] for line in cli.invoke(app, ["explain"]).stdout.splitlines()] == list(REGISTRY)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("latency.payment-controlled", "p99_us = 300,000"),
        ("pay.client-ok-proves-nothing", "only a verified callback or query does"),
        ("fd-link", "fd-link.bad-checksum-is-discarded"),
    ],
    ids=["check", "requirement", "area"],
)
def test_explain_knows_checks_requirements_and_areas(name, words):
    result = cli.invoke(app, ["explain", name])
    assert result.exit_code == 0
    assert words in " ".join(result.stdout.split())


def test_explain_suggests_checks_and_requirements():
    assert "latency.payment-human" in refused("explain", "latency.paymnt-human")
    assert "pay.client-ok-proves-nothing" in refused("explain", "pay.client-ok-prove-nothing")
    assert "forecourt explain" in refused("explain", "zzz")


def test_unknown_scenario_suggests_the_near_one():
    assert "did you mean smoke?" in refused("run", "smokee")


@pytest.mark.parametrize("name", ["absent.yaml", "./absent.yaml"])
def test_absent_file(name):
    assert "absent.yaml: cannot be read: No such file" in refused("run", name)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: smoke", "name: [smoke", "broken YAML"),
        ("tank: 2}", "tank: 7}", "nozzle 2 draws from tank 7, but there is no such tank"),
        ("address: 81}", "address: 80}", "fuelling points 1 and 2 share address 80 on line 'pumps'"),
        ("protocol: dart", "protocol: modbus\n      framing: tcp", "is one device"),
        ("arrivals_per_hour: 60", "arrival_per_hour: 60", "did you mean 'arrivals_per_hour'?"),
        ("arrivals_per_hour: 60", "arrivals_per_hour: many", "demand.arrivals_per_hour"),
    ],
    ids=["yaml", "no tank", "one address twice", "two devices on one connection", "misspelt", "wrong type"],
)
def test_bad_file_names_file_line_and_problem(tmp_path, old, new, message):
    path = tmp_path / "bad.yaml"
    assert old in SMOKE
    path.write_text(SMOKE.replace(old, new, 1), "utf-8")
    text = refused("run", str(path))
    assert message in text
    assert f"{path}:" in text
    assert not (tmp_path / "evidence").exists()


def test_markup_in_a_message_is_text(tmp_path):
    path = tmp_path / "[bold]x[/nonsense].yaml"
    assert "[bold]x[/nonsense].yaml" in refused("run", str(path))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--virtual-only", "--wall-only"], "exclude each other"),
        (["--virtual-only", "--backend", "http://127.0.0.1:1"], "exclude each other"),
        (["--seed", "../1"], "--seed"),
        (["--seed", ""], "--seed"),
        (["--backend", "127.0.0.1:8080"], "expected a URL"),
        (["--backend", "ftp://127.0.0.1"], "expected a URL"),
        (["--backend", "http://127.0.0.1:99999"], "expected a URL"),
        (["--backend", "http://[::1"], "expected a URL"),
        (["--bogus"], "No such option"),
    ],
)
def test_options_that_make_no_sense(arguments, message):
    assert message in refused("run", "kunming-peak", *arguments)


def test_a_scenario_without_a_measured_part_is_not_measured():
    assert "no `wall` part" in refused("run", "smoke", "--wall-only")


def test_evidence_is_never_overwritten(tmp_path):
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "run.json").write_text("{}")
    assert "already exists and holds files" in refused("run", "smoke", "--out", str(taken))
    assert (taken / "run.json").read_text() == "{}"
    file = tmp_path / "file"
    file.write_text("")
    assert "is a file" in refused("run", "smoke", "--out", str(file))


def test_a_place_below_a_file_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    message = refused("run", "smoke", "--virtual-only", "--out", str(tmp_path / "file" / "evidence"))
    assert "cannot be written" in message


def test_a_dead_backend_is_found_before_the_run(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    assert url in refused("run", "kunming-peak", "--backend", url, "--out", str(tmp_path / "e"))
    assert not any(tmp_path.iterdir())


def test_replay_of_something_that_is_no_evidence(tmp_path):
    assert "absent" in refused("replay", str(tmp_path / "absent"))
    (tmp_path / "empty").mkdir()
    assert "run.json" in refused("replay", str(tmp_path / "empty"))


@pytest.mark.parametrize(
    "port",
    ["printer", "printer=", "=1", "printer=x", "printer=65536", "printer=-1", "printer=" + "9" * 5_000],
)
def test_ports_that_make_no_sense(port):
    assert "expected NAME=NUMBER" in refused("serve", "smoke", "--port", port)


def test_keys_are_made_once_for_their_owner_only(tmp_path):
    result = cli.invoke(app, ["keys", "mine"])
    assert result.exit_code == 0, result.output
    files = sorted((tmp_path / "mine").iterdir())
    assert [path.name for path in files] == ["gateway.json", "merchant.json", "secrets.json"]
    assert {path.stat().st_mode & 0o077 for path in files} == {0}
    before = [path.read_bytes() for path in files]
    assert "never overwritten" in refused("keys", "mine")
    assert [path.read_bytes() for path in files] == before
    assert "PRIVATE" not in result.output


@pytest.mark.parametrize("seed", ["", "-1", "a b", "\udcff", "中", "9" * 65])
@pytest.mark.parametrize(
    "command",
    [["run", "smoke"], ["serve", "smoke"], ["gateways"], ["leak-scan", "--write-canaries", "numbers.txt"]],
    ids=lambda words: words[0],
)
def test_a_seed_is_the_same_kind_of_word_for_every_command(command, seed, tmp_path):
    assert "a letter or digit, then up to 63 more" in refused(*command, "--seed", seed)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [["dispenser"], ["printer"], ["gauge"]], ids=lambda words: words[0])
@pytest.mark.parametrize("place", ["no/such/wire.fcap", "."])
def test_a_capture_that_cannot_be_written_is_told_before_the_device_starts(kind, place, tmp_path):
    said = refused("device", *kind, "--tcp", "127.0.0.1:0", "--capture", place)
    assert said.startswith(f"error: --capture {place} cannot be written: ")
    assert list(tmp_path.iterdir()) == []


def test_a_port_of_a_backend_that_is_not_started_is_refused():
    said = refused("serve", "smoke", "--devices-only", "--port", "backend-a=0")
    assert "--devices-only starts no backend, so there is no port 'backend-a'" in said
