"""kill -9 of real processes on one PostgreSQL: what the loudspeaker's platform is told, and how often it lets it through."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import parse_qs

import pytest
from sqlalchemy import select

from reference.backend import BackendSettings, PostgresDatabase, create_backend
from reference.backend.voice.schema import announcements

SPEAKER = {"kind": "text", "speaker_id": "17", "token": "t0ken", "character_ms": 50, "gap_ms": 0}


class Platform(ThreadingHTTPServer):
    """Takes each ``seq`` with the same content once, as the maker's does; written from its published page."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.calls: list[tuple[str, str]] = []
        self.taken: dict[str, str] = {}
        self.lock = threading.Lock()
        self.arrived = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answers(BaseHTTPRequestHandler):
    server: Platform

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        fields = {name: values[0] for name, values in parse_qs(body).items()}
        with self.server.lock:
            self.server.calls.append((fields["trace_no"], fields["message"]))
            known = self.server.taken.setdefault(fields["seq"], fields["trace_no"])
            repeated = sum(call[0] == known for call in self.server.calls) > 1
        assert known == fields["trace_no"], "one seq for two payments"
        self.server.arrived.set()
        time.sleep(0.4)  # taken, and not yet answered: here a kill leaves the outcome open
        reply = json.dumps({"errcode": 17 if repeated else 0, "errmsg": "", "detail": ""}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(reply)))
        with contextlib.suppress(ConnectionError):
            self.end_headers()
            self.wfile.write(reply)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def platform() -> Iterator[Platform]:
    with Platform() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.requirement("vox.spoken-once-after-verified-payment", "vox.queue-in-order-and-fresh")
def test_each_payment_is_taken_once_through_kills(empty_postgres_url, merchant, platform, tmp_path, capsys):
    (tmp_path / "merchant.json").write_text(merchant.to_json())
    common = {
        "database_url": empty_postgres_url,
        "station_keys": {"KM01": "station-key-of-km01"},
        "admin_key": "admin-key-for-tests",
        "service_secret": "service-secret-for-tests",
        "loudspeakers": {"KM01": SPEAKER},
        "speaker_url": platform.url,
        "lease_s": 1.0,
    }
    (tmp_path / "config.json").write_text(json.dumps({**common, "merchant_file": "merchant.json"}))
    rng = random.Random("kills")
    numbers: list[str] = []
    kills = 0

    async def pay(count: int) -> None:
        """Payments are proved, as far as the announcer sees of it, by a process that only writes them down."""
        backend = create_backend(
            BackendSettings.model_validate(common).with_merchant(merchant),
            database=PostgresDatabase(empty_postgres_url),
        )
        core = backend.core
        await core.db.start()
        for _ in range(count):
            numbers.append(f"N{len(numbers)}")
            order = SimpleNamespace(
                order_id=f"o{len(numbers)}", station="KM01", nozzle=3, out_trade_no=numbers[-1],
                paid_fen=100 + len(numbers), payable_fen=0,
            )  # fmt: skip
            await core.db.run(lambda tx, order=order: core.announcer.paid(tx, order))
        await core.db.stop()

    async def states() -> list[tuple[str, str]]:
        database = PostgresDatabase(empty_postgres_url)
        await database.start()
        rows = await database.run(lambda tx: tx.rows(select(announcements).order_by(announcements.c.id)))
        await database.stop()
        return [(row.request_id, row.state) for row in rows]

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "reference.backend", "--config", tmp_path / "config.json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline()
        return process

    process = start()
    try:
        for _ in range(9):
            platform.arrived.clear()
            asyncio.run(pay(2))
            assert platform.arrived.wait(30)
            time.sleep(rng.uniform(0.0, 0.1))
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += 1
            process = start()
        deadline = time.monotonic() + 60
        while any(state in {"queued", "sending", "unknown"} for _, state in asyncio.run(states())):
            assert time.monotonic() < deadline
            time.sleep(0.2)
    finally:
        process.kill()
        process.communicate()
    ended = asyncio.run(states())
    sent = [number for number, state in ended if state == "sent"]
    first = list(dict.fromkeys(number for number, _ in platform.calls))
    with capsys.disabled():
        print(
            f"\n{kills} kills, {len(ended)} payments, {len(sent)} sent, {len(platform.calls) - len(first)} calls repeated"
        )
    assert [number for number, _ in ended] == numbers
    assert len(sent) >= 9
    assert len(platform.calls) > len(first), "no kill hit a call: nothing was tried"
    assert set(sent) <= set(first)
    assert first == [number for number in numbers if number in first], "out of order"
    assert sorted(platform.taken.values()) == sorted(first)
    assert len(set(platform.calls)) == len(first), "one payment was told in two ways"
