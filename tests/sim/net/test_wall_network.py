"""The same network on the wall clock."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from sim.kernel import WallKernel
from sim.latency import LatencyProfile
from sim.net import HttpFault, Network


def test_latency_and_timeouts_hold_on_the_wall_clock(make_till):
    async def play():
        kernel = WallKernel("wall")
        till = make_till()
        fault = HttpFault(kind="reply_lost", path="/lost")
        network = Network(kernel, latency=LatencyProfile.constant(5_000), faults=[fault])
        network.register("till.sim", till)
        transport = network.transport("phone")
        async with httpx.AsyncClient(transport=transport, base_url="https://till.sim", timeout=0.05) as http:
            sent_us = kernel.now_us
            reply = await http.post("/pay")
            took_us = kernel.now_us - sent_us
            with pytest.raises(httpx.ReadTimeout):
                await http.post("/lost")
        await network.aclose()
        await kernel.close()
        return reply.status_code, took_us, [path for _, path, _ in till.seen], network.faults[0].landed

    status, took_us, paths, landed = asyncio.run(play())
    assert (status, paths, landed) == (201, ["/pay", "/lost"], 1)
    assert took_us >= 9_900, "two legs of 5 ms (the loop's clock is coarse by a fraction of a millisecond)"
