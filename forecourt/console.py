"""Where words go: results to standard output, progress and problems to standard error."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

__all__ = ["Stages", "UnwritableError", "err", "out", "problem", "progress"]

_PIPE_WIDTH: Final = 140
"""Columns when nobody's terminal sets the width: a verdict and its reason stay on one or two lines of a CI log."""

_REDRAW_S: Final = 0.1


class UnwritableError(Exception):
    """Standard output takes no more, and not because its reader has left; the text says why."""


class _Output(Console):
    """A console whose reader may leave (``| head``): the rest is not shown, and the exit code stays that of the verdict.

    Raises:
        UnwritableError: results cannot be written, for example because the disk is full. Progress and problems that cannot be
            are dropped.
    """

    def print(self, *objects: Any, **more: Any) -> None:
        try:
            super().print(*objects, **more)
        except OSError as error:
            self.on_broken_pipe()
            if not self.stderr:
                raise UnwritableError(
                    f"standard output cannot be written: {error.strerror or error}"
                ) from error

    def on_broken_pipe(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())
        os.close(nowhere)


def _console(*, to_stderr: bool) -> Console:
    stream = sys.stderr if to_stderr else sys.stdout
    told = os.environ.get("COLUMNS", "")
    width = None if stream.isatty() or told.isdigit() else _PIPE_WIDTH
    return _Output(stderr=to_stderr, width=width, highlight=False, soft_wrap=False)


def out() -> Console:
    """The console of results. Made on each call: tests and pagers exchange the stream behind it."""
    return _console(to_stderr=False)


def err() -> Console:
    """The console of progress and problems."""
    return _console(to_stderr=True)


def problem(text: str, *, word: str = "error") -> None:
    """Say what is wrong, each line on its own; the text is shown as it is, never read as markup."""
    console = err()
    for line in text.splitlines() or [""]:
        console.print(Text.assemble((f"{word}: ", "bold red"), line), soft_wrap=True)


class Stages(Protocol):
    """What a long run calls while it works; the same shape as `scenarios.runner.Progress`."""

    def stage(self, name: str, share: float) -> None:
        """``share`` (0..1) of the stage ``name`` is done."""


class _Bars:
    """One bar a stage. Drawn from the calls themselves, without a thread: the run forks processes meanwhile."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._drawn_s = 0.0

    def stage(self, name: str, share: float) -> None:
        now_s = time.monotonic()
        new = name not in self._tasks
        if new:
            self._tasks[name] = self._bars.add_task(name, total=1.0)
        self._bars.update(self._tasks[name], completed=min(1.0, max(0.0, share)))
        if new or share >= 1.0 or now_s - self._drawn_s >= _REDRAW_S:
            self._drawn_s = now_s
            self._bars.refresh()


class _Lines:
    """For a log: a line when a stage begins, at each quarter of it, and when it is done."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._begun_s: dict[str, float] = {}
        self._told: dict[str, int] = {}

    def stage(self, name: str, share: float) -> None:
        now_s = time.monotonic()
        begun_s = self._begun_s.setdefault(name, now_s)
        quarter = int(min(1.0, max(0.0, share)) * 4)
        if quarter <= self._told.get(name, -1):
            return
        self._told[name] = quarter
        done = f"done in {now_s - begun_s:.1f} s" if quarter == 4 else f"{quarter * 25} %"
        self._console.print(f"{name}: {done}", markup=False, soft_wrap=True)


@contextmanager
def progress() -> Iterator[Stages]:
    """Progress bars on a terminal, plain lines anywhere else; both on standard error."""
    console = err()
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, auto_refresh=False) as bars:
        yield _Bars(bars)
