"""Machines on serial devices and on ptys.

A pty proves parsing and order; it has no baud rate, no parity and no bus. Its writes are paced here, and reports say
"pty, paced".
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import serialx

from protocols.sansio import Machine
from sim.wires.capture import Capture
from sim.wires.faults import WireFaults
from sim.wires.host import Clock, Pace, StreamHost
from sim.wires.pty_pair import PtyPair, write_waiting

__all__ = ["PtyHost", "SerialHost"]

_READ_BYTES: Final = 4096
"""The kernel's own pty buffer."""


class _PtyWriter:
    """Writes to the master side of a pty; what the kernel does not take at once waits for room."""

    def __init__(self, pty: PtyPair, host: StreamHost) -> None:
        self._loop = asyncio.get_running_loop()
        self._pty = pty
        self._fd = pty.fd
        self._host = host
        self._waiting = bytearray()
        self._is_open = True
        self._loop.add_reader(self._fd, self._readable)

    def write(self, data: bytes) -> None:
        if self._is_open:
            self._waiting += data
            write_waiting(self._loop, self._fd, self._waiting, self._host)

    def abort(self) -> None:
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
            self._pty.close_ours()
            self._host.connection_lost(None)

    def close(self) -> None:
        """A line stays: whoever is at its other end, there is nothing to hang up."""

    def _readable(self) -> None:
        try:
            data = self._pty.read(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self.abort()  # the pty is gone
            return
        if data:
            self._host.data_received(data)


class PtyHost:
    """A machine behind a pseudo-terminal, for peers that want a serial device.

    Args:
        machine: the machine.
        clock: the run's clock, microseconds.
        baud: writes are paced to this many symbols a second.
        bits_per_char: start, data, parity and stop bits together.
        name: the machine's name in captures and faults.
        faults: what goes wrong with what the machine sends.
        capture: where bursts are recorded.

    Attributes:
        path: the device the peer opens, for example ``/dev/pts/5``; valid after `start`.
    """

    def __init__(
        self,
        machine: Machine,
        clock: Clock,
        *,
        baud: int,
        bits_per_char: int = 11,
        name: str = "pty",
        faults: WireFaults | None = None,
        capture: Capture | None = None,
    ) -> None:
        if capture is not None:
            capture.describe(medium="pty, paced", baud=baud, bits_per_char=bits_per_char)
        pace = Pace(baud, bits_per_char)
        self.stream = StreamHost(machine, clock, name=name, pace=pace, faults=faults, capture=capture)
        self.path = Path()
        self._pty: PtyPair | None = None

    async def start(self) -> Path:
        """Open the pty; returns the path for the peer.

        Raises:
            OSError: the system has no pty to give.
        """
        self._pty = PtyPair()
        self.path = self._pty.path
        self.stream.attach_writer(_PtyWriter(self._pty, self.stream))
        return self.path

    async def aclose(self) -> None:
        """Close the pty."""
        self.stream.stop()
        if self._pty is not None:
            self._pty.close()


class SerialHost:
    """A machine on a serial device (or a pty that someone else made), through serialx.

    Args:
        machine: the machine.
        clock: the run's clock, microseconds.
        path: the device.
        baud: the device's rate.
        parity: "N", "O" or "E".
        stop_bits: 1 or 2.
        data_bits: 8, or 7 for lines of ASCII.
        is_paced: pace the writes, for a path that is a pty.
        name: the machine's name in captures and faults.
        faults: what goes wrong with what the machine sends.
        capture: where bursts are recorded.
    """

    def __init__(
        self,
        machine: Machine,
        clock: Clock,
        *,
        path: Path,
        baud: int,
        parity: str = "N",
        stop_bits: int = 1,
        data_bits: int = 8,
        is_paced: bool = False,
        name: str = "serial",
        faults: WireFaults | None = None,
        capture: Capture | None = None,
    ) -> None:
        bits_per_char = 1 + data_bits + (parity != "N") + stop_bits
        if capture is not None:
            medium = "pty, paced" if is_paced else "serial"
            capture.describe(medium=medium, baud=baud, bits_per_char=bits_per_char)
        pace = Pace(baud, bits_per_char) if is_paced else None
        self.stream = StreamHost(machine, clock, name=name, pace=pace, faults=faults, capture=capture)
        self.path = path
        self._baud = baud
        self._parity = parity
        self._stop_bits = stop_bits
        self._data_bits = data_bits

    async def start(self) -> None:
        """Open the device.

        Raises:
            OSError: no such device, or it is in use.
        """
        await serialx.create_serial_connection(
            asyncio.get_running_loop(),
            lambda: self.stream,
            str(self.path),
            baudrate=self._baud,
            parity=serialx.Parity(self._parity),
            stopbits=serialx.StopBits(self._stop_bits),
            byte_size=self._data_bits,
        )

    async def aclose(self) -> None:
        """Close the device."""
        self.stream.stop()
        await asyncio.sleep(0)
