"""HTTP as the platforms' own servers speak it, where uvicorn differs and clients in the field notice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from protocols.request_head import plain_head

__all__ = ["PlatformProtocol"]

_EXCEPTIONS: Final = {
    b"request-id": b"Request-ID",
    b"etag": b"ETag",
    b"www-authenticate": b"WWW-Authenticate",
}


class PlatformProtocol(HttpToolsProtocol):
    """uvicorn's protocol with two differences.

    - Heads of requests are made plain, see `protocols.request_head.plain_head`.
    - Names of reply headers begin with capitals, ``Wechatpay-Timestamp``. HTTP does not care, and uvicorn writes small letters; but
      WeChat Pay's own Java client (wechatpay-java 0.2.17, ``core/http/HttpHeaders.java``) looks them up as the platform spells them,
      and takes a reply without them for forged.
    """

    def data_received(self, data: bytes) -> None:
        """Bytes of requests, whose heads are made plain."""
        if self.cycle is None or self.cycle.response_complete:
            data = plain_head(data)
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """A request's head has been read; its reply will be spelled as the platforms spell it."""
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:
            self.cycle.transport = cast("asyncio.Transport", _Spelling(self.cycle.transport))


class _Spelling:
    """A transport for one reply. All of its head comes in one write, the first that is not an interim reply."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._is_head = True
        self.is_closing: Callable[[], bool] = transport.is_closing
        self.close: Callable[[], None] = transport.close

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if self._is_head and not data.startswith(b"HTTP/1.1 100"):
            self._is_head = False
            head, end, body = data.partition(b"\r\n\r\n")
            status, *lines = head.split(b"\r\n")
            data = b"\r\n".join([status, *map(_spelled, lines)]) + end + body
        self._transport.write(data)


@lru_cache(maxsize=1000)
def _capital(name: bytes) -> bytes:
    return _EXCEPTIONS.get(name) or (name.title() if name.islower() else name)


def _spelled(line: bytes) -> bytes:
    name, colon, value = line.partition(b":")
    return _capital(name) + colon + value
