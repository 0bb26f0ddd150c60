"""What a load client needs of HTTP: either backend will do, and a retry is the same request with the same keys."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx

__all__ = ["Answer", "AnyBackend", "LoadError", "ServerEvent"]

_ATTEMPTS: Final = 200
_RETRY_GAP_S: Final = 0.1
"""200 tries a tenth of a second apart reach past the 15 s that a failover may take when each try fails at once."""

_RETRIED: Final = frozenset({408, 425, 429})
"""Refusals that another try may change; any other 4xx is final. 5xx and broken connections are always tried again."""


class LoadError(Exception):
    """A request was refused (4xx), answered with something else than was asked for, or not at all for longer than a failover may take."""


class _Object(dict[str, Any]):
    """The object that a reply holds. What it lacks is the backend's fault, and told as such."""

    def __init__(self, request: str, held: dict[str, Any]) -> None:
        super().__init__(held)
        self._request = request

    def __missing__(self, name: str) -> Any:
        raise LoadError(f"{self._request}: the answer has no {name!r}")


def _object(request: str, text: str) -> _Object:
    try:
        held = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        held = None
    if not isinstance(held, dict):
        raise LoadError(f"{request}: the answer is no JSON object: {text[:60]!r}")
    return _Object(request, held)


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One server-sent event: its name and its JSON data."""

    name: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """An acknowledged request.

    Attributes:
        body: the reply's JSON object, empty for no content; to ask it for what it lacks raises `LoadError`.
        first_us: when the first try was sent.
        sent_us: when the try that was acknowledged was sent.
        acked_us: when its reply was read.
    """

    body: dict[str, Any]
    first_us: int
    sent_us: int
    acked_us: int


class AnyBackend:
    """Sends each request to one of several backends; if that one is gone or failing, to the next.

    Args:
        urls: base URLs.
        clock_us: monotonic clock of the run.
        timeout_s: how long one try may take.
        transport: carries the requests; None for real sockets.

    Attributes:
        in_flight: tries under way at each backend, in the order of ``urls`` (event streams not counted).
        failovers: how often a request went on to the next backend.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        clock_us: Callable[[], int],
        timeout_s: float = 5.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        if not urls:
            raise ValueError("a load needs at least one backend")
        limits = httpx.Limits(max_connections=2_000, max_keepalive_connections=200)
        self._clients = [
            httpx.AsyncClient(
                base_url=url, timeout=timeout_s, limits=limits, trust_env=False, transport=transport
            )
            for url in urls
        ]
        self._clock_us = clock_us
        self._turn = 0
        self.in_flight = [0] * len(self._clients)
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
    ) -> Answer:
        """Send until one backend answers 2xx.

        Raises:
            LoadError: a 4xx answer, one that is no JSON object, or no answer within all tries.
            httpx.LocalProtocolError: the request itself is malformed.
        """
        which = self._next()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        first_us = self._clock_us()
        last = "no try was made"
        for _ in range(_ATTEMPTS):
            sent_us = self._clock_us()
            self.in_flight[which] += 1
            try:
                reply = await self._clients[which].request(method, path, json=body, headers=headers)
            except httpx.LocalProtocolError:
                raise  # our own mistake; no other backend will like it better
            except httpx.TransportError as error:
                last = f"{type(error).__name__}: {error}"
            else:
                if reply.is_success:
                    body = _object(f"{method} {path}", reply.text)
                    return Answer(body, first_us, sent_us, self._clock_us())
                last = f"{reply.status_code} {reply.text[:200]}"
                if reply.status_code < 500 and reply.status_code not in _RETRIED:
                    raise LoadError(f"{method} {path}: {last}")
            finally:
                self.in_flight[which] -= 1
            self.failovers += 1
            which = (which + 1) % len(self._clients)
            await asyncio.sleep(_RETRY_GAP_S)
        raise LoadError(f"{method} {path}: gave up after {_ATTEMPTS} tries, the last one: {last}")

    async def events(self, path: str, *, key: str) -> AsyncIterator[ServerEvent]:
        """Follow a stream of server-sent events; when its backend dies, go on at the next one.

        Close the iterator (`contextlib.aclosing`) when enough was heard, or its connection stays open.

        Raises:
            LoadError: a 4xx answer, an event without a JSON object, or no stream within all tries.
        """
        which = self._next()
        headers = {"Authorization": f"Bearer {key}", "Accept": "text/event-stream"}
        for _ in range(_ATTEMPTS):
            try:
                async with self._clients[which].stream("GET", path, headers=headers, timeout=None) as reply:
                    if reply.is_success:
                        async for event in _parse_events(f"GET {path}", reply.aiter_lines()):
                            yield event
                    elif reply.status_code < 500 and reply.status_code not in _RETRIED:
                        raise LoadError(f"GET {path}: {reply.status_code}")
            except httpx.TransportError:
                self.failovers += 1
            which = (which + 1) % len(self._clients)
            await asyncio.sleep(_RETRY_GAP_S)
        raise LoadError(f"GET {path}: gave up after {_ATTEMPTS} streams")


async def _parse_events(request: str, lines: AsyncIterator[str]) -> AsyncIterator[ServerEvent]:
    """Read the event-stream format of the HTML standard: `event:` and `data:` lines, a blank line ends an event."""
    name = "message"
    data: list[str] = []
    async for line in lines:
        if not line:
            if data:
                yield ServerEvent(name, _object(request, "\n".join(data)))
            name, data = "message", []
        elif line.startswith("event:"):
            name = line[6:].strip()
        elif line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
