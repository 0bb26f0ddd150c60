"""``forecourt device`` in a process of its own, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx


def begin(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "forecourt", "device", *arguments],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "160", "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def device(*arguments: str, cwd: Path, said: list[str] | None = None) -> Iterator[tuple[str, httpx.Client]]:
    """A running device: (where its wire is, client of its control API). Ended by Ctrl-C; what it said goes into ``said``."""
    with begin(*arguments, cwd=cwd) as process:
        try:
            places: dict[str, str] = {}
            assert process.stdout is not None
            assert process.stderr is not None
            for line in process.stdout:
                cells = [cell.strip() for cell in line.strip().strip("│").split("│")]
                if len(cells) == 2:
                    places[cells[0]] = cells[1]
                if "Ctrl-C" in line:
                    break
            else:
                raise AssertionError(process.stderr.read())
            with httpx.Client(base_url=places["control"], trust_env=False, timeout=30) as control:
                yield places[arguments[0]], control
        finally:
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "stopped | in " in err
    if said is not None:
        said += err.splitlines()
