"""A real process of a measured run: started with a configuration file, ready when it says so, never left behind.

Every process of the project follows one convention: it prints one JSON object on its first line of standard output
when it serves (``{"ready": true, "url": …}``), logs to standard error, stops cleanly on SIGTERM, and survives kill -9
without losing what it acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

__all__ = ["ChildError", "ChildProcess", "die_with_parent"]

_READY_LIMIT_S = 30.0
"""Importing the whole stack on a busy two-core machine takes about 3 s; ten times that is a hang."""

_STOP_LIMIT_S = 10.0
_LINE_LIMIT = 1 << 20

_PR_SET_PDEATHSIG = 1


class ChildError(Exception):
    """A process did not come up; the message holds the end of its log.

    Attributes:
        refusal: what it said last, when it left because of its configuration or a port in use (exit code 2); else empty.
    """

    def __init__(self, text: str, *, refusal: str = "") -> None:
        super().__init__(text)
        self.refusal = refusal


_REFUSED = 2
"""Exit code of every process here for a configuration that it cannot work with."""


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """In the child, before exec: ask Linux to send it this signal when the harness dies, so that kill -9 leaves nothing behind.

    Linux takes "dies" to mean the thread that forked (prctl(2), ``PR_SET_PDEATHSIG``), so start processes from a thread that lives on.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number))


class ChildProcess:
    """One process under the harness.

    Args:
        name: how messages call it, e.g. ``backend-a``.
        arguments: the command line after the interpreter, e.g. ``["-m", "reference.backend", "--config", …]``.
        log: file that takes its standard error.
    """

    def __init__(self, name: str, arguments: Sequence[str], *, log: Path) -> None:
        self.name = name
        self.ready: dict[str, Any] = {}
        self._arguments = list(arguments)
        self._log = log
        self._file: IO[bytes] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._drain: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Process id; raises `ChildError` when it does not run."""
        if self._process is None:
            raise ChildError(f"{self.name} has not been started")
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs now."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> dict[str, Any]:
        """Start it and wait for its ready line; returns that line's object.

        Raises:
            ChildError: it ended first, said something else, or took too long; nothing is left running.
        """
        self._file = self._log.open("ab")
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *self._arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._file,
            preexec_fn=die_with_parent,
            start_new_session=True,  # Ctrl-C at the terminal must not stop it behind our back
            limit=_LINE_LIMIT,
        )
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101 - a pipe was asked for
        try:
            line = await asyncio.wait_for(stdout.readline(), _READY_LIMIT_S)
            self.ready = json.loads(line)
        except (TimeoutError, ValueError) as error:
            await self.kill()
            what = "took too long to start" if isinstance(error, TimeoutError) else "did not start"
            refused = self._process.returncode == _REFUSED
            raise ChildError(
                f"{self.name} {what}; its log {self._log} ends with:\n{self.log_tail()}",
                refusal=self.log_tail(lines=1) if refused else "",
            ) from error
        self._drain = asyncio.create_task(self._swallow(stdout), name=f"drain {self.name}")
        return self.ready

    async def _swallow(self, stdout: asyncio.StreamReader) -> None:
        while await stdout.read(65_536):
            pass

    def log_tail(self, lines: int = 15) -> str:
        """The last lines of its log."""
        try:
            return "\n".join(self._log.read_text("utf-8", errors="replace").splitlines()[-lines:])
        except OSError:
            return "(no log)"

    async def kill(self) -> None:
        """Kill -9, and wait until it is gone."""
        self._send(signal.SIGKILL)
        await self._reap()

    async def stop(self) -> int:
        """SIGTERM, then kill -9 if it does not listen; returns its exit status."""
        if self._process is None:
            return 0
        if self._process.returncode is None:
            self._send(signal.SIGTERM)
            try:
                await asyncio.wait_for(self._process.wait(), _STOP_LIMIT_S)
            except TimeoutError:
                self._send(signal.SIGKILL)
        await self._reap()
        return self._process.returncode or 0

    def _send(self, number: signal.Signals) -> None:
        # Not by the Process: that one's own look whether it still runs takes its exit status away from asyncio.
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    async def _reap(self) -> None:
        if self._process is not None:
            await self._process.wait()
        if self._drain is not None:
            await self._drain
            self._drain = None
        if self._file is not None:
            self._file.close()
            self._file = None
