"""``forecourt serve`` in real processes: what it opens, what it refuses, and that nothing of it stays."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from forecourt.serve import _port_in_use
from scenarios.loader import load
from scenarios.world.keys import run_keys
from scenarios.world.real import RealWorld


def start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "forecourt", "serve", *arguments],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "160", "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def read_table(process: subprocess.Popen[str]) -> dict[str, str]:
    """What listens where, as the table on standard output says."""
    places = {}
    assert process.stdout is not None
    for line in process.stdout:
        cells = [cell.strip() for cell in line.strip().strip("│").split("│")]
        if len(cells) == 3:
            places[cells[0]] = cells[1]
        if line.startswith("Ctrl-C"):
            return places
    raise AssertionError(process.stderr.read() if process.stderr else "")


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)]
)
def test_devices_wait_for_a_driver_until_a_signal(tmp_path, number):
    with start("smoke", "--devices-only", "--logs", "logs", cwd=tmp_path) as process:
        places = read_table(process)
        children = psutil.Process(process.pid).children(recursive=True)
        assert children
        for name in ("line pumps", "printer"):
            host, port = places[name].split(":")
            assert host == "127.0.0.1"
            socket.create_connection((host, int(port)), timeout=30).close()
        with httpx.Client(base_url=places["control"], trust_env=False, timeout=30) as control:
            lifted = control.post("/nozzles/2/lift").raise_for_status().json()
            assert (lifted["nozzle_out"], lifted["state"]) == (2, "CALLING")
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert err.splitlines()[-1] == "stopped"
    assert psutil.wait_procs(children, timeout=30)[1] == []
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["world.log"]


def test_a_signal_while_it_starts_stops_it_too(tmp_path):
    with start("smoke", cwd=tmp_path) as process:
        assert process.stderr is not None
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out == ""


def told_of_a_port_in_use(tmp_path, option: str, *arguments: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = f"{option}{port}"
        with start("smoke", *arguments, *words.split(), cwd=tmp_path) as process:
            out, err = process.communicate(timeout=100)
    assert process.returncode == 2, err
    assert out == ""
    told = [line for line in err.splitlines() if not re.match(r"starting the .+: \d+ %$", line)]
    assert told == [f"error: 127.0.0.1:{port} is in use ({words})"]


@pytest.mark.parametrize(
    "option",
    [
        "--control-port ",
        "--port pumps=",
        pytest.param("--port printer=", marks=[pytest.mark.slow, pytest.mark.timeout(300)]),
        pytest.param("--port gateway=", marks=[pytest.mark.slow, pytest.mark.timeout(300)]),
    ],
)
def test_a_port_in_use_is_told_in_one_line(tmp_path, option):
    told_of_a_port_in_use(tmp_path, option, "--devices-only")


@pytest.mark.parametrize("name", ["payer", "gateway", "printer", "pumps"])
def test_what_each_kind_of_port_says_is_understood(name):
    """As the process of the world writes it, without the process."""

    async def main():
        with socket.create_server(("127.0.0.1", 0)) as taken:
            ports = {name: taken.getsockname()[1]}
            with pytest.raises(OSError, match="in use") as caught:
                await RealWorld(load("smoke").scenario, "1", run_keys(), ports=ports).start()
        told = _port_in_use(str(caught.value), ports)
        assert told == f"127.0.0.1:{ports[name]} is in use (--port {name}={ports[name]})"

    asyncio.run(main())


def test_a_backend_s_port_in_use_is_told_in_one_line(tmp_path):
    told_of_a_port_in_use(tmp_path, "--port backend-a=")


def test_a_port_that_nothing_has_is_told(tmp_path):
    with start("smoke", "--devices-only", "--port", "loudspeaker=0", cwd=tmp_path) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "no port is called 'loudspeaker'" in err
    assert "printer" in err
