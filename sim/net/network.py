"""Host names and the routes between them."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import httpx

from protocols.cards import mask_private
from sim.kernel import Kernel, KernelError
from sim.latency import LatencyProfile
from sim.net.call import AppCall, AsgiApp
from sim.net.client import NetworkClient, NetworkTransport
from sim.net.deadlines import Deadlines
from sim.net.exchange import CAUSE, Exchange, Outbound
from sim.net.faults import NO_STRIKE, HttpFault, HttpFaults
from sim.net.place import Place

__all__ = ["AppError", "Host", "Network", "NetworkError", "Route"]

_APP_ERRORS_LIMIT: Final = 1000
"""Application errors kept for the report; a run with more has said enough."""

_DEFAULT_LATENCY: Final = LatencyProfile.constant(1_000)
"""One leg between two machines of one region."""


class NetworkError(Exception):
    """The network was set up in a way that cannot work."""


@dataclass(frozen=True, slots=True)
class AppError:
    """An application raised, or returned before its reply was complete.

    Attributes:
        t_us: when.
        host, method, path: the request.
        error: what it raised; None when it just returned.
    """

    t_us: int
    host: str
    method: str
    path: str
    error: BaseException | None


class Host:
    """A name on the network and the application behind it.

    Attributes:
        name: the host name, lower case.
        app: the ASGI application.
        processing: how long a request waits before the application runs; None for not at all.
        is_down: whether connections are refused.
    """

    __slots__ = ("app", "context", "is_down", "name", "processing", "processing_rng", "running")

    def __init__(
        self, name: str, app: AsgiApp, processing: LatencyProfile | None, processing_rng: random.Random
    ) -> None:
        self.name = name
        self.app = app
        self.processing = processing
        self.processing_rng = processing_rng
        self.is_down = False
        # An application sees the context of whoever registered it, never that of the client whose request it serves.
        self.context = contextvars.copy_context()
        self.running: dict[AppCall, tuple[asyncio.Task[None], Exchange | None]] = {}


class Route:
    """The way from one client to one host, with its own random streams."""

    __slots__ = ("_hang_ups", "_latency", "_replies", "_requests", "client", "host")

    def __init__(self, client: str, host: Host, latency: LatencyProfile, kernel: Kernel) -> None:
        self.client = client
        self.host = host
        self._latency = latency
        entity = f"net/{client}->{host.name}"
        self._requests = kernel.streams.get(entity, "request")
        self._replies = kernel.streams.get(entity, "reply")
        self._hang_ups = kernel.streams.get(entity, "hang-up")

    def draw_request(self) -> int:
        """Microseconds from the client to the host."""
        return self._latency.draw(self._requests)

    def draw_reply(self) -> int:
        """Microseconds from the host to the client."""
        return self._latency.draw(self._replies)

    def draw_hang_up(self) -> int:
        """Microseconds until the host notices that the client has gone.

        Drawn from a stream of its own: whether a client gives up must not shift the draws of later requests.
        """
        return self._latency.draw(self._hang_ups)

    def draw_processing(self) -> int:
        """Microseconds a request waits at the host before the application runs."""
        processing = self.host.processing
        return 0 if processing is None else processing.draw(self.host.processing_rng)


class Network:
    """An HTTP network in memory: host names that lead to ASGI applications, with latency and faults.

    Connections are taken as standing (keep-alive): a request costs one leg there, the host's processing delay, the
    application's own time, and one leg back. Sockets, TLS and bandwidth are not modelled. Time-outs of httpx (connect
    and read) hold on the kernel's clock. Lifespan events are not sent; whoever owns an application starts and stops it.

    Args:
        kernel: the clock.
        latency: one leg between any two names, unless `set_latency` says otherwise.
        faults: what goes wrong.
        is_traced: whether each request becomes an ``http`` event in the trace.

    Attributes:
        faults: the faults at work, with their ``landed`` counts.
        app_errors: what applications raised, oldest first; at most the last 1000.
        requests: how many requests have departed.
        deadlines: when those under way are given up.
        emit: writes what became of one into the trace.
    """

    def __init__(
        self,
        kernel: Kernel,
        *,
        latency: LatencyProfile = _DEFAULT_LATENCY,
        faults: Iterable[HttpFault] = (),
        is_traced: bool = True,
    ) -> None:
        self.faults = HttpFaults(faults, streams=kernel.streams, emit=kernel.trace.emit)
        self.app_errors: deque[AppError] = deque(maxlen=_APP_ERRORS_LIMIT)
        self.requests = 0
        self.loop = kernel.loop
        self.deadlines = Deadlines(kernel.loop, self.now_us)
        self._kernel = kernel
        self._latency = latency
        self.emit: Callable[..., None] = kernel.trace.emit if is_traced else _keep_silent
        self._hosts: dict[str, Host] = {}
        self._latencies: dict[tuple[str, str], LatencyProfile] = {}
        self._routes: dict[tuple[str, str], Route] = {}

    # Setting up.

    def register(self, host: str, app: AsgiApp, *, processing: LatencyProfile | None = None) -> None:
        """Put an application behind a host name; registering it again replaces the application.

        Args:
            host: the name in the URL, without port.
            app: the ASGI application. It must not use threads in virtual time.
            processing: how long each request waits before the application runs.

        Raises:
            NetworkError: not a bare host name.
        """
        name = host.lower()
        if not name or "/" in name or ":" in name:
            raise NetworkError(f"{host!r} is not a host name; give it without scheme, port and path")
        known = self._hosts.get(name)
        if known is not None:
            known.app, known.processing = app, processing
            return
        self._hosts[name] = Host(name, app, processing, self._kernel.streams.get(f"net/{name}", "processing"))

    def set_latency(self, client: str, host: str, latency: LatencyProfile) -> None:
        """One leg between this client and this host."""
        self._latencies[client, host.lower()] = latency
        self._routes.pop((client, host.lower()), None)

    def transport(self, client: str) -> NetworkTransport:
        """A transport for ``httpx.AsyncClient(transport=...)``; ``client`` names who asks, in streams and trace."""
        return NetworkTransport(self, client)

    def client(self, name: str, host: str = "") -> NetworkClient:
        """A client without httpx's layers, of one host or, without ``host``, by whole URLs; ``name`` as in `transport`."""
        return NetworkClient(self, name, host.lower())

    # Life and death of hosts.

    def kill(self, host: str) -> None:
        """The host dies now, as by ``kill -9``: what it was doing stops, its clients see a reset, new ones a refusal.

        Raises:
            NetworkError: no such host.
        """
        entry = self._host(host)
        entry.is_down = True
        self._kernel.trace.emit("host.killed", entry.name)
        for call, (task, exchange) in list(entry.running.items()):
            # One that has not begun yet never comes to its end.
            task.add_done_callback(lambda _, call=call: entry.running.pop(call, None))  # type: ignore[misc]
            task.cancel()
            if exchange is not None:
                exchange.break_off()

    def is_down(self, host: str) -> bool:
        """Whether a host refuses connections. Raises `NetworkError` for an unknown one."""
        return self._host(host).is_down

    def restore(self, host: str, app: AsgiApp | None = None) -> None:
        """The host accepts connections again, with a new application where one is given.

        Raises:
            NetworkError: no such host.
        """
        entry = self._host(host)
        entry.is_down = False
        if app is not None:
            entry.app = app
        self._kernel.trace.emit("host.restored", entry.name)

    async def aclose(self) -> None:
        """Stop whatever applications still run."""
        tasks = [task for host in self._hosts.values() for task, _ in host.running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _host(self, name: str) -> Host:
        try:
            return self._hosts[name.lower()]
        except KeyError:
            raise NetworkError(f"no host {name!r}; there are: {', '.join(self._hosts) or 'none'}") from None

    # What exchanges use.

    def now_us(self) -> int:
        """The kernel's time."""
        return self._kernel.now_us

    def route(self, client: str, name: str) -> Route | None:
        """The way from a client to a host; None when there is no such host."""
        key = (client, name)
        route = self._routes.get(key)
        if route is None and name in self._hosts:
            latency = self._latencies.get(key, self._latency)
            route = self._routes[key] = Route(client, self._hosts[name], latency, self._kernel)
        return route

    def depart(self, client: str, request: Outbound) -> Exchange:
        """A request sets out.

        Raises:
            httpx.ConnectError: no such host.
        """
        place = request.place
        route = self.route(client, place.host)
        if route is None:
            raise httpx.ConnectError(f"there is no host {place.host!r} on this network")
        self.requests += 1
        strike = NO_STRIKE
        if self.faults.armed:
            strike = self.faults.strike(client, place.host, request.method, place.path, self.now_us())
        return Exchange(self, route, request, strike)

    def serve(self, host: Host, call: AppCall, exchange: Exchange | None, number: int) -> None:
        """Run an application for request ``number``; what it asks of others meanwhile is caused by that."""
        context = host.context.copy()
        context.run(CAUSE.set, number)
        call.on_end = host.running.pop
        host.running[call] = self.loop.create_task(call.run(), context=context), exchange

    def app_failed(self, host: Host, method: str, place: Place, error: BaseException | None) -> None:
        """Keep an application's error; one of the harness's own ends the run."""
        if isinstance(error, KernelError):
            self._kernel.call_later(0, _throw, error)
            return
        self.app_errors.append(AppError(self._kernel.now_us, host.name, method, place.path, error))
        what = (
            "returned before its reply was complete" if error is None else f"{type(error).__name__}: {error}"
        )
        self._kernel.trace.emit(
            "http.app_error", host.name, method=method, path=place.shown, error=mask_private(what)
        )


def _keep_silent(kind: str, entity: str, **fields: Any) -> None:
    """In the place of the trace's ``emit``."""


def _throw(error: BaseException) -> None:
    raise error
