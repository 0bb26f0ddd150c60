"""What a driver needs of the world: a hand on the pump, a phone, a till. The car process knows nothing else of it.

Each port hands out SimPy events, so the same car drives the modelled chain, real sockets, or the plain floor model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import simpy
from simpy.events import Event

from sim.kernel import Streams, Trace
from sim.people.names import Identity
from sim.people.plan import CarPlan

__all__ = ["Delivered", "Phone", "PumpHand", "Till", "World"]


class World(Protocol):
    """The part of a kernel that people live in."""

    @property
    def env(self) -> simpy.Environment:
        """The clock, integer microseconds."""

    @property
    def streams(self) -> Streams:
        """The run's seed."""

    @property
    def trace(self) -> Trace:
        """Where ``car.*`` events go."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """What the driver reads off the pump after hanging up. ``sequence`` counts the nozzle's deliveries from 1."""

    nozzle: int
    sequence: int
    volume_ml: int
    amount_fen: int


class PumpHand(Protocol):
    """The customer's hand at the nozzles of a station. Nozzles go by their station-wide number."""

    def lift(self, nozzle: int) -> bool:
        """Take the nozzle out of its boot."""

    def authorised(self, nozzle: int) -> Event:
        """Succeeds (None) as soon as the fuelling point may deliver."""

    def fill(self, nozzle: int, *, flow_ml_per_min: int, full_ml: int, wanted_ml: int) -> Event:
        """Squeeze until the automatic shut-off at ``full_ml``, the preset or the valve stops it; succeeds when it has.

        ``wanted_ml`` is what the preset should come to, for a pump that has none of its own.
        """

    def hang_up(self, nozzle: int) -> Event:
        """Put the nozzle back; succeeds with `Delivered`, or with None when nothing was delivered."""

    def price_fen_per_l(self, nozzle: int) -> int:
        """The price on the display."""


class Phone(Protocol):
    """A driver's phone with the mini-program."""

    def order(self, plan: CarPlan, who: Identity, nozzle: int) -> Event:
        """Order before fuelling (and pay, when pre-paid); succeeds with True when the pump will be authorised."""

    def pay(self, plan: CarPlan, who: Identity, nozzle: int, delivered: Delivered) -> Event:
        """Pay what was delivered (nothing to do when pre-paid); succeeds with True when the phone shows PAID."""

    def give_up(self, plan: CarPlan) -> None:
        """The driver got no fuel and drives on: an order that still holds the nozzle must let go of it."""

    def forget(self, plan: CarPlan) -> None:
        """The car has gone: stop listening once everything has come."""


class Till(Protocol):
    """The cashier's side of the kiosk."""

    def settle(self, plan: CarPlan, who: Identity, nozzle: int, delivered: Delivered) -> Event:
        """Take the money for a delivery; succeeds with True when it is booked."""
