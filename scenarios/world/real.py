"""The world on real sockets: dispensers, printer, gateway, tax platform and phones' platform on loopback ports.

It is the counterpart of `scenarios.world.virtual`: the same parts on the wall clock. The site controller and the backends are not
in it: they are processes of their own, ours or somebody else's, and reach it as they would reach the real things.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from scenarios.model import Line, Scenario
from scenarios.world.control import control_app
from scenarios.world.equipment import Equipment, build_equipment
from scenarios.world.faults import FaultPlan
from scenarios.world.instants import GatewayInstants
from scenarios.world.keys import RunKeys
from scenarios.world.services import SimulatedServices, build_services
from scenarios.world.serving import HttpServer, open_port
from scenarios.world.tanks import build_gauge
from sim.gauge import GaugePort
from sim.kernel import Trace, WallKernel
from sim.net import Balancer
from sim.printer import CHINESE_58MM, CHINESE_80MM, Printer, serve_printer_tcp
from sim.wires import (
    Capture,
    LineServer,
    MachineServer,
    NodeHost,
    SharedLine,
    serve_line_tcp,
    serve_machine_tcp,
)

__all__ = ["HTTP_PORTS", "NOTIFY_URL", "Endpoints", "RealWorld"]

NOTIFY_URL: Final = "https://backend.station"
"""What a backend gives the gateway as the base of its notify URLs. The gateway takes nothing but https (as WeChat Pay does), so
this name stands for a proxy that ends TLS: whatever URL a merchant gave, callbacks go to the ``callbacks`` port and nowhere else."""

HTTP_PORTS: Final = ("gateway", "platform", "payer", "callbacks", "control")
"""Names of the HTTP ports, as ``ports`` of `RealWorld` calls them; a line goes by its own name, the printer by ``printer``."""

_HOST: Final = "127.0.0.1"
_BROADCAST: Final = "127.255.255.255"
_CALLBACK_TRY_S: Final = 4.0
"""One try of the balancer at one backend; the gateway itself gives a callback 5 s."""

_FOREVER_US: Final = 10 * 365 * 86_400 * 1_000_000


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where everything is reached.

    Attributes:
        gateway: base URL of WeChat Pay, the invoice endpoints included.
        platform: base URL of the mini-program platform (``/sns/jscode2session``).
        payer: base URL of the payers' phones (``/payers/{openid}/confirm``).
        callbacks: base URL of the balancer that callbacks go through; it forwards to whichever backend lives.
        control: base URL of the control API of hands and faults; ``/docs`` and ``/openapi.json`` describe it.
        lines: ``host:port`` of each pump line, by its name in the scenario; that of the tank gauge is ``gauge``.
        printer: ``host:port`` of the receipt printer (raw, as on port 9100).
    """

    gateway: str
    platform: str
    payer: str
    callbacks: str
    control: str
    lines: Mapping[str, str]
    printer: str

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        names = ("gateway", "platform", "payer", "callbacks", "control", "printer")
        return {**{name: getattr(self, name) for name in names}, "lines": dict(self.lines)}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Endpoints:
        """What `as_dict` made. Raises KeyError for a missing name."""
        return cls(**{name: raw[name] for name in cls.__slots__})


@dataclass(slots=True)
class _Callbacks:
    """The balancer in front of the backends; there may be none yet."""

    client: httpx.AsyncClient
    urls: tuple[str, ...] = ()
    _balancer: Balancer | None = field(default=None)

    def set(self, urls: Sequence[str]) -> None:
        self.urls = tuple(urls)
        self._balancer = Balancer(self.urls, self.client) if urls else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app: ASGIApp = self._balancer or JSONResponse({"code": "FAIL", "message": "no backend"}, 503)
        await app(scope, receive, send)


class _TlsEnd(httpx.AsyncBaseTransport):
    """The proxy that `NOTIFY_URL` stands for: same path, but on the callbacks port, so nobody can be called back outside."""

    def __init__(self, inside_url: str, inner: httpx.AsyncHTTPTransport) -> None:
        self._inside = httpx.URL(inside_url)
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        inside = self._inside
        request.url = request.url.copy_with(scheme=inside.scheme, host=inside.host, port=inside.port)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


