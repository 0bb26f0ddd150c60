"""An HTTP CONNECT proxy that ends TLS for any registered host, so unmodified clients reach the fakes.

A client needs two settings it has anyway: ``HTTPS_PROXY=http://127.0.0.1:PORT`` and the test authority's certificate
(``REQUESTS_CA_BUNDLE``, ``SSL_CERT_FILE``, ``NODE_EXTRA_CA_CERTS``). It then talks to ``https://api.mch.weixin.qq.com`` as ever.
A platform whose clients still speak plain HTTP (``http://api.feieyun.cn``) is served to requests in absolute form as well, for
which ``HTTP_PROXY`` has to be set; so are ``https://`` addresses in absolute form, which axios sends to a proxy instead of asking for
a tunnel (github.com/axios/axios/issues/4531). Nothing leaves the machine: hosts that are not registered are refused, and targets must be loopback addresses.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp

from sim.proxy.authority import CertificateAuthority
from sim.proxy.http import PlatformProtocol

__all__ = ["ConnectProxy", "ProxyError"]

_HEAD_LIMIT = 16 * 1024
_HEAD_TIMEOUT_S = 10
_CHUNK = 64 * 1024
_CLOSE_TIMEOUT_S = 1  # a peer that does not answer TLS's good-bye is cut off
_MAX_REFUSED_NAMES = 1000  # clients choose these names; keep the table small
KEEP_ALIVE_S = 8  # the payment platform's own idle limit (`Keep-Alive: timeout=8`)


class ProxyError(Exception):
    """The proxy cannot be set up as asked: a port in use, an address that is not loopback, a host named twice."""


class _Server(uvicorn.Server):
    """uvicorn inside a running loop: no signal handlers, and it says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the program this runs in."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        self.listening.set()


@dataclass(slots=True)
class _Route:
    """One host: its application or address, and once started where it is reached in plain HTTP."""

    target: ASGIApp | tuple[str, int]
    address: tuple[str, int] | None = None
    server: _Server | None = None
    task: asyncio.Task[None] | None = None


def _check_loopback(host: str) -> None:
    try:
        fine = ipaddress.ip_address(host).is_loopback
    except ValueError:
        fine = False
    if not fine:
        raise ProxyError(f"{host!r} is not a loopback address such as 127.0.0.1")


