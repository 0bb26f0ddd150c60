"""PostgreSQL in a container: that it is one, that it is closed to strangers, and that a kill -9 loses nothing acknowledged.

The store's other tests run on it too: each test that takes `play` has a variant ``container`` with the marker `docker`.
"""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

pytestmark = pytest.mark.docker


def _ask(url: str, question: str) -> object:
    async def ask() -> object:
        connection = await asyncpg.connect(url, timeout=5)
        try:
            return await connection.fetchval(question)
        finally:
            await connection.close()

    return asyncio.run(ask())


def _start_again(container: Any) -> None:
    """Start; returns once the server inside answers (the loop ends with the container if it does not)."""
    container.start()
    code, said = container.exec_run(["sh", "-c", "until pg_isready -h 127.0.0.1; do :; done"])
    assert code == 0, said


def test_the_server_is_the_one_in_the_container(postgres_container):
    container = postgres_container.container
    container.reload()
    (network,) = container.attrs["NetworkSettings"]["Networks"].values()
    assert _ask(postgres_container.url, "SELECT host(inet_server_addr())") == network["IPAddress"]
    version = postgres_container.image.partition(":")[2].partition("-")[0]
    assert str(_ask(postgres_container.url, "SHOW server_version")).startswith(version)


def test_its_port_is_on_the_loopback_interface_alone(postgres_container):
    (binding,) = postgres_container.container.attrs["NetworkSettings"]["Ports"]["5432/tcp"]
    assert binding["HostIp"] == "127.0.0.1"


def test_a_wrong_password_is_refused(postgres_container):
    scheme, _, rest = postgres_container.url.partition("://")
    user, _, place = rest.partition("@")
    with pytest.raises(asyncpg.InvalidPasswordError):
        _ask(f"{scheme}://{user.partition(':')[0]}:wrong@{place}", "SELECT 1")


def test_it_runs_without_privileges(postgres_container):
    status = str(_ask(postgres_container.url, "SELECT pg_read_file('/proc/self/status')"))
    fields = dict(line.split(":", 1) for line in status.splitlines())
    assert set(fields["Uid"].split()) == {"999"}
    assert int(fields["CapEff"], 16) == 0


@pytest.mark.requirement("fc-sale.one-delivery-one-ledger-sale")
def test_killed_in_mid_service_it_comes_back_with_every_acknowledged_sale(play_container, postgres_container):
    container = postgres_container.container

    async def scene(w):
        acked = []
        for _ in range(20):
            sale = w.sale()
            acked.append((sale, await w.site("POST", "/sales", sale, status=201)))
        await asyncio.to_thread(container.kill, "SIGKILL")
        lost = await w.site("POST", "/sales", w.sale(), status=503)
        assert lost["code"]
        await asyncio.to_thread(_start_again, container)
        for sale, reply in acked:
            assert await w.site("POST", "/sales", sale, status=200) == reply
        assert len((await w.admin("ledger"))["rows"]) == 20
        assert await w.violations() == []

    play_container(scene)
