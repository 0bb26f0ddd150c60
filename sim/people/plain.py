"""The plain floor model: the same cars and the same floor with a pump, phone and till that only take their time.

No bytes, no backend: five simulated hours take a fraction of a second. It draws the curve over arrival rates, and it is what is
compared with queueing theory.
"""

from __future__ import annotations

from collections.abc import Mapping

import simpy
from simpy.events import Event

from sim.kernel import Streams, Trace
from sim.people.names import Identity
from sim.people.plan import CarPlan
from sim.people.ports import Delivered

__all__ = ["PlainHand", "PlainPhone", "PlainTill", "PlainWorld"]

_MINUTE_US = 60_000_000


class PlainWorld:
    """A SimPy environment with a seed and a trace, and nothing else."""

    def __init__(self, seed: str | int) -> None:
        self.env = simpy.Environment(initial_time=0)
        self.streams = Streams(seed)
        self.trace = Trace()
        self.trace.bind_clock(lambda: int(self.env.now))


class PlainHand:
    """Nozzles that are always authorised and deliver at the squeezed flow; presets are left to the driver."""

    def __init__(self, env: simpy.Environment, prices_fen_per_l: Mapping[int, int]) -> None:
        self._env = env
        self._prices = prices_fen_per_l
        self._sequence = dict.fromkeys(prices_fen_per_l, 0)
        self._delivered = dict.fromkeys(prices_fen_per_l, 0)

    def lift(self, nozzle: int) -> bool:
        """Start at zero."""
        self._delivered[nozzle] = 0
        return True

    def authorised(self, nozzle: int) -> Event:  # noqa: ARG002 - the port's signature
        """At once."""
        return self._env.event().succeed()

    def fill(self, nozzle: int, *, flow_ml_per_min: int, full_ml: int, wanted_ml: int) -> Event:
        """Volume over flow."""
        volume_ml = min(full_ml, wanted_ml)
        self._delivered[nozzle] = volume_ml
        return self._env.timeout(volume_ml * _MINUTE_US // flow_ml_per_min)

    def hang_up(self, nozzle: int) -> Event:
        """The delivery, or None when nothing flowed."""
        volume_ml = self._delivered[nozzle]
        if not volume_ml:
            return self._env.event().succeed(None)
        self._sequence[nozzle] += 1
        amount_fen = (volume_ml * self._prices[nozzle] + 500) // 1_000
        return self._env.event().succeed(Delivered(nozzle, self._sequence[nozzle], volume_ml, amount_fen))

    def price_fen_per_l(self, nozzle: int) -> int:
        """The price."""
        return self._prices[nozzle]


class PlainPhone:
    """A phone on which paying takes the payer's own time and nothing more."""

    def __init__(self, env: simpy.Environment) -> None:
        self._env = env

    def order(self, plan: CarPlan, who: Identity, nozzle: int) -> Event:  # noqa: ARG002
        """Ordered at once; a pre-payment takes the payer's time."""
        return self._env.timeout(plan.phone_pay_us if plan.prepaid else 0, True)

    def pay(self, plan: CarPlan, who: Identity, nozzle: int, delivered: Delivered) -> Event:  # noqa: ARG002
        """Paid after the payer's time."""
        return self._env.timeout(0 if plan.prepaid else plan.phone_pay_us, True)

    def give_up(self, plan: CarPlan) -> None:
        """Nothing holds a nozzle here."""

    def forget(self, plan: CarPlan) -> None:
        """Nothing to forget."""


class PlainTill:
    """A till that books at once; the cashier's time is in the car's plan."""

    def __init__(self, env: simpy.Environment) -> None:
        self._env = env

    def settle(self, plan: CarPlan, who: Identity, nozzle: int, delivered: Delivered) -> Event:  # noqa: ARG002
        """Booked."""
        return self._env.event().succeed(True)
