from __future__ import annotations

import asyncio
import contextvars

import fastapi
import httpx
import pytest
from fastapi.responses import StreamingResponse

from sim.kernel import KernelError
from sim.latency import LatencyProfile
from sim.net import HttpFault, Network, NetworkError


def client(network, **options):
    options.setdefault("timeout", None)
    return httpx.AsyncClient(transport=network.transport("phone"), base_url="https://till.sim", **options)


@pytest.fixture
def make_network(run, till):
    def make(*faults, latency=None, processing=None):
        network = Network(run.kernel, latency=latency or LatencyProfile.constant(10_000), faults=faults)
        network.register("till.sim", till, processing=processing)
        till.now_us = network.now_us
        return network

    return make


def test_a_request_takes_both_legs_and_the_processing_delay(run, till, make_network):
    network = make_network(processing=LatencyProfile.constant(5_000))

    async def shop():
        async with client(network) as http:
            reply = await http.post("/pay?x=1", content=b"42")
            return reply, network.now_us()

    reply, now_us = run.go(shop())
    assert (reply.status_code, reply.json()) == (201, {"paid": 1})
    assert till.seen == [("POST", "/pay", b"42")]
    assert now_us == 25_000
    (event,) = run.of("http")
    assert event == {
        "t_us": 25_000,
        "kind": "http",
        "entity": "till.sim",
        "client": "phone",
        "method": "POST",
        "path": "/pay",
        "status": 201,
        "outcome": "ok",
        "sent_us": 0,
        "arrived_us": 10_000,
        "replied_us": 15_000,
        "number": 1,
        "cause": None,
    }


def test_a_fastapi_application_runs_unchanged(run):
    app = fastapi.FastAPI()

    @app.post("/orders/{order}")
    async def order(order: str, body: dict[str, int], request: fastapi.Request) -> dict[str, object]:
        return {
            "order": order,
            "fen": body["fen"],
            "host": request.url.hostname,
            "q": request.query_params["q"],
        }

    network = Network(run.kernel)
    network.register("backend.station", app)

    async def shop():
        async with httpx.AsyncClient(
            transport=network.transport("phone"), base_url="https://backend.station"
        ) as http:
            good = await http.post("/orders/号%201", params={"q": "a b"}, json={"fen": 5})
            bad = await http.post("/orders/1", params={"q": "a"}, json={"fen": "x"})
            return good, bad

    good, bad = run.go(shop())
    assert good.json() == {"order": "号 1", "fen": 5, "host": "backend.station", "q": "a b"}
    assert bad.status_code == 422


def test_a_timeout_shorter_than_the_application_is_a_read_timeout_on_the_virtual_clock(
    run, till, make_network
):
    network = make_network()

    async def shop():
        async with client(network, timeout=2.0) as http:
            with pytest.raises(httpx.ReadTimeout, match=r"till\.sim did not reply in time"):
                await http.get("/slow")
            return network.now_us()

    assert run.go(shop()) == 2_000_000
    assert till.seen == [("GET", "/slow", b"")]
    assert [event["outcome"] for event in run.of("http")] == ["timeout"]


def test_a_client_that_gives_up_by_itself_is_traced_as_cancelled(run, till, make_network):
    network = make_network()

    async def shop():
        async with client(network) as http:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(http.get("/slow"), 1)

    run.go(shop())
    assert [event["outcome"] for event in run.of("http")] == ["cancelled"]
    assert len(till.seen) == 1


def test_giving_up_in_the_middle_of_a_stream_reaches_the_application(run, till, make_network):
    network = make_network()

    async def shop():
        async with client(network) as http:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(http.get("/stream"), 1.5)

    run.go(shop())
    assert till.disconnected_at_us == 1_510_000


def test_a_stream_arrives_piece_by_piece_and_a_hang_up_reaches_the_application(run, till, make_network):
    network = make_network()

    async def shop():
        arrivals = []
        async with client(network) as http, http.stream("GET", "/stream") as reply:
            assert reply.headers["content-type"] == "text/event-stream"
            async for line in reply.aiter_lines():
                if line:
                    arrivals.append((network.now_us(), line))
                if len(arrivals) == 3:
                    break
        return arrivals

    assert run.go(shop()) == [(20_000, "data: 0"), (1_020_000, "data: 1"), (2_020_000, "data: 2")]
    assert till.disconnected_at_us == 2_020_000 + 10_000
    assert [event["outcome"] for event in run.of("http.end")] == ["closed"]


def test_a_stream_read_to_its_end_is_complete(run, till, make_network):
    network = make_network()

    async def shop():
        async with client(network) as http:
            return (await http.get("/stream")).text

    assert run.go(shop()) == "".join(f"data: {number}\n\n" for number in range(10))
    assert [event["outcome"] for event in run.of("http.end")] == ["ok"]
    assert network.app_errors == type(network.app_errors)()


def test_a_starlette_stream_stops_when_the_client_leaves(run):
    app = fastapi.FastAPI()
    stopped = []

    @app.get("/events")
    async def events() -> StreamingResponse:
        async def source():
            try:
                while True:
                    yield "event: live\n\n"
                    await asyncio.sleep(1)
            finally:
                stopped.append(network.now_us())

        return StreamingResponse(source(), media_type="text/event-stream")

    network = Network(run.kernel)
    network.register("backend.station", app)

    async def shop():
        transport = network.transport("phone")
        async with (
            httpx.AsyncClient(transport=transport) as http,
            http.stream("GET", "https://backend.station/events") as reply,
        ):
            async for _ in reply.aiter_lines():
                break

    run.go(shop())
    assert stopped == [3_000], "one leg there, one back, one for the hang-up"


