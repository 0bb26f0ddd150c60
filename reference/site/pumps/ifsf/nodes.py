"""An IFSF node on real sockets of the site: a thin asyncio host of a `protocols.ifsf.NodeMachine`.

`sim.wires.NodeHost` is its like at the pump's end, with captures and a cable that can be pulled. They are two on purpose: site and
simulator share `protocols` only, which has no asyncio, and all that can be decided without sockets is in the machine already.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Callable
from typing import Final

from protocols.ifsf import HEARTBEAT_PORT, Endpoint, NodeMachine

__all__ = ["NodeHost"]

log = logging.getLogger(__name__)

_BACKLOG_BYTES: Final = 65_536
"""More unsent than this: the far end does not read. The connection is broken and dialled again."""

_REOPEN_S: Final = 5.0


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, host: NodeHost) -> None:
        self._host = host

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002 - named by asyncio
        self._host.heard_datagram(data)


class _Heard(asyncio.Protocol):
    """The connection that the peer dialled. Nothing is ever written to it."""

    def __init__(self, host: NodeHost) -> None:
        self._host = host
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a stream's transport
        self._host.accepted(self)

    def data_received(self, data: bytes) -> None:
        self._host.heard(self, data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - named by asyncio
        self._host.dropped(self)


class _Spoken(asyncio.Protocol):
    """The connection that we dialled. What comes back on it is nobody's business."""

    def __init__(self) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - named by asyncio
        if not self.lost.done():
            self.lost.set_result(None)


