"""One port of the console, as a machine on a wire: characters in, replies out, at the pace of its line."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from protocols.sansio import Outgoing
from protocols.tls import INPUT_LIMIT, Command, CommandParser, Escape

from .console import GaugeConsole

__all__ = ["GaugePort"]

_PIECE_US: Final = 50_000
"""A paced reply goes out in pieces of this duration, so that ESC can stop the rest."""


class GaugePort:
    """A port; make one for each connection.

    Args:
        console: the console behind it.
        think_us: from the end of a command to the first character of its reply.
        characters_per_s: pace of its own UART; None leaves pace to the wire, and then ESC stops only replies that have not
            begun.

    Attributes:
        characters_per_s: see above.
        overflowed: characters lost because more than 128 were waiting.
        answered, refused: commands that got a reply, and those without the security code, which get none.
    """

    def __init__(
        self, console: GaugeConsole, *, think_us: int = 40_000, characters_per_s: int | None = None
    ) -> None:
        self.on_wake: Callable[[], None] | None = None
        self.console = console
        self.overflowed = 0
        self.answered = 0
        self.refused = 0
        self._think_us = think_us
        self.characters_per_s = characters_per_s
        self._parser = CommandParser(console.security_code)
        self._waiting: deque[int] = deque()
        self._reply = b""
        self._due_us: int | None = None
        self._out: list[Outgoing] = []

    def connection_made(self, now_us: int) -> None:
        """From the host: a host is there."""
        del now_us
        self._forget()

    def connection_lost(self, now_us: int) -> None:
        """From the host: it is gone."""
        del now_us
        self._forget()

    def _forget(self) -> None:
        self._parser.reset()
        self._waiting.clear()
        self._reply, self._due_us = b"", None
        self._out.clear()

    def receive_data(self, data: bytes, now_us: int) -> None:
        """See `protocols.sansio.Machine`."""
        if not self.console.is_powered:
            return
        self._send_due(now_us)
        for byte in data:
            if byte == 0x1B:
                # Heard at once, whatever waits: it halts the reply that is going out.
                self._waiting.clear()
                self._parser.feed(byte)
                self._reply, self._due_us = b"", None
            elif self._due_us is None:
                self._take(byte, now_us)
            elif len(self._waiting) < INPUT_LIMIT:
                self._waiting.append(byte)
            else:
                self.overflowed += 1

    def _take(self, byte: int, now_us: int) -> None:
        self._parser.security_code = self.console.security_code
        for event in self._parser.feed(byte):
            if isinstance(event, Command):
                self.answered += 1
                self._reply += self.console.answer(event, now_us)
                self._due_us = now_us + self._think_us
            elif not isinstance(event, Escape):
                self.refused += 1

    def data_to_send(self, now_us: int) -> list[Outgoing]:
        """See `protocols.sansio.Machine`."""
        self._send_due(now_us)
        out, self._out = self._out, []
        return out

    def _send_due(self, now_us: int) -> None:
        while self._due_us is not None and self._due_us <= now_us:
            if self.characters_per_s is None or not self._reply:
                piece, self._reply = self._reply, b""
            else:
                count = max(1, self.characters_per_s * _PIECE_US // 1_000_000)
                piece, self._reply = self._reply[:count], self._reply[count:]
            if piece:
                self._out.append(Outgoing(piece, self._due_us))
            if self._reply and self.characters_per_s is not None:
                self._due_us += -(-len(piece) * 1_000_000 // self.characters_per_s)
                continue
            self._due_us = None
            while self._waiting and self._due_us is None:
                self._take(self._waiting.popleft(), now_us)

    def next_timer(self) -> int | None:
        """See `protocols.sansio.Machine`."""
        if not self.console.is_powered:
            return None
        scan_us = self.console.next_scan_us
        return scan_us if self._due_us is None else min(scan_us, self._due_us)

    def handle_timer(self, now_us: int) -> None:
        """See `protocols.sansio.Machine`."""
        self.console.scan(now_us)
        self._send_due(now_us)
