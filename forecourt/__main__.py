"""The program ``forecourt``, and ``python -m forecourt``: everything else is loaded from here.

Loading takes half a second, in which a Ctrl-C would otherwise show where in somebody's module it struck.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

__all__ = ["main"]


def _leave(number: int, _frame: object) -> NoReturn:
    os.write(2, b"stopped: interrupted\n")
    os._exit(128 + number)


def _usable_streams() -> None:
    """What is printed must never end the program: closed streams swallow it, and characters they cannot take are replaced."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - as long as the program
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - as long as the program
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    for name in ("COLUMNS", "LINES"):
        told = os.environ.get(name, "")
        if told and not (told.isascii() and told.isdecimal() and 0 < int(told[:6]) <= 10_000):
            del os.environ[name]


def main() -> None:
    """Load the command line and run it."""
    _usable_streams()
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:  # else somebody wants it ignored, as `nohup` does
        signal.signal(signal.SIGINT, _leave)
    from forecourt.cli import main as run

    signal.signal(signal.SIGINT, usual)
    run()


if __name__ == "__main__":
    main()
