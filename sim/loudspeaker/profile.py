"""What a make of loudspeaker declares about itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from protocols.loudspeaker import STATION, ClipBank

__all__ = ["BoxProfile"]


@dataclass(frozen=True, kw_only=True)
class BoxProfile:
    """A make of loudspeaker.

    Attributes:
        bank: its clips.
        remembers: how many orders it keeps, to say none of them again (QuecPython's cloud speaker keeps ten on its flash).
        queue_limit: messages that may wait while it speaks; a further one is discarded. Assumed.
        character_us: how long a clip takes for each character of its word. Assumed: four syllables a second.
        gap_us: silence between two clips. Assumed.
        volume: 0 to 100, as delivered.
    """

    bank: ClipBank = STATION
    remembers: int = 10
    queue_limit: int = 10
    character_us: int = 250_000
    gap_us: int = 40_000
    volume: int = 80

    def speech_us(self, words: Iterable[str]) -> int:
        """How long it takes to say these words."""
        return sum(self.character_us * len(word) + self.gap_us for word in words)
