"""What the reference's processes do with requests that never end, over real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn

from reference.http_server import MAX_HEAD_BYTES, PlainProtocol

HEAD = b"POST /a HTTP/1.1\r\nHost: x\r\n"


class Hasty(PlainProtocol):
    arrival_s = 0.2


async def app(scope: Any, receive: Any, send: Any) -> None:
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False) and message["type"] == "http.request"
    if scope["path"] == "/slow":
        await asyncio.sleep(0.6)  # longer than a request may take to arrive
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"took {size}".encode()})


def run(story: Callable[[Callable[..., Awaitable[bytes]]], Awaitable[Any]], protocol: type = Hasty) -> Any:
    async def main() -> Any:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            config = uvicorn.Config(app, http=protocol, lifespan="off", log_config=None, log_level="critical")
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server.serve(sockets=[listener]))

            async def say(*parts: bytes) -> bytes:
                """All that comes back on a connection that takes these bytes, in pieces."""
                reader, writer = await asyncio.open_connection(*listener.getsockname())
                async with asyncio.timeout(20):
                    try:
                        for part in parts:
                            writer.write(part)
                            await writer.drain()
                            await asyncio.sleep(0.02)
                        answer = await reader.read()
                    except ConnectionError:
                        answer = b"reset"
                writer.transport.abort()
                return answer

            try:
                return await story(say)
            finally:
                server.should_exit = True
                await serving

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("parts", "answer"),
    [
        ((), b""),
        ((b"PO",), b"HTTP/1.1 408"),
        ((HEAD,), b"HTTP/1.1 408"),
        ((HEAD + b"Content-Length: 9\r\n\r\n123",), b"HTTP/1.1 408"),
        ((HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\n123\r\n",), b"HTTP/1.1 408"),
        ((HEAD + b"Content-Length: 0\r\n\r\n", b"GET /second"), b"HTTP/1.1 200"),
    ],
    ids=["nothing", "two-letters", "half-a-head", "half-a-body", "no-last-chunk", "second-request"],
)
def test_a_request_that_does_not_arrive_ends_its_connection(parts: tuple[bytes, ...], answer: bytes) -> None:
    said = run(lambda say: say(*parts))
    assert said.startswith(answer)
    assert said.count(b"HTTP/1.1 ") == {b"": 0, b"HTTP/1.1 200": 2}.get(answer, 1)


def test_a_slow_reply_and_a_body_in_pieces_are_waited_for() -> None:
    close = b"Connection: close\r\nContent-Length: 6\r\n\r\n"
    assert run(lambda say: say(b"POST /slow HTTP/1.1\r\n" + close, b"abc", b"def")).endswith(
        b"took 6\r\n0\r\n\r\n"
    )


@pytest.mark.parametrize(
    "parts",
    [
        (b"X: " + b"a" * 9_000,) * 9,
        (b"X: " + b"a" * 60_000 + b"\r\n", b"Y: " + b"b" * 60_000 + b"\r\n\r\n"),
        (b"X: y\r\n" * 20_000 + b"\r\n",),
    ],
    ids=["one-without-an-end", "two-large", "many"],
)
def test_a_head_that_is_too_large_is_refused(parts: tuple[bytes, ...]) -> None:
    said = run(lambda say: say(HEAD, *parts), PlainProtocol)
    # Where the client still sends when the server closes, its own system may throw the refusal away.
    assert said.startswith((b"HTTP/1.1 431", b"HTTP/1.1 400", b"reset"))


def test_a_large_head_is_read() -> None:
    head = HEAD + b"X: " + b"a" * (MAX_HEAD_BYTES - 1_000) + b"\r\nConnection: close\r\n\r\n"
    assert run(lambda say: say(head), PlainProtocol).startswith(b"HTTP/1.1 200")
