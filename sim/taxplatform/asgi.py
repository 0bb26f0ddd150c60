"""What the platforms' HTTP sides have in common: raw bodies with a limit, targets as they stood on the wire."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["asgi_app", "read_body", "target_of"]


def asgi_app(answer: Callable[[Request], Awaitable[Response]]) -> ASGIApp:
    """An ASGI application out of one coroutine; nothing to start, nothing to stop."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _serve_lifespan(receive, send)
            return
        try:
            response = await answer(Request(scope, receive))
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    return serve


async def read_body(request: Request, most: int) -> bytes | None:
    """The raw body; None when it is larger than ``most`` bytes."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            return None
    return bytes(body)


def target_of(scope: Scope) -> str:
    """Path with query exactly as on the wire: the signature covers it."""
    raw_path = scope.get("raw_path") or scope["path"].encode()
    path: str = raw_path.split(b"?", 1)[0].decode("latin-1")
    query: bytes = scope.get("query_string", b"")
    return f"{path}?{query.decode('latin-1')}" if query else path


async def _serve_lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
