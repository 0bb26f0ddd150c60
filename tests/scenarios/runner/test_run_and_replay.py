"""From a scenario file to an evidence folder and back: replayed, tampered with, interrupted, at odds with itself."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import scenarios.measured
import scenarios.runner.run
import scenarios.runner.virtual
from scenarios import ExitCode, Verdict
from scenarios.loader import LIBRARY, LoadedScenario, load, load_file, parse
from scenarios.measured import MeasuredRun
from scenarios.record import Replication, RunRecord
from scenarios.runner import RunFailed, RunOptions, RunOutcome, replay, run_scenario
from scenarios.runner.virtual import FarmResult, farm_out, run_once
from sim.kernel import KernelError

SHORT = re.sub(
    r"duration_s: \d+", "duration_s: 240", re.sub(r"max_cars: \d+", "max_cars: 3", (LIBRARY / "smoke.yaml").read_text("utf-8"))
)  # fmt: skip
WALL = """
wall:
  duration_s: 60
  payments_per_s: 20
  stations: 1
  failover_trials: 20
  failover_load_per_s: 20
"""
CONTROLLED = "  - check: latency.payment-controlled\n"


class Steps:
    """A progress that may do something at a stage."""

    def __init__(self, **at: Callable[[], None]) -> None:
        self.at = at
        self.seen: list[str] = []

    def stage(self, name: str, share: float) -> None:
        assert 0 <= share <= 1
        self.seen.append(name)
        for word, act in self.at.items():
            if word in name:
                act()


def scenario(*, checks: str = "", wall: str = "") -> LoadedScenario:
    return parse(SHORT.rstrip("\n") + "\n" + checks + wall, source="short.yaml")


def run(
    out: Path, loaded: LoadedScenario | None = None, *, virtual: bool = True, **at: Callable[[], None]
) -> RunOutcome:
    options = RunOptions(seed="5", out=out, virtual=virtual, wall=not virtual)
    return run_scenario(loaded or scenario(), options, Steps(**at))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunOutcome]:
    """One run; tests that change the folder copy it."""
    out = tmp_path_factory.mktemp("runner") / "evidence"
    return out, run(out)


@pytest.fixture
def copy(whole: tuple[Path, RunOutcome], tmp_path: Path) -> Path:
    return shutil.copytree(whole[0], tmp_path / "copy")


def refused(folder: Path) -> str:
    with pytest.raises(RunFailed) as refusal:
        replay(folder, Steps())
    assert refusal.value.exit_code == ExitCode.USAGE
    return str(refusal.value)


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    document = json.loads(path.read_text("utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def test_a_run_leaves_a_complete_folder_with_its_verdict(whole: tuple[Path, RunOutcome]) -> None:
    out, outcome = whole
    document = json.loads((out / "run.json").read_text("utf-8"))
    assert document["verdict"] == outcome.verdict.value
    assert document["exit_code"] == outcome.exit_code
    assert document["runs"][0]["trace_sha256"] == outcome.trace_hash
    assert {"events.ndjson", "junit.xml", "report.html", "scenario.yaml", "site.log", "SHA256SUMS"} <= {p.name for p in out.iterdir()}  # fmt: skip
    assert {result.check for result in outcome.results if result.verdict is Verdict.FAIL} == set()
    assert not [path for path in out.parent.iterdir() if path != out]


def test_a_plan_that_hits_nothing_allows_no_verdict_though_nobody_asked(tmp_path: Path) -> None:
    faults = "faults:\n  - {target: printer, kind: paper_out, at_s: 1, for_s: 1}\n"
    outcome = run(tmp_path / "e", scenario(wall=faults))

    said = {result.check: result for result in outcome.results}["faults.landed"]
    assert said.message == "1 of 1 faults never hit anything: printer-paper-out"
    assert outcome.exit_code == ExitCode.INCONCLUSIVE
    assert "faults.landed" in (tmp_path / "e" / "report.html").read_text("utf-8")


def test_a_replay_gives_the_same_hash(whole: tuple[Path, RunOutcome]) -> None:
    out, outcome = whole
    again = replay(out, Steps())
    assert again.same
    assert again.actual_hash == again.expected_hash == outcome.trace_hash


class TestReplayRefuses:
    def test_a_folder_that_is_none(self, tmp_path: Path) -> None:
        assert "not a complete evidence folder" in refused(tmp_path)
        assert "not a complete evidence folder" in refused(tmp_path / "nothing")

    def test_a_folder_without_its_document(self, copy: Path) -> None:
        (copy / "run.json").unlink()
        assert "not a complete evidence folder" in refused(copy)

    @pytest.mark.parametrize(
        "text", ["", "{}", "[1, 2]", '{"forecourt": 3}', "\x00", "[" * 100_000, '{"a": 1']
    )
    def test_a_document_that_is_none(self, copy: Path, text: str) -> None:
        (copy / "run.json").write_text(text, encoding="utf-8")
        assert "not a run document" in refused(copy)

    def test_another_scenario_file(self, copy: Path) -> None:
        path = copy / "scenario.yaml"
        path.write_text(path.read_text("utf-8").replace("cashiers: 1", "cashiers: 2"), encoding="utf-8")
        assert "is not the file that this run was made from" in refused(copy)

    def test_a_broken_scenario_file(self, copy: Path) -> None:
        (copy / "scenario.yaml").write_text("name: [", encoding="utf-8")
        assert "scenario.yaml" in refused(copy)

    @pytest.mark.timeout(60)
    @pytest.mark.parametrize("name", ["run.json", "scenario.yaml"])
    def test_a_pipe_that_nobody_writes_to(self, copy: Path, name: str) -> None:
        (copy / name).unlink()
        os.mkfifo(copy / name)
        assert refused(copy) == f"{copy / name} is no file"

    def test_a_seed_that_no_run_can_have_had(self, copy: Path) -> None:
        edit(copy / "run.json", lambda document: document.update(seed="\udcff"))
        assert "run.json: not a run document: the seed '\\udcff' is no text" in refused(copy)

    def test_a_changed_trace(self, copy: Path) -> None:
        path = copy / "events.ndjson"
        lines = path.read_text("utf-8").splitlines(keepends=True)
        path.write_text("".join(lines[:-1]), encoding="utf-8")
        assert "has been changed since the run" in refused(copy)
        path.unlink()
        assert "has been changed since the run" in refused(copy)


def test_a_replay_tells_what_else_was_changed(copy: Path) -> None:
    (copy / "report.html").write_bytes((copy / "report.html").read_bytes()[:-1])
    (copy / "junit.xml").unlink()
    again = replay(copy, Steps())
    assert again.same
    assert "changed since the run, as SHA256SUMS tells: junit.xml, report.html" in again.message


@pytest.mark.timeout(60)
def test_a_replay_does_not_wait_for_what_is_no_file(copy: Path) -> None:
    os.mkfifo(copy / "pipe")
    (copy / "endless").symlink_to("/dev/zero")
    with (copy / "SHA256SUMS").open("a") as sums:
        sums.write("0  pipe\n0  endless\nx\n")
    again = replay(copy, Steps())
    assert again.message.endswith("as SHA256SUMS tells: pipe, endless, SHA256SUMS")


def test_a_file_with_the_line_ends_of_windows_can_be_replayed(tmp_path: Path) -> None:
    path = tmp_path / "short.yaml"
    path.write_bytes(SHORT.replace("\n", "\r\n").encode())
    run(tmp_path / "out", load_file(path))
    again = replay(tmp_path / "out", Steps())
    assert again.same
    assert "changed" not in again.message


@pytest.mark.parametrize(
    ("options", "command"),
    [
        ({}, "forecourt run smoke --seed 5"),
        ({"wall": False}, "forecourt run smoke --seed 5 --virtual-only"),
        ({"virtual": False}, "forecourt run smoke --seed 5 --wall-only"),
        (
            {"virtual": False, "backend_urls": ("http://127.0.0.1:1",)},
            "forecourt run smoke --seed 5 --backend http://127.0.0.1:1",
        ),
    ],
)
def test_the_command_for_a_run_names_no_place_on_this_machine(options: Any, command: str) -> None:
    told = scenarios.runner.run._command(load("smoke"), RunOptions(seed="5", out=Path("x"), **options))
    assert told == command


def test_the_command_for_a_file_can_be_typed() -> None:
    loaded = parse(SHORT, source="my station.yaml")
    told = scenarios.runner.run._command(loaded, RunOptions(seed="5", out=Path("x"), wall=False))
    assert told == "forecourt run 'my station.yaml' --seed 5 --virtual-only"


def test_a_replay_under_another_seed_is_another_trace(copy: Path) -> None:
    edit(copy / "run.json", lambda document: document.update(seed="6"))
    again = replay(copy, Steps())
    assert not again.same
    assert again.actual_hash != again.expected_hash
    assert "another trace" in again.message


def test_a_replay_names_the_other_version(copy: Path) -> None:
    edit(copy / "run.json", lambda document: document.update(seed="6", forecourt="0.0.1"))
    assert "made by version 0.0.1" in replay(copy, Steps()).message


def interrupt() -> None:
    raise KeyboardInterrupt


def break_down() -> None:
    raise KernelError("a service crashed")


def fill_the_disk() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


class TestNothingHalfWritten:
    def test_a_disk_that_is_full(self, tmp_path: Path) -> None:
        with pytest.raises(RunFailed, match="out cannot be written: No space left on device") as failure:
            run(tmp_path / "out", every=fill_the_disk)
        assert failure.value.exit_code == ExitCode.USAGE
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("stage", ["every", "skipped", "report"])
    def test_interrupted(self, tmp_path: Path, stage: str) -> None:
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "out", **{stage: interrupt})
        assert list(tmp_path.iterdir()) == []

    def test_a_harness_that_breaks(self, tmp_path: Path) -> None:
        with pytest.raises(RunFailed, match="the harness broke: a service crashed") as failure:
            run(tmp_path / "out", every=break_down)
        assert failure.value.exit_code == ExitCode.HARNESS_ERROR
        assert list(tmp_path.iterdir()) == []

    def test_a_place_that_is_taken(self, tmp_path: Path) -> None:
        (tmp_path / "mine").write_text("kept")
        with pytest.raises(RunFailed, match="already exists") as failure:
            run(tmp_path)
        assert failure.value.exit_code == ExitCode.USAGE
        assert [path.name for path in tmp_path.iterdir()] == ["mine"]

    def test_measured_only_of_a_scenario_that_measures_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(RunFailed, match="no `wall` part") as failure:
            run(tmp_path / "out", virtual=False)
        assert failure.value.exit_code == ExitCode.USAGE
        assert list(tmp_path.iterdir()) == []


def test_twins_that_differ_are_the_harness_s_own_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lossy(*arguments: Any, skip_idle_polls: bool, **more: Any) -> Any:
        made = run_once(*arguments, skip_idle_polls=skip_idle_polls, **more)
        if skip_idle_polls:
            made = replace(made, record=replace(made.record, journal=made.record.journal[1:]))
        return made

    monkeypatch.setattr(scenarios.runner.virtual, "run_once", lossy)
    outcome = run(tmp_path / "out")
    assert (outcome.verdict, outcome.exit_code) == (Verdict.HARNESS_ERROR, ExitCode.HARNESS_ERROR)
    (result,) = [result for result in outcome.results if result.check == "harness.idle-polls"]
    assert "journal differ" in result.message


class TestReplications:
    def test_their_latencies_are_pooled_and_their_failures_are_the_run_s(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def farm(scenario: Any, seed: str, progress: Any, *, workers: int) -> FarmResult:
            hours = [
                Replication(
                    seed=f"{seed}/replication/{number}",
                    failures=failures,
                    latencies_us={"payment_controlled": (100_000 + number,) * 3_000},
                )
                for number, failures in ((1, ()), (2, ("seed 5/replication/2: totals.monotone: fell",)))
            ]
            return FarmResult(tuple(hours), ())

        monkeypatch.setattr(scenarios.runner.run, "farm_out", farm)
        outcome = run(tmp_path / "out", scenario(checks=CONTROLLED + "  - check: replications.safe\n"))
        found = {result.check: result for result in outcome.results}
        assert found["replications.safe"].verdict is Verdict.FAIL
        assert "replication/2: totals.monotone" in found["replications.safe"].message
        assert outcome.exit_code == ExitCode.NON_CONFORMANT
        pooled = found["latency.payment-controlled"].figures
        assert pooled["samples"] > 6_000, "this run's own samples count too"
        notes = json.loads((outcome.folder / "run.json").read_text("utf-8"))["runs"][0]["notes"]
        assert any("pooled over 3 runs" in note for note in notes)

    def test_each_is_the_run_of_its_own_seed(self) -> None:
        short = scenario().scenario.model_copy(update={"replications": 1})
        farm = farm_out(short, "5", Steps().stage, workers=1)
        (hour,) = farm.replications
        assert hour.seed == "5/replication/1"
        assert hour.failures == ()
        alone = run_once(short, hour.seed, skip_idle_polls=True)
        assert hour.latencies_us == dict(alone.record.latencies_us)
        assert any(hour.latencies_us.values())


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunOutcome:
    """A folder with nothing but a measured part, of 1,200 fast payments."""

    async def measure(*arguments: Any, **more: Any) -> MeasuredRun:
        record = RunRecord(
            clock="wall", ended_us=60_000_000, latencies_us={"payment_controlled": (50_000,) * 1_200}
        )
        return MeasuredRun(record=record, figures={"payments": 1_200}, environment={"postgres": "17"})

    monkeypatch.setattr(scenarios.measured, "measure", measure)
    return run(tmp_path / "out", scenario(checks=CONTROLLED, wall=WALL), virtual=False)


class TestMeasured:
    def test_a_percentile_that_needs_more_samples_is_left_out_with_a_note(self, measured: RunOutcome) -> None:
        (result,) = [r for r in measured.results if r.check == "latency.payment-controlled"]
        assert result.verdict is Verdict.PASS
        assert "p99_us" in result.figures
        assert "p999_us" not in result.figures
        (part,) = json.loads((measured.folder / "run.json").read_text("utf-8"))["runs"]
        (note,) = [note for note in part["notes"] if "p999" in note]
        assert "2,995 samples" in note
        assert "1,200" in note

    def test_only_what_can_be_measured_is_judged(self, measured: RunOutcome) -> None:
        assert {result.clock for result in measured.results} == {"wall"}
        assert not {r.check for r in measured.results} & {"conservation.litres", "harness.idle-polls"}
        assert measured.trace_hash is None

    def test_there_is_nothing_to_replay(self, measured: RunOutcome) -> None:
        assert "a measured run is never the same twice" in refused(measured.folder)
