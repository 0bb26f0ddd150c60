"""The station's own cars in a measured minute: real nozzles over the control API, real phones and tills over HTTP."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, Final

import httpx
from simpy.events import Event

from scenarios.demand import demand_profile, positions
from scenarios.measured.hand import RemoteHand
from scenarios.model import Scenario
from scenarios.timings import CarLog, PhoneLatencies, phone_latencies
from scenarios.world.real import Endpoints
from sim.kernel import Trace, WallKernel
from sim.people import Car, DemandProfile, Kiosk, Payers, Phones, StationFloor, StepProfile, Steps, draw_car

__all__ = ["MeasuredCars", "hurried"]

_HURRY: Final = 20
"""Human steps take a twentieth of their time: they are never judged, and a visit must end within a minute."""

_FILL_ML: Final = 6_000
_LONGEST_US: Final = 90_000_000
"""A hurried visit takes about half a minute; a car that has not left a minute and a half after the last one came is stuck."""

_LINGER_US: Final = 4_000_000
"""Phones listen this long after their car has gone: an invoice takes 3 s at most."""


def hurried(profile: DemandProfile) -> DemandProfile:
    """The same drivers in a hurry, with small fills: what is measured is the chain, not the driver.

    Human steps take a twentieth of the scenario's time, and fills end at about 6 litres (ten seconds at full flow).
    """
    steps = {
        name: StepProfile(step.median_us // _HURRY, step.sigma)
        for name in Steps.__slots__
        if isinstance(step := getattr(profile.steps, name), StepProfile)
    }
    fills = replace(
        profile.fills,
        mean_ml=_FILL_ML,
        sd_ml=500,
        min_ml=5_000,
        max_ml=2 * _FILL_ML,
        amounts_fen=((5_000, 1.0),),
        volumes_ml=((_FILL_ML, 1.0),),
    )
    return replace(profile, fills=fills, steps=Steps(**steps))


class MeasuredCars:
    """Some cars at the station of a real world, spread evenly over a time.

    Args:
        scenario: station and demand.
        seed: who comes.
        endpoints: of the world.
        urls: of the backends.
        station_key: for the till.

    Attributes:
        outcomes: how many visits ended how (`sim.people.Crowd`); ``unfinished`` are those that did not end in time.
        log: what happened to each car.
    """

    def __init__(
        self, scenario: Scenario, seed: str, endpoints: Endpoints, urls: Sequence[str], *, station_key: str
    ) -> None:
        self._scenario = scenario
        self._seed = seed
        self._endpoints = endpoints
        self._urls = tuple(urls)
        self._station_key = station_key
        self.outcomes: Counter[str] = Counter()
        self.log = CarLog()

    async def run(self, cars: int, spread_us: int) -> None:
        """Send cars and wait until the last has gone, or until none can be expected to end any more.

        Raises:
            KernelError: the harness's own side of it went wrong.
        """
        trace = Trace()
        trace.listen(self.log)
        async with AsyncExitStack() as stack:
            kernel = WallKernel(self._seed, trace=trace)
            stack.push_async_callback(kernel.close)
            ports = await self._ports(kernel, stack)
            floor = StationFloor(
                kernel.env, positions(self._scenario), cashiers=self._scenario.station.cashiers
            )
            profile = hurried(demand_profile(self._scenario.demand))
            left = cars

            def visit(number: int) -> Generator[Event, Any, None]:
                nonlocal left
                yield kernel.env.timeout(number * spread_us // max(1, cars))
                plan = draw_car(profile, self._seed, number)
                outcome: str = yield from Car(kernel, floor, plan, **ports).run()
                self.outcomes[outcome] += 1
                left -= 1
                if not left:
                    kernel.call_later(_LINGER_US + 1_000_000, kernel.stop)

            for number in range(cars):
                kernel.process(visit(number))
            await kernel.run(spread_us + _LONGEST_US)
            if left:
                self.outcomes["unfinished"] += left

    async def _ports(self, kernel: WallKernel, stack: AsyncExitStack) -> dict[str, Any]:
        async def client(url: str) -> httpx.AsyncClient:
            return await stack.enter_async_context(
                httpx.AsyncClient(base_url=url, timeout=10.0, trust_env=False)
            )

        station = self._scenario.station
        clients = [await client(url) for url in self._urls]
        till = None
        if station.cashiers:
            tills = [await client(url) for url in self._urls]
            till = Kiosk(kernel, tills, station_key=self._station_key, station=station.id)
        payers = Payers(await client(self._endpoints.payer))
        phones = Phones(kernel, clients, payers, station.id, linger_us=_LINGER_US)
        stack.push_async_callback(phones.aclose)
        return {
            "hand": RemoteHand(kernel, await client(self._endpoints.control), self._scenario),
            "phone": phones,
            "till": till,
        }

    def latencies(self) -> PhoneLatencies:
        """What these drivers' phones saw."""
        return phone_latencies(self.log.phone)