def test_the_read_timeout_holds_between_pieces(run, till, make_network):
    network = make_network()

    async def shop():
        async with client(network, timeout=0.5) as http, http.stream("GET", "/stream") as reply:
            with pytest.raises(httpx.ReadTimeout):
                await reply.aread()
            return network.now_us()

    assert run.go(shop()) == 520_000
    assert [event["outcome"] for event in run.of("http.end")] == ["timeout"]


@pytest.mark.parametrize(
    ("path", "error"), [("/broken", "LookupError: no such till"), ("/silent", "returned before")]
)
def test_an_application_that_fails_answers_500_and_is_remembered(run, make_network, path, error):
    network = make_network()

    async def shop():
        async with client(network) as http:
            return (await http.get(path)).status_code

    assert run.go(shop()) == 500
    assert [(each.host, each.path) for each in network.app_errors] == [("till.sim", path)]
    assert error in run.of("http.app_error")[0]["error"]


def test_an_application_that_fails_in_mid_reply_breaks_the_connection(run, make_network):
    network = make_network()

    async def shop():
        async with client(network) as http:
            with pytest.raises(httpx.ReadError):
                await http.get("/half")

    run.go(shop())
    assert len(network.app_errors) == 1


def test_an_application_that_wants_a_thread_ends_the_run(run):
    async def app(scope, receive, send):
        await asyncio.get_running_loop().run_in_executor(None, len, "from a thread")

    network = Network(run.kernel)
    network.register("till.sim", app)

    async def shop():
        async with client(network) as http:
            await http.get("/")

    with pytest.raises(KernelError, match="thread"):
        run.go(shop())


def test_an_unknown_host_cannot_be_connected(run, make_network):
    network = make_network()

    async def shop():
        async with client(network) as http:
            with pytest.raises(httpx.ConnectError, match=r"no host 'nowhere\.sim'"):
                await http.get("https://nowhere.sim/")

    run.go(shop())


def test_a_killed_host_resets_what_it_was_doing_and_refuses_until_it_is_restored(
    run, till, make_till, make_network
):
    network = make_network()
    fresh = make_till()

    async def shop():
        seen = []
        async with client(network) as http:
            run.kernel.call_at(1_000_000, network.kill, "till.sim")
            run.kernel.call_at(5_000_000, network.restore, "till.sim", fresh)
            with pytest.raises(httpx.ReadError):
                await http.get("/slow")
            seen.append(network.now_us())
            with pytest.raises(httpx.ConnectError):
                await http.get("/pay")
            seen.append(network.now_us())
            await asyncio.sleep(5)
            await http.get("/pay")
        return seen

    assert run.go(shop()) == [1_010_000, 1_030_000]
    assert len(till.seen) == len(fresh.seen) == 1
    with pytest.raises(NetworkError, match=r"there are: till\.sim"):
        network.kill("till")


def test_a_host_killed_in_mid_stream_breaks_the_stream_after_what_was_on_its_way(run, make_network):
    network = make_network()
    run.kernel.call_at(2_015_000, network.kill, "till.sim")

    async def read(reply, lines):
        async for line in reply.aiter_lines():
            lines.extend([line] if line else [])

    async def shop():
        lines = []
        async with client(network) as http, http.stream("GET", "/stream") as reply:
            with pytest.raises(httpx.ReadError):
                await read(reply, lines)
        return lines, network.now_us()

    lines, now_us = run.go(shop())
    assert lines == ["data: 0", "data: 1", "data: 2"], "the third left at 2.010 s and was already on its way"
    assert now_us == 2_025_000
    assert [event["outcome"] for event in run.of("http.end")] == ["reset"]


def test_requests_of_one_instant_are_served_side_by_side(run, till, make_network):
    network = make_network()

    async def shop():
        async with client(network) as http:
            replies = await asyncio.gather(*(http.get("/slow") for _ in range(50)))
        return [reply.json()["paid"] for reply in replies], network.now_us()

    paid, now_us = run.go(shop())
    assert now_us == 3_020_000
    assert paid == [50] * 50


def test_an_application_does_not_see_the_clients_context(run):
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="server")
    seen = []

    async def app(scope, receive, send):
        seen.append(name.get())
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    network = Network(run.kernel)
    network.register("till.sim", app)

    async def shop():
        name.set("client")
        async with client(network) as http:
            assert (await http.get("/")).status_code == 204

    run.go(shop())
    assert seen == ["server"]


def test_a_host_name_with_a_scheme_is_refused(run):
    with pytest.raises(NetworkError, match="without scheme"):
        Network(run.kernel).register("https://till.sim", None)


def test_one_seed_gives_one_trace_and_another_seed_another(make_run, make_till):
    def play(seed):
        run = make_run(seed)
        faults = [
            HttpFault(kind="late", delay_us=70_000, probability=0.3),
            HttpFault(kind="reply_lost", probability=0.1),
        ]
        network = Network(run.kernel, latency=LatencyProfile.lognormal(20_000, 80_000), faults=faults)
        network.register("till.sim", make_till(), processing=LatencyProfile.exponential(30_000))

        async def shop(name):
            transport = network.transport(name)
            async with httpx.AsyncClient(transport=transport, base_url="https://till.sim", timeout=1) as http:
                for _ in range(20):
                    try:
                        await http.post("/pay")
                    except httpx.ReadTimeout:
                        continue

        async def shops():
            await asyncio.gather(*(shop(f"phone-{number}") for number in range(5)))

        run.go(shops())
        return run.kernel.trace.hexdigest(), [fault.landed for fault in network.faults]

    first = play(1)
    assert first == play(1)
    assert play(2)[0] != first[0]
    assert all(landed > 3 for landed in first[1])
