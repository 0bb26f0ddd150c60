"""The printer's network board: raw TCP as on port 9100, with the habits that spoolers trip over.

The first connection owns the printer; bytes of the others wait until it closes (a cheap board refuses them instead). When
the printer cannot take more, the board stops reading, so the sender's window closes. A connection on which nothing passes
for too long is closed. A client that hangs up at once after writing is normal: its job still prints. Without power there
is no connection. Source: Epson UB-E02 manual; node-thermal-printer for the hanging up.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final, cast

from sim.printer.device import Printer
from sim.wires import Capture

__all__ = ["PrinterServer", "serve_printer_tcp"]

_READ_BYTES: Final = 4096
"""Read at a time, and read ahead of a connection that waits for its turn."""


class PrinterServer:
    """A printer on a listening socket.

    It drives the printer whether or not anybody is connected. Made by `serve_printer_tcp`.

    Attributes:
        printer: the printer.
        host, port: where it listens.
        lost_replies: status bytes nobody has read in time: the board keeps `PrinterProfile.reply_buffer_bytes` of them.
    """

    def __init__(self, printer: Printer, clock: Callable[[], int], capture: Capture | None = None) -> None:
        self.printer = printer
        self._capture = capture
        self._numbers = (capture.port("printer"), capture.port("peer")) if capture is not None else (0, 0)
        self.host = ""
        self.port = 0
        self.lost_replies = 0
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._server: asyncio.Server | None = None
        self._connections: list[_Connection] = []
        self._timer: asyncio.TimerHandle | None = None
        self._pump_is_due = False
        self._is_closed = False
        printer.on_wake = self._on_wake

    async def aclose(self) -> None:
        """Stop listening, break the connections, let the printer rest."""
        self._is_closed = True
        self.printer.on_wake = None
        if self._timer is not None:
            self._timer.cancel()
        for connection in list(self._connections):
            connection.abort()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _listen(self, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family)
        # The board's memory is small: without this the operating system would take megabytes on its behalf.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.printer.profile.interface_buffer_bytes)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.printer.profile.reply_buffer_bytes)
        # asyncio does this itself only for sockets it makes; without it a second small write waits 40 ms for an ACK.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._server = await self._loop.create_server(lambda: _Connection(self), sock=listening)
        self.host, self.port = self._server.sockets[0].getsockname()[:2]

    def note(self, data: bytes, *, is_ours: bool) -> None:
        """Bytes passed on a connection."""
        if self._capture is not None:
            self._capture.record(self._clock(), self._numbers[0 if is_ours else 1], data)

    # -- connections ----------------------------------------------------------------------------------------------

    @property
    def connections(self) -> int:
        """How many the board holds, the owner included."""
        return len(self._connections)

    @property
    def idle_since_us(self) -> int | None:
        """When something last passed on the owner's connection; None without one."""
        return self._connections[0].touched_us if self._connections else None

    def touch(self) -> None:
        """Start the idle time of every connection again (UDP 3289, function 00 16)."""
        for connection in self._connections:
            connection.touched_us = self._clock()
        self.pump()

    def opened(self, connection: _Connection) -> bool:
        """A client connected; False sends it away."""
        profile = self.printer.profile
        if self._is_closed or not self.printer.powered or len(self._connections) >= profile.connections:
            return False
        if self._connections and profile.second_connection == "refused":
            return False
        connection.touched_us = self._clock()
        self._connections.append(connection)
        self.pump()
        return True

    def took(self, connection: _Connection, data: bytes) -> None:
        """Bytes came on a connection."""
        self.note(data, is_ours=False)
        connection.touched_us = self._clock()
        connection.waiting += data
        self.pump()

    def closed(self, connection: _Connection) -> None:
        """A client is gone; what it sent before still prints, then the next one owns the printer."""
        if connection.waiting and not self._is_closed:
            connection.is_gone = True
        elif connection in self._connections:
            self._connections.remove(connection)
        self.pump()

    # -- driving the printer ------------------------------------------------------------------------------------

    def _on_wake(self) -> None:
        if not self._pump_is_due:
            self._pump_is_due = True
            self._loop.call_soon(self.pump)

    def pump(self) -> None:
        """Hand over what the printer takes, send what it says, arm its timer."""
        self._pump_is_due = False
        if self._is_closed:
            return
        now_us = self._clock()
        due_us = self.printer.next_timer()
        if due_us is not None and due_us <= now_us:
            self.printer.handle_timer(now_us)
        if not self.printer.powered:
            for connection in list(self._connections):
                connection.waiting.clear()
                connection.abort()
        self._feed(now_us)
        for outgoing in self.printer.data_to_send(now_us):
            # A reply nobody can take is lost, as on the wire.
            if self._connections and not self._connections[0].is_gone:
                self._connections[0].write(outgoing.data, now_us)
        self._close_idle(now_us)
        for connection in self._connections:
            connection.hold_reading(self.room(connection) == 0)
        self._arm(now_us)

    def room(self, connection: _Connection) -> int:
        """How many bytes may be read from a connection now: the owner's go to the printer, the others' wait."""
        if connection is self._connections[0]:
            return 0 if connection.waiting else min(_READ_BYTES, self.printer.receive_window)
        return _READ_BYTES - len(connection.waiting)

    def _close_idle(self, now_us: int) -> None:
        limit_us = self.printer.profile.idle_close_us
        for connection in list(self._connections) if limit_us else ():
            if connection.waiting or not self.printer.idle:
                connection.touched_us = now_us
            elif now_us - connection.touched_us >= limit_us:
                connection.close()

    def _feed(self, now_us: int) -> None:
        while self._connections:
            owner = self._connections[0]
            while owner.waiting and (window := self.printer.receive_window) > 0:
                data = bytes(owner.waiting[:window])
                del owner.waiting[: len(data)]
                self.printer.receive_data(data, now_us)
            if owner.waiting or not owner.is_gone:
                return
            self._connections.pop(0)

    def _arm(self, now_us: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_us = self.printer.next_timer()
        limit_us = self.printer.profile.idle_close_us
        if limit_us and self._connections:
            idle_us = min(connection.touched_us for connection in self._connections) + limit_us
            due_us = idle_us if due_us is None else min(due_us, idle_us)
        if due_us is not None:
            self._timer = self._loop.call_later(max(0, due_us - now_us) / 1_000_000, self.pump)


class _Connection(asyncio.BufferedProtocol):
    """One client.

    Only as much is read as the printer takes, so that the rest stays with the sender. ``waiting`` holds what was read of a
    client whose turn has not come, ``touched_us`` is when something last passed.
    """

    def __init__(self, server: PrinterServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._holds = False
        self._read = memoryview(bytearray(_READ_BYTES))
        self.waiting = bytearray()
        self.is_gone = False
        self.touched_us = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if not self._server.opened(self):
            self._transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - named by asyncio
        # Never empty: reading is on hold while there is no room.
        return self._read[: max(1, self._server.room(self))]

    def buffer_updated(self, nbytes: int) -> None:
        self._server.took(self, bytes(self._read[:nbytes]))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - named by asyncio
        self._transport = None
        self._server.closed(self)

    def write(self, data: bytes, now_us: int) -> None:
        transport = self._transport
        if transport is None:
            return
        room = self._server.printer.profile.reply_buffer_bytes - transport.get_write_buffer_size()
        self._server.lost_replies += max(0, len(data) - room)
        if room > 0:
            transport.write(data[:room])
            self.touched_us = now_us
            self._server.note(data[:room], is_ours=True)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def hold_reading(self, hold: bool) -> None:
        if self._transport is None or hold == self._holds:
            return
        self._holds = hold
        if hold:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()


async def serve_printer_tcp(
    printer: Printer, host: str, port: int, clock: Callable[[], int], *, capture: Capture | None = None
) -> PrinterServer:
    """Put a printer on the network.

    Args:
        printer: the printer; the server drives its timers and sets its ``on_wake``.
        host: address to listen on; 127.0.0.1 unless a peer on another machine is meant.
        port: 9100 by custom; 0 takes any free one, see `PrinterServer.port`.
        clock: the run's clock, microseconds.
        capture: where bytes are recorded, of all connections together.

    Raises:
        OSError: the port is in use or not allowed.
    """
    server = PrinterServer(printer, clock, capture)
    await server._listen(host, port)
    if capture is not None:
        capture.describe(medium="tcp", listens="printer", tcp_port=server.port)
    return server
