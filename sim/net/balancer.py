"""A load balancer: one host name in front of several instances, so that a sender who knows one URL reaches whoever lives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

import httpx
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sim.net.client import NetworkClient

__all__ = ["Balancer"]

_DROPPED: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "keep-alive"})
"""Headers that belong to one hop (RFC 9110 section 7.6.1) or are written anew."""
_IN_PATH: Final = "/%:@!$&'()*+,;=-._~"
"""What is passed on as it came (RFC 3986 section 3.3)."""


class Balancer:
    """Forwards whole requests in turn to the instances; one that refuses or breaks off is passed over.

    A request that broke off may have been acted on before it goes to the next instance: only requests that may be
    repeated belong here, as callbacks may. Streams are not forwarded.

    Args:
        targets: base URLs of the instances.
        client: sends; its time-outs bound each try.
    """

    def __init__(self, targets: Sequence[str], client: httpx.AsyncClient | NetworkClient) -> None:
        if not targets:
            raise ValueError("a balancer needs at least one target")
        self._targets = tuple(target.rstrip("/") for target in targets)
        self._client = client
        self._turn = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        reply = await self._forward(request, await request.body())
        await reply(scope, receive, send)

    async def _forward(self, request: Request, body: bytes) -> Response:
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _DROPPED]
        target_path = quote(request.scope.get("raw_path") or request.scope["path"], safe=_IN_PATH)
        if query := request.scope["query_string"]:
            target_path += "?" + quote(query, safe=_IN_PATH + "?")
        self._turn += 1
        for offset in range(len(self._targets)):
            target = self._targets[(self._turn + offset) % len(self._targets)]
            try:
                answer = await self._client.request(
                    request.method, target + target_path, content=body, headers=headers
                )
            except httpx.TransportError:
                continue
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _DROPPED}
            return Response(answer.content, answer.status_code, kept)
        return Response(b"", 502)
