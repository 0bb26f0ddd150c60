"""All hosted services at work in real time: the proxy port, the control API, and the folder of keys."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from scenarios.gateways.context import GatewayContext, HostedService, WeChatTrust
from scenarios.gateways.folder import (
    PHP_FILE,
    TRUST_STORE_FILE,
    GatewayFolder,
    environment,
    export_lines,
    php_settings,
    trust_store,
)
from scenarios.gateways.services import SERVICES, Build
from scenarios.world.serving import HttpServer, open_port
from sim.kernel import WallKernel
from sim.proxy import ConnectProxy, make_ca

__all__ = ["ENV_FILE", "SETTINGS_FILE", "GatewayHouse"]

ENV_FILE: Final = "env.sh"
SETTINGS_FILE: Final = "gateways.json"
_AUTHORITY_FILE: Final = "ca.pem"
_HOST: Final = "127.0.0.1"
_EVER_US: Final = 10 * 365 * 86_400 * 1_000_000
_CALLBACK_S: Final = 30


class _OnThisMachine(httpx.AsyncBaseTransport):
    """Sends callbacks to one place on this machine, whatever host their URL names, so that none ever leaves it.

    Args:
        base: that place; None reaches only URLs that are loopback already.
    """

    def __init__(self, base: str | None) -> None:
        self._base = None if base is None else httpx.URL(base)
        self._inner = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        base = self._base
        if base is not None:
            request.url = request.url.copy_with(scheme=base.scheme, host=base.host, port=base.port)
        elif not _is_loopback(request.url.host):
            raise httpx.ConnectError("no place for callbacks was given, and this one is not on this machine")
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class GatewayHouse:
    """Build it, `start` it inside a running loop, `wait`, `stop` it.

    Args:
        folder: takes the authority, the keys and the environment.
        seed: of latencies and drawn words.
        port: of the proxy; 0 is any free one.
        control_port: of the control API; 0 is any free one.
        callbacks: base URL on this machine that gets every callback; None: only callbacks whose own URL is loopback arrive.
        is_instant: no service takes any time of its own.
        trust: what WeChat Pay signs with for this merchant.
        services: what to host.

    Attributes:
        services: what is hosted, after `start`.
        proxy_url, control_url: where, after `start`.
        variables: the environment of a client, after `start`.
    """

    proxy_url: str
    control_url: str

    def __init__(
        self,
        folder: GatewayFolder,
        *,
        seed: str = "1",
        port: int = 0,
        control_port: int = 0,
        callbacks: str | None = None,
        is_instant: bool = False,
        trust: WeChatTrust = WeChatTrust.BOTH,
        services: Sequence[Build] = SERVICES,
    ) -> None:
        self.folder = folder
        self.services: tuple[HostedService, ...] = ()
        self.variables: dict[str, str] = {}
        self._seed, self._port, self._control_port = seed, port, control_port
        self._callbacks, self._is_instant, self._builds = callbacks, is_instant, services
        self._trust = trust
        self._stack = AsyncExitStack()
        self._proxy: ConnectProxy | None = None
        self._kernel: WallKernel | None = None
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open both ports, make the keys and write the folder. After an error, `stop` still has to be called.

        Raises:
            OSError: the control port is in use, or the folder cannot be written; the message names it.
            ProxyError: the proxy's port is in use, or two services want one host.
        """
        listener = open_port(_HOST, self._control_port)
        self._stack.callback(listener.close)
        kernel = self._kernel = WallKernel(self._seed)
        self._stack.push_async_callback(kernel.close)
        notify = httpx.AsyncClient(
            transport=_OnThisMachine(self._callbacks), trust_env=False, timeout=_CALLBACK_S
        )
        self._stack.push_async_callback(notify.aclose)
        proxy = self._proxy = ConnectProxy(make_ca())
        await proxy.start(_HOST, self._port)
        self._stack.push_async_callback(proxy.stop)
        context = GatewayContext(kernel, notify, is_instant=self._is_instant, trust=self._trust)
        self.services = tuple(build(context) for build in self._builds)
        for service in self.services:
            for host, app in service.hosts.items():
                await proxy.add(host, app)
        control = HttpServer(self._control_app(), listener)
        await control.start()
        self._stack.push_async_callback(control.stop)
        self.proxy_url, self.control_url = proxy.url, control.url
        self._write(proxy)
        self._running = asyncio.create_task(kernel.run(_EVER_US), name="gateways")

    def _write(self, proxy: ConnectProxy) -> None:
        authority = self.folder.write(_AUTHORITY_FILE, proxy.ca.certificate_pem)
        self.folder.write(TRUST_STORE_FILE, trust_store(proxy.ca.certificate_pem))
        self.folder.write(PHP_FILE, php_settings(authority))
        self.variables = environment(self.proxy_url, authority)
        self.folder.write(ENV_FILE, "".join(f"{line}\n" for line in export_lines(self.variables)))
        for service in self.services:
            for name, content in service.files.items():
                self.folder.write(name, content)
        self.folder.write_json(
            SETTINGS_FILE,
            {
                "proxy": self.proxy_url,
                "control": self.control_url,
                "services": {service.name: dict(service.settings) for service in self.services},
            },
        )

    def _control_app(self) -> Starlette:
        """``GET /`` lists the services; each one's own control API is below its name. It never shows a key."""

        async def index(_request: Request) -> Response:
            shown = [
                {
                    "name": service.name,
                    "title": service.title,
                    "hosts": list(service.hosts),
                    "control": None if service.control is None else f"{self.control_url}/{service.name}",
                }
                for service in self.services
            ]
            tunnels = {} if self._proxy is None else self._proxy.tunnels
            refused = {} if self._proxy is None else self._proxy.refused
            return JSONResponse({"services": shown, "tunnels": tunnels, "refused": refused})

        mounts = [Mount(f"/{one.name}", app=one.control) for one in self.services if one.control is not None]
        return Starlette(routes=[Route("/", index), *mounts])

    async def wait(self) -> None:
        """Wait until it ends: by `stop`, or because a service crashed.

        Raises:
            KernelError: a service crashed.
        """
        if self._running is not None:
            await asyncio.shield(self._running)

    async def stop(self) -> None:
        """Close both ports and end all services. Harmless when called again; the folder is its owner's to remove."""
        if self._running is not None and self._kernel is not None:
            self._kernel.stop()
            await asyncio.gather(self._running, return_exceptions=True)
        await self._stack.aclose()
