"""From the wire to the command parser: the network board's memory, the receive buffer, and when they are full."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sim.printer.profile import PrinterProfile

__all__ = ["MAX_INTERFACE_BYTES", "ReceivePath"]

MAX_INTERFACE_BYTES: Final = 1 << 20
"""A host that ignores `Printer.can_receive` is cut off here."""


class ReceivePath:
    """Holds received bytes and searches each of them once for real-time commands.

    Args:
        profile: the model.
        real_time: called with bytes at the moment their real-time commands take effect; returns how many of them, and with
            them all that came before, such a command has made the printer forget.
        discard: called with a count and a reason when bytes are lost.
        is_offline: whether the printer is offline now.
        flow: called with the BUSY signal when it changes.

    Attributes:
        buffer: the receive buffer; the parser takes from its front.
        busy: the BUSY signal.
        forced: whether a board of the ``ethernet_forced_only`` kind passes bytes although the printer is busy.
    """

    def __init__(
        self,
        profile: PrinterProfile,
        real_time: Callable[[bytes], int],
        discard: Callable[[int, str], None],
        is_offline: Callable[[], bool],
        flow: Callable[[bool], None],
    ) -> None:
        self._profile = profile
        self._real_time = real_time
        self._discard = discard
        self._is_offline = is_offline
        self._flow = flow
        self._busy_when_offline = profile.busy_when == "full or offline"
        self._is_full = False
        self._board = bytearray()
        self._scanned = 0  # bytes at the head of the board already searched for real-time commands
        self.buffer = bytearray()
        self.busy = False
        self.forced = False

    def __len__(self) -> int:
        return len(self._board) + len(self.buffer)

    @property
    def window(self) -> int:
        """How many bytes may be handed over now."""
        if self._profile.interface == "serial":
            # Without a handshake nobody holds the sender back, and XON/XOFF is a request that it may not know.
            if self._profile.handshake == "dtr":
                return 0 if self.busy else self._profile.receive_buffer_bytes - len(self.buffer)
            return MAX_INTERFACE_BYTES
        return max(0, self._profile.interface_buffer_bytes - len(self._board))

    def arrive(self, data: bytes) -> None:
        """Bytes from the wire."""
        if self._profile.interface == "serial":
            self.force(data)
            return
        room = MAX_INTERFACE_BYTES - len(self._board)
        self._board += data[:room]
        if self._profile.realtime_when_busy == "always":
            self._scan(len(self._board))
        if len(data) > room:
            self._discard(len(data) - room, "the network board is full")

    def pass_on(self) -> None:
        """Move bytes from the network board into the receive buffer."""
        self.update_busy()
        while self._board:
            if self.busy and not self.forced:
                return
            room = self._profile.receive_buffer_bytes - len(self.buffer) - self._profile.busy_left_bytes
            if self._is_full or room <= 0:
                if self.forced:
                    self._scan(len(self._board))
                return
            forgotten = self._scan(min(room, len(self._board)))
            chunk = bytes(self._board[: room - forgotten])
            del self._board[: len(chunk)]
            self._scanned -= len(chunk)
            self._store(chunk)

    def force(self, data: bytes) -> None:
        """Bytes that the board hands over whatever the printer says: they may be lost, real-time commands are obeyed."""
        self._store(data[self._real_time(data) :])

    def _scan(self, end: int) -> int:
        """Search the board's memory up to ``end``; returns how many bytes at its head are forgotten by it."""
        start = self._scanned
        if end <= start:
            return 0
        self._scanned = end
        forgotten = self._real_time(bytes(self._board[start:end]))
        if not forgotten:
            return 0
        del self._board[: start + forgotten]
        self._scanned -= start + forgotten
        return start + forgotten

    def _store(self, data: bytes) -> None:
        room = self._profile.receive_buffer_bytes - len(self.buffer)
        self.buffer += data[:room]
        if len(data) > room:
            self._discard(len(data) - room, "receive buffer full")
        self.update_busy()

    def update_busy(self) -> None:
        """BUSY rises when the buffer is nearly full and falls only when there is more room again."""
        left = self._profile.receive_buffer_bytes - len(self.buffer)
        if left <= self._profile.busy_left_bytes:
            self._is_full = True
        elif left >= self._profile.ready_left_bytes:
            self._is_full = False
        busy = self._is_full or (self._busy_when_offline and self._is_offline())
        if busy != self.busy:
            self.busy = busy
            self._flow(busy)

    def clear_buffer(self) -> None:
        """Empty the receive buffer; what the board holds is the business of `_scan`."""
        self.buffer.clear()
        self.update_busy()

    def lose_power(self) -> int:
        """Forget everything; returns how many bytes were lost."""
        lost = len(self)
        self._board.clear()
        self._scanned = 0
        self.clear_buffer()
        return lost
