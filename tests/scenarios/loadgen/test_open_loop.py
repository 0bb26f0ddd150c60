"""The load generator against a backend that freezes: an open loop shows what a closed one hides."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from scenarios.loadgen.client import AnyBackend, LoadError
from scenarios.loadgen.payments import PaymentLoad
from scenarios.loadgen.schedule import draw_schedule
from sim.kernel import Trace, VirtualKernel
from sim.net import Network

FREEZE_FROM_US, FREEZE_US = 6_000_000, 2_000_000
PER_S = 200
LATE_US = 300_000


class Stub:
    """A backend that answers at once, except that it freezes once for two seconds; it is the payer's phone, too."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.orders = 0

    async def __call__(self, scope, receive, send):
        while FREEZE_FROM_US <= self.kernel.now_us < FREEZE_FROM_US + FREEZE_US:
            await asyncio.sleep((FREEZE_FROM_US + FREEZE_US - self.kernel.now_us) / 1e6)
        path = scope["path"]
        body = {}
        if path == "/v1/sessions":
            body = {"openid": "o", "token": "t"}
        elif path == "/v1/orders":
            self.orders += 1
            body = {"order_id": f"ord_{self.orders}"}
        elif path.endswith("/pay"):
            body = {"out_trade_no": path, "prepay_id": "p"}
        data, kind = json.dumps(body).encode(), b"application/json"
        if path.endswith("/events"):
            await asyncio.sleep(4.0)  # longer than any press of the button is ahead
            order = json.dumps({"state": "PAID", "invoice": {"state": "issued"}})
            data, kind = f"event: order\ndata: {order}\n\n".encode(), b"text/event-stream"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
        await send({"type": "http.response.body", "body": data})


def play(scene, **limits):
    kernel = VirtualKernel("open-loop", epoch_us=1_700_000_000_000_000, trace=Trace(enabled=False))
    network = Network(kernel)
    network.register("backend.stub", Stub(kernel))
    transport = network.transport("load")
    backend = AnyBackend(["https://backend.stub"], clock_us=lambda: kernel.now_us, transport=transport)
    load = PaymentLoad(
        backend,
        httpx.AsyncClient(transport=transport, base_url="https://backend.stub"),
        station_key="k",
        clock_us=lambda: kernel.now_us,
        unix_us=lambda: kernel.unix_us,
        **limits,
    )
    told = []

    async def run():
        await load.prepare(1, 10)
        told.append(await scene(kernel, load, backend))

    kernel.spawn(run(), "load")
    kernel.run(60_000_000)
    kernel.close()
    return told[0]


@pytest.mark.requirement("perf.open-loop-measurement")
def test_a_freeze_of_two_seconds_makes_hundreds_of_late_samples():
    schedule = draw_schedule("s", per_s=PER_S, duration_s=8, stations=1)

    async def scene(kernel, load, backend):
        return await load.run(schedule, start_us=2_000_000)

    result = play(scene)
    assert result.dropped == 0
    assert len(result.samples) == len(schedule.arrivals)
    took = [sample.pay_replied_us - sample.intended_us for sample in result.samples]
    late = [value for value in took if value > LATE_US]
    # 1.7 of the two seconds at 200 a second, give or take the Poisson stream.
    assert 250 < len(late) < 450
    assert 1_900_000 < max(late) <= 2_100_000
    # It was the system that was slow, not the harness: intended starts did not move.
    assert max(sample.lag_us for sample in result.samples) < 10_000


@pytest.mark.requirement("perf.open-loop-measurement")
def test_a_closed_loop_would_have_shown_one():
    async def scene(kernel, load, backend):
        took = []
        while kernel.now_us < 10_000_000:
            started_us = kernel.now_us
            await backend.request("POST", "/v1/orders/x/pay", key="t")
            took.append(kernel.now_us - started_us)
            await asyncio.sleep(1 / PER_S)
        return took

    took = play(scene)
    assert len(took) > 500
    assert sum(value > LATE_US for value in took) == 1


@pytest.mark.requirement("perf.open-loop-measurement")
def test_arrivals_beyond_the_limit_are_dropped_and_counted_not_queued():
    schedule = draw_schedule("s", per_s=PER_S, duration_s=4, stations=1)

    async def scene(kernel, load, backend):
        return await load.run(schedule, start_us=2_000_000)

    result = play(scene, max_in_flight=100)
    assert result.dropped > 0
    assert result.dropped + len(result.samples) == len(schedule.arrivals)


def test_a_stopped_load_drains_what_is_under_way():
    schedule = draw_schedule("s", per_s=10, duration_s=60, stations=1)

    async def scene(kernel, load, backend):
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(3.0, stop.set)
        return await load.run(schedule, start_us=2_000_000, stop=stop)

    result = play(scene)
    assert 0 < len(result.samples) < 60
    assert all(sample.paid_us is not None and sample.error is None for sample in result.samples)
    assert {write.kind for write in result.writes} == {"sale", "order", "pay", "paid"}


def test_what_is_not_done_when_the_drain_ends_says_so():
    schedule = draw_schedule("s", per_s=10, duration_s=4, stations=1)

    async def scene(kernel, load, backend):
        return await load.run(schedule, start_us=2_000_000, drain_s=0.5)

    errors = [sample.error for sample in play(scene).samples]
    assert "not done when the load ended" in errors


def answering(status):
    calls = []

    def handle(request):
        calls.append(request.url.host)
        return httpx.Response(status if request.url.host == "a" else 200, json={"from": request.url.host})

    return calls, httpx.MockTransport(handle)


@pytest.mark.parametrize("status", [500, 503, 429])
def test_trouble_at_one_backend_goes_on_to_the_other(status):
    calls, transport = answering(status)

    async def main():
        backend = AnyBackend(["http://b", "http://a"], clock_us=lambda: 0, transport=transport)
        answer = await backend.request("POST", "/x", key="k", body={})
        await backend.aclose()
        return answer.body, backend.failovers, backend.in_flight

    assert asyncio.run(main()) == ({"from": "b"}, 1, [0, 0])
    assert calls == ["a", "b"]


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422])
def test_a_refusal_is_final(status):
    calls, transport = answering(status)

    async def main():
        backend = AnyBackend(["http://b", "http://a"], clock_us=lambda: 0, transport=transport)
        try:
            await backend.request("POST", "/x", key="k", body={})
        finally:
            await backend.aclose()

    with pytest.raises(LoadError, match=f"POST /x: {status}"):
        asyncio.run(main())
    assert calls == ["a"]


def test_a_broken_stream_goes_on_at_the_other_backend():
    def handle(request):
        if request.url.host == "a":
            raise httpx.ReadError("killed")
        return httpx.Response(200, content=b'event: order\ndata: {"state":\ndata: "PAID"}\n\n: comment\n\n')

    async def main():
        transport = httpx.MockTransport(handle)
        backend = AnyBackend(["http://b", "http://a"], clock_us=lambda: 0, transport=transport)
        events = backend.events("/e", key="k")
        first = await anext(events)
        await events.aclose()
        await backend.aclose()
        return first.name, first.data, backend.failovers

    assert asyncio.run(main()) == ("order", {"state": "PAID"}, 1)
