"""``python -m forecourt`` is the command ``forecourt``."""

from __future__ import annotations

from forecourt.cli import main

if __name__ == "__main__":
    main()
