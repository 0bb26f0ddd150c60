"""What the modelled wire and the HTTP network in memory add to the machines and applications on them.

Each group does the same work with and without the model, in one run; the ratio in brackets is the model's price.
"""

# ruff: noqa: D103, S101 - tests: a name says what is measured

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import simpy

from protocols.dart import PumpSide
from protocols.sansio import Outgoing
from sim.kernel import Trace, VirtualKernel
from sim.net import Network
from sim.wires import VirtualBus, VirtualLink

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

pytestmark = pytest.mark.bench

_POLLS = 1_000
_PERIOD_US = 62_500  # four addresses, each four times a second
_POLL, _EOT = b"\x50\x20\xfa", b"\x50\x70\xfa"
_REQUESTS = 200


class _Poller:
    """Sends a poll at each slot of the grid and counts what comes back."""

    def __init__(self) -> None:
        self.on_wake: Callable[[], None] | None = None
        self.answers = 0
        self._asked = 0
        self._due: list[Outgoing] = []

    def receive_data(self, data: bytes, now_us: int) -> None:
        del now_us
        self.answers += data == _EOT

    def data_to_send(self, now_us: int) -> list[Outgoing]:
        del now_us
        due, self._due = self._due, []
        return due

    def next_timer(self) -> int | None:
        return self._asked * _PERIOD_US if self._asked < _POLLS else None

    def handle_timer(self, now_us: int) -> None:
        if self._asked < _POLLS and now_us >= self._asked * _PERIOD_US:
            self._asked += 1
            self._due.append(Outgoing(_POLL))


def _hand_to_hand() -> int:
    poller, pump = _Poller(), PumpSide([0x50])
    while (now_us := poller.next_timer()) is not None:
        poller.handle_timer(now_us)
        for burst in poller.data_to_send(now_us):
            pump.receive_data(burst.data, now_us)
        for burst in pump.data_to_send(now_us):
            poller.receive_data(burst.data, now_us)
    return poller.answers


def _bare_simpy() -> int:
    """The three events that any model of an exchange needs: the slot, the poll's last character, the answer's."""
    env = simpy.Environment()
    answers = 0

    def exchanges() -> Generator[simpy.Event, None, None]:
        nonlocal answers
        for _ in range(_POLLS):
            yield env.timeout(3_438)
            yield env.timeout(3_438)
            answers += 1
            yield env.timeout(_PERIOD_US - 2 * 3_438)

    env.process(exchanges())
    env.run()
    return answers


def _on_a_bus() -> int:
    kernel = VirtualKernel(1, epoch_us=0, trace=Trace(enabled=False))
    bus = VirtualBus(kernel, "line", baud=9_600)
    poller = _Poller()
    bus.attach(poller, name="site", master=True)
    bus.attach(PumpSide([0x50]), name="pump", addresses=[0x50])
    kernel.run((_POLLS + 1) * _PERIOD_US)
    kernel.close()
    return poller.answers


def _on_a_link() -> int:
    kernel = VirtualKernel(1, epoch_us=0, trace=Trace(enabled=False))
    poller = _Poller()
    VirtualLink(kernel, "link", poller, PumpSide([0x50]), latency_us=200).connect()
    kernel.run((_POLLS + 1) * _PERIOD_US)
    kernel.close()
    return poller.answers


@pytest.mark.benchmark(group="wires: 1,000 idle polls and answers")
@pytest.mark.parametrize(
    "way",
    [_hand_to_hand, _bare_simpy, _on_a_bus, _on_a_link],
    ids=["machines hand to hand", "bare SimPy, three events each", "bus", "link"],
)
def test_idle_polls(benchmark: BenchmarkFixture, way: Callable[[], int]) -> None:
    assert benchmark(way) == _POLLS


async def _app(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    message = await receive()
    body = b'{"bytes":%d}' % len(message["body"])
    headers: Iterable[tuple[bytes, bytes]] = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _ask(transport: httpx.AsyncBaseTransport) -> int:
    told = 0
    async with httpx.AsyncClient(transport=transport, base_url="https://backend.station") as client:
        for _ in range(_REQUESTS):
            reply = await client.post("/v1/orders", json={"nozzle": 3})
            assert reply.status_code == 201
            told += reply.json()["bytes"]
    return told


def _straight() -> int:
    return asyncio.run(_ask(httpx.ASGITransport(_app)))


def _networked() -> int:
    kernel = VirtualKernel(1, epoch_us=0, trace=Trace(enabled=False))
    network = Network(kernel, is_traced=False)
    network.register("backend.station", _app)
    asked = kernel.task(_ask(network.transport("phone")))
    kernel.run()
    told = asked.value
    assert isinstance(told, int)
    assert network.requests == _REQUESTS
    assert kernel.now_us > 0
    kernel.close()
    return told


@pytest.mark.benchmark(group="http: 200 requests of one client")
@pytest.mark.parametrize("way", [_straight, _networked], ids=["httpx's ASGI transport", "network in memory"])
def test_requests(benchmark: BenchmarkFixture, way: Callable[[], int]) -> None:
    assert benchmark(way) == _REQUESTS * len(b'{"nozzle":3}')
