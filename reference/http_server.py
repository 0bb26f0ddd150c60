"""How the reference's processes read HTTP."""

from __future__ import annotations

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from protocols.request_head import plain_head

__all__ = ["ARRIVAL_S", "MAX_HEAD_BYTES", "PlainProtocol"]

MAX_HEAD_BYTES: Final = 65_536
"""Of request line and headers; eight times what any client of a station sends."""
ARRIVAL_S: Final = 30.0
"""How long a request may take to arrive, from its connection or its first byte to its last; between requests other rules hold."""


class PlainProtocol(HttpToolsProtocol):
    """uvicorn's protocol, hardened for clients in the field.

    `plain_head` says which heads it reads besides. A head that has no end is refused (431), and whoever sends a request byte by byte,
    or nothing at all, is cut off: uvicorn would wait, and keep what has come, for as long as the client likes.
    """

    arrival_s: float = ARRIVAL_S
    _deadline: asyncio.TimerHandle | None = None
    _head_bytes: int = 0
    _in_head: bool = False
    _in_message: bool = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody connected, and has to say something soon."""
        super().connection_made(transport)
        self._deadline = self.loop.call_later(self.arrival_s, self._too_slow)

    def data_received(self, data: bytes) -> None:
        """Bytes of requests, whose heads are made plain."""
        if self.cycle is None or self.cycle.response_complete:
            data = plain_head(data)
        was_in_head, was_in_message = self._in_head, self._in_message
        super().data_received(data)
        if was_in_head and self._in_head:  # a head that comes in pieces
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(b"431 Request Header Fields Too Large")
        if not self._in_message:
            self._rest()
        elif self._deadline is None or not was_in_message:
            self._rest()
            self._deadline = self.loop.call_later(self.arrival_s, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self._rest()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head = self._in_message = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its head is whole."""
        self._in_head = False
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > MAX_HEAD_BYTES:
            raise ValueError("the head is too large")  # the parser makes a 400 of it
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """All of it has come."""
        self._in_message = False
        super().on_message_complete()

    def _rest(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if self._in_message:
            self._refuse(b"408 Request Timeout")
        else:
            # Nothing was asked, and what nobody asked for would be taken for the answer to what is asked next.
            self.transport.close()

    def _refuse(self, status: bytes) -> None:
        if self.transport.is_closing():
            return
        cycle = self.cycle
        # A reply that is on its way is not broken into.
        is_free = cycle is None or cycle.response_complete or not (self._in_head or cycle.response_started)
        if is_free:
            self.transport.write(
                b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
        self.transport.close()
