"""A small host to talk to, and a way to run client coroutines in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from sim.kernel import Trace, VirtualKernel


class Till:
    """An ASGI application that counts what it is asked: POST /pay, GET /slow, GET /stream, GET /broken ..."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, bytes]] = []
        self.disconnected_at_us: int | None = None
        self.now_us: Callable[[], int] = lambda: 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        self.seen.append((scope["method"], scope["path"], message["body"]))
        handler = getattr(self, "do" + scope["path"].replace("/", "_"), self.do_pay)
        await handler(scope, receive, send)

    async def do_pay(self, scope: Any, receive: Any, send: Any) -> None:
        body = b'{"paid":%d}' % len(self.seen)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def do_slow(self, scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(3)
        await self.do_pay(scope, receive, send)

    async def do_stream(self, scope: Any, receive: Any, send: Any) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", b"text/event-stream")],
            }
        )

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            self.disconnected_at_us = self.now_us()

        watching = asyncio.create_task(watch())
        for number in range(10):
            if watching.done():
                return
            await send({"type": "http.response.body", "body": b"data: %d\n\n" % number, "more_body": True})
            await asyncio.sleep(1)
        await send({"type": "http.response.body", "body": b""})
        await watching

    async def do_broken(self, scope: Any, receive: Any, send: Any) -> None:
        raise LookupError("no such till")

    async def do_half(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        await asyncio.sleep(0.5)
        raise LookupError("the other half")

    async def do_silent(self, scope: Any, receive: Any, send: Any) -> None:
        return


class Run:
    """A kernel with the trace's events at hand."""

    def __init__(self, seed: str | int) -> None:
        self.events: list[dict[str, Any]] = []
        trace = Trace()
        trace.listen(self.events.append)
        self.kernel = VirtualKernel(seed, epoch_us=1_780_000_000_000_000, trace=trace)

    def go(self, client: Awaitable[Any], until_us: int = 600_000_000) -> Any:
        """Run a coroutine to its end in virtual time and give its result, or raise what it raised."""
        outcome: list[Any] = []

        async def wrapped() -> None:
            try:
                outcome.append(await client)
            except Exception as error:  # noqa: BLE001 - whatever the client saw is the outcome
                outcome.append(error)

        self.kernel.task(wrapped())
        self.kernel.run(until_us)
        assert outcome, "the client never came back"
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["kind"] == kind]


@pytest.fixture
def make_run() -> Iterator[Callable[..., Run]]:
    made: list[Run] = []

    def make(seed: str | int = "net") -> Run:
        made.append(Run(seed))
        return made[-1]

    yield make
    for each in made:
        each.kernel.close()


@pytest.fixture
def run(make_run: Callable[..., Run]) -> Run:
    return make_run()


@pytest.fixture
def make_till() -> Callable[[], Till]:
    return Till


@pytest.fixture
def till(make_till: Callable[[], Till]) -> Till:
    return make_till()
