"""Block numbers (TX#): how a sender counts and how a receiver judges what comes.

Each direction counts on its own; 0 after a restart, one more per acknowledged block (moduslightstech-lgtm/intelipump,
alejomonroy/Full-Colombia-Wayne). After 15 both 0 and 1 were captured, so both are accepted. 0 must always be accepted:
dimoskar/ASFuelControlV1 never sends anything else.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["Arrival", "Receiver", "next_tx"]


class Arrival(Enum):
    """How a received number fits."""

    NEW = "new"
    DUPLICATE = "duplicate"
    GAP = "gap"


def next_tx(tx: int, wrap: int) -> int:
    """The number after ``tx``; ``wrap`` (0 or 1) comes after 15."""
    return tx + 1 if tx < 15 else wrap


class Receiver:
    """What one end remembers of the blocks it took.

    Attributes:
        last: the last number taken; None after a restart.
    """

    __slots__ = ("_block", "last")

    def __init__(self) -> None:
        self.last: int | None = None
        self._block = b""

    def restart(self) -> None:
        """Forget everything, as after a loss of power."""
        self.last = None
        self._block = b""

    def expected(self) -> int:
        """The number that would follow without a deviation (1 stands for both after 15)."""
        return 0 if self.last is None else next_tx(self.last, 1)

    def judge(self, tx: int) -> Arrival:
        """Say how ``tx`` fits, without taking it."""
        last = self.last
        if tx == 0 or last is None:
            return Arrival.NEW
        if tx == last:
            return Arrival.DUPLICATE
        return Arrival.NEW if tx == next_tx(last, 1) else Arrival.GAP

    def take(self, tx: int, block: bytes) -> bool:
        """Remember the block as taken. True when it is number 0 again with the same bytes."""
        same = tx == 0 and self.last == 0 and block == self._block
        self.last = tx
        self._block = block if tx == 0 else b""
        return same
