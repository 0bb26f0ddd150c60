"""The program ``forecourt``, and ``python -m forecourt``: everything else is loaded from here.

Loading takes half a second, in which a Ctrl-C would otherwise show where in somebody's module it struck.
"""

from __future__ import annotations

import os
import signal
from typing import NoReturn

__all__ = ["main"]


def _leave(number: int, _frame: object) -> NoReturn:
    os.write(2, b"stopped: interrupted\n")
    os._exit(128 + number)


def main() -> None:
    """Load the command line and run it."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:  # else somebody wants it ignored, as `nohup` does
        signal.signal(signal.SIGINT, _leave)
    from forecourt.cli import main as run

    signal.signal(signal.SIGINT, usual)
    run()


if __name__ == "__main__":
    main()
