"""A line that several devices share, on one TCP port: what a serial-to-Ethernet converter shows of an RS-485 pair."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from protocols.sansio import Machine, Outgoing
from sim.wires.capture import Capture
from sim.wires.faults import WireFaults
from sim.wires.host import Clock, Pace, StreamHost
from sim.wires.virtual import tell_link

__all__ = ["LineServer", "SharedLine", "serve_line_tcp"]


class SharedLine:
    """Several machines on one pair of wires, as one machine.

    Each hears every byte from the far end, and every byte that the others send, as on a bus. They do not collide: on a
    polled line only the one that was asked speaks.

    Args:
        machines: in the order in which they are asked for their bytes.
        echo: everyone hears itself as well, the far end included, as behind some converters.

    Raises:
        ValueError: no machine.
    """

    def __init__(self, machines: Sequence[Machine], *, echo: bool = False) -> None:
        if not machines:
            raise ValueError("a line needs at least one machine")
        self._echo = echo
        self._given_back: list[Outgoing] = []
        self.on_wake: Callable[[], None] | None = None
        self._machines = tuple(machines)
        for machine in self._machines:
            machine.on_wake = self._wake

    def _wake(self) -> None:
        if self.on_wake is not None:
            self.on_wake()

    def connection_made(self, now_us: int) -> None:
        """From the host: the far end is there."""
        for machine in self._machines:
            tell_link(machine, now_us, is_up=True)

    def connection_lost(self, now_us: int) -> None:
        """From the host: the far end is gone."""
        for machine in self._machines:
            tell_link(machine, now_us, is_up=False)

    def receive_data(self, data: bytes, now_us: int) -> None:
        """See `protocols.sansio.Machine`."""
        if self._echo:
            self._given_back.append(Outgoing(data))
        for machine in self._machines:
            machine.receive_data(data, now_us)

    def data_to_send(self, now_us: int) -> list[Outgoing]:
        """See `protocols.sansio.Machine`."""
        sent, self._given_back = self._given_back, []
        for machine in self._machines:
            for outgoing in machine.data_to_send(now_us):
                sent.append(outgoing)
                for other in self._machines:
                    if self._echo or other is not machine:
                        other.receive_data(outgoing.data, now_us)
        return sent

    def next_timer(self) -> int | None:
        """The earliest timer of all."""
        return min((due for m in self._machines if (due := m.next_timer()) is not None), default=None)

    def handle_timer(self, now_us: int) -> None:
        """See `protocols.sansio.Machine`."""
        for machine in self._machines:
            due_us = machine.next_timer()
            if due_us is not None and due_us <= now_us:
                machine.handle_timer(now_us)


class LineServer:
    """One machine on a listening socket, for one far end at a time; made by `serve_line_tcp`.

    The machine lives on between connections: its timers run, and what it says meanwhile is lost, as on an open line.

    Attributes:
        host, port: where it listens.
        refused: connections sent away, because another one stood or the line was cut.
    """

    def __init__(self, stream: StreamHost) -> None:
        self.host = ""
        self.port = 0
        self.refused = 0
        self._stream = stream
        self._is_cut = False
        self._server: asyncio.Server | None = None

    @property
    def is_connected(self) -> bool:
        """Whether a far end is there."""
        return self._stream.is_connected

    def cut(self) -> None:
        """Cut the line: the connection breaks, and no new one comes through until `join`."""
        self._is_cut = True
        self._stream.abort()

    def join(self) -> None:
        """Join the line again."""
        self._is_cut = False

    def accept(self) -> asyncio.Protocol:
        """Protocol factory of the listening socket."""
        if self._is_cut or self._stream.is_connected:
            self.refused += 1
            return _Refusal()
        return self._stream

    async def listen(self, host: str, port: int) -> None:
        """Start to listen. Raises OSError when the port is in use or not allowed."""
        self._server = await asyncio.get_running_loop().create_server(self.accept, host, port)
        self.host, self.port = self._server.sockets[0].getsockname()[:2]
        self._stream.pump()

    async def aclose(self) -> None:
        """Stop listening, break the connection, drive the machine no more."""
        self._stream.stop()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()


class _Refusal(asyncio.Protocol):
    """Closed at once: a line has one far end."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


async def serve_line_tcp(
    machine: Machine,
    host: str,
    port: int,
    clock: Clock,
    *,
    name: str = "line",
    pace: Pace | None = None,
    faults: WireFaults | None = None,
    capture: Capture | None = None,
) -> LineServer:
    """Put a machine (several by way of `SharedLine`) on a TCP port, as a converter puts a serial line there.

    Args:
        machine: lives as long as the server.
        host: address to listen on.
        port: 0 takes any free one, see `LineServer.port`.
        clock: the run's clock, microseconds.
        name: the machine's name in captures and faults.
        pace: what it sends leaves no faster than this; None sends at once.
        faults: what goes wrong with what it sends.
        capture: where bursts are recorded.

    Raises:
        OSError: the port is in use or not allowed.
    """
    if capture is not None:
        capture.describe(medium="tcp", listens=name)
    server = LineServer(StreamHost(machine, clock, name=name, pace=pace, faults=faults, capture=capture))
    await server.listen(host, port)
    if capture is not None:
        capture.describe(tcp_port=server.port)
    return server
