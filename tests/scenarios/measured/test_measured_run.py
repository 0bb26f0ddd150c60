"""The measured run end to end, short: real processes, real sockets, two kills. No speed is asserted: machines differ."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import psutil
import pytest

from scenarios.loader import load
from scenarios.measured import MeasureError, measure
from scenarios.measured.foreign import ForeignError, foreign_backend
from scenarios.measured.system import MeasuredSystem
from scenarios.model import Scenario
from scenarios.oracles import judge
from scenarios.processes.child import ChildProcess
from scenarios.verdicts import ExitCode, Verdict
from scenarios.world.keys import save_run_keys, wall_keys
from scenarios.world.serving import HttpServer, open_port


def scenario(**wall) -> Scenario:
    smoke = load("smoke").scenario.model_dump(mode="json")
    wall = {"duration_s": 4, "payments_per_s": 5, "failover_trials": 2, "failover_load_per_s": 6, **wall}
    return Scenario.model_validate({**smoke, "wall": wall})


@pytest.fixture
def nothing_left(monkeypatch):
    """Afterwards no process and no temporary folder may be left."""
    made = []
    real = tempfile.mkdtemp

    def mkdtemp(*arguments, **more):
        made.append(Path(real(*arguments, **more)))
        return str(made[-1])

    monkeypatch.setattr(tempfile, "mkdtemp", mkdtemp)
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    yield made
    left = [child for child in psutil.Process().children(recursive=True) if child.pid not in before]
    assert [process.cmdline() for process in left] == []
    assert made
    assert [path for path in made if path.exists()] == []


@pytest.mark.timeout(300)
def test_a_short_run_is_whole_loses_nothing_and_leaves_nothing(tmp_path, nothing_left, monkeypatch):
    for name, less in {"_WARM_UP_S": 1, "_PHONES": 20, "_LEAD_US": 500_000}.items():
        monkeypatch.setattr(f"scenarios.measured.run.{name}", less)
    stages = []
    run = asyncio.run(
        measure(
            scenario(),
            "8",  # one driver orders first (live amounts), one scans the code afterwards
            folder=tmp_path / "logs",
            progress=lambda name, share: stages.append((name, share)),
        )
    )
    record = run.record
    assert record.clock == "wall"
    assert 0 < record.ended_us < 300_000_000
    operations = {count.kind: count for count in record.operations}
    assert operations["payment"].tried == operations["payment"].succeeded > 10
    assert operations["invoice"].succeeded > 0
    assert operations["car"].succeeded == operations["car"].tried == 2
    for segment in ("payment_controlled", "payment_end_to_end", "invoice_answered", "invoice_issued"):
        assert len(record.latencies_us[segment]) == len(record.harness.lags_us) > 5, segment
        assert min(record.latencies_us[segment]) >= 0
    assert record.latencies_us["live_amount"]
    for controlled, whole in zip(
        sorted(record.latencies_us["payment_controlled"]),
        sorted(record.latencies_us["payment_end_to_end"]),
        strict=True,
    ):
        assert 0 < controlled < whole
    assert [trial.instance for trial in record.failovers] == ["backend-a", "backend-b"]
    for trial in record.failovers:
        assert 0 < trial.killed_us < trial.first_acknowledged_us <= record.ended_us
    lost = judge(record, "failover.no-lost-write")
    assert lost.verdict is Verdict.PASS, lost.message
    kinds = {write.key.partition(" ")[0] for write in record.writes}
    assert kinds == {"sale", "order", "pay", "paid"}
    assert judge(record, "operations.succeeded").verdict is Verdict.PASS
    assert stages[-1] == ("looking up every acknowledged write", 1.0)
    assert all(0.0 <= share <= 1.0 for _, share in stages)
    assert {path.name for path in (tmp_path / "logs").iterdir()} == {
        "world.log",
        "site.log",
        "backend-a.log",
        "backend-b.log",
    }
    assert all(isinstance(value, str) for value in run.environment.values())
    assert str(tmp_path) not in str(run.environment)


@pytest.mark.timeout(200)
def test_a_cancelled_run_leaves_nothing(tmp_path, nothing_left):
    async def main():
        begun = asyncio.Event()

        def progress(name, share):
            if name == "warming up":
                begun.set()

        task = asyncio.create_task(measure(scenario(), "cancel", folder=tmp_path / "logs", progress=progress))
        waiting = asyncio.create_task(begun.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(1.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_a_process_that_does_not_come_up_is_a_clear_error_and_leaves_nothing(
    tmp_path, nothing_left, monkeypatch
):
    async def fails(self):
        raise_from = ChildProcess(
            "backend-a", ["-c", "raise SystemExit('no such store')"], log=tmp_path / "x.log"
        )
        await raise_from.start()

    monkeypatch.setattr("scenarios.measured.system.BackendProcess.start", fails)
    with pytest.raises(MeasureError, match="no such store") as caught:
        asyncio.run(measure(scenario(), "broken", folder=tmp_path / "logs", progress=lambda *_: None))
    assert caught.value.exit_code is ExitCode.HARNESS_ERROR


def test_a_scenario_without_a_wall_part_is_refused(tmp_path):
    bare = load("smoke").scenario.model_copy(update={"wall": None})
    with pytest.raises(MeasureError, match="no `wall` part") as caught:
        asyncio.run(measure(bare, "1", folder=tmp_path, progress=lambda *_: None))
    assert caught.value.exit_code is ExitCode.USAGE


def test_somebody_elses_backend_needs_its_keys(tmp_path, monkeypatch):
    monkeypatch.delenv("FORECOURT_KEYS", raising=False)
    with pytest.raises(MeasureError, match="--backend needs FORECOURT_KEYS") as caught:
        asyncio.run(
            measure(
                scenario(),
                "1",
                folder=tmp_path,
                backend_urls=["http://127.0.0.1:9"],
                progress=lambda *_: None,
            )
        )
    assert caught.value.exit_code is ExitCode.USAGE


def test_ports_and_keys_of_a_foreign_backend(tmp_path):
    keys = wall_keys()
    save_run_keys(tmp_path, keys)
    environment = {"FORECOURT_KEYS": str(tmp_path), "FORECOURT_PORTS": "gateway=18080, callbacks=18082"}
    foreign = foreign_backend(["http://x"], environment)
    assert foreign.keys.admin_key == keys.admin_key
    assert dict(foreign.ports) == {"gateway": 18080, "callbacks": 18082}
    assert (tmp_path / "merchant.json").stat().st_mode & 0o777 == 0o600
    with pytest.raises(ForeignError, match="'gateway' is not name=port"):
        foreign_backend(["http://x"], {**environment, "FORECOURT_PORTS": "gateway"})
    with pytest.raises(ForeignError, match=r"nowhere/gateway\.json: No such file"):
        foreign_backend(["http://x"], {"FORECOURT_KEYS": "nowhere"})


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_load_on_somebody_elses_backend_kills_nothing(tmp_path, nothing_left, monkeypatch):
    """Our own backend plays the stranger: started by hand, with agreed keys and ports, measured by its URL."""

    async def main():
        keys = wall_keys()
        host = MeasuredSystem(scenario(), "host", keys, folder=tmp_path / "host")
        try:
            await host.start(lambda *_: None)
            # The stranger's gateway is the host world's; the measured world must stand where it calls, so stop that first.
            ports = {
                name: int(getattr(host.endpoints, name).rpartition(":")[2])
                for name in ("gateway", "platform", "callbacks")
            }
            await host.stop_world()
            save_run_keys(tmp_path / "keys", keys)
            monkeypatch.setenv("FORECOURT_KEYS", str(tmp_path / "keys"))
            monkeypatch.setenv("FORECOURT_PORTS", ",".join(f"{name}={port}" for name, port in ports.items()))
            return await measure(
                scenario(),
                "foreign",
                folder=tmp_path / "logs",
                backend_urls=[backend.url for backend in host.backends],
                progress=lambda *_: None,
            )
        finally:
            await host.stop()

    run = asyncio.run(main())
    assert run.record.failovers == ()
    assert run.record.writes == ()
    payments = next(count for count in run.record.operations if count.kind == "payment")
    assert payments.tried == payments.succeeded > 5
    assert run.environment["measured store"] == "foreign"


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_backend_that_does_not_take_the_keys_is_told_as_a_set_up_fault(tmp_path, monkeypatch):
    save_run_keys(tmp_path / "keys", wall_keys())
    monkeypatch.setenv("FORECOURT_KEYS", str(tmp_path / "keys"))
    monkeypatch.delenv("FORECOURT_PORTS", raising=False)
    (tmp_path / "logs").mkdir()

    async def stranger(scope, receive, send):
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b"who are you?"})

    async def story():
        server = HttpServer(stranger, open_port("127.0.0.1", 0))
        await server.start()
        try:
            await measure(
                scenario(),
                "1",
                folder=tmp_path / "logs",
                backend_urls=[server.url],
                progress=lambda *_: None,
            )
        finally:
            await server.stop()

    with pytest.raises(
        MeasureError, match=r"refuses the load: PUT /v1/stations/LOAD0001: 401.*secrets\.json"
    ) as caught:
        asyncio.run(story())
    assert caught.value.exit_code is ExitCode.USAGE
