"""What a load client needs of HTTP: either backend will do, and a retry is the same request with the same keys."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx

__all__ = ["AnyBackend", "LoadError", "ServerEvent"]

_ATTEMPTS = 60
_RETRY_GAP_S = 0.1
"""Sixty tries a tenth of a second apart reach past the 15 s that a failover may take when each try fails at once."""


class LoadError(Exception):
    """A request was refused (4xx) or no backend answered for longer than a failover may take."""


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One server-sent event: its name and its JSON data."""

    name: str
    data: dict[str, Any]


class AnyBackend:
    """Sends each request to one of several backends; if that one is gone or failing, to the next.

    Args:
        urls: base URLs.
        clock_us: monotonic clock of the run.
        timeout_s: how long one try may take.
    """

    def __init__(self, urls: Sequence[str], *, clock_us: Callable[[], int], timeout_s: float = 5.0) -> None:
        limits = httpx.Limits(max_connections=2_000, max_keepalive_connections=200)
        self._clients = [
            httpx.AsyncClient(base_url=url, timeout=timeout_s, limits=limits, trust_env=False) for url in urls
        ]
        self._clock_us = clock_us
        self._turn = 0
        self.failovers = 0

    async def aclose(self) -> None:
        """Close all connections."""
        for client in self._clients:
            await client.aclose()

    def _next(self) -> int:
        self._turn = (self._turn + 1) % len(self._clients)
        return self._turn

    async def request(
        self, method: str, path: str, *, key: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Send until one backend answers 2xx; returns the reply's object (empty for no content).

        Raises:
            LoadError: a 4xx answer, or no answer within all tries.
        """
        which = self._next()
        last = "no try was made"
        for _ in range(_ATTEMPTS):
            try:
                reply = await self._clients[which].request(
                    method, path, json=body, headers={"Authorization": f"Bearer {key}"}
                )
            except httpx.TransportError as error:
                last = f"{type(error).__name__}: {error}"
            else:
                if reply.is_success:
                    return reply.json() if reply.content else {}
                last = f"{reply.status_code} {reply.text[:200]}"
                if reply.status_code < 500 and reply.status_code not in {409, 429}:
                    raise LoadError(f"{method} {path}: {last}")
            self.failovers += 1
            which = (which + 1) % len(self._clients)
            await asyncio.sleep(_RETRY_GAP_S)
        raise LoadError(f"{method} {path}: gave up after {_ATTEMPTS} tries, the last one: {last}")

    async def events(self, path: str, *, key: str) -> AsyncIterator[ServerEvent]:
        """Follow a stream of server-sent events; when its backend dies, go on at the next one."""
        which = self._next()
        for _ in range(_ATTEMPTS):
            with suppress(httpx.TransportError):
                async with self._clients[which].stream(
                    "GET",
                    path,
                    headers={"Authorization": f"Bearer {key}", "Accept": "text/event-stream"},
                    timeout=None,
                ) as reply:
                    if reply.is_success:
                        async for event in _parse_events(reply.aiter_lines()):
                            yield event
                    elif reply.status_code < 500:
                        raise LoadError(f"GET {path}: {reply.status_code}")
            self.failovers += 1
            which = (which + 1) % len(self._clients)
            await asyncio.sleep(_RETRY_GAP_S)
        raise LoadError(f"GET {path}: gave up after {_ATTEMPTS} streams")


async def _parse_events(lines: AsyncIterator[str]) -> AsyncIterator[ServerEvent]:
    """Read the event-stream format of the HTML standard: `event:` and `data:` lines, a blank line ends an event."""
    name = "message"
    data: list[str] = []
    async for line in lines:
        if not line:
            if data:
                yield ServerEvent(name, json.loads("\n".join(data)))
            name, data = "message", []
        elif line.startswith("event:"):
            name = line[6:].strip()
        elif line.startswith("data:"):
            data.append(line[5:].strip())
