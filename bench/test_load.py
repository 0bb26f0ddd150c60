"""What the load harness can do, and the proof that its loop is open. `tox -e bench` runs it.

The backend is a stub in a process of its own, so all figures are the harness's own.
"""

# ruff: noqa: D103, S101, S603 - tests: a name says what is measured; the command is our own

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench.load.__main__ import main
from scenarios.loader import load as load_scenario

pytestmark = [pytest.mark.bench, pytest.mark.timeout(120)]

_FREEZE_AT = 60
_FREEZE_MS = 2_000

Stub = Callable[..., str]
Play = Callable[..., tuple[int, dict[str, Any]]]


@contextmanager
def _stub(freeze: str) -> Iterator[str]:
    command = [sys.executable, "-m", "bench.stub_backend", freeze]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


@pytest.fixture
def stub() -> Iterator[Stub]:
    """Starts a stub backend; returns its URL."""
    with ExitStack() as stack:
        yield lambda freeze="0:0": stack.enter_context(_stub(freeze))


@pytest.fixture
def play(capsys: pytest.CaptureFixture[str]) -> Play:
    """Runs the command; returns exit code and summary."""

    def run(url: str, *options: str) -> tuple[int, dict[str, Any]]:
        code = main(["--host", url, "--payer-url", url, "--stations", "3", "--phones", "10", *options])
        said = capsys.readouterr()
        assert not said.err, said.err
        return code, json.loads(said.out)

    return run


def test_the_harness_alone_reaches_twice_the_rate_of_the_peak_hour(
    stub: Stub, play: Play, tmp_path: Path
) -> None:
    wall = load_scenario("kunming-peak").scenario.wall
    assert wall is not None
    target_per_s = wall.payments_per_s
    url = stub()
    _, summary = play(
        url, "--rate", str(2.5 * target_per_s), "--duration", "10", "--workers", "2", "--out", str(tmp_path)
    )
    assert summary["completed"] == summary["schedule"]["arrivals"] >= 10 * 2 * target_per_s
    assert (summary["failed"], summary["dropped"], summary["over_3000_ms"]) == (0, 0, 0)
    assert summary["response_us"]["count"] == summary["schedule_lag_us"]["count"] == summary["completed"]
    # Not late at the end either: no payment is done much after the schedule's end.
    assert summary["last_us"] < summary["schedule"]["duration_us"] + 2_000_000
    assert summary["per_s"] >= 2 * target_per_s
    # The null line of every table: what the harness adds by itself must not reach the limit that it is to judge.
    assert summary["response_us"]["p95"] < 300_000, summary
    with urllib.request.urlopen(f"{url}/stub") as reply:  # noqa: S310 - our own stub
        assert json.load(reply) == {"sales": summary["completed"], "paid": summary["completed"]}
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    assert (tmp_path / "response.hgrm").stat().st_size > 0


def test_a_freeze_is_seen_by_the_open_loop_and_hidden_by_the_closed_one(stub: Stub, play: Play) -> None:
    options = ("--rate", "20", "--duration", "10", "--seed", "freeze")
    freeze = f"{_FREEZE_AT}:{_FREEZE_MS}"
    _, opened = play(stub(freeze), *options)
    _, closed = play(stub(freeze), *options, "--closed", "2")

    # A fifth of the schedule falls into the freeze, so the truth is in the p95, and the counts say it exactly.
    assert opened["completed"] == opened["schedule"]["arrivals"]
    assert opened["response_us"]["p95"] > 1_000_000
    assert opened["response_us"]["p90"] > 300_000
    assert opened["over_300_ms"] >= 0.1 * opened["completed"]
    assert opened["longest_us"] >= _FREEZE_MS * 1000

    # Two users meet it once each: Locust's own numbers call the same server fast.
    assert closed["locust"]["count"] > 0.5 * opened["completed"]
    assert closed["locust"]["p95_ms"] < 300 < _FREEZE_MS <= closed["locust"]["max_ms"]
    assert closed["inconclusive"]


def test_arrivals_above_the_cap_are_dropped_counted_and_make_the_run_inconclusive(
    stub: Stub, play: Play
) -> None:
    code, summary = play(
        stub("20:1000"), "--rate", "40", "--duration", "3", "--lead-ms", "0", "--max-in-flight", "8"
    )
    assert summary["dropped"] > 10
    assert summary["completed"] + summary["dropped"] == summary["schedule"]["arrivals"]
    assert code == 3
    assert any("dropped" in reason for reason in summary["inconclusive"])


def test_a_dead_backend_ends_the_run_with_one_clear_message(capsys: pytest.CaptureFixture[str]) -> None:
    with _stub("0:0") as url:
        pass  # its port is free again, and nobody answers
    code = main(["--host", url, "--payer-url", url, "--rate", "20", "--duration", "5"])
    said = capsys.readouterr()
    assert code == 4
    assert "PUT /v1/stations/{station}: ConnectionRefusedError" in said.err
    assert "Traceback" not in said.err
    assert said.out == ""
