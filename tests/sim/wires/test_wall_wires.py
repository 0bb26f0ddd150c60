"""The modelled wires on the wall clock: the same bytes in the same order, at real times that are never early."""

from __future__ import annotations

import asyncio
import itertools

from protocols.sansio import Outgoing
from sim.kernel import WallKernel
from sim.wires import Capture, VirtualBus, VirtualLink


def test_a_bus_and_a_link_run_on_the_wall_clock(countdown, scripted):
    async def play():
        kernel = WallKernel("wall")
        capture = Capture("line")
        bus = VirtualBus(kernel, "line", baud=115_200, capture=capture)
        asker, answerer = countdown(serve=9), countdown()
        bus.attach(asker, name="asker")
        bus.attach(answerer, name="answerer")
        a, b = scripted(), scripted()
        VirtualLink(kernel, "tcp", a, b, latency_us=2_000)

        async def operator():
            await asyncio.sleep(0.01)
            a._due.append(Outgoing(b"go"))
            a.on_wake()
            sent_us = kernel.now_us
            while not (b.heard and asker.is_done and answerer.is_done):
                await asyncio.sleep(0.001)
            kernel.stop()
            return sent_us

        operating = asyncio.create_task(operator())
        await kernel.run(30_000_000)
        sent_us = await operating
        await kernel.close()
        return list(capture), b.heard, sent_us, bus

    frames, heard, sent_us, bus = asyncio.run(play())
    assert [frame.data for frame in frames] == [bytes([number]) for number in range(9, -1, -1)]
    times = [frame.t_us for frame in frames]
    assert all(later - earlier >= bus.burst_us(1) for earlier, later in itertools.pairwise(times))
    ((at_us, data),) = heard
    assert data == b"go"
    assert at_us >= sent_us + 1_900
