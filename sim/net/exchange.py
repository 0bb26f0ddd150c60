"""The client's side of a request: departure, the two legs, time-outs, and the reply as httpx wants it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

import httpx

from sim.net.call import AppCall, Reply
from sim.net.faults import HttpStrike
from sim.net.place import Place

if TYPE_CHECKING:
    from sim.net.network import Network, Route

__all__ = ["CAUSE", "Exchange", "Outbound"]

_DEFAULT_TIMEOUT_S: Final = 60.0
"""How long a client without a time-out of its own waits for what will never come; then it is told, as by a dead peer."""


CAUSE: Final[ContextVar[int | None]] = ContextVar("sim_net_cause", default=None)
"""Number of the request that an application is serving, in the context that serves it."""


class Outbound:
    """A request as it goes onto the network.

    Attributes:
        method: as HTTP has it.
        place: where it goes.
        headers: names in lower case.
        body: all of it.
        connect_s, read_s: how long the client waits for a connection, and for the next piece of the reply.
        whole_s: how long it waits for the whole reply; None for as long as pieces come.
    """

    __slots__ = ("body", "connect_s", "headers", "method", "place", "read_s", "whole_s")

    def __init__(
        self,
        method: str,
        place: Place,
        headers: list[tuple[bytes, bytes]],
        body: bytes,
        *,
        connect_s: float | None = None,
        read_s: float | None = None,
        whole_s: float | None = None,
    ) -> None:
        self.method = method
        self.place = place
        self.headers = headers
        self.body = body
        self.connect_s = connect_s
        self.read_s = read_s
        self.whole_s = whole_s


class Exchange(httpx.AsyncByteStream):
    """One request of one client, from its departure until its reply is read or given up.

    It is the reply's byte stream at the same time.

    Attributes:
        head: status and headers of the reply, once they are here.
    """

    def __init__(self, network: Network, route: Route, request: Outbound, strike: HttpStrike) -> None:
        self.route = route
        self._network = network
        self._request = request
        self._strike = strike
        self._loop = network.loop
        self._calls: list[AppCall] = []
        self._reply_leg_us: int | None = None
        self.head: tuple[int, list[tuple[bytes, bytes]]] | None = None
        self._chunks: deque[bytes] = deque()
        self._is_finished = False
        self._is_over = False
        self._is_reported = False
        self._error: httpx.TransportError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._until_us: int | None = None
        self._is_watched = False
        self._number = network.requests
        self._cause = CAUSE.get()
        self._sent_us = network.now_us()
        self._arrived_us: int | None = None
        self._replied_us: int | None = None

    # The way there.

    async def perform(self) -> None:
        """Send the request and wait for the head of the reply.

        Raises:
            httpx.ConnectError: refused (host down).
            httpx.ConnectTimeout: nobody answers at all.
            httpx.ReadTimeout: no reply in time.
            httpx.ReadError: the connection broke.
        """
        strike = self._strike
        route = self.route
        leg_us = route.draw_request()
        if strike.unreachable:
            timeout_s = self._request.connect_s
            await asyncio.sleep(_DEFAULT_TIMEOUT_S if timeout_s is None else timeout_s)
            raise self._failed(httpx.ConnectTimeout, "unreachable", f"{route.host.name} cannot be reached")
        if strike.refused or route.host.is_down:
            await asyncio.sleep(2 * leg_us / 1_000_000)
            raise self._failed(httpx.ConnectError, "refused", f"{route.host.name} refuses connections")
        if not strike.request_lost:
            leg_us += strike.late_request_us
            self._arrived_us = self._sent_us + leg_us
            self._loop.call_later((leg_us + route.draw_processing()) / 1_000_000, self._arrive, True)
            if strike.duplicate_after_us is not None:
                again_us = leg_us + strike.duplicate_after_us + route.draw_processing()
                self._loop.call_later(again_us / 1_000_000, self._arrive, False)
        try:
            while self.head is None and self._error is None:
                await self._wait()
        except asyncio.CancelledError:
            self._end("cancelled")
            raise
        if self._error is not None:
            raise self._error
        if self._is_finished:
            self._end("ok")
        else:
            self._report("ok")

    def _arrive(self, is_first: bool) -> None:
        host = self.route.host
        if host.is_down or (self._strike.reset == "before" and is_first):
            if is_first:
                self._break_after_leg()
            return
        call = AppCall(
            host.app,
            self.scope(),
            self._request.body,
            loop=self._loop,
            on_reply=self._depart if is_first else _discard,
            on_failure=self._app_failed if is_first else self._copy_failed,
        )
        if is_first:
            self._calls.append(call)
            if self._is_over:
                call.disconnect()
        self._network.serve(host, call, self if is_first else None, self._number)

    def scope(self) -> dict[str, Any]:
        """The ASGI scope of the request."""
        request = self._request
        place = request.place
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": request.method,
            "headers": list(request.headers),
            "scheme": place.scheme,
            "path": place.path,
            "raw_path": place.raw_path,
            "query_string": place.query,
            "server": (self.route.host.name, place.port),
            "client": (self.route.client, 0),
            "root_path": "",
        }

    # The way back.

    def _depart(self, reply: Reply) -> None:
        if self._replied_us is None:
            self._replied_us = self._network.now_us()
        if self._strike.reply_lost:
            return
        if self._strike.reset == "after":
            self._break_after_leg()
            return
        self._loop.call_later(self._reply_leg() / 1_000_000, self._deliver, reply)

    def _reply_leg(self) -> int:
        # Drawn once: the pieces of one reply share a connection and keep their order.
        if self._reply_leg_us is None:
            self._reply_leg_us = self.route.draw_reply() + self._strike.late_reply_us
        return self._reply_leg_us

    def _deliver(self, reply: Reply) -> None:
        if self._is_over:
            return
        if reply.head is not None:
            self.head = reply.head
        if self._request.method != "HEAD":
            self._chunks.extend(reply.body)
        self._is_finished = reply.is_last
        self._notify()

    async def read(self) -> bytes:
        """The rest of the reply, once all of it is here. Raises as the stream does."""
        if not self._is_finished:
            return b"".join([piece async for piece in self])
        return b"".join(self._chunks)

    @property
    def is_complete(self) -> bool:
        """Whether all of the reply is here."""
        return self._is_finished

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            while self._chunks:
                yield self._chunks.popleft()
            if self._error is not None:
                raise self._error
            if self._is_finished or self._is_over:
                self._end("ok")
                return
            await self._wait()

    async def aclose(self) -> None:
        """The client has read enough."""
        if not self._is_over:
            self._end("ok" if self._is_finished else "closed")

    # Ends.

    def break_off(self) -> None:
        """The host has died: the client sees a reset after the time of one leg."""
        self._break_after_leg()

    def _break_after_leg(self) -> None:
        self._loop.call_later(self._reply_leg() / 1_000_000, self._break)

    def _break(self) -> None:
        if not self._is_over and not self._is_finished:
            self._failed(httpx.ReadError, "reset", f"{self.route.host.name} reset the connection")
            self._notify()

    def _app_failed(self, error: BaseException | None, is_cut: bool) -> None:
        self._network.app_failed(self.route.host, self._request.method, self._request.place, error)
        if is_cut:
            self._break_after_leg()

    def _copy_failed(self, error: BaseException | None, is_cut: bool) -> None:  # noqa: ARG002 - its reply goes nowhere
        self._network.app_failed(self.route.host, self._request.method, self._request.place, error)

    def _failed(self, kind: type[httpx.TransportError], outcome: str, message: str) -> httpx.TransportError:
        self._error = kind(message)
        self._end(outcome)
        return self._error

    def _end(self, outcome: str) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._report(outcome)
        if not self._is_finished and self._calls:
            self._loop.call_later(self.route.draw_hang_up() / 1_000_000, self._disconnect)

    def _disconnect(self) -> None:
        for call in self._calls:
            call.disconnect()

    def _report(self, outcome: str) -> None:
        # A trace is evidence: what somebody wrote into a path must not stay in it.
        path = self._request.place.shown
        emit, route = self._network.emit, self.route
        if self._is_reported:
            emit("http.end", route.host.name, client=route.client, path=path, outcome=outcome)
            return
        self._is_reported = True
        emit(
            "http",
            route.host.name,
            client=route.client,
            method=self._request.method,
            path=path,
            status=None if self.head is None else self.head[0],
            outcome=outcome,
            sent_us=self._sent_us,
            arrived_us=self._arrived_us,
            replied_us=self._replied_us,
            number=self._number,
            cause=self._cause,
        )

    # Waiting.

    async def _wait(self) -> None:
        self._arm()
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _arm(self) -> None:
        request = self._request
        timeout_s = request.read_s
        since_us = self._network.now_us()
        if request.whole_s is not None:
            timeout_s, since_us = request.whole_s, self._sent_us
        elif timeout_s is None and self.head is None:
            timeout_s = _DEFAULT_TIMEOUT_S if self._strike.request_lost or self._strike.reply_lost else None
        if timeout_s is None:
            self._until_us = None
            return
        self._until_us = since_us + round(timeout_s * 1_000_000)
        # The pieces of a stream come several times a second: the deadline is left standing and looks again when it is due.
        if not self._is_watched:
            self._is_watched = True
            self._network.deadlines.add(self._until_us, self)

    @property
    def is_over(self) -> bool:
        """See `sim.net.deadlines.Waiting`."""
        return self._is_over

    def expire(self, now_us: int) -> int | None:
        """See `sim.net.deadlines.Waiting`."""
        until_us = self._until_us
        if self._waiter is None or self._waiter.done() or until_us is None:
            self._is_watched = False  # the next wait says so again
            return None
        if until_us > now_us:
            return until_us
        self._failed(httpx.ReadTimeout, "timeout", f"{self.route.host.name} did not reply in time")
        self._notify()
        return None

    def _notify(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _discard(_reply: Reply) -> None:
    """The reply to a duplicate goes nowhere."""
