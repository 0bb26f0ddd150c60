"""A fill in virtual time and over real sockets: heartbeats, two connections each dialled by its speaker, the same messages."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from protocols.ifsf import Endpoint, NodeMachine
from protocols.sansio import Outgoing
from reference.site.config import LineConfig
from reference.site.pumps.events import DriverEvent, LineUp, NozzleLifted, SaleCaptured
from reference.site.pumps.ifsf.driver import IfsfDriver
from reference.site.pumps.ifsf.nodes import NodeHost as SiteHost
from sim.dispenser import Dispenser, FuellingPoint, IfsfDispenser, Nozzle, Tank
from sim.kernel import VirtualKernel
from sim.wires import Capture, NodeHost, VirtualNodes

S = 1_000_000
BROADCAST = "127.255.255.255"
STOP_US = 30 * S


class Parts:
    """Both ends of a line, and what each of them said."""

    def __init__(self) -> None:
        self.fp = FuellingPoint(
            1,
            [Nozzle(logical=1, nozzle_id=11, grade="95", tank=Tank(1, "95"), price_fen_per_l=800)],
        )
        self.node = IfsfDispenser(Dispenser([self.fp]))
        point = {
            "fuelling_point": 1,
            "address": 0x21,
            "nozzles": [{"nozzle": 11, "grade": "95", "price_fen_per_l": 868}],
        }
        self.driver = IfsfDriver(LineConfig.model_validate({"protocol": "ifsf", "fuelling_points": [point]}))
        self.events: list[DriverEvent] = []
        self.driver.listener = self.hear
        self.hands: list[tuple[int, Callable[[int], object]]] = [
            (2 * S, lambda now_us: self.fp.lift(1, now_us)),
            (4 * S, lambda now_us: self.fp.squeeze(now_us, 35_000)),
            (18 * S, self.fp.hang_up),
        ]

    def hear(self, event: DriverEvent) -> None:
        self.events.append(event)
        if isinstance(event, NozzleLifted):
            self.driver.authorise(1, 11, preset_fen=6_000)

    def sales(self) -> list[tuple[int, int, int, int]]:
        return [
            (sale.volume_ml, sale.amount_fen, sale.started_us, sale.ended_us)
            for sale in self.events
            if isinstance(sale, SaleCaptured)
        ]


def in_virtual_time() -> tuple[Parts, dict[str, bytes]]:
    parts = Parts()
    kernel = VirtualKernel("1", epoch_us=0)
    capture = Capture("node")
    VirtualNodes(
        kernel, "node", parts.driver, parts.node, latency_us=0, names=("site", "pump"), capture=capture
    )
    for at_us, hand in parts.hands:
        kernel.call_at(at_us, hand, at_us)
    kernel.run(STOP_US)
    kernel.close()
    return parts, {
        name: b"".join(frame.data for frame in capture if frame.sender == name) for name in ("site", "pump")
    }


class Counted:
    """A node that counts what it said and what came in, so that a test knows when the sockets are empty."""

    def __init__(self, machine: NodeMachine, news: asyncio.Event) -> None:
        self.inner: Any = machine
        self.said = bytearray()
        self.heard = 0
        self.shouted = 0
        self.datagrams = 0
        self._news = news

    def receive_data(self, data: bytes, now_us: int) -> None:
        self.heard += len(data)
        self._news.set()
        self.inner.receive_data(data, now_us)

    def data_to_send(self, now_us: int) -> list[Outgoing]:
        out: list[Outgoing] = self.inner.data_to_send(now_us)
        self.said += b"".join(one.data for one in out)
        return out

    def receive_datagram(self, data: bytes, now_us: int) -> None:
        self.datagrams += 1
        self._news.set()
        self.inner.receive_datagram(data, now_us)

    def datagrams_to_send(self, now_us: int) -> list[bytes]:
        out: list[bytes] = self.inner.datagrams_to_send(now_us)
        self.shouted += len(out)
        return out

    def accepted(self, now_us: int) -> None:
        self._news.set()
        self.inner.accepted(now_us)

    def connection_made(self, now_us: int) -> None:
        self._news.set()
        self.inner.connection_made(now_us)

    @property
    def on_wake(self) -> Callable[[], None] | None:
        wake: Callable[[], None] | None = self.inner.on_wake
        return wake

    @on_wake.setter
    def on_wake(self, wake: Callable[[], None] | None) -> None:
        self.inner.on_wake = wake

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


async def over_sockets() -> tuple[Parts, dict[str, bytes]]:
    """The clock stands still until everything that was sent has arrived; then it goes on to what is due next."""
    parts = Parts()
    news = asyncio.Event()
    now_us = 0
    site, pump = Counted(parts.driver, news), Counted(parts.node, news)
    machines: list[Any] = [site, pump]
    near = SiteHost(machines[0], lambda: now_us, broadcast=(BROADCAST, 0), name="site")
    await near.open()
    far = NodeHost(machines[1], lambda: now_us, broadcast=near.broadcast, name="pump")
    await far.start()

    def is_quiet() -> bool:
        links = parts.driver.device.link, parts.node.link
        return (
            all(link.speaking and link.hearing for link in links)
            and len(site.said) == pump.heard
            and len(pump.said) == site.heard
            # The site shouted once before the pump was there to hear it.
            and site.datagrams == pump.datagrams + 1 == site.shouted + pump.shouted
        )

    async def settle() -> None:
        near._serve()
        far._serve()
        while not is_quiet():
            news.clear()
            await asyncio.wait_for(news.wait(), 10)
            await asyncio.sleep(0)

    hands = list(parts.hands)
    await settle()
    while True:
        due = [us for us in (parts.driver.next_timer(), parts.node.next_timer()) if us is not None]
        next_us = min([*due, *(at_us for at_us, _ in hands[:1])])
        if next_us >= STOP_US:
            break
        now_us = next_us
        while hands and hands[0][0] <= now_us:
            hands.pop(0)[1](now_us)
        await settle()
    said = {
        "site": bytes(site.said),
        "pump": bytes(pump.said),
    }  # what is said while the lines go down is not compared
    await far.aclose()
    await near.stop()
    return parts, said


def test_a_fill_gives_the_same_messages_in_virtual_time_and_over_tcp() -> None:
    modelled, virtual = in_virtual_time()
    real, tcp = asyncio.run(over_sockets())
    assert len(modelled.sales()) == 1
    assert modelled.sales() == real.sales()
    assert virtual["site"] == tcp["site"]
    assert virtual["pump"] == tcp["pump"]


async def until(condition: Callable[[], bool], changed: asyncio.Event) -> None:
    while not condition():
        changed.clear()
        await asyncio.wait_for(changed.wait(), 20)


async def two_sites_and_a_stranger() -> None:
    """Two lines share the standard's way of finding each other; each node connects to its own controller only."""
    loop = asyncio.get_running_loop()
    start_us = round(loop.time() * S)

    def clock() -> int:
        return round(loop.time() * S) - start_us

    changed = asyncio.Event()
    hosts: list[Any] = []
    ups: list[int] = []
    broadcast = (BROADCAST, 0)
    for node in (1, 2):
        point = {
            "fuelling_point": node,
            "address": 0x21,
            "nozzles": [{"nozzle": node, "grade": "95", "price_fen_per_l": 868}],
        }
        driver = IfsfDriver(
            LineConfig.model_validate(
                {"protocol": "ifsf", "ifsf": {"node": node}, "fuelling_points": [point]}
            )
        )

        def hear(event: DriverEvent) -> None:
            if isinstance(event, LineUp):
                ups.append(event.fuelling_point)
                changed.set()

        driver.listener = hear
        near = SiteHost(driver, clock, broadcast=broadcast, name=f"site-{node}")
        await near.open()
        broadcast = near.broadcast
        hosts.append(near)
        fp = FuellingPoint(
            node, [Nozzle(logical=1, nozzle_id=node, grade="95", tank=Tank(1, "95"), price_fen_per_l=800)]
        )
        machine = IfsfDispenser(Dispenser([fp]), node)
        far = NodeHost(machine, clock, broadcast=broadcast, name=f"pump-{node}")
        await far.start()
        hosts.append(far)
        await until(lambda node=node: node in ups, changed)  # type: ignore[misc]
        # A datagram that is no heartbeat, and one that leads out of the loopback network.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            stranger.bind(("127.0.0.1", 0))
            stranger.sendto(b"hello", broadcast)
        await until(lambda machine=machine: "malformed" in machine.link.counts, changed_soon(changed))  # type: ignore[misc]
        await far.aclose()
        await near.stop()
    assert ups == [1, 2]


def changed_soon(changed: asyncio.Event) -> asyncio.Event:
    """Look again whenever the loop has turned: what is waited for sets nothing."""
    asyncio.get_running_loop().call_later(0.01, changed.set)
    return changed


def test_nodes_find_their_own_controller() -> None:
    asyncio.run(two_sites_and_a_stranger())


def test_nothing_outside_the_loopback_network_is_dialled() -> None:
    async def go() -> bool:
        host = NodeHost(Parts().node, lambda: 0, broadcast=(BROADCAST, 0))
        return host._may_dial(Endpoint("192.0.2.1", 8808)) or not host._may_dial(Endpoint("127.0.0.9", 1))

    assert not asyncio.run(go())
