"""``python -m reference.vault --config FILE``: the vault as a process; ``--rotate`` seals everything anew and ends.

When it is ready it prints one line of JSON, ``{"ready": true, "host", "port", "pid", "url"}``. SIGTERM and SIGINT stop it. Exit codes:
0 stopped or rotated, 2 bad settings, weak key or port in use, 3 the database cannot be used.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import signal
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from reference.http_server import PlainProtocol
from reference.masked_log import log_masked
from reference.vault.app import create_vault
from reference.vault.keys import VaultKeyError
from reference.vault.settings import VaultSettings, VaultSettingsError
from reference.vault.store import StoreError

__all__ = ["main"]


class _Server(uvicorn.Server):
    ready: dict[str, object]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(json.dumps(self.ready), flush=True)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """A signal ends the service and not the process: it still has a database to close."""
        before = {
            number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m reference.vault", description="The card vault.")
    parser.add_argument(
        "--config", required=True, type=Path, metavar="FILE", help="settings as JSON, mode 0600"
    )
    parser.add_argument(
        "--rotate", action="store_true", help="seal everything anew under the first key, then end"
    )
    options = parser.parse_args(arguments)
    log_masked()
    # A memory image of a crash would hold what no file may hold.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        settings = VaultSettings.from_file(options.config)
        vault = create_vault(settings)
    except (VaultSettingsError, VaultKeyError) as error:
        print(f"reference.vault: {error}", file=sys.stderr)
        return 2
    except StoreError as error:
        print(f"reference.vault: {error}", file=sys.stderr)
        return 3
    try:
        if options.rotate:
            print(json.dumps({"rotated": vault.desk.rotate()}))
            return 0
        return _serve(settings, vault.app)
    except (StoreError, VaultKeyError) as error:
        print(f"reference.vault: {error}", file=sys.stderr)
        return 3
    finally:
        vault.close()


def _serve(settings: VaultSettings, app: FastAPI) -> int:
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        listener = socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        print(f"reference.vault: {settings.host}:{settings.port}: {error.strerror}", file=sys.stderr)
        return 2
    config = uvicorn.Config(
        app,
        http=PlainProtocol,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=3,
    )
    scheme = "http"
    if settings.tls_certificate is not None and settings.tls_key is not None:
        scheme = "https"
        config.ssl_certfile, config.ssl_keyfile = str(settings.tls_certificate), str(settings.tls_key)
        try:
            config.load()
        except (OSError, ssl.SSLError) as error:
            print(f"reference.vault: tls_certificate, tls_key: {error}", file=sys.stderr)
            return 2
        assert config.ssl is not None  # noqa: S101 - it was just given a certificate
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    host, port = listener.getsockname()[:2]
    server = _Server(config)
    server.ready = {
        "ready": True,
        "host": host,
        "port": port,
        "pid": os.getpid(),
        "url": f"{scheme}://[{host}]:{port}" if family is socket.AF_INET6 else f"{scheme}://{host}:{port}",
    }
    try:
        asyncio.run(server.serve(sockets=[listener]))
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
