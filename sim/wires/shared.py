"""A line that several devices share, on one TCP port: what a serial-to-Ethernet converter shows of an RS-485 pair."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, cast

from protocols.sansio import Machine, Outgoing
from sim.wires.capture import Capture
from sim.wires.faults import WireFaults
from sim.wires.host import Clock, Pace, StreamHost
from sim.wires.virtual import tell_link

__all__ = ["LineServer", "SharedLine", "serve_line_tcp"]

_HELD_S: Final = 0.02
_ASKS: Final = 5
"""How often a caller that finds the line taken asks again, and after how long each time."""


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
        self._held: set[_Caller] = set()
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

    def take(self, transport: asyncio.Transport) -> bool:
        """Give the line to a connection; False if another one has it."""
        if self._stream.is_connected:
            return False
        transport.set_protocol(self._stream)
        self._stream.connection_made(transport)
        return True

    def hold(self, caller: _Caller, *, is_held: bool) -> None:
        """A caller waits for the line, or waits no more."""
        (self._held.add if is_held else self._held.discard)(caller)

    @property
    def is_cut(self) -> bool:
        """Whether the line is cut."""
        return self._is_cut

    async def listen(self, host: str, port: int) -> None:
        """Start to listen. Raises OSError when the port is in use or not allowed."""
        self._server = await asyncio.get_running_loop().create_server(lambda: _Caller(self), host, port)
        self.host, self.port = self._server.sockets[0].getsockname()[:2]
        self._stream.pump()

    async def aclose(self) -> None:
        """Stop listening, break the connection, drive the machine no more."""
        self._is_cut = True
        for caller in list(self._held):
            caller.refuse()
        self._stream.stop()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()


class _Caller(asyncio.Protocol):
    """A connection that asks for the line: it gets it, or is closed.

    A driver that hangs up and dials again at once is heard dialling before its hanging up is noticed. So whoever finds the line
    taken is held for a moment, unread, before it is sent away.
    """

    def __init__(self, server: LineServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._server.is_cut:
            self.refuse()
        elif not self._server.take(self._transport):
            self._transport.pause_reading()
            self._server.hold(self, is_held=True)
            self._ask_later(_ASKS)

    def _ask_later(self, times: int) -> None:
        asyncio.get_running_loop().call_later(_HELD_S, self._ask_again, times - 1)

    def _ask_again(self, times: int) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if not self._server.is_cut and self._server.take(transport):
            self._server.hold(self, is_held=False)
            transport.resume_reading()
        elif times and not self._server.is_cut:
            self._ask_later(times)
        else:
            self.refuse()

    def refuse(self) -> None:
        """Send it away."""
        self._server.hold(self, is_held=False)
        self._server.refused += 1
        if self._transport is not None:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - named by asyncio
        self._transport = None
        self._server.hold(self, is_held=False)


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
