from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import psutil
import pytest

from scenarios.processes.child import ChildError, ChildProcess

SERVES = """
import json, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print(json.dumps({"ready": True, "url": "http://127.0.0.1:1"}), flush=True)
print("more output that nobody reads", flush=True)
signal.pause()
"""


def child(tmp_path, program):
    return ChildProcess("backend-a", ["-c", program], log=tmp_path / "backend-a.log")


def test_ready_line_then_clean_stop(tmp_path):
    async def main():
        process = child(tmp_path, SERVES)
        ready = await process.start()
        assert process.alive
        return ready, await process.stop(), process.alive

    assert asyncio.run(main()) == ({"ready": True, "url": "http://127.0.0.1:1"}, 7, False)


def test_kill_9_is_final_and_reaped(tmp_path):
    async def main():
        process = child(tmp_path, SERVES)
        await process.start()
        pid = process.pid
        await process.kill()
        return pid, process.alive

    pid, alive = asyncio.run(main())
    assert not alive
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_process_that_dies_at_start_shows_the_end_of_its_log(tmp_path):
    async def main():
        await child(tmp_path, "raise SystemExit('port 80 is in use')").start()

    with pytest.raises(
        ChildError, match=r"backend-a did not start; its log .* ends with:\nport 80 is in use"
    ):
        asyncio.run(main())


def test_process_that_hangs_at_start_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("scenarios.processes.child._READY_LIMIT_S", 0.2)

    async def main():
        process = child(tmp_path, "import signal; signal.pause()")
        try:
            await process.start()
        finally:
            assert not process.alive

    with pytest.raises(ChildError, match="took too long to start"):
        asyncio.run(main())


def test_kill_9_of_the_harness_takes_its_processes_along(tmp_path):
    harness = f"""
import asyncio
from pathlib import Path
from scenarios.processes.child import ChildProcess

async def main():
    child = ChildProcess("backend-a", ["-c", {SERVES!r}], log=Path({str(tmp_path / "x.log")!r}))
    await child.start()
    print(child.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
    process = subprocess.Popen([sys.executable, "-c", harness], stdout=subprocess.PIPE, text=True)
    with process:
        orphan = psutil.Process(int(process.stdout.readline()))
        process.kill()
        process.wait()
    psutil.wait_procs([orphan], timeout=10)
    assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE
