"""What carries the uplink's requests: one transport, without the layers of a general HTTP client.

A controller posts live readings twice a second for as long as it runs, always to the same few addresses. Redirects,
cookies, authentication flows and merging of URLs have no place there, and cost most of such a request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import httpx
import msgspec

from reference.carrier import Carrier
from reference.tls import client_context

__all__ = ["Answer", "Courier", "commands_of"]

log = logging.getLogger(__name__)

ANSWER_BYTES_MOST = 1 << 20

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Answer:
    """A reply: its status and its body."""

    __slots__ = ("content", "status_code")

    def __init__(self, status_code: int, content: bytes) -> None:
        self.status_code = status_code
        self.content = content

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


class Courier:
    """JSON requests over one transport.

    Args:
        transport: what carries them; None for real sockets. A proxy named by the environment is not used.
        headers: sent with each request.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport | None, headers: Mapping[str, str]) -> None:
        self._transport = (
            transport
            if transport is not None
            else httpx.AsyncHTTPTransport(verify=client_context(trust_env=True))
        )
        self._carrier = self._transport if isinstance(self._transport, Carrier) else None
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        self._with_body = [*self._headers, (b"content-type", b"application/json")]

    async def request(self, method: str, base: str, path: str, body: Any, *, timeout_s: float) -> Answer:
        """One request with its whole reply within ``timeout_s``; ``body`` None sends none.

        Raises:
            httpx.TransportError: no answer, or the connection broke.
            TimeoutError: no whole answer in time.
        """
        url = base + path
        headers = self._headers if body is None else self._with_body
        if self._carrier is not None:
            content = b"" if body is None else _encode(body)
            status, _, reply = await self._carrier.carry(method, url, headers, content, timeout_s)
            return Answer(status, reply)
        request = httpx.Request(
            method,
            url,
            headers=headers,
            content=None if body is None else _encode(body),
            extensions={"timeout": httpx.Timeout(timeout_s).as_dict()},
        )
        async with asyncio.timeout(timeout_s):
            response = await self._transport.handle_async_request(request)
            try:
                return Answer(response.status_code, await response.aread())
            finally:
                await response.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()


def commands_of(response: Answer) -> list[dict[str, Any]]:
    """The commands of a reply, oldest first; anything malformed is left out and complained about."""
    if len(response.content) > ANSWER_BYTES_MOST:
        log.warning("reply with commands is larger than %d bytes: ignored", ANSWER_BYTES_MOST)
        return []
    try:
        found = response.json()["commands"]
        commands = [c for c in found if isinstance(c["id"], int) and isinstance(c["kind"], str)]
    except (ValueError, KeyError, TypeError):
        log.warning("reply with commands is malformed: ignored")
        return []
    return sorted(commands, key=lambda command: int(command["id"]))
