"""A pseudo-terminal for a device: the peer opens its path as it would open a serial port, with any parity it likes.

A pty has neither parity nor 7 bits. The kernel drops both silently, and the C library tells a caller of whose control flags
nothing could be changed that its argument is invalid. So a driver that asks for 8O1 gets through on a fresh pty, because it sets
CLOCAL on the way, and is refused from its second call on: when it sets a time-out, or is started again. Here CLOCAL, which
means nothing on a pty, is cleared behind each caller, so that there always is a flag to change. The kernel tells of each caller in packet
mode (TIOCPKT and EXTPROC, see ioctl_tty(2)); where there is no such thing, the pty is a plain one. EXTPROC would keep XON and XOFF
from being obeyed, so it is gone for as long as the peer has IXON set; what such a peer does to its other flags is not told.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import struct
import sys
import termios
import tty
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sim.wires.host import StreamHost

__all__ = ["PtyPair", "write_waiting"]

_EXTPROC: Final = 0o200000
_SETTINGS_CHANGED: Final = 0x40 | 0x10 | 0x20
"""TIOCPKT_IOCTL, NOSTOP and DOSTOP: somebody has set the peer's terminal attributes, or just its IXON."""

_AFTER_S: Final = 0.002
"""A caller reads back what it has set; the flag must not be gone before."""


class PtyPair:
    """Both ends of a pty, raw. Needs a running loop.

    The peer's side stays open here as well: a peer may come and go without a hang-up on the device's side.

    Attributes:
        fd: the device's side, not blocking.
        peer_fd: our handle on the peer's side.
        path: what the peer opens, for example ``/dev/pts/5``.

    Raises:
        OSError: the system has no pty to give.
    """

    def __init__(self) -> None:
        self.fd, self.peer_fd = os.openpty()
        tty.setraw(self.peer_fd)
        os.set_blocking(self.fd, False)
        self.path = Path(os.ttyname(self.peer_fd))
        self._loop = asyncio.get_running_loop()
        self._forgetting: asyncio.TimerHandle | None = None
        self._tells = False
        if sys.platform == "linux":
            self._forget()
            with contextlib.suppress(OSError):
                fcntl.ioctl(self.fd, termios.TIOCPKT, struct.pack("i", 1))
                self._tells = True

    def read(self, limit: int) -> bytes:
        """Up to so many bytes from the peer; empty if there was only news of the terminal.

        Raises:
            BlockingIOError: nothing is there.
            OSError: the pty is gone.
        """
        if not self._tells:
            return os.read(self.fd, limit)
        packet = os.read(self.fd, limit + 1)
        if not packet or packet[0] == 0:
            return packet[1:]
        if packet[0] & _SETTINGS_CHANGED and self._forgetting is None:
            self._forgetting = self._loop.call_later(_AFTER_S, self._forget)
        return b""

    def _forget(self) -> None:
        self._forgetting = None
        with contextlib.suppress(termios.error):
            settings = termios.tcgetattr(self.peer_fd)
            told = 0 if settings[0] & termios.IXON else _EXTPROC
            if settings[2] & termios.CLOCAL or settings[3] & _EXTPROC != told:
                settings[2] &= ~termios.CLOCAL
                settings[3] = settings[3] & ~_EXTPROC | told
                termios.tcsetattr(self.peer_fd, termios.TCSANOW, settings)

    def close_ours(self) -> None:
        """Close the device's side; harmless when called again."""
        if self._forgetting is not None:
            self._forgetting.cancel()
            self._forgetting = None
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def close(self) -> None:
        """Close both sides; harmless when called again."""
        self.close_ours()
        if self.peer_fd >= 0:
            os.close(self.peer_fd)
            self.peer_fd = -1


def write_waiting(loop: asyncio.AbstractEventLoop, fd: int, waiting: bytearray, host: StreamHost) -> None:
    """Write what waits for a pty, and take it out; what the kernel does not take at once waits on, and its host with it."""
    with contextlib.suppress(BlockingIOError):
        while waiting:
            del waiting[: os.write(fd, waiting)]
    if waiting:
        loop.add_writer(fd, write_waiting, loop, fd, waiting, host)
        host.pause_writing()
    elif loop.remove_writer(fd):
        host.resume_writing()
