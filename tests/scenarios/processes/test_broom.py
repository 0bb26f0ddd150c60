"""What is left of a harness that was killed: nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from scenarios.processes.postgres import PostgresError, find_binaries

HARNESS = """
import sys
from pathlib import Path
from scenarios.processes.broom import release, sweep_when_killed
for name in sys.argv[1:]:
    Path(name, "keys").mkdir(parents=True)
    Path(name, "keys", "secrets.json").write_text("{}")
    sweep_when_killed(Path(name))
release(Path(sys.argv[-1]))
print("ready", flush=True)
sys.stdin.read()
"""

CHILDREN = """
from pathlib import Path
import psutil
from scenarios.processes.broom import release, sweep_when_killed

def count():
    print(len(psutil.Process().children()))

count()
for name in ("a", "b"):
    Path(name).mkdir()
    sweep_when_killed(Path(name))
count()
release(Path("a"))
release(Path("a"))
count()
release(Path("b"))
count()
"""

DATABASE = """
import json, sys
from scenarios.processes.postgres import PostgresServer
server = PostgresServer.start()
print(json.dumps({"pid": server.pid, "data": str(server.data)}), flush=True)
sys.stdin.read()
"""


def harness(program: str, *arguments: str, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def kill_and_wait(process: subprocess.Popen[str]) -> None:
    """Kill it, and wait until those that it started have ended as well."""
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []


def test_folders_of_a_killed_harness_go_with_it(tmp_path):
    with harness(HARNESS, "one", "two and\nthree", "kept", cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        kill_and_wait(process)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_the_child_ends_with_the_last_folder(tmp_path):
    # In a process of its own: another test of this one may have folders to sweep at the moment.
    with harness(CHILDREN, cwd=tmp_path) as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.split() == ["0", "1", "1", "0"]
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}


def test_a_database_of_a_killed_harness_leaves_neither_files_nor_shared_memory(tmp_path):
    try:
        find_binaries()
    except PostgresError as error:
        pytest.skip(str(error))
    with harness(DATABASE, cwd=tmp_path) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        made = Path(told["data"]).parent
        owner = made.stat().st_uid
        # Other servers of this user may come and go meanwhile: this one names its segment in its own folder.
        lines = (made / "data" / "postmaster.pid").read_text().splitlines()
        key = lines[6].split()[1]
        assert key in _segments(owner)
        kill_and_wait(process)
    assert not made.exists()
    assert key not in _segments(owner)


def _segments(owner: int) -> set[str]:
    """Ids of the System V shared memory segments of a user, as Linux lists them."""
    rows = [line.split() for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]]
    return {row[1] for row in rows if int(row[7]) == owner}
