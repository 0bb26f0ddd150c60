"""The host's side of a request: one run of an ASGI application, as an HTTP server would run it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

__all__ = ["AppCall", "AsgiApp", "Reply"]

Message = MutableMapping[str, Any]
AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]

_DISCONNECT = {"type": "http.disconnect"}


class Reply:
    """A piece of a reply that departs at one instant.

    Attributes:
        head: status and headers, in the first piece only.
        body: bytes of the body.
        is_last: whether the reply is complete with this piece.
    """

    __slots__ = ("body", "head", "is_last")

    def __init__(self) -> None:
        self.head: tuple[int, list[tuple[bytes, bytes]]] | None = None
        self.body: list[bytes] = []
        self.is_last = False


class AppCall:
    """Runs an application once.

    A head and the body that follows in the same step of the application depart as one piece. After a disconnect, what
    the application still sends is dropped and ``receive`` says ``http.disconnect``, as uvicorn does.

    Args:
        app: the ASGI application.
        scope: the request.
        body: the request's body.
        loop: what it runs on.
        on_reply: called with each piece of the reply when it departs.
        on_failure: called when the application raises or returns before its reply is complete; the second argument says
            whether the reply had begun. Without a begun reply the call answers 500, as servers do.

    Attributes:
        on_end: called with this call and None when the application has ended, however it did.
    """

    __slots__ = (
        "_app",
        "_body",
        "_gone",
        "_is_complete",
        "_is_disconnected",
        "_loop",
        "_on_failure",
        "_on_reply",
        "_pending",
        "_scope",
        "_started",
        "on_end",
    )

    def __init__(
        self,
        app: AsgiApp,
        scope: dict[str, Any],
        body: bytes,
        *,
        loop: asyncio.AbstractEventLoop,
        on_reply: Callable[[Reply], None],
        on_failure: Callable[[BaseException | None, bool], None],
    ) -> None:
        self._app = app
        self._scope = scope
        self._body: bytes | None = body
        self._on_reply = on_reply
        self._on_failure = on_failure
        self.on_end: Callable[[AppCall, None], object] | None = None
        self._loop = loop
        self._gone: asyncio.Future[None] | None = None
        self._pending: Reply | None = None
        self._started = False
        self._is_complete = False
        self._is_disconnected = False

    async def run(self) -> None:
        """Run the application to its end."""
        try:
            await self._app(self._scope, self._receive, self._send)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - a server survives whatever an application raises
            self._fail(error)
        else:
            if not self._is_complete and not self._is_disconnected:
                self._fail(None)
        finally:
            if self.on_end is not None:
                self.on_end(self, None)

    def disconnect(self) -> None:
        """The client has gone."""
        self._is_disconnected = True
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    def _fail(self, error: BaseException | None) -> None:
        started = self._started
        if not started and not self._is_disconnected:
            reply = Reply()
            reply.head = (500, [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")])
            reply.body.append(b"Internal Server Error")
            reply.is_last = True
            self._is_complete = True
            self._on_reply(reply)
        self._on_failure(error, started and not self._is_complete)

    async def _receive(self) -> Message:
        body, self._body = self._body, None
        if body is not None:
            return {"type": "http.request", "body": body, "more_body": False}
        if not self._is_disconnected and not self._is_complete:
            if self._gone is None:
                self._gone = self._loop.create_future()
            await asyncio.shield(self._gone)
        return dict(_DISCONNECT)

    async def _send(self, message: Message) -> None:
        if self._is_disconnected:
            return
        kind = message["type"]
        if kind == "http.response.start":
            if self._started:
                raise RuntimeError("the application started its reply twice")
            self._started = True
            self._piece().head = (message["status"], list(message.get("headers", ())))
        elif kind == "http.response.body":
            if not self._started or self._is_complete:
                raise RuntimeError("the application sent a body outside its reply")
            piece = self._piece()
            if body := message.get("body", b""):
                piece.body.append(bytes(body))
            if not message.get("more_body", False):
                piece.is_last = self._is_complete = True
                self._depart()
                if self._gone is not None and not self._gone.done():
                    self._gone.set_result(None)
        else:
            raise RuntimeError(f"this network carries no ASGI message {kind!r}")

    def _piece(self) -> Reply:
        if self._pending is None:
            self._pending = Reply()
            self._loop.call_soon(self._depart)
        return self._pending

    def _depart(self) -> None:
        piece, self._pending = self._pending, None
        if piece is not None and not self._is_disconnected:
            self._on_reply(piece)
