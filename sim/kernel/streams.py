"""Named random streams: each entity draws from its own, so one more pump never shifts another pump's draws."""

from __future__ import annotations

import random

__all__ = ["Streams"]


class Streams:
    """Independent `random.Random` instances, keyed by entity and purpose.

    A stream is seeded with the text ``seed/entity/purpose``; `random.Random` hashes a text seed with SHA-512,
    so streams do not depend on ``PYTHONHASHSEED`` nor on the order in which they are first asked for.
    """

    __slots__ = ("_streams", "seed")

    def __init__(self, seed: str | int) -> None:
        self.seed = str(seed)
        self._streams: dict[tuple[str, str], random.Random] = {}

    def get(self, entity: str, purpose: str) -> random.Random:
        """The stream of one entity for one purpose; the same object at each call, so draws go on where they stopped."""
        key = (entity, purpose)
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = random.Random(f"{self.seed}/{entity}/{purpose}")
        return stream
