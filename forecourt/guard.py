"""The edge of the program: whatever happens inside a command leaves as one clear message and a documented exit code."""

from __future__ import annotations

import logging
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn, TextIO

import typer

from forecourt.console import UnwritableError, problem
from scenarios import ExitCode

__all__ = ["INTERRUPTED", "STOPPING", "TERMINATED", "BadInput", "Terminated", "guarded", "stops_by"]

INTERRUPTED: Final = 128 + signal.SIGINT
"""Exit code after Ctrl-C, as a shell reports it: 130."""

TERMINATED: Final = 128 + signal.SIGTERM
"""Exit code after SIGTERM, which is how a CI job is cancelled: 143."""

STOPPING: Final = (signal.SIGTERM, signal.SIGHUP)
"""What asks a command to end, beside Ctrl-C: SIGHUP comes when its terminal is closed."""


class BadInput(Exception):  # noqa: N818 - it names what the person gave, and reads so where it is raised
    """The person at the terminal gave something that cannot be used; the text tells them what."""


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP (``number``). It unwinds as Ctrl-C does, so that what was half-written is removed."""

    def __init__(self, number: int = signal.SIGTERM) -> None:
        super().__init__()
        self.number = signal.Signals(number)


def stops_by(*more: signal.Signals) -> tuple[signal.Signals, ...]:
    """The signals that end a command now, after ``more``: SIGHUP only where nobody wants it ignored, as ``nohup`` does."""
    return (*more, *(number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN))


@contextmanager
def guarded() -> Iterator[None]:
    """Run a command; turn its exceptions into a message and an exit code.

    Raises:
        typer.Exit: with the exit code, after the message went to standard error.
    """
    before = {number: signal.signal(number, _terminate) for number in stops_by()}
    log = _Log(sys.stderr)
    log.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    logging.getLogger().addHandler(log)
    # It tells of a home without a cache folder, which only costs it a second.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    try:
        yield
    except (BadInput, UnwritableError) as error:
        log.hush()
        problem(str(error))
        raise typer.Exit(int(ExitCode.USAGE)) from None
    except Terminated as stopped:
        log.hush()
        problem(f"stopped by {stopped.number.name}; no evidence was written", word="stopped")
        raise typer.Exit(128 + stopped.number) from None
    except KeyboardInterrupt:
        log.hush()
        problem("interrupted; no evidence was written", word="stopped")
        raise typer.Exit(INTERRUPTED) from None
    except Exception as error:
        if getattr(error, "exit_code", 0) == ExitCode.HARNESS_ERROR:
            log.hush()
        if _knows_its_code(error):
            raise
        _harness_error(error)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        logging.getLogger().removeHandler(log)
        if log.level > logging.CRITICAL:
            # Coroutines that an error left where they stood are told of as late as the interpreter's own end.
            logging.getLogger().addHandler(_SILENCE)


_SILENCE: Final = logging.NullHandler()


def _terminate(number: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated(number)


class _Log(logging.StreamHandler[TextIO]):
    """What the parts of a run log, on standard error; but a Ctrl-C that strikes in the middle of one is no news."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info is not None and isinstance(record.exc_info[1], KeyboardInterrupt):
            self.hush()  # from here on everything unwinds
        else:
            super().emit(record)

    def hush(self) -> None:
        """Say nothing more: an interrupted run leaves coroutines where they stood, and asyncio would tell of each."""
        self.setLevel(logging.CRITICAL + 1)


def _knows_its_code(error: Exception) -> bool:
    """Typer's own exits and usage errors, whatever module this version of typer keeps them in."""
    return isinstance(error, typer.Exit | typer.Abort) or (
        hasattr(error, "exit_code") and hasattr(error, "show")
    )


def _harness_error(error: Exception) -> NoReturn:
    """One line for the person, the traceback in a file for whoever mends it."""
    first = (str(error).strip().splitlines() or ["no message"])[0]
    problem(f"{type(error).__name__}: {first}", word="harness error")
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="forecourt-error-", suffix=".txt", delete=False, encoding="utf-8", errors="replace"
        ) as file:
            traceback.print_exception(error, file=file)
    except OSError as trouble:
        problem(f"the traceback could not be kept: {trouble.strerror or trouble}", word="harness error")
    else:
        problem(f"the traceback is in {Path(file.name)}", word="harness error")
    raise typer.Exit(int(ExitCode.HARNESS_ERROR)) from None
