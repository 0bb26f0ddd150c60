"""The crowd: starts each car when it comes and counts how visits end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from typing import Any

from simpy.events import Event

from sim.people.arrivals import arrivals
from sim.people.car import Car
from sim.people.floor import StationFloor
from sim.people.plan import draw_car
from sim.people.ports import Phone, PumpHand, Till, World
from sim.people.profile import DemandProfile

__all__ = ["Crowd"]


class Crowd:
    """All cars of a run.

    Args:
        world: clock, seed and trace.
        floor: the station floor.
        profile: who comes.
        hand, phone, till: what the cars act through.
        start_hour_us: local time of day at the start of the run, microseconds since midnight.
        duration_us: arrivals end here; cars already there finish their visit.

    Attributes:
        outcomes: how many visits ended as balked, reneged, paid, unpaid, refused or empty.
        done: succeeds when the last arrival has been and the last car has gone.
    """

    def __init__(
        self,
        world: World,
        floor: StationFloor,
        profile: DemandProfile,
        *,
        hand: PumpHand,
        phone: Phone,
        till: Till | None,
        start_hour_us: int,
        duration_us: int,
    ) -> None:
        self._world = world
        self._floor = floor
        self._profile = profile
        self._ports: dict[str, Any] = {"hand": hand, "phone": phone, "till": till}
        self._when = {"start_hour_us": start_hour_us, "duration_us": duration_us}
        self.outcomes: Counter[str] = Counter()
        self.arrived = 0
        self.done: Event = world.env.event()
        self._arriving = True

    def start(self) -> None:
        """Begin to send cars."""
        self._world.env.process(self._arrive())

    def _arrive(self) -> Generator[Event, Any, None]:
        env, seed = self._world.env, self._world.streams.seed
        for number, at_us in arrivals(self._profile, seed, **self._when):
            # The first may have come before the doors were open: it has waited outside.
            yield env.timeout(max(0, at_us - env.now))
            self.arrived += 1
            env.process(self._visit(number))
        self._arriving = False
        self._finish()

    def _visit(self, number: int) -> Generator[Event, Any, None]:
        plan = draw_car(self._profile, self._world.streams.seed, number)
        outcome: str = yield from Car(self._world, self._floor, plan, **self._ports).run()
        self.outcomes[outcome] += 1
        self._finish()

    def _finish(self) -> None:
        if not self._arriving and self.outcomes.total() == self.arrived and not self.done.triggered:
            self.done.succeed()