class RealWorld:
    """A scenario's world on loopback ports. Build it, `start` it inside a running loop, `stop` it.

    The scenario's own faults are not armed: they belong to the virtual hour. Faults come by hand, through the control API.

    Args:
        scenario: what to build.
        seed: of the services' latencies.
        keys: of the gateway and its merchant.
        ports: port by name (see `HTTP_PORTS`); what is not named takes any free one.
        backends: base URLs that callbacks go to; `set_backends` changes them.
        trace: where events go.
        captures: record the pump lines (`captures`).

    Attributes:
        kernel, equipment, services, printer, lines, instants, captures: the parts, after `start`.
    """

    kernel: WallKernel
    equipment: Equipment
    services: SimulatedServices
    printer: Printer
    instants: GatewayInstants
    endpoints: Endpoints

    def __init__(
        self,
        scenario: Scenario,
        seed: str | int,
        keys: RunKeys,
        *,
        ports: Mapping[str, int] | None = None,
        backends: Sequence[str] = (),
        trace: Trace | None = None,
        captures: bool = False,
    ) -> None:
        self.scenario = scenario
        self.seed = str(seed)
        self.lines: dict[str, LineServer | MachineServer | NodeHost] = {}
        self.captures: list[Capture] = []
        self._keys = keys
        self._ports = dict(ports or {})
        self._backends = tuple(backends)
        self._trace = trace
        self._with_captures = captures
        self._stack = AsyncExitStack()
        self._running: asyncio.Task[None] | None = None

    @property
    def backends(self) -> tuple[str, ...]:
        """Base URLs that callbacks go to."""
        return self._backends

    def set_backends(self, urls: Sequence[str]) -> None:
        """Send callbacks to these backends from now on."""
        self._backends = tuple(urls)
        self._callbacks.set(urls)

    async def start(self) -> Endpoints:
        """Open all ports and begin to live; on failure nothing stays open.

        Raises:
            OSError: a port is in use or not allowed; the message names it.
            ValueError: ``ports`` names something that this world does not have.
        """
        known = {*HTTP_PORTS, "printer", *(line.name for line in self.scenario.station.lines)}
        known |= {"gauge"} if self.scenario.station.gauge is not None else set()
        if unknown := sorted(set(self._ports) - known):
            raise ValueError(f"no port is called {unknown[0]!r}; there are {', '.join(sorted(known))}")
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise
        return self.endpoints

    async def _start(self) -> None:
        self.kernel = WallKernel(self.seed, trace=self._trace)
        self._stack.push_async_callback(self.kernel.close)
        self.equipment = build_equipment(self.scenario.station)
        lines = {line.name: await self._serve_line(line) for line in self.scenario.station.lines}
        if self.scenario.station.gauge is not None:
            lines["gauge"] = await self._serve_gauge()
        self.printer = Printer(
            CHINESE_80MM if self.scenario.station.printer == "generic-80mm" else CHINESE_58MM
        )
        printer = await serve_printer_tcp(self.printer, _HOST, self._ports.get("printer", 0), self._now_us)
        self._stack.push_async_callback(printer.aclose)
        sockets = {}
        for name in HTTP_PORTS:
            sockets[name] = open_port(_HOST, self._ports.get(name, 0))
            self._stack.callback(sockets[name].close)
        callbacks_url = f"http://{_HOST}:{sockets['callbacks'].getsockname()[1]}"
        apps = self._build_services(callbacks_url)
        servers = {name: HttpServer(app, sockets[name]) for name, app in apps.items()}
        for server in servers.values():
            self._stack.push_async_callback(server.stop)
            await server.start()
        self.endpoints = Endpoints(
            **{name: server.url for name, server in servers.items()},
            lines=lines,
            printer=f"{_HOST}:{printer.port}",
        )
        self._running = asyncio.create_task(self.kernel.run(_FOREVER_US), name="world")

    def _now_us(self) -> int:
        return self.kernel.now_us

    async def _serve_gauge(self) -> str:
        gauged = build_gauge(self.kernel, self.scenario, self.equipment.tanks, self.equipment.settle)
        assert gauged is not None  # noqa: S101 - the caller has looked
        console, rate = gauged.console, gauged.port.characters_per_s
        server = await serve_machine_tcp(
            lambda: GaugePort(console, characters_per_s=rate),
            _HOST,
            self._ports.get("gauge", 0),
            self._now_us,
            name="gauge",
        )
        self._stack.push_async_callback(server.aclose)
        self.lines["gauge"] = server
        return f"{_HOST}:{server.port}"

    async def _serve_line(self, line: Line) -> str:
        cabinets = self.equipment.on_line(line.name)
        capture = Capture(line.name) if self._with_captures else None
        if capture is not None:
            self.captures.append(capture)
        port = self._ports.get(line.name, 0)
        if line.protocol == "ifsf":
            return await self._serve_node(line, port, capture)
        server: LineServer | MachineServer
        if line.framing == "tcp" and len(cabinets) == 1:
            # A Modbus TCP device takes several masters, each with a connection of its own.
            connection = cabinets[0].machine.connection  # type: ignore[union-attr]  # framing tcp is Modbus
            server = await serve_machine_tcp(
                connection, _HOST, port, self._now_us, name=cabinets[0].name, capture=capture
            )
        else:
            # Not paced: TCP has no character clock, and a driver that dials a TCP line counts on that.
            server = await serve_line_tcp(
                SharedLine([cabinet.machine for cabinet in cabinets], echo=line.echo),
                _HOST,
                port,
                self._now_us,
                name=line.name,
                capture=capture,
            )
        self._stack.push_async_callback(server.aclose)
        self.lines[line.name] = server
        return f"{_HOST}:{server.port}"

    async def _serve_node(self, line: Line, port: int, capture: Capture | None) -> str:
        """An IFSF line is found by its heartbeats: what is told of it is where they go."""
        (cabinet,) = self.equipment.on_line(line.name)
        machine: Any = cabinet.machine
        node = NodeHost(
            machine,
            self._now_us,
            broadcast=(_BROADCAST, port),
            name=cabinet.name,
            peer="site",
            capture=capture,
        )
        await node.start()
        self._stack.push_async_callback(node.aclose)
        self.lines[line.name] = node
        return f"{_BROADCAST}:{node.broadcast[1]}"

    def _build_services(self, callbacks_url: str) -> dict[str, ASGIApp]:
        limits = httpx.Limits(max_connections=500, max_keepalive_connections=100)
        client = httpx.AsyncClient(timeout=_CALLBACK_TRY_S, limits=limits, trust_env=False)
        notify = httpx.AsyncClient(
            transport=_TlsEnd(callbacks_url, httpx.AsyncHTTPTransport(limits=limits)), trust_env=False
        )
        self._stack.push_async_callback(client.aclose)
        self._stack.push_async_callback(notify.aclose)
        self._callbacks = _Callbacks(client)
        self._callbacks.set(self._backends)
        self.services = build_services(
            self.kernel,
            self.scenario.station,
            self.scenario.services,
            FaultPlan(),
            self._keys,
            notify_client=notify,
            notify_url=NOTIFY_URL,
        )
        gateway = self.services.gateway
        self.instants = GatewayInstants(gateway.app, self.kernel)
        return {
            "gateway": self.instants,
            "platform": gateway.jscode_app,
            "payer": gateway.payer_app,
            "callbacks": self._callbacks,
            "control": control_app(self),
        }

    async def wait(self) -> None:
        """Wait until the world ends: by `stop`, or because a part of it crashed.

        Raises:
            KernelError: a part crashed.
        """
        if self._running is not None:
            await asyncio.shield(self._running)

    async def stop(self) -> None:
        """Close all ports and end all parts. Harmless when called again."""
        if self._running is not None:
            self.kernel.stop()
            await asyncio.gather(self._running, return_exceptions=True)
        await self._stack.aclose()
