"""Calls to one far host: bounded in time, and slowed down while that host says that it has trouble.

Nothing here decides what an answer means. It only sorts silence: a call that certainly never left is
`GatewayUnreachableError`, any other without an answer is `GatewayUnknownError`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import httpx

from reference.backend.gateways.port import GatewayUnknownError, GatewayUnreachableError
from reference.backend.identifiers import Identifiers
from reference.carrier import Carrier

__all__ = ["Outgoing"]

_SLOWEST_US: Final = 2_000_000


class Outgoing:
    """One far host.

    After two answers of 429 or 5xx in a row calls leave one by one, `busy_qps` a second at most, with jitter, and twice as
    far apart for each further such answer (up to 2 s); the first good answer ends that. A call that would have to wait
    longer than the time-out is not made.

    Args:
        transport: carries the requests; it decides whether this is a simulation.
        clock_us: Unix time in microseconds.
        ids: jitter.
        timeout_s: for a call, waiting included.
        busy_qps: calls a second while the host has trouble.

    Attributes:
        calls: how many were made.
    """

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        clock_us: Callable[[], int],
        ids: Identifiers,
        timeout_s: float,
        busy_qps: float,
    ) -> None:
        self._transport = transport
        self._carrier = transport if isinstance(transport, Carrier) else None
        self._timeouts = {"timeout": httpx.Timeout(timeout_s).as_dict()}
        self._timeout_s = timeout_s
        self._clock_us = clock_us
        self._ids = ids
        self._gap_us = round(1_000_000 / busy_qps)
        self._busy = 0
        self._next_us = 0
        self.calls = 0

    async def send(self, method: str, url: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        """Send a request and read the whole answer, whatever its status.

        Raises:
            GatewayUnreachableError: nothing was sent.
            GatewayUnknownError: no answer in time, or none that is HTTP.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                if self._busy > 1:
                    await self._wait()
                self.calls += 1
                response = await self._ask(method, url, body, headers)
        except TimeoutError as error:
            raise GatewayUnknownError(f"no answer within {self._timeout_s} s") from error
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.InvalidURL) as error:
            raise GatewayUnreachableError(f"{type(error).__name__}: {error}") from error
        except httpx.HTTPError as error:
            raise GatewayUnknownError(f"{type(error).__name__}: {error}") from error
        if response.status_code == 429 or response.status_code >= 500:
            self._trouble()
        elif self._busy:
            self._busy = 0
        return response

    async def _ask(self, method: str, url: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        # Straight to the transport: the layers of a general client (redirects, cookies) have no place here.
        if self._carrier is not None:
            named = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
            # The time-out around this call ends it first.
            limit_s = self._timeout_s + 1.0
            status, found, content = await self._carrier.carry(method, url, named, body, limit_s)
            return httpx.Response(status, headers=found, content=content)
        response = await self._transport.handle_async_request(
            httpx.Request(method, url, content=body, headers=headers, extensions=self._timeouts)
        )
        try:
            await response.aread()
        finally:
            await response.aclose()
        return response

    def _trouble(self) -> None:
        self._busy += 1
        if self._busy == 1:
            return  # one bad answer is no trouble yet
        now_us = self._clock_us()
        self._next_us = max(self._next_us, now_us + self._spacing_us())

    def _spacing_us(self) -> int:
        base_us = max(self._gap_us, min(_SLOWEST_US, self._gap_us << min(self._busy - 2, 16)))
        return base_us + self._ids.below(base_us // 2)

    async def _wait(self) -> None:
        now_us = self._clock_us()
        if self._next_us - now_us > self._timeout_s * 1_000_000 + 2 * max(self._gap_us, _SLOWEST_US):
            self._next_us = now_us  # farther ahead than any queue: the clock was set back
        slot_us = max(now_us, self._next_us)
        if slot_us - now_us > self._timeout_s * 1_000_000:
            raise GatewayUnreachableError("the gateway has trouble: not asked now")
        self._next_us = slot_us + self._spacing_us()
        await asyncio.sleep((slot_us - now_us) / 1_000_000)
