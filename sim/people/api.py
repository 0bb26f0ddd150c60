"""HTTP from a client's point of view: several base addresses, a time limit, retries with the same content."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from sim.net import NetworkClient, NetworkReply

__all__ = ["ApiClient", "ApiError", "HttpClient", "Unreachable"]

HttpClient = httpx.AsyncClient | NetworkClient
"""Over real sockets, or on the network in memory."""


class Unreachable(Exception):  # noqa: N818 - it says what happened
    """No instance answered within all tries; what became of the request is unknown."""


class ApiError(Exception):
    """The backend refused: a 4xx that another try would not change."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code


class ApiClient:
    """JSON requests to any of several instances of one backend.

    A request that times out, breaks off, or is answered 5xx or 429 is sent again, with the same body, to the next
    instance: bodies carry a client token, so that a repetition is not a second order.

    Args:
        clients: one HTTP client (with its base URL) for each instance.
        token: bearer token.
        timeout_us: longest wait for one answer.
        tries: how often in all.
        pause_us: wait before the second try; doubled for each further one, up to 8 s.
    """

    def __init__(
        self,
        clients: Sequence[HttpClient],
        *,
        token: str = "",
        timeout_us: int = 5_000_000,
        tries: int = 6,
        pause_us: int = 500_000,
        first: int = 0,
    ) -> None:
        if not clients:
            raise ValueError("an API client needs at least one instance to talk to")
        self._clients = tuple(clients)
        self.token = token
        self._timeout_s = timeout_us / 1e6
        self._tries = tries
        self._pause_us = pause_us
        self._at = first % len(self._clients)

    @property
    def current(self) -> HttpClient:
        """The instance in use."""
        return self._clients[self._at]

    def next_instance(self) -> None:
        """Turn to the next instance after trouble with this one."""
        self._at = (self._at + 1) % len(self._clients)

    @property
    def headers(self) -> dict[str, str]:
        """Headers of each request."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, str] | None = None,
        tries: int | None = None,
    ) -> Any:
        """One request, repeated as described; returns the decoded body (None for an empty one).

        Raises:
            ApiError: refused with 4xx.
            Unreachable: no answer within all tries.
        """
        trouble = "never tried"
        tries = tries or self._tries
        for attempt in range(tries):
            if attempt:
                await asyncio.sleep(min(self._pause_us << (attempt - 1), 8_000_000) / 1e6)
            try:
                async with asyncio.timeout(self._timeout_s):
                    reply = await self.current.request(
                        method, path, json=json, params=params, headers=self.headers
                    )
            except (httpx.TransportError, TimeoutError) as error:
                trouble = type(error).__name__
                self.next_instance()
                continue
            if reply.status_code < 400:
                return reply.json() if reply.content else None
            if reply.status_code < 500 and reply.status_code not in {408, 425, 429}:
                raise ApiError(reply.status_code, *_told(reply))
            trouble = f"HTTP {reply.status_code}"
            self.next_instance()
        raise Unreachable(f"{method} {path}: {trouble} after {tries} tries")


def _told(reply: httpx.Response | NetworkReply) -> tuple[str, str]:
    try:
        body = reply.json()
    except ValueError:
        return "", reply.text[:200]
    if not isinstance(body, dict):
        return "", str(body)[:200]
    return str(body.get("code", "")), str(body.get("message", body.get("detail", "")))[:200]
