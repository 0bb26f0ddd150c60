"""Machines on TCP: a server that makes one machine for each connection, and a client that keeps one connected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from protocols.sansio import Machine
from sim.wires.capture import Capture
from sim.wires.faults import WireFaults
from sim.wires.host import Clock, StreamHost

__all__ = ["MachineClient", "MachineServer", "connect_machine_tcp", "serve_machine_tcp"]

_CONNECTIONS_LIMIT: Final = 64
"""Connections one server serves at a time: far above any field device (a printer takes one), and bounded."""


class MachineServer:
    """A listening socket; each connection gets its own machine.

    Attributes:
        host, port: where it listens.
        hosts: the connections that stand, oldest first.
    """

    def __init__(self, server: asyncio.Server, hosts: list[StreamHost]) -> None:
        self._server = server
        self.hosts = hosts
        self.host, self.port = server.sockets[0].getsockname()[:2]

    async def aclose(self) -> None:
        """Stop listening and break all connections."""
        self._server.close()
        for host in list(self.hosts):
            host.stop()
        await self._server.wait_closed()


async def serve_machine_tcp(
    make_machine: Callable[[], Machine],
    host: str,
    port: int,
    clock: Clock,
    *,
    name: str = "server",
    faults: WireFaults | None = None,
    capture: Capture | None = None,
) -> MachineServer:
    """Listen; each connection is driven by the machine that ``make_machine()`` gives.

    A factory may give the same machine again only after the earlier connection has ended. A machine's ``close()``, if it
    has one, is called when its connection has ended.

    Args:
        make_machine: called once for each connection.
        host: address to listen on; 127.0.0.1 unless a peer on another machine is meant.
        port: 0 takes any free one, see `MachineServer.port`.
        clock: the run's clock, microseconds.
        name: the machines' name in captures and faults.
        faults: what goes wrong with what the machines send.
        capture: where bursts are recorded.

    Raises:
        OSError: the port is in use or not allowed.
    """
    hosts: list[StreamHost] = []

    def accept() -> asyncio.Protocol:
        if len(hosts) >= _CONNECTIONS_LIMIT:
            return _Refusal()
        serving = StreamHost(make_machine(), clock, name=name, faults=faults, capture=capture, lingers=True)
        hosts.append(serving)

        def lost() -> None:
            hosts.remove(serving)
            serving.stop()
            # A machine that was made for this connection may belong to a device, which can forget it now.
            close: Callable[[], None] | None = getattr(serving.machine, "close", None)
            if close is not None:
                close()

        serving.on_lost = lost
        return serving

    if capture is not None:
        capture.describe(medium="tcp", listens=name)
    server = MachineServer(await asyncio.get_running_loop().create_server(accept, host, port), hosts)
    if capture is not None:
        capture.describe(tcp_port=server.port)
    return server


class _Refusal(asyncio.Protocol):
    """One connection too many: closed at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class MachineClient:
    """A machine that dials; see `connect_machine_tcp`.

    Attributes:
        stream: the host that drives the machine.
    """

    def __init__(self, stream: StreamHost, host: str, port: int, redial_us: int | None) -> None:
        self.stream = stream
        self._address = (host, port)
        self._redial_us = redial_us
        self._dialling: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._is_closed = False
        stream.on_lost = self._on_lost

    @property
    def is_connected(self) -> bool:
        """Whether the connection stands."""
        return self.stream.is_connected

    async def dial(self) -> None:
        """Connect once.

        Raises:
            OSError: nobody listens there.
        """
        self._lost.clear()
        await asyncio.get_running_loop().create_connection(lambda: self.stream, *self._address)

    def redial(self) -> None:
        """Dial again and again in the background until the connection stands."""
        if self._dialling is None or self._dialling.done():
            self._dialling = asyncio.get_running_loop().create_task(self._redial())

    async def wait_lost(self) -> None:
        """Wait until the connection is lost."""
        await self._lost.wait()

    async def aclose(self) -> None:
        """Hang up for good."""
        self._is_closed = True
        if self._dialling is not None:
            self._dialling.cancel()
            await asyncio.gather(self._dialling, return_exceptions=True)
        connected = self.stream.is_connected
        self.stream.stop()
        if connected:
            await self._lost.wait()

    async def _redial(self) -> None:
        while not self._is_closed:
            try:
                await self.dial()
            except OSError:
                await asyncio.sleep((self._redial_us or 0) / 1_000_000)
            else:
                return

    def _on_lost(self) -> None:
        self._lost.set()
        if self._redial_us is not None and not self._is_closed:
            asyncio.get_running_loop().call_later(self._redial_us / 1_000_000, self._redial_unless_closed)

    def _redial_unless_closed(self) -> None:
        if not self._is_closed:
            self.redial()


async def connect_machine_tcp(
    machine: Machine,
    host: str,
    port: int,
    clock: Clock,
    *,
    name: str = "client",
    redial_us: int | None = None,
    faults: WireFaults | None = None,
    capture: Capture | None = None,
) -> MachineClient:
    """Connect a machine to a TCP peer and drive it.

    Args:
        machine: the machine; its timers run also while no connection stands.
        host: the peer's address.
        port: the peer's port.
        clock: the run's clock, microseconds.
        name: the machine's name in captures and faults.
        redial_us: dial again this long after a failure or a loss; None dials once.
        faults: what goes wrong with what the machine sends.
        capture: where bursts are recorded.

    Raises:
        OSError: nobody listens there, and ``redial_us`` is None.
    """
    if capture is not None:
        capture.describe(medium="tcp", listens="peer", tcp_port=port)
    client = MachineClient(
        StreamHost(machine, clock, name=name, faults=faults, capture=capture), host, port, redial_us
    )
    try:
        await client.dial()
    except OSError:
        if redial_us is None:
            client.stream.stop()
            raise
        client.stream.pump()
        client.redial()
    return client
