"""Access tokens of a platform: made by chance, worth something for a while."""

from __future__ import annotations

from sim.kernel import Kernel

__all__ = ["TokenDesk"]


class TokenDesk:
    """Makes tokens and knows whose they are.

    Args:
        kernel: clock and chance.
        entity: names the random stream.
        life_s: how long a token is worth something.
        one_each: whether a new token makes the older ones of the same application worthless.
    """

    def __init__(self, kernel: Kernel, entity: str, *, life_s: int, one_each: bool) -> None:
        self._kernel = kernel
        self._rng = kernel.streams.get(entity, "tokens")
        self._life_us = life_s * 1_000_000
        self._one_each = one_each
        self._tokens: dict[str, tuple[str, int]] = {}

    def make(self, app_key: str) -> str:
        """A new token of an application."""
        now_us = self._kernel.now_us
        self._tokens = {
            token: (owner, end_us)
            for token, (owner, end_us) in self._tokens.items()
            if not (self._one_each and owner == app_key)
        }
        token = f"{self._rng.getrandbits(128):032x}"
        self._tokens[token] = (app_key, now_us + self._life_us)
        return token

    def owner(self, token: str) -> tuple[str, bool]:
        """(application, whether the token has ended); no application when it was never made or is worthless."""
        owner, end_us = self._tokens.get(token, ("", 0))
        return owner, end_us <= self._kernel.now_us
