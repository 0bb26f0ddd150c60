"""Identifiers, nonces and salts: from the injected generator in a simulation, else from `secrets`."""

from __future__ import annotations

import random
import re
import secrets
from typing import Final

from protocols.cards import mask_private

__all__ = ["Identifiers"]

_LETTERS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_MANY_DIGITS: Final = re.compile("[0-9]{11}")


class Identifiers:
    """The one place where chance enters the service.

    Args:
        rng: a seeded generator (same seed, same identifiers), or None for the operating system's randomness.
    """

    def __init__(self, rng: random.Random | None) -> None:
        self._rng = rng

    def bits(self, count: int) -> int:
        """An integer of ``count`` random bits."""
        return self._rng.getrandbits(count) if self._rng is not None else secrets.randbits(count)

    def text(self, length: int) -> str:
        """Letters and digits in lower case, never such as would pass for a card or phone number: those are refused everywhere."""
        made = self._drawn(length)
        while _MANY_DIGITS.search(made) is not None and mask_private(made) != made:
            made = self._drawn(length)
        return made

    def _drawn(self, length: int) -> str:
        value = self.bits(length * 6)
        letters = []
        for _ in range(length):
            value, low = divmod(value, 36)
            letters.append(_LETTERS[low])
        return "".join(letters)

    def make(self, prefix: str) -> str:
        """An identifier such as ``ord_`` and 20 letters."""
        return f"{prefix}_{self.text(20)}"

    def nonce(self) -> str:
        """32 letters and digits, the longest nonce that WeChat Pay takes."""
        return self.text(32)

    def below(self, limit: int) -> int:
        """An integer in ``0 <= x < limit``, for jitter."""
        return self.bits(53) % limit
