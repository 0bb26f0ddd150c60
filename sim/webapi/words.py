"""Tokens, ids and numbers, drawn from one stream so that a run repeats them."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from typing import Final

__all__ = ["Words", "china_time"]

_CHINA: Final = timezone(timedelta(hours=8))
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


class Words:
    """Draws words; worthless outside the simulation, like everything else that is drawn."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def word(self, length: int) -> str:
        """Letters and digits."""
        return "".join(self._rng.choices(_LETTERS, k=length))

    def hex(self, length: int) -> str:
        """Hexadecimal digits in lower case."""
        return f"{self._rng.getrandbits(4 * length):0{length}x}"

    def number(self, digits: int) -> int:
        """A number of exactly so many digits."""
        return self._rng.randrange(10 ** (digits - 1), 10**digits)

    def bytes(self, count: int) -> bytes:
        """Bytes of a session key."""
        return self._rng.randbytes(count)


def china_time(unix_us: int) -> datetime:
    """An instant on China's clocks."""
    return datetime.fromtimestamp(unix_us // 1_000_000, _CHINA)
