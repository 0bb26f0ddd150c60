"""Live readings: nine of ten requests of a station, answered ahead of the framework.

Routing, middleware and argument reading cost several times what the request itself needs. The route is declared with
the others too, for the OpenAPI document and for whoever mounts the routes elsewhere; both ways end here.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.types import Receive, Scope, Send

from reference.backend.api.common import body_of, check_size
from reference.backend.core import Core
from reference.backend.errors import refusal_of
from reference.backend.live import LivePost
from reference.backend.sessions import Sessions

__all__ = ["LiveFirst", "LivePosts"]

_LIVE = msgspec.json.Decoder(LivePost)
_PATH: Final = re.compile(r"/v1/stations/([^/]+)/nozzles/live")
_DONE: Final = {"type": "http.response.start", "status": 204, "headers": []}
_EMPTY: Final = {"type": "http.response.body", "body": b""}


class LivePosts:
    """Takes posts of live readings."""

    def __init__(self, core: Core, sessions: Sessions) -> None:
        self._core = core
        self._sessions = sessions
        self._limit = core.settings.max_body_bytes

    async def route(self, request: Request, station: str) -> Response:
        """As an endpoint of the framework."""
        self._sessions.check_station(station, request.headers.get("authorization", ""))
        await self._take(station, await body_of(request, self._limit))
        return Response(status_code=204)

    async def answer(self, station: str, scope: Scope, receive: Receive, send: Send) -> None:
        """As an ASGI application."""
        try:
            self._sessions.check_station(station, _header(scope, b"authorization"))
            check_size(_header(scope, b"content-length"), self._limit)
            body = b""
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                body += message.get("body", b"")
                check_size(len(body), self._limit)
                more = message.get("more_body", False)
            await self._take(station, body)
        except Exception as error:
            response = refusal_of(error)
            if response is None:
                raise
            await response(scope, receive, send)
        else:
            await send(dict(_DONE))
            await send(dict(_EMPTY))

    async def _take(self, station: str, body: bytes) -> None:
        started = self._core.live.update(station, _LIVE.decode(body))
        if started:
            await self._core.orders.fuel_started(station, started)


class LiveFirst(FastAPI):
    """The application, with live readings taken before any of its machinery is set in motion.

    Attributes:
        live_posts: takes them; None leaves them to the routes.
    """

    live_posts: LivePosts | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if self.live_posts is not None and scope["type"] == "http" and scope["method"] == "POST":
            found = _PATH.fullmatch(scope["path"])
            if found is not None:
                await self.live_posts.answer(found[1], scope, receive, send)
                return
        await super().__call__(scope, receive, send)


def _header(scope: Scope, name: bytes) -> str:
    headers: list[tuple[bytes, Any]] = scope["headers"]
    for known, value in headers:
        if known == name:
            return str(value, "latin-1")
    return ""
