"""A request that an application makes while it serves another one carries the number of that one as its cause."""

from __future__ import annotations

import httpx

from sim.kernel import Trace, VirtualKernel
from sim.net import Network


async def leaf(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def test_cause_follows_the_chain_and_not_the_clock():
    trace = Trace()
    kernel = VirtualKernel(1, epoch_us=0, trace=trace)
    events = []
    trace.listen(events.append)
    network = Network(kernel)

    async def middle(scope, receive, send):
        async with httpx.AsyncClient(transport=network.transport("middle")) as client:
            await client.get("https://leaf/called")
        await leaf(scope, receive, send)

    network.register("middle", middle)
    network.register("leaf", leaf)

    async def main():
        async with httpx.AsyncClient(transport=network.transport("phone")) as client:
            await client.get("https://leaf/direct")
            await client.get("https://middle/outer")

    kernel.spawn(main(), "main")
    kernel.run(1_000_000)
    kernel.close()
    http = {event["path"]: event for event in events if event["kind"] == "http"}
    assert http["/direct"]["cause"] is None
    assert http["/outer"]["cause"] is None
    assert http["/called"]["cause"] == http["/outer"]["number"]
