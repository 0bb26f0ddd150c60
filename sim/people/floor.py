"""The station floor: who stands where, who waits, who is at the till."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import simpy
from simpy.events import Event

__all__ = ["Position", "StationFloor", "Ticket"]

# How quickly drivers' idea of a stop's length follows what they see; about the last sixteen cars.
_STOP_GUESS_US: Final = 240_000_000
"""How long drivers think a stop takes before they have seen one."""

_MEMORY = 16


@dataclass(frozen=True, slots=True)
class Position:
    """Where one car can stand: a fuelling point and the nozzles in reach, by grade."""

    fuelling_point: int
    nozzles: Mapping[str, int]


@dataclass(slots=True, eq=False)
class Ticket:
    """A place in the queue. ``granted`` succeeds with the `Position` once there is one."""

    grade: str
    granted: Event
    position: Position | None = None
    since_us: int = field(default=0)


class StationFloor:
    """Positions, the one queue before them, and the cashiers.

    The queue is first come, first served among those a free position can serve: a car that needs diesel does not
    hold up one that needs 92 behind it.

    Args:
        env: SimPy environment in integer microseconds.
        positions: all positions, in the order in which drivers try them.
        cashiers: number of tills; 0 for a station without a kiosk.
    """

    def __init__(
        self,
        env: simpy.Environment,
        positions: Sequence[Position],
        *,
        cashiers: int,
    ) -> None:
        self.env = env
        self.positions = tuple(positions)
        self.cashiers = simpy.Resource(env, capacity=cashiers) if cashiers else None
        self._queue: deque[Ticket] = deque()
        self._reserved: dict[int, deque[Ticket]] = {}
        self._stop_us = _STOP_GUESS_US
        offering: dict[str, int] = {}
        for position in self.positions:
            for grade in position.nozzles:
                offering[grade] = offering.get(grade, 0) + 1
        self.offering: Mapping[str, int] = offering
        # Drivers leave the rare grades to those who need them: the place whose other grades are commonest comes first.
        self._free = {
            position.fuelling_point: position
            for position in sorted(
                self.positions, key=lambda p: (-min(offering[g] for g in p.nozzles), p.fuelling_point)
            )
        }
        self._preference = list(self._free.values())

    @property
    def queue_length(self) -> int:
        """Cars that wait for a position."""
        return len(self._queue)

    @property
    def occupied(self) -> int:
        """Positions with a car in them."""
        return len(self.positions) - len(self._free)

    def expected_wait_us(self, grade: str) -> int:
        """The wait a driver expects: cars ahead times the usual stop, shared by the positions that have the grade."""
        if self._find(grade) is not None:
            return 0
        ahead = sum(1 for ticket in self._queue if ticket.grade == grade or len(self.offering) == 1)
        if grade in self.offering and self.offering[grade] == len(self.positions):
            ahead = len(self._queue)  # every place has it, so everyone in the queue competes
        return (ahead + 1) * self._stop_us // max(1, self.offering.get(grade, 0))

    def enter(self, grade: str) -> Ticket:
        """Join the queue; granted at once when a fitting position is free.

        Raises:
            ValueError: no position has the grade.
        """
        if grade not in self.offering:
            raise ValueError(f"no position of this station has grade {grade}")
        ticket = Ticket(grade, self.env.event(), since_us=int(self.env.now))
        position = self._find(grade)
        # Nobody with the same wish can be in the queue while a fitting position is free.
        if position is not None:
            self._grant(ticket, position)
        else:
            self._queue.append(ticket)
        return ticket

    def reserve(self, fuelling_point: int) -> Ticket:
        """Keep a position for staff: granted as soon as no car stands there, before all that wait. Ends with `hand_back`.

        Raises:
            ValueError: there is no such position.
        """
        if all(position.fuelling_point != fuelling_point for position in self.positions):
            raise ValueError(f"there is no position {fuelling_point}")
        ticket = Ticket("", self.env.event(), since_us=int(self.env.now))
        if fuelling_point in self._free:
            self._grant(ticket, self._free[fuelling_point])
        else:
            self._reserved.setdefault(fuelling_point, deque()).append(ticket)
        return ticket

    def hand_back(self, ticket: Ticket) -> None:
        """Staff have left a reserved position."""
        self.leave(ticket, occupied_us=self._stop_us)

    def give_up(self, ticket: Ticket) -> bool:
        """Leave the queue. False when the position has already been granted: then it must be released."""
        if ticket.position is not None:
            return False
        self._queue.remove(ticket)
        return True

    def leave(self, ticket: Ticket, *, occupied_us: int) -> None:
        """Drive out of a position; the first in the queue whom it can serve gets it."""
        position = ticket.position
        if position is None or position.fuelling_point in self._free:
            raise ValueError("this car does not stand in a position")
        self._stop_us += (occupied_us - self._stop_us) // _MEMORY
        self._free[position.fuelling_point] = position
        if self._reserved.get(position.fuelling_point):
            self._grant(self._reserved[position.fuelling_point].popleft(), position)
            return
        for waiting in self._queue:
            if waiting.grade in position.nozzles:
                self._queue.remove(waiting)
                self._grant(waiting, position)
                return

    def _find(self, grade: str) -> Position | None:
        for position in self._preference:
            if position.fuelling_point in self._free and grade in position.nozzles:
                return position
        return None

    def _grant(self, ticket: Ticket, position: Position) -> None:
        del self._free[position.fuelling_point]
        ticket.position = position
        ticket.granted.succeed(position)