class ConnectProxy:
    """One proxy port for many hosts; runs on the current asyncio loop, in real time only.

    Args:
        ca: issues a leaf for each host.
        routes: host name → ASGI application (served by an own uvicorn on a loopback port), or the loopback address
            ``(ip, port)`` of a plain HTTP server that runs already.

    Attributes:
        tunnels: how many tunnels each host got; a request in plain HTTP counts as one.
        refused: hosts that were asked for and are not registered, with counts.
    """

    def __init__(
        self, ca: CertificateAuthority, routes: Mapping[str, ASGIApp | tuple[str, int]] | None = None
    ) -> None:
        self.ca = ca
        self.tunnels: dict[str, int] = {}
        self.refused: dict[str, int] = {}
        self._routes: dict[str, _Route] = {}
        self._server: asyncio.Server | None = None
        self._tasks: dict[asyncio.Task[None], None] = {}
        for host, target in (routes or {}).items():
            self._enter(host, target)

    def _enter(self, host: str, target: ASGIApp | tuple[str, int]) -> _Route:
        name = host.lower()
        if name in self._routes:
            raise ProxyError(f"the proxy serves {name} already")
        if isinstance(target, tuple):
            _check_loopback(target[0])
        try:
            self.ca.server_context(name)
        except ValueError as error:
            raise ProxyError(str(error)) from None
        route = self._routes[name] = _Route(target)
        return route

    async def add(self, host: str, target: ASGIApp | tuple[str, int]) -> None:
        """Serve one more host, before or after `start`.

        Raises:
            ProxyError: the host is served already, is no host name, or its address is not loopback.
        """
        route = self._enter(host, target)
        if self._server is not None:
            await self._start_route(host.lower(), route)

    @property
    def port(self) -> int:
        """The proxy's port.

        Raises:
            ProxyError: not started.
        """
        if self._server is None:
            raise ProxyError("the proxy is not running")
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """What goes into ``HTTPS_PROXY``."""
        return f"http://127.0.0.1:{self.port}"

    def address_of(self, host: str) -> tuple[str, int]:
        """Where the host's application listens in plain HTTP, for clients with a settable base URL.

        Raises:
            ProxyError: unknown host, or not started.
        """
        route = self._routes.get(host.lower())
        if route is None or route.address is None:
            raise ProxyError(f"the proxy does not serve {host}")
        return route.address

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen; port 0 takes any free one. Returns the port.

        Raises:
            ProxyError: not a loopback address, the port is in use, or started already.
        """
        _check_loopback(host)
        if self._server is not None:
            raise ProxyError("the proxy runs already")
        try:
            self._server = await asyncio.start_server(self._on_client, host, port, limit=_HEAD_LIMIT)
        except OSError as error:
            raise ProxyError(f"the proxy cannot listen on {host}:{port}: {error.strerror or error}") from None
        for name, route in self._routes.items():
            await self._start_route(name, route)
        return self.port

    async def _start_route(self, host: str, route: _Route) -> None:
        if isinstance(route.target, tuple):
            route.address = route.target
        else:
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            # Connections inherit it. asyncio sets it only where it makes the listener itself, and without it the body of
            # each reply waits behind its head for an acknowledgement, 40 ms.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            listener.bind(("127.0.0.1", 0))
            route.address = listener.getsockname()
            config = uvicorn.Config(
                route.target,
                http=PlatformProtocol,
                log_config=None,
                access_log=False,
                interface="asgi3",  # its guess takes a bound method for an old two-call application
                lifespan="off",
                server_header=False,
                date_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=1,
            )
            route.server = _Server(config)
            route.task = asyncio.create_task(route.server.serve(sockets=[listener]), name=f"asgi-{host}")
            await route.server.listening.wait()

    def _on_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not a coroutine: the task must be known to `stop` before its first step, and a task that is cancelled before
        # its first step never reaches a `finally` of its own, so the connection is cut when the task has ended.
        if self._server is None:
            writer.transport.abort()
            return
        task = asyncio.create_task(self._serve_and_close(reader, writer), name="proxy-client")
        self._tasks[task] = None

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.pop(task, None)
            writer.transport.abort()
            if not task.cancelled() and (error := task.exception()) is not None:
                task.get_loop().call_exception_handler(
                    {"message": "the proxy failed to serve a connection", "exception": error, "task": task}
                )

        task.add_done_callback(ended)

    async def _serve_and_close(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer)
        finally:
            await _close(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_HEAD_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, OSError):
            return
        words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        is_plain = len(words) == 3 and words[1].lower().startswith(("http://", "https://"))
        if len(words) != 3 or not (is_plain or words[0] == "CONNECT"):
            await _refuse(
                writer, 405, "this proxy takes CONNECT, and requests for http:// or https:// addresses"
            )
            return
        name = _plain_host(words[1]) if is_plain else words[1].rpartition(":")[0].strip("[]").lower()
        route = self._routes.get(name)
        if route is None or route.address is None:
            if name in self.refused or len(self.refused) < _MAX_REFUSED_NAMES:
                self.refused[name] = self.refused.get(name, 0) + 1
            await _refuse(writer, 502, f"no simulated service answers for {name[:253]}")
            return
        self.tunnels[name] = self.tunnels.get(name, 0) + 1
        if is_plain:
            await self._join(reader, writer, route.address, _origin_form(head))
            return
        writer.write(b"HTTP/1.1 200 Connection Established\r\n\r\n")
        try:
            # TLS ends here, in the handler that owns the connection: a failed or cut handshake has somebody to tidy up.
            await writer.start_tls(self.ca.server_context(name))
        except BaseException as error:
            # In mid-handshake asyncio does not tell the stream that its connection is lost, so nobody may wait for it.
            writer.transport.abort()
            if isinstance(
                error, OSError | EOFError
            ):  # ssl.SSLError is an OSError: not trusted, or the client left
                return
            raise
        await self._join(reader, writer, route.address)

    async def _join(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        address: tuple[str, int],
        head: bytes = b"",
    ) -> None:
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection(*address, limit=_CHUNK)
        except OSError:
            return
        upstream_writer.write(head)
        # Both ways until either side is done: HTTP needs no half-open connections.
        pipes = [
            asyncio.ensure_future(_pipe(reader, upstream_writer)),
            asyncio.ensure_future(_pipe(upstream_reader, writer)),
        ]
        try:
            await asyncio.wait(pipes, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pipe in pipes:
                pipe.cancel()
            try:
                await asyncio.gather(*pipes, return_exceptions=True)
            finally:  # `stop` may cut this task at the very moment the client leaves
                await _close(upstream_writer)

    async def stop(self) -> None:
        """Close the port, all tunnels and the applications' servers. Safe to call twice."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for route in self._routes.values():
            if route.server is not None and route.task is not None:
                route.server.should_exit = True
                await route.task
            route.server = route.task = route.address = None
        if server is not None:
            await server.wait_closed()
        await asyncio.sleep(0)  # aborted transports close their sockets in the loop's next turn


def _plain_host(target: str) -> str:
    """The host of an absolute-form target; empty if there is none."""
    try:
        return (urlsplit(target).hostname or "").lower()
    except ValueError:
        return ""


def _origin_form(head: bytes) -> bytes:
    """The head of a request in absolute form as the server itself takes it.

    One request only: the next one on this connection may be for another host, so the server is told to close.
    """
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    method, target, version = first.split(b" ")
    authority = target.split(b"/", 2)[2]
    path = authority[len(re.split(rb"[/?]", authority, maxsplit=1)[0]) :]
    if not path.startswith(b"/"):
        path = b"/" + path
    hop = (b"proxy-connection", b"connection", b"keep-alive", b"proxy-authorization")
    kept = [line for line in lines if line.split(b":", 1)[0].strip().lower() not in hop]
    return b"\r\n".join([b" ".join((method, path, version)), *kept, b"Connection: close", b"", b""])


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()


async def _close(writer: asyncio.StreamWriter) -> None:
    if writer.transport.is_closing():
        return
    writer.close()
    try:
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        writer.transport.abort()


async def _refuse(writer: asyncio.StreamWriter, status: int, text: str) -> None:
    body = text.encode()
    writer.write(
        f"HTTP/1.1 {status} Refused\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        + body
    )
    with contextlib.suppress(OSError):
        await writer.drain()
