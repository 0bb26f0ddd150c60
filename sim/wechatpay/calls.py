"""What a call of the gateway is: a route, a request that was checked and is about to be committed, and what it comes to."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from protocols.wechatpay import Endpoint
from sim.wechatpay.gate import RawRequest
from sim.wechatpay.material import MerchantAccount

__all__ = ["Commit", "Done", "Prepare", "Route", "Router"]


@dataclass(frozen=True, slots=True)
class Done:
    """A committed request.

    Attributes:
        data: what to answer; None is the empty 204.
        before_reply: what must be over before the answer leaves.
        status: of an answer with data.
        file: a download instead of JSON: unsigned bytes.
    """

    data: dict[str, object] | None
    before_reply: asyncio.Event | None = None
    status: int = 200
    file: bytes | None = None


Commit = Callable[[], Done]
"""Does the work at the instant at which it is called."""
Prepare = Callable[[MerchantAccount, RawRequest, str], Commit]
"""Checks a request's form; the text is what the path holds (several parts are joined by ``/``)."""


@dataclass(frozen=True, slots=True)
class Route:
    """One call: ``{}`` in the path stands for one segment."""

    path: str
    method: str
    endpoint: Endpoint
    prepare: Prepare


class Router:
    """Finds the call of a path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._exact: dict[str, Route] = {}
        self._patterns: list[tuple[re.Pattern[str], Route]] = []
        for route in routes:
            if "{}" in route.path:
                pattern = "([^/]+)".join(re.escape(part) for part in route.path.split("{}"))
                self._patterns.append((re.compile(pattern), route))
            else:
                self._exact[route.path] = route

    def find(self, path: str) -> tuple[Route, str] | None:
        """The call of a path and what the path holds, or None. The method is the caller's to compare."""
        route = self._exact.get(path)
        if route is not None:
            return route, ""
        for pattern, route in self._patterns:
            match = pattern.fullmatch(path)
            if match is not None:
                return route, "/".join(match.groups())
        return None
