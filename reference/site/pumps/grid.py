"""The slot grid of a polled line: who is spoken to when, in whole microseconds.

Address k of N owns the instants ``phase + k*P//N + n*P`` (n = 0, 1, …) for a period P, and everything said to it
stays inside its own slot. So leaving out one address's idle poll moves nobody else's, and a run that skips idle
polls sells the same litres at the same microseconds as one that sends them all.
"""

from __future__ import annotations

__all__ = ["SlotGrid"]


class SlotGrid:
    """The grid, with a cursor on the next slot of an address that is not parked.

    Args:
        count: addresses on the line.
        period_us: time between two slots of one address.
        phase_us: start of slot 0 of round 0.

    Attributes:
        next_index: whose slot is next.
        next_us: start of the next slot, or None when all addresses are parked.
    """

    __slots__ = (
        "_count",
        "_offsets",
        "_parked",
        "_round_us",
        "_used_us",
        "_widths",
        "next_index",
        "next_us",
        "parked_count",
        "period_us",
    )

    def __init__(self, count: int, period_us: int, phase_us: int = 0) -> None:
        self._count = count
        self.period_us = period_us
        self._offsets = [index * period_us // count for index in range(count)]
        ends = [*self._offsets[1:], period_us]
        self._widths = [end - start for start, end in zip(self._offsets, ends, strict=True)]
        self._parked = [False] * count
        self._used_us = -1
        self._round_us = phase_us
        self.parked_count = 0
        self.next_index = 0
        self.next_us: int | None = phase_us

    @property
    def narrowest_us(self) -> int:
        """Length of the shortest slot."""
        return min(self._widths)

    def width_us(self, index: int) -> int:
        """Length of one address's slot."""
        return self._widths[index]

    def use(self) -> None:
        """Begin the slot under the cursor, and move the cursor on."""
        if self.next_us is not None:
            self._used_us = self.next_us
        self._advance()

    def use_until(self, until_us: int) -> list[int]:
        """Begin every slot up to and with this instant; the start of each address's last one, -1 for none.

        Only for a grid on which no address is parked.
        """
        starts_us = [-1] * self._count
        next_us = self.next_us
        if next_us is None or next_us > until_us:
            return starts_us
        rounds = (until_us - next_us) // self.period_us
        if rounds:
            for index, offset_us in enumerate(self._offsets):
                last_us = self._round_us + offset_us + (rounds - 1) * self.period_us
                starts_us[index] = last_us if index >= self.next_index else last_us + self.period_us
            self._round_us += rounds * self.period_us
            self.next_us = next_us = next_us + rounds * self.period_us
        while next_us <= until_us:
            starts_us[self.next_index] = self._used_us = next_us
            self._advance()
            next_us = self._round_us + self._offsets[self.next_index]
        return starts_us

    def slots_until(self, until_us: int) -> list[tuple[int, int]]:
        """(start, address) of every slot to come up to and with this instant. Only for a grid on which none is parked."""
        if self.next_us is None:
            return []
        first, count = self.next_index, self._count
        slots: list[tuple[int, int]] = []
        round_us = self._round_us
        while round_us <= until_us:
            slots += [(round_us + self._offsets[index], index) for index in range(first, count)]
            first = 0
            round_us += self.period_us
        while slots and slots[-1][0] > until_us:
            slots.pop()
        return slots

    def slot_from(self, from_us: int) -> int:
        """The start of the first slot from an instant on, the slots that were used already included."""
        return min(self._first_us(index, from_us) for index in range(self._count))

    def park(self) -> None:
        """Leave out the address under the cursor, from this slot on, and move the cursor on.

        The slot itself stays unused: `resume` may still give it back if the reason proves to lie before its start.
        """
        self._parked[self.next_index] = True
        self.parked_count += 1
        self._advance()

    def _advance(self) -> None:
        index = self.next_index
        for _ in range(self._count):
            index += 1
            if index == self._count:
                index = 0
                self._round_us += self.period_us
            if not self._parked[index]:
                self.next_index = index
                self.next_us = self._round_us + self._offsets[index]
                return
        self.next_us = None

    def is_parked(self, index: int) -> bool:
        """Whether this address is left out."""
        return self._parked[index]

    def resume(self, from_us: int, index: int | None = None) -> None:
        """Take an address (None: all) in again, from its first slot at or after ``from_us`` that was not used."""
        if index is None:
            self._parked = [False] * self._count
            self.parked_count = 0
        elif self._parked[index]:
            self._parked[index] = False
            self.parked_count -= 1
        self._seek(from_us)

    def _seek(self, from_us: int) -> None:
        from_us = max(from_us, self._used_us + 1)
        best: int | None = None
        for index in range(self._count):
            if not self._parked[index]:
                start_us = self._first_us(index, from_us)
                if best is None or start_us < best:
                    best = start_us
                    self.next_index = index
        self.next_us = best
        if best is not None:
            self._round_us = best - self._offsets[self.next_index]

    def _first_us(self, index: int, from_us: int) -> int:
        base = self._round_us + self._offsets[index]
        return base - (base - from_us) // self.period_us * self.period_us
