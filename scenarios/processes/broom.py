"""Folders that must not outlive the harness, not even when it dies by kill -9: keys, databases, half-written evidence.

A process that is killed cannot tidy up. So while such folders exist, a small child waits at the end of a pipe; when the harness
dies, the system closes the pipe, and the child removes what is still there. The harness tidies up after itself in all other cases,
and then the child finds nothing to do.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

__all__ = ["release", "sweep_when_killed"]

_PROGRAM: Final = """
import os, shutil, sys, time
folders, processes = set(), set()
for line in sys.stdin.buffer:
    word, _, rest = line.rstrip(b"\\0\\n").partition(b" ")
    if word == b"process":
        processes.add(int(rest))
    else:
        path = os.fsdecode(bytes.fromhex(rest.decode()))
        (folders.add if word == b"add" else folders.discard)(path)
end = time.monotonic() + 15
while any(os.path.isdir(f"/proc/{number}") for number in processes) and time.monotonic() < end and folders:
    time.sleep(0.02)
while folders and time.monotonic() < end + 5:
    for path in tuple(folders):
        shutil.rmtree(path, ignore_errors=True)
        if not os.path.lexists(path):
            folders.discard(path)
    if folders:
        time.sleep(0.1)
"""
_END_S: Final = 30.0


class _Broom:
    """The child, while there is something that it would have to remove."""

    def __init__(self) -> None:
        self._folders: set[Path] = set()
        self._process: subprocess.Popen[bytes] | None = None

    def add(self, folder: Path, processes: Iterable[int]) -> None:
        if self._process is None:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-I", "-S", "-c", _PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,  # what ends the harness must not end it as well
            )
        self._folders.add(folder)
        for number in processes:
            self._tell(f"process {number}")
        self._tell(f"add {_hex(folder)}")

    def discard(self, folder: Path) -> None:
        if folder not in self._folders:
            return
        self._folders.discard(folder)
        self._tell(f"done {_hex(folder)}")
        process = self._process
        if self._folders or process is None:
            return
        self._process = None
        assert process.stdin is not None  # noqa: S101 - a pipe was asked for
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _tell(self, line: str) -> None:
        assert self._process is not None  # noqa: S101 - started by `add`
        assert self._process.stdin is not None  # noqa: S101 - a pipe was asked for
        # Somebody may have killed it; then this run is as safe as one without it.
        with contextlib.suppress(OSError):
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()


def _hex(path: Path) -> str:
    return bytes(path).hex()


_broom = _Broom()


def sweep_when_killed(folder: Path, *, processes: Iterable[int] = ()) -> None:
    """Have a folder removed when this process dies without having called `release`.

    Args:
        folder: the folder, with all that is in it.
        processes: process ids that end by themselves when this process dies, and write into the folder until then.
    """
    _broom.add(folder.absolute(), processes)


def release(folder: Path) -> None:
    """The folder is gone, or may stay. Harmless when called again."""
    _broom.discard(folder.absolute())
