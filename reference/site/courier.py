"""What carries the uplink's requests: one transport, without the layers of a general HTTP client.

A controller posts live readings twice a second for as long as it runs, always to the same few addresses. Redirects,
cookies, authentication flows and merging of URLs have no place there, and cost most of such a request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import msgspec

__all__ = ["Courier"]

_encode = msgspec.json.Encoder().encode


class Courier:
    """JSON requests over one transport.

    Args:
        transport: what carries them; None for real sockets. A proxy named by the environment is not used.
        headers: sent with each request.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport | None, headers: Mapping[str, str]) -> None:
        self._transport = transport if transport is not None else httpx.AsyncHTTPTransport()
        self._headers = dict(headers)
        self._urls: dict[str, httpx.URL] = {}

    def _url(self, base: str, path: str) -> httpx.URL:
        # Few paths come again and again; those with a number in them are not worth keeping.
        url = self._urls.get(base + path)
        if url is None:
            url = httpx.URL(base + path)
            if len(self._urls) < 64:
                self._urls[base + path] = url
        return url

    async def request(
        self, method: str, base: str, path: str, body: Any, *, timeout_s: float
    ) -> httpx.Response:
        """One request with its whole reply; ``body`` None sends none.

        Raises:
            httpx.TransportError: no answer, or the connection broke.
        """
        request = httpx.Request(
            method,
            self._url(base, path),
            headers=self._headers if body is None else {**self._headers, "Content-Type": "application/json"},
            content=None if body is None else _encode(body),
            extensions={"timeout": httpx.Timeout(timeout_s).as_dict()},
        )
        response = await self._transport.handle_async_request(request)
        response.request = request
        try:
            await response.aread()
        finally:
            await response.aclose()
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()
