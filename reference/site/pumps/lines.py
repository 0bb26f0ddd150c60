"""Asyncio hosts for the site's machines: a TCP client or a serial line each, on the wall clock.

A host feeds bytes and time into one machine, writes what is due, keeps one timer, and connects again for as long as
it runs. A lost connection is not an event for a pump driver: unanswered polls tell it all it has to know.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import serialx

from protocols.sansio import Machine
from reference.site.config import split_host_port

__all__ = ["MachineHost", "monotonic_us", "serial_host", "tcp_host"]

log = logging.getLogger(__name__)

RECONNECT_FIRST_S = 0.1
RECONNECT_MOST_S = 5.0
WRITE_BACKLOG_BYTES = 65_536  # more unsent bytes than this: the far end is stuck, start over

Connect = Callable[[Callable[[], asyncio.Protocol]], Awaitable[tuple[Any, asyncio.Protocol]]]


def monotonic_us() -> int:
    """Microseconds on a clock that nobody sets."""
    return time.monotonic_ns() // 1000


class _Wire(asyncio.Protocol):
    """One connection of a host."""

    def __init__(self, host: MachineHost) -> None:
        self._host = host
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self._host.received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(None)
        if exc is not None:
            log.info("connection lost: %s", exc)


class MachineHost:
    """Runs one machine on one reconnecting byte stream.

    Args:
        machine: the machine; its ``on_wake`` is taken.
        connect: opens the stream with a protocol factory, as ``loop.create_connection`` does.
        name: for messages.
    """

    def __init__(self, machine: Machine, connect: Connect, *, name: str) -> None:
        self.machine = machine
        self.name = name
        self.connected = asyncio.Event()
        self._connect = connect
        self._transport: Any = None
        self._timer: asyncio.TimerHandle | None = None
        self._serving = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start connecting and running the machine's timers, on the running event loop."""
        self.machine.on_wake = self._wake
        self._task = asyncio.create_task(self._run(), name=f"site-line-{self.name}")
        self._serve()

    async def stop(self) -> None:
        """Close the stream and stop."""
        if self._timer is not None:
            self._timer.cancel()
        self.machine.on_wake = None
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        wait_s = RECONNECT_FIRST_S
        while True:
            try:
                transport, wire = await self._connect(lambda: _Wire(self))
            except (OSError, serialx.SerialException) as error:
                log.info("%s: %s", self.name, error)
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, RECONNECT_MOST_S)
                continue
            wait_s = RECONNECT_FIRST_S
            self._transport = transport
            made = getattr(self.machine, "connection_made", None)
            if made is not None:
                made(monotonic_us())
            self.connected.set()
            try:
                self._serve()
                assert isinstance(wire, _Wire)  # noqa: S101 - our own factory made it
                await wire.lost
            finally:
                self._transport = None
                self.connected.clear()
                transport.close()
                lost = getattr(self.machine, "connection_lost", None)
                if lost is not None:
                    lost(monotonic_us())

    def received(self, data: bytes) -> None:
        """Bytes came in."""
        self.machine.receive_data(data, monotonic_us())
        self._serve()

    def _wake(self) -> None:
        if not self._serving:
            self._serve()

    def _serve(self) -> None:
        """Write what is due, and arm the one timer."""
        self._serving = True
        try:
            now_us = monotonic_us()
            for out in self.machine.data_to_send(now_us):
                delay_us = out.not_before_us - now_us
                if delay_us > 0:
                    asyncio.get_running_loop().call_later(delay_us / 1e6, self._write, out.data)
                else:
                    self._write(out.data)
            self._arm(now_us)
        finally:
            self._serving = False

    def _arm(self, now_us: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_us = self.machine.next_timer()
        if due_us is not None:
            delay_s = max(0, due_us - now_us) / 1e6
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._timer_due)

    def _timer_due(self) -> None:
        self._timer = None
        self.machine.handle_timer(monotonic_us())
        self._serve()

    def _write(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return  # not connected: the far end does not answer, which is all there is to say
        if transport.get_write_buffer_size() > WRITE_BACKLOG_BYTES:
            log.warning("%s: far end takes no bytes, connecting again", self.name)
            transport.abort()
            return
        transport.write(data)


def tcp_host(machine: Machine, address: str, *, name: str) -> MachineHost:
    """A host on a TCP client connection to "host:port"."""
    host, port = split_host_port(address)

    async def connect(factory: Callable[[], asyncio.Protocol]) -> tuple[Any, asyncio.Protocol]:
        return await asyncio.get_running_loop().create_connection(factory, host, port)

    return MachineHost(machine, connect, name=name)


def serial_host(machine: Machine, path: str, baud: int, *, parity: str, name: str) -> MachineHost:
    """A host on a serial device or a pty. ``parity`` is "N", "E" or "O"; 8 data bits, 1 stop bit."""
    if Path(path).resolve().is_relative_to("/dev/pts"):
        parity = "N"  # a pty has no parity, and Linux answers EINVAL to the second who asks it for one

    async def connect(factory: Callable[[], asyncio.Protocol]) -> tuple[Any, asyncio.Protocol]:
        loop = asyncio.get_running_loop()
        return await serialx.create_serial_connection(
            loop, factory, path, baud, parity=serialx.Parity(parity), stopbits=serialx.STOPBITS_ONE
        )

    return MachineHost(machine, connect, name=name)
