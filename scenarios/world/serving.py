"""ASGI applications on loopback ports, several in one process, none of which touches the process's signals."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from sim.proxy import PlatformProtocol

__all__ = ["HttpServer", "host_port", "open_port"]

_GRACE_S = 2
_BACKLOG = 2048


def host_port(host: str, port: int) -> str:
    """An address as it is written: ``127.0.0.1:5001``, ``[::1]:5001``."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def open_port(host: str, port: int) -> socket.socket:
    """A listening socket, so that its number is known before what needs to know it is built.

    Raises:
        OSError: the port is in use or not allowed; the message names host and port.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        said = str(error.strerror).partition(" (while ")[0]  # which address it was stands here already
        raise OSError(error.errno, f"{host_port(host, port)}: {said}") from None
    # Connections inherit it. asyncio sets it only where it makes the listener itself, and without it the body of each
    # reply waits behind its head for an acknowledgement, 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


class _Server(uvicorn.Server):
    """Leaves signals to the process, and says when it serves."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.serving = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The process has one stop for all its parts."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.serving.set()


class HttpServer:
    """One application on one listening socket.

    Attributes:
        url: where it is reached, ``http://127.0.0.1:PORT``.
    """

    def __init__(self, app: ASGIApp, listener: socket.socket) -> None:
        host, port = listener.getsockname()[:2]
        self.url = f"http://{host_port(host, port)}"
        self._listener = listener
        self._server = _Server(
            uvicorn.Config(
                app,
                http=PlatformProtocol,
                log_level="warning",
                access_log=False,
                lifespan="off",
                ws="none",
                timeout_keep_alive=75,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Serve; returns when requests are taken.

        Raises:
            RuntimeError: the server ended at once.
        """
        self._task = asyncio.create_task(
            self._server.serve(sockets=[self._listener]), name=f"http {self.url}"
        )
        ready = asyncio.create_task(self._server.serving.wait())
        await asyncio.wait({self._task, ready}, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            ready.cancel()
            raise RuntimeError(f"the server at {self.url} did not start")

    async def stop(self) -> None:
        """Stop; open requests get two seconds."""
        self._server.should_exit = True
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self._listener.close()
