"""The ways onto the network beside httpx: a client without layers, and a transport that carries plain requests."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from sim.latency import LatencyProfile
from sim.net import HttpFault, Network
from sim.net.place import Place, Places

LEG = LatencyProfile.constant(10_000)


@pytest.fixture
def network(run, till):
    network = Network(run.kernel, latency=LEG)
    network.register("till.sim", till)
    till.now_us = network.now_us
    return network


class Ear:
    """Keeps what reached it."""

    def __init__(self):
        self.heard = []

    async def __call__(self, scope, receive, send):
        body = (await receive())["body"]
        known = {name: value for name, value in scope["headers"] if name not in _OF_HTTPX}
        kept = {
            name: scope[name] for name in ("method", "path", "raw_path", "query_string", "scheme", "server")
        }
        self.heard.append((kept, known, body))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b'{"heard":true}'})


_OF_HTTPX = frozenset({b"accept", b"accept-encoding", b"connection", b"user-agent"})


@pytest.mark.parametrize(
    ("method", "path", "more"),
    [
        ("GET", "/v1/orders/ord_1", {"headers": {"Authorization": "Bearer t"}}),
        ("GET", "/v1/sales", {"params": {"state": "payable", "of": "92 #"}}),
        ("POST", "/v1/orders", {"json": {"title": "张三", "fen": 15_200, "none": None}}),
        ("POST", "/v1/a b/%41/加油", {"json": {}}),
        ("PUT", "/plain", {"content": b"\x00\xff"}),
        ("POST", "/empty?wait_ms=5", {}),
    ],
)
def test_all_ways_put_the_same_request_onto_the_network(run, network, method, path, more):
    ear = Ear()
    network.register("till.sim", ear)
    transport = network.transport("phone")

    async def shop():
        async with httpx.AsyncClient(transport=transport, base_url="https://till.sim") as http:
            await http.request(method, path, **more)
            sent = http.build_request(method, path, **more)
        reply = await network.client("phone", "till.sim").request(method, path, **more)
        assert (reply.status_code, reply.json(), reply.text) == (200, {"heard": True}, '{"heard":true}')
        own = [
            (name, value)
            for name, value in sent.headers.raw
            if name.lower() not in {*_OF_HTTPX, b"host", b"content-length"}
        ]
        own = [(name.lower(), value) for name, value in own]
        return await transport.carry(method, str(sent.url), own, sent.content, 5.0)

    status, _, body = run.go(shop())
    assert (status, body) == (200, b'{"heard":true}')
    first, second, third = ear.heard
    assert first == second == third
    requests = [{**event, "t_us": 0, "number": 0} for event in run.of("http")]
    for event in requests:
        event["replied_us"] -= event["sent_us"]
        event["arrived_us"] -= event["sent_us"]
        event["sent_us"] = 0
    assert requests[0] == requests[1] == requests[2]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "request_lost"}, httpx.ReadTimeout),
        ({"kind": "reply_lost"}, httpx.ReadTimeout),
        ({"kind": "reset"}, httpx.ReadError),
        ({"kind": "reset", "when": "after"}, httpx.ReadError),
        ({"kind": "host_down"}, httpx.ConnectError),
        ({"kind": "unreachable"}, httpx.ConnectTimeout),
    ],
)
def test_every_fault_looks_the_same_on_all_ways(run, till, fault, error):
    network = Network(run.kernel, latency=LEG, faults=[HttpFault(**fault)])
    network.register("till.sim", till)
    transport = network.transport("phone")
    took_us = []

    async def ask(way):
        since_us = network.now_us()
        with pytest.raises(error):
            await way
        took_us.append(network.now_us() - since_us)

    async def shop():
        async with httpx.AsyncClient(transport=transport, base_url="https://till.sim", timeout=5) as http:
            await ask(http.get("/pay"))
        await ask(network.client("phone", "till.sim").request("GET", "/pay"))
        await ask(transport.carry("GET", "https://till.sim/pay", [], b"", 5.0))

    run.go(shop())
    assert took_us[0] == took_us[1] == took_us[2]
    outcomes = [(event["outcome"], event["status"]) for event in run.of("http")]
    assert len(set(outcomes)) == 1


def test_a_carried_request_has_one_limit_for_the_whole_reply(run, till, network):
    """/stream says something each second: every piece is in time, the whole is not."""
    transport = network.transport("site")

    async def shop():
        with pytest.raises(httpx.ReadTimeout):
            await transport.carry("GET", "https://till.sim/stream", [], b"", 3.5)
        gave_up_us = network.now_us()
        status, _, body = await transport.carry("GET", "https://till.sim/slow", [], b"", 3.5)
        assert (status, body) == (201, b'{"paid":2}')
        return gave_up_us

    assert run.go(shop()) == 3_500_000
    assert till.disconnected_at_us == 3_510_000


def test_the_read_timeout_counts_from_the_last_piece(run, till, network):
    """The timer is left standing over the pieces that come in time; it must still strike when none comes."""

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for pause_s in (1.0, 1.4, 0.2, 60.0):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            await asyncio.sleep(pause_s)

    network.register("till.sim", app)
    pieces = []

    async def shop():
        limits = httpx.Timeout(5.0, read=1.5)
        async with network.client("phone", "till.sim").stream("GET", "/", timeout=limits) as reply:
            assert reply.status_code == 200
            async for piece in reply.aiter_bytes():
                pieces.append((network.now_us(), piece))  # noqa: PERF401 - what came before the error counts

    with pytest.raises(httpx.ReadTimeout):
        run.go(shop())
    assert [at_us for at_us, _ in pieces] == [20_000, 1_020_000, 2_420_000, 2_620_000]
    assert run.of("http.end")[0]["t_us"] == 2_620_000 + 1_500_000


def test_hanging_up_reaches_the_application(run, till, network):
    async def shop():
        async with network.client("phone", "till.sim").stream("GET", "/stream") as reply:
            async for _ in reply.aiter_bytes():
                return

    run.go(shop())
    assert till.disconnected_at_us == 20_000 + 10_000
    assert [event["outcome"] for event in run.of("http.end")] == ["closed"]


def test_what_is_no_json_is_a_value_error(run, network):
    async def shop():
        reply = await network.client("phone", "till.sim").request("GET", "/broken")
        assert reply.status_code == 500
        with pytest.raises(ValueError, match="malformed"):
            reply.json()
        with pytest.raises(httpx.ConnectError):
            await network.client("phone", "nobody.sim").post("/")

    run.go(shop())


@pytest.mark.parametrize(
    "url",
    [
        "https://till.sim/v1/notify/wechatpay",
        "https://till.sim:8443/v1/notify?x=1",
        "http://till.sim",
        "https://till.sim/a%20b/%E5%8A%A0",
    ],
)
def test_a_client_without_a_host_takes_whole_urls_as_httpx_does(run, network, url):
    ear = Ear()
    network.register("till.sim", ear)
    headers = {"Content-Type": "application/json"}

    async def tell():
        async with httpx.AsyncClient(transport=network.transport("gateway")) as http:
            await http.post(url, content=b"{}", headers=headers)
        anywhere = network.client("gateway")
        for _ in range(2):
            assert (await anywhere.post(url, content=b"{}", headers=headers)).status_code == 200

    run.go(tell())
    assert ear.heard[0] == ear.heard[1] == ear.heard[2]


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("/v1/notify", httpx.InvalidURL),
        ("https://nobody.sim/", httpx.ConnectError),
        ("https://:1/", httpx.InvalidURL),
    ],
)
def test_a_client_without_a_host_needs_to_be_told_one(run, network, url, error):
    async def tell():
        with pytest.raises(error):
            await network.client("gateway").post(url)

    run.go(tell())


@pytest.mark.parametrize(
    "url",
    [
        "https://till.sim",
        "https://till.sim/",
        "https://TILL.sim:8443/a/b",
        "http://till.sim/a?b=c&d=1-2",
        "https://till.sim/a/../b",
        "https://till.sim/.well-known/x",
        "https://till.sim//a",
        "https://till.sim/a b?c=d e",
        "https://till.sim?x=/y",
        "https://till.sim#/y",
        "https://till.sim/a#b",
        "https://till.sim/%41/加油?q=%23",
        "https://u:p@till.sim/a",
        "https://[::1]/a",
    ],
)
def test_a_url_is_taken_apart_as_httpx_does_it(url):
    places = Places()
    for _ in range(2):  # the second time its host is known
        known, whole = places.of("", url), Place.of(httpx.URL(url))
        assert [getattr(known, name) for name in Place.__slots__] == [
            getattr(whole, name) for name in Place.__slots__
        ]


@pytest.mark.parametrize("url", ["/pay", "till.sim/pay", "", "https:///pay"])
def test_a_url_without_a_host_leads_nowhere(url):
    with pytest.raises(httpx.InvalidURL):
        Places().of("", url)


def test_a_carried_request_that_is_cancelled_in_mid_reply_is_ended(run, till, network):
    """The far side hears of it, and the trace has its end."""
    transport = network.transport("site")

    async def shop():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.5):
                await transport.carry("GET", "https://till.sim/stream", [], b"", 60.0)

    run.go(shop())
    assert till.disconnected_at_us == 2_510_000
    assert len(run.of("http.end")) == 1
