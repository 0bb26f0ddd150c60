"""Ways onto the network: a transport for httpx, and a client without its layers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import httpx
import msgspec

from sim.net.exchange import Exchange, Outbound
from sim.net.place import Place, Places

if TYPE_CHECKING:
    from sim.net.network import Network

__all__ = ["NetworkClient", "NetworkReply", "NetworkTransport"]

_DEFAULT_TIMEOUT_S: Final = 5.0
"""As httpx has it."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class NetworkTransport(httpx.AsyncBaseTransport):
    """What httpx sends its requests through; made by `Network.transport`."""

    def __init__(self, network: Network, client: str) -> None:
        self._network = network
        self._client = client
        self._places = Places()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry one request.

        Raises:
            httpx.ConnectError: no such host, or it is down.
            httpx.ConnectTimeout, httpx.ReadTimeout, httpx.ReadError: see `Exchange.perform`.
        """
        body = await request.aread()
        limits = request.extensions.get("timeout", {})
        exchange = self._network.depart(
            self._client,
            Outbound(
                request.method,
                Place.of(request.url),
                [(name.lower(), value) for name, value in request.headers.raw],
                body,
                connect_s=limits.get("connect"),
                read_s=limits.get("read"),
            ),
        )
        await exchange.perform()
        status, headers = _head(exchange)
        if exchange.is_complete:
            return httpx.Response(status, headers=headers, stream=httpx.ByteStream(await exchange.read()))
        return httpx.Response(status, headers=headers, stream=exchange)

    async def carry(
        self, method: str, url: str, headers: Iterable[tuple[bytes, bytes]], body: bytes, whole_s: float
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Carry one request without httpx's objects around it; status, headers and body of the reply.

        Args:
            method: in capitals.
            url: with host and query.
            body: empty for none.
            headers: beside Host and Content-Length; names in lower case.
            whole_s: how long the whole reply may take.

        Raises:
            httpx.TransportError: as `handle_async_request`.
        """
        place = self._places.of("", url)
        headers = _with_host(place.netloc, headers, method, body)
        request = Outbound(method, place, headers, body, connect_s=whole_s, whole_s=whole_s)
        exchange = self._network.depart(self._client, request)
        await exchange.perform()
        try:
            return *_head(exchange), await exchange.read()
        finally:
            await exchange.aclose()


class NetworkReply:
    """A reply, as far as the programs of the simulated world look at it; named as httpx names it."""

    __slots__ = ("_exchange", "content", "status_code")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.status_code = _head(exchange)[0]
        self.content = b""

    @property
    def headers(self) -> httpx.Headers:
        """The headers."""
        return httpx.Headers(_head(self._exchange)[1])

    @property
    def text(self) -> str:
        """The body as text."""
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON. Raises ValueError if it is none."""
        try:
            return _decode(self.content)
        except msgspec.DecodeError as error:
            raise ValueError(str(error)) from error

    async def aread(self) -> bytes:
        """Wait for the whole body."""
        self.content = await self._exchange.read()
        return self.content

    def aiter_bytes(self) -> AsyncIterator[bytes]:
        """The body piece by piece."""
        return self._exchange.__aiter__()


class NetworkClient:
    """Asks one host, as `httpx.AsyncClient` would with a base URL, or any by whole URLs; made by `Network.client`.

    Redirects, cookies and authentication flows are httpx's and are not here. Nothing is held open.
    """

    def __init__(self, network: Network, client: str, host: str) -> None:
        self._network = network
        self._client = client
        self._base = f"https://{host}" if host else ""
        self._places = Places()

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        content: bytes = b"",
        timeout: float | httpx.Timeout | None = _DEFAULT_TIMEOUT_S,  # noqa: ASYNC109 - as httpx has it
    ) -> NetworkReply:
        """One request with its whole reply; ``json`` is sent in the place of ``content``.

        Raises:
            httpx.TransportError: no answer, or the connection broke.
            httpx.InvalidURL: no URL, or one that names no host.
        """
        exchange = self._depart(method, path, json, params, headers, content, timeout)
        await exchange.perform()
        reply = NetworkReply(exchange)
        await reply.aread()
        return reply

    async def post(self, path: str, **more: Any) -> NetworkReply:
        """See `request`."""
        return await self.request("POST", path, **more)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float | httpx.Timeout | None = _DEFAULT_TIMEOUT_S,  # noqa: ASYNC109 - as httpx has it
    ) -> AsyncIterator[NetworkReply]:
        """A request whose reply is read piece by piece.

        Raises:
            httpx.TransportError: no answer, or the connection broke.
        """
        exchange = self._depart(method, path, None, None, headers, b"", timeout)
        await exchange.perform()
        try:
            yield NetworkReply(exchange)
        finally:
            await exchange.aclose()

    async def aclose(self) -> None:
        """Nothing is open."""

    def _depart(
        self,
        method: str,
        path: str,
        json: Any,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] | None,
        body: bytes,
        timeout: float | httpx.Timeout | None,
    ) -> Exchange:
        pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
        own = [(name.lower().encode(), value.encode()) for name, value in pairs]
        if json is not None:
            body = _encode(json)
            own.append((b"content-type", b"application/json"))
        connect_s, read_s = (
            (timeout.connect, timeout.read) if isinstance(timeout, httpx.Timeout) else (timeout, timeout)
        )
        if params:
            path = f"{path.partition('?')[0]}?{urlencode(params)}"
        place = self._places.of(self._base, path)
        request = Outbound(
            method,
            place,
            _with_host(place.netloc, own, method, body),
            body,
            connect_s=connect_s,
            read_s=read_s,
        )
        return self._network.depart(self._client, request)


def _with_host(
    netloc: bytes, headers: Iterable[tuple[bytes, bytes]], method: str, body: bytes
) -> list[tuple[bytes, bytes]]:
    found = [(b"host", netloc)]
    if body or method in ("POST", "PUT", "PATCH"):
        found.append((b"content-length", b"%d" % len(body)))
    found.extend(headers)
    return found


def _head(exchange: Exchange) -> tuple[int, list[tuple[bytes, bytes]]]:
    if exchange.head is None:
        raise RuntimeError("no head of a reply")
    return exchange.head
