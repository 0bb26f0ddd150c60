"""A PostgreSQL server in a container that was built here: no registry is asked, and without an engine tests skip."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_RECIPE = Path(__file__).parents[1] / "containers" / "build_image.py"
_HOW = "`pytest -m docker -rs` with an engine running (DOCKER_HOST names its socket); docs/containers.md shows one way"


@dataclass(frozen=True)
class PostgresContainer:
    """A running server: its URL on the loopback interface, the engine's handle, the image and what it took to start."""

    url: str
    container: Any
    image: str


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[Any]:
    """A client of the Docker engine."""
    docker = pytest.importorskip("docker", reason="no Docker client: pip install 'forecourt[docker]'")
    client, problem = None, ""
    with warnings.catch_warnings():
        # The client of an engine that does not answer is never closed; let its socket go where nobody minds.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            client = docker.from_env(timeout=60)
        except docker.errors.DockerException as error:
            problem = str(error)
        gc.collect()
    if client is None:
        pytest.skip(f"no Docker engine answers ({problem}); run {_HOW}")
    with contextlib.closing(client):
        yield client


@pytest.fixture(scope="session")
def postgres_image(docker_engine: Any) -> str:
    """The tag of the image that `tests/containers/build_image.py` builds (about five seconds, once per engine)."""
    done = subprocess.run([sys.executable, _RECIPE], capture_output=True, text=True, check=False, timeout=300)
    if done.returncode == 2:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.fixture(scope="session")
def postgres_container(postgres_image: str) -> Iterator[PostgresContainer]:
    """The server. Its port is open on 127.0.0.1 only."""
    pytest.importorskip("testcontainers", reason="pip install 'forecourt[docker]'")
    # Read when testcontainers is imported. The reaper's image would have to come from a registry; we remove our own.
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    os.environ.setdefault("TC_POOLING_INTERVAL", "0.1")
    from testcontainers.community.postgres import PostgresContainer as Started

    server = Started(postgres_image, username="forecourt", dbname="forecourt", password=os.urandom(16).hex())
    port = (
        _free_port()
    )  # a fixed one, because the engine would pick another each time the container starts again
    server.ports = {f"{server.port}/tcp": ("127.0.0.1", port)}
    with server:
        container = server.get_wrapped_container()
        container.reload()
        # Not `get_connection_url`: where the tests themselves run in a container, it names an address of the bridge.
        url = f"postgresql://{server.username}:{server.password}@127.0.0.1:{port}/{server.dbname}"
        yield PostgresContainer(url, container, postgres_image)
