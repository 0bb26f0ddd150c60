"""What ``--seed`` takes, of whichever command."""

from __future__ import annotations

import re
from typing import Final

from forecourt.guard import BadInput

__all__ = ["checked_seed"]

_SEED: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""It becomes part of a folder's name and of the command line in the evidence."""


def checked_seed(seed: str) -> str:
    """The seed. Raises `BadInput` for one that is empty, too long, or would have to be quoted somewhere."""
    if not _SEED.fullmatch(seed):
        raise BadInput(
            f"--seed {seed!r}: a letter or digit, then up to 63 more letters, digits, dots, dashes and underscores"
        )
    return seed
