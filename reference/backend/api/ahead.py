"""What a site controller asks all the time, answered ahead of the framework: live readings, and whether there are commands.

Nine of ten requests of a station are these, and routing, middleware and argument reading cost several times what they
need themselves. Their routes are declared with the others too: for the OpenAPI document, for whoever mounts the routes
elsewhere, and for questions that are not put in the usual form.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.types import Receive, Scope, Send

from reference.backend.api.bounds import bounded
from reference.backend.api.common import body_of, check_size, json_response
from reference.backend.attendants.acts import ActLog
from reference.backend.core import Core
from reference.backend.errors import ApiError, refusal, refusal_of
from reference.backend.live import LivePost
from reference.backend.sessions import Sessions

__all__ = ["Application", "LivePosts", "SiteAhead"]

_LIVE = msgspec.json.Decoder(LivePost)
_PATH: Final = re.compile(r"/v1/stations/([^/]+)/(?:(nozzles/live)|commands)")
_POLL: Final = re.compile(rb"after=([0-9]{1,15})&wait_ms=([0-9]{1,5})")
_WAIT_MOST_MS: Final = 30_000
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
            authorization = length = ""
            for name, value in reversed(scope["headers"]):  # where one is sent twice, the first one counts
                if name == b"authorization":
                    authorization = str(value, "latin-1")
                elif name == b"content-length":
                    length = str(value, "latin-1")
            self._sessions.check_station(station, authorization)
            check_size(length, self._limit)
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
        post = _LIVE.decode(body)
        started = self._core.live.update(station, post)
        skew_us = self._core.site_clocks.heard(station, post.at_us)
        if skew_us:
            ahead = "ahead of" if skew_us > 0 else "behind"
            words = f"the site's clock is {abs(skew_us) / 1e6:.1f} s {ahead} ours"
            await self._core.alarm_alone("clock_skew", station, words)
        if started:
            await self._core.orders.fuel_started(station, started)


class SiteAhead:
    """What a site controller asks all the time, answered ahead of the framework if it is well formed.

    Args:
        posts: takes live readings.
    """

    def __init__(self, core: Core, sessions: Sessions, posts: LivePosts) -> None:
        self._core = core
        self._sessions = sessions
        self._posts = posts

    async def answers(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Answer a request. False: it is for the framework, and nothing of it was taken."""
        found = _PATH.fullmatch(scope["path"])
        if found is None:
            return False
        station, of_nozzles = found.groups()
        if of_nozzles:
            if scope["method"] != "POST":
                return False
            await self._posts.answer(station, scope, receive, send)
            return True
        asked = _POLL.fullmatch(scope["query_string"])
        if scope["method"] != "GET" or asked is None or int(asked[2]) > _WAIT_MOST_MS:
            return False
        try:
            self._sessions.check_station(station, _header(scope, b"authorization"))
            found_commands = await self._core.commands.poll(station, int(asked[1]), int(asked[2]))
            response = json_response({"commands": found_commands})
        except Exception as error:
            refused = refusal_of(error)
            if refused is None:
                raise
            response = refused
        await response(scope, receive, send)
        return True


class Application(FastAPI):
    """The service's application.

    Attributes:
        ahead: answers some requests before any of the framework's machinery is set in motion; None leaves them to the
            routes.
        acts: writes down privileged requests; None: nobody does.
        body_limit: no body may have more bytes.
    """

    ahead: SiteAhead | None = None
    acts: ActLog | None = None
    body_limit: int = 262_144

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if (
            self.ahead is None
            or scope["type"] != "http"
            or not await self.ahead.answers(scope, receive, send)
        ):
            if scope["type"] == "http" and scope["method"] != "GET":
                try:
                    receive = bounded(scope, receive, self.body_limit)
                except ApiError as error:
                    await refusal(error.status, error.code, error.message)(scope, receive, send)
                    return
            if self.acts is not None and self.acts.wants(scope):
                await self.acts.answer(super().__call__, scope, receive, send)
            else:
                await super().__call__(scope, receive, send)


def _header(scope: Scope, name: bytes) -> str:
    headers: list[tuple[bytes, Any]] = scope["headers"]
    for known, value in headers:
        if known == name:
            return str(value, "latin-1")
    return ""