class NodeHost:
    """Runs one IFSF node on real sockets: heartbeats by UDP broadcast, a TCP listener, a TCP connection to the peer.

    Args:
        machine: the node; its ``on_wake`` is taken.
        clock: the run's clock, microseconds.
        broadcast: where heartbeats go and are heard, as (address, port); port 0 takes any free one. The loopback network has a
            broadcast address too, 127.255.255.255, so nothing leaves the machine unless another one is given.
        interface: our own address. On loopback only loopback is dialled, whatever a heartbeat says.
        port: TCP port to listen on; 0 takes any free one.
        redial_s: wait after a failed dial or a loss.
        name: for messages.

    Attributes:
        port: TCP port on which the peer's connection is taken, after `open`.
        broadcast: where heartbeats go, with the port that was taken.
    """

    def __init__(
        self,
        machine: NodeMachine,
        clock: Callable[[], int],
        *,
        broadcast: tuple[str, int] = ("127.255.255.255", HEARTBEAT_PORT),
        interface: str = "127.0.0.1",
        port: int = 0,
        redial_s: float = 1.0,
        name: str = "node",
    ) -> None:
        self.machine = machine
        self.broadcast = broadcast
        self.port = port
        self.name = name
        self._clock = clock
        self._interface = interface
        self._redial_s = redial_s
        self._udp: asyncio.DatagramTransport | None = None
        self._server: asyncio.Server | None = None
        self._in: _Heard | None = None
        self._out: asyncio.Transport | None = None
        self._dialled: Endpoint | None = None
        self._task: asyncio.Task[None] | None = None
        self._look = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._woken = False
        self._stopped = False
        self._opening: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Open the sockets, again and again until they can be opened, on the running event loop."""
        self._opening = asyncio.create_task(self._keep_opening(), name=f"node-{self.name}-open")

    async def stop(self) -> None:
        """Close everything."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        await self.aclose()

    async def _keep_opening(self) -> None:
        while True:
            try:
                await self.open()
            except OSError as error:
                log.warning("%s: %s", self.name, error)
                await asyncio.sleep(_REOPEN_S)
            else:
                return

    async def open(self) -> None:
        """Listen, and begin to send heartbeats.

        Raises:
            OSError: a port is in use, or an address is not ours.
        """
        loop = asyncio.get_running_loop()
        address, port = self.broadcast
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.setblocking(False)
            # Several nodes of one machine hear one broadcast.
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            udp.bind((address, port))
            self.broadcast = (address, udp.getsockname()[1])
            self._server = await loop.create_server(lambda: _Heard(self), self._interface, self.port)
        except OSError:
            udp.close()
            raise
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=udp)
        self.port = self._server.sockets[0].getsockname()[1]
        self.machine.on_wake = self._wake
        self._task = loop.create_task(self._keep_dialled(), name=f"node-{self.name}")
        self.machine.start(Endpoint(self._interface, self.port), self._clock())
        self._serve()

    async def aclose(self) -> None:
        """Close everything."""
        self._stopped = True
        self.machine.on_wake = None
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._in is not None and self._in.transport is not None:
            self._in.transport.abort()
        if self._udp is not None:
            self._udp.abort()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    # -- from the sockets ----------------------------------------------------------------------------------------

    def heard_datagram(self, data: bytes) -> None:
        """A datagram came in."""
        if not self._stopped:
            self.machine.receive_datagram(data, self._clock())
            self._serve()

    def accepted(self, wire: _Heard) -> None:
        """The peer dialled us. A peer has one connection: a newer one replaces the older."""
        before, self._in = self._in, wire
        if before is not None:
            self.machine.dropped(self._clock())
            if before.transport is not None:
                before.transport.abort()
        self.machine.accepted(self._clock())
        self._serve()

    def heard(self, wire: _Heard, data: bytes) -> None:
        """Bytes came in on it."""
        if wire is not self._in or self._stopped:
            return
        now_us = self._clock()
        self.machine.receive_data(data, now_us)
        self._serve()

    def dropped(self, wire: _Heard) -> None:
        """It is gone."""
        if wire is self._in:
            self._in = None
            self.machine.dropped(self._clock())
            self._serve()

    # -- dialling ------------------------------------------------------------------------------------------------

    async def _keep_dialled(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            target = self.machine.dial
            if target is None or not self._may_dial(target):
                self._look.clear()
                await self._look.wait()
                continue
            try:
                transport, wire = await loop.create_connection(_Spoken, target.ip, target.port)
            except OSError as error:
                log.info("%s: %s:%d: %s", self.name, target.ip, target.port, error)
                await asyncio.sleep(self._redial_s)
                continue
            self._out, self._dialled = transport, target
            try:
                self.machine.connection_made(self._clock())
                self._serve()
                await wire.lost
            finally:
                self._out = self._dialled = None
                transport.abort()
                self.machine.connection_lost(self._clock())
            self._serve()
            await asyncio.sleep(self._redial_s)

    def _may_dial(self, target: Endpoint) -> bool:
        if (
            ipaddress.ip_address(self._interface).is_loopback
            and not ipaddress.ip_address(target.ip).is_loopback
        ):
            log.warning("%s: %s is not on the loopback network, not dialled", self.name, target.ip)
            return False
        return True

    # -- driving the machine -------------------------------------------------------------------------------------

    def _wake(self) -> None:
        if not self._woken:
            self._woken = True
            asyncio.get_running_loop().call_soon(self._serve)

    def _serve(self) -> None:
        """Send what is due, see to the connections, arm the one timer."""
        self._woken = False
        if self._stopped:
            return
        machine, now_us = self.machine, self._clock()
        due_us = machine.next_timer()
        if due_us is not None and due_us <= now_us:
            machine.handle_timer(now_us)
        for out in machine.data_to_send(now_us):
            self._write(out.data)
        for datagram in machine.datagrams_to_send(now_us):
            self._send(datagram)
        if self._out is not None and (machine.wants_redial or machine.dial != self._dialled):
            self._out.abort()
        if self._in is not None and machine.wants_close and self._in.transport is not None:
            self._in.transport.abort()
        self._look.set()
        self._arm(machine.next_timer(), now_us)

    def _write(self, data: bytes) -> None:
        if self._out is None or self._out.is_closing():
            return
        if self._out.get_write_buffer_size() > _BACKLOG_BYTES:
            log.warning("%s: far end takes no bytes, connecting again", self.name)
            self._out.abort()
            return
        self._out.write(data)

    def _send(self, datagram: bytes) -> None:
        if self._udp is not None and not self._udp.is_closing():
            self._udp.sendto(datagram, self.broadcast)

    def _arm(self, due_us: int | None, now_us: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due_us is not None:
            delay_s = max(0, due_us - now_us) / 1_000_000
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._serve)
