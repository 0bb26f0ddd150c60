"""The printer behind a pseudo-terminal, at the speed of its line: bytes come and go one character time after the other.

A pty has no baud rate and no modem lines. So the printer reads no faster than the line would bring the bytes, and where a
real one drops DTR, this one stops reading: either way the sender's driver is full some time and its writes block. XON and
XOFF are characters, and they are sent. A peer whose terminal honours them (IXON) stops; what the kernel has between the two
ends is more than a UART has, so it is left there. A peer that does not honour them goes on, and loses what does not fit.
"""

from __future__ import annotations

import asyncio
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sim.printer.device import Printer
from sim.wires import Capture, Pace, PtyPair, StreamHost, write_waiting

__all__ = ["PrinterPty"]

_TICK_US: Final = 2000
"""Bytes are taken at least this far apart: finer than any line of text, coarse enough for an event loop."""


class PrinterPty:
    """A printer for peers that open a serial device.

    Args:
        printer: the printer; the host drives its timers and sets its ``on_wake`` and ``on_flow``.
        clock: the run's clock, microseconds.
        baud: speed in both directions, at 8 data bits, no parity, one stop bit.
        name: the printer's name in captures.
        capture: where bursts are recorded.

    Attributes:
        path: the device the peer opens; valid after `start`.
    """

    def __init__(
        self,
        printer: Printer,
        clock: Callable[[], int],
        *,
        baud: int = 9600,
        name: str = "printer",
        capture: Capture | None = None,
    ) -> None:
        if capture is not None:
            capture.describe(medium="pty, paced", baud=baud, bits_per_char=10)
        self.path = Path()
        self._printer = printer
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._pace = Pace(baud, 10)
        self._stream = StreamHost(printer, clock, name=name, pace=self._pace, capture=capture)
        self._fd = -1
        self._pty: PtyPair | None = None
        self._waiting = bytearray()
        self._line_since_us = 0
        self._line_bytes = 0
        self._is_reading = False
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> Path:
        """Open the pty; returns the path for the peer.

        Raises:
            OSError: the system has no pty to give.
        """
        self._pty = PtyPair()
        self._fd, self.path = self._pty.fd, self._pty.path
        self._stream.attach_writer(self)
        self._printer.on_flow = self._flow
        self._listen()
        return self.path

    async def aclose(self) -> None:
        """Close the pty."""
        self._printer.on_flow = None
        self._stream.stop()
        self.abort()
        if self._pty is not None:
            self._pty.close()

    # -- from the peer ----------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        if self._fd >= 0 and not self._is_reading and self._timer is None:
            self._is_reading = True
            self._loop.add_reader(self._fd, self._readable)

    def _rest(self) -> None:
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._fd)

    def _flow(self, busy: bool) -> None:
        # Called from inside the printer's own work: what it lets in now must come later.
        if not busy:
            self._loop.call_soon(self._listen)

    def _readable(self) -> None:
        """Something waits: from now on as many bytes are taken as the line would have brought."""
        self._rest()
        self._line_since_us, self._line_bytes = self._clock(), 0
        self._take_later()

    def _take_later(self) -> None:
        due_us = self._line_since_us + self._pace.burst_us(self._line_bytes + 1)
        wait_us = max(due_us - self._clock(), _TICK_US)
        self._timer = self._loop.call_later(wait_us / 1_000_000, self._take)

    def _take(self) -> None:
        self._timer = None
        assert self._pty is not None  # noqa: S101 - `start` has made it
        window = self._printer.receive_window
        if self._peer_obeys_xoff():
            room = self._printer.profile.receive_buffer_bytes - self._printer.buffered_bytes
            window = 0 if self._printer.busy else min(window, room)
        if window <= 0:
            return  # `_flow` tells when there is room again
        due = self._pace.characters(self._clock() - self._line_since_us) - self._line_bytes
        data = b""
        if due > 0:
            try:
                data = self._pty.read(min(due, window))
            except BlockingIOError:
                self._listen()  # the line is idle
                return
            except OSError:
                self._stream.abort()  # the pty is gone
                return
        self._line_bytes += len(data)
        if data:
            self._stream.data_received(data)
        if self._fd >= 0:
            self._take_later()

    def _peer_obeys_xoff(self) -> bool:
        profile = self._printer.profile
        if profile.interface != "serial" or profile.handshake != "xonxoff":
            return False
        assert self._pty is not None  # noqa: S101 - `start` has made it
        return bool(termios.tcgetattr(self._pty.peer_fd)[0] & termios.IXON)

    # -- to the peer: what `StreamHost` writes to -------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """From the host, already paced; what the kernel does not take at once waits for room."""
        if self._fd >= 0:
            self._waiting += data
            write_waiting(self._loop, self._fd, self._waiting, self._stream)

    def abort(self) -> None:
        """Close our side."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._fd >= 0:
            self._rest()
            self._loop.remove_writer(self._fd)
            assert self._pty is not None  # noqa: S101 - the descriptor is its own
            self._pty.close_ours()
            self._fd = -1
            self._stream.connection_lost(None)

    def close(self) -> None:
        """A line stays: whoever is at its other end, there is nothing to hang up."""
