"""An IFSF station on real sockets: the site controller finds its dispensers by their heartbeats; a line is cut by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx

from reference.site import SiteController
from reference.site.pumps.events import PointState
from reference.site.pumps.ifsf.nodes import NodeHost
from reference.site.pumps.lines import monotonic_us
from scenarios.loader import load
from scenarios.model import Line
from scenarios.world.keys import run_keys
from scenarios.world.real import RealWorld
from scenarios.world.translate import site_config


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)


def test_a_node_is_found_served_cut_and_found_again() -> None:
    smoke = load("smoke").scenario
    points = [{"fuelling_point": number, "address": 0x20 + number} for number in (1, 2)]
    line = Line.model_validate({"name": "node", "protocol": "ifsf", "framing": "tcp", "points": points})
    station = smoke.station.model_copy(update={"lines": (line,)})
    world = RealWorld(smoke.model_copy(update={"station": station}), "real", run_keys(), captures=True)

    async def main() -> None:
        endpoints = await world.start()
        assert endpoints.lines["node"].startswith("127.255.255.255:")
        config = site_config(station, dict(endpoints.lines), station_key="k" * 8)
        site = SiteController(
            config,
            clock_us=monotonic_us,
            http_transport=None,
            journal_path=":memory:",
            base_urls=[],
            station_key="k",
        )
        driver: Any = site.drivers[0]
        address, _, port = endpoints.lines["node"].partition(":")
        host = NodeHost(driver, monotonic_us, broadcast=(address, int(port)), redial_s=0.05)
        await site.start()
        host.start()

        def state(number: int) -> PointState:
            return driver.status(number).state

        try:
            async with httpx.AsyncClient(base_url=endpoints.control, trust_env=False) as control:
                await until(lambda: [state(1), state(2)] == [PointState.IDLE] * 2)
                (await control.post("/nozzles/1/lift")).raise_for_status()
                await until(lambda: state(1) is PointState.STARTED)
                (await control.post("/lines/node/cut")).raise_for_status()
                await until(lambda: state(1) is PointState.OFFLINE)
                (await control.post("/lines/node/join")).raise_for_status()
                await until(lambda: state(1) is PointState.STARTED)
        finally:
            await host.stop()
            await site.stop()
            await world.stop()
        assert len(world.captures[0]) > 50

    asyncio.run(main())
