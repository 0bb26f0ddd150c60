"""``python -m reference.backend --config FILE``: one instance as a process; ``--openapi`` prints the document.

When it is ready it prints one line of JSON, ``{"ready": true, "instance", "host", "port", "pid", "url"}``.
SIGTERM and SIGINT stop it gracefully. Exit codes: 0 stopped, 2 bad configuration or port in use, 3 store unreachable.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import uvicorn

from reference.backend.app import Backend, create_backend
from reference.backend.settings import BackendSettings, SettingsError
from reference.backend.store.database import StoreUnavailableError
from reference.http_server import PlainProtocol
from reference.masked_log import log_masked

__all__ = ["main"]


class _Server(uvicorn.Server):
    """Says when it is ready, and lets long polls and streams end before it waits for its requests."""

    backend: Backend
    ready: dict[str, object]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            sys.stdout.write(json.dumps(self.ready) + "\n")
            sys.stdout.flush()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.backend.core.stopping = True
        self.backend.core.db.hub.wake_all()
        await super().shutdown(sockets)


async def _serve(settings: BackendSettings, listener: socket.socket) -> int:
    backend = create_backend(settings)
    try:
        await backend.start()
    except StoreUnavailableError as error:
        sys.stderr.write(f"the store is not reachable: {error}\n")
        return 3
    config = uvicorn.Config(
        backend.app,
        http=PlainProtocol,
        log_config=None,
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=10,
    )
    server = _Server(config)
    server.backend = backend
    host, port = listener.getsockname()[:2]
    # What was made so far lives as long as the process: the collector need not walk through it while requests wait.
    gc.collect()
    gc.freeze()
    try:
        ready = {"ready": True, "instance": backend.core.instance, "host": host, "port": port}
        server.ready = {**ready, "pid": os.getpid(), "url": f"http://{host}:{port}"}
        await server.serve(sockets=[listener])
    finally:
        await backend.stop()
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _openapi() -> str:
    # The routes do not depend on the settings, so any valid ones will do.
    from cryptography.hazmat.primitives.asymmetric import rsa

    from protocols.wechatpay import MerchantCredentials, PlatformTrust

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    merchant = MerchantCredentials("0", "wx0", "0" * 40, key, "0" * 32, PlatformTrust({}))
    unused = "no-key-at-all"
    settings = BackendSettings(station_keys={}, admin_key=unused, service_secret=unused)
    document = create_backend(settings.with_merchant(merchant)).app.openapi()
    return json.dumps(document, ensure_ascii=False, indent=2)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m reference.backend", description=__doc__.partition("\n")[0]
    )
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--config", type=Path, metavar="FILE", help="settings as JSON")
    group.add_argument("--openapi", action="store_true", help="print the OpenAPI document and exit")
    options = parser.parse_args(arguments)
    if options.openapi:
        sys.stdout.write(_openapi() + "\n")
        return 0
    log_masked()
    try:
        settings = BackendSettings.from_file(options.config)
        _ = settings.merchant
        listener = socket.create_server((settings.host, settings.port), backlog=2048)
        # Connections inherit it; without it the body of a reply may wait 40 ms behind its head for an acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"{settings.host}:{settings.port}: {error.strerror}\n")
        return 2
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_serve(settings, listener))
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
