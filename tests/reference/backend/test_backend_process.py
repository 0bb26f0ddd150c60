"""The real process: ready line, graceful stop, clear refusals, and two processes of which one is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import httpx
import pytest

STATION_KEY = "station-key-of-km01"


@pytest.fixture
def start(tmp_path, merchant):
    """Starts ``python -m reference.backend``; gives the process and its ready line."""
    (tmp_path / "merchant.json").write_text(merchant.to_json())
    running = []

    def begin(**changes):
        config = {
            "station_keys": {"KM01": STATION_KEY},
            "admin_key": "admin-key-for-tests",
            "service_secret": "service-secret-for-tests",
            "merchant_file": "merchant.json",
            "pay_url": "http://127.0.0.1:9",
            "wechat_url": "http://127.0.0.1:9",
            **changes,
        }
        path = tmp_path / f"config-{len(running)}.json"
        path.write_text(json.dumps(config))
        process = subprocess.Popen(
            [sys.executable, "-m", "reference.backend", "--config", str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        line = process.stdout.readline()
        return process, json.loads(line) if line else None

    yield begin
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def put_station(url):
    nozzle = {"nozzle": 1, "fuelling_point": 1, "grade": "92", "price_fen_per_l": 781}
    body = {"name": "一号站", "lift_policy": "authorise", "nozzles": [nozzle]}
    headers = {"Authorization": f"Bearer {STATION_KEY}"}
    return httpx.put(f"{url}/v1/stations/KM01", json=body, headers=headers, timeout=20, trust_env=False)


def sale(sequence):
    return {
        "nozzle": 1,
        "sequence": sequence,
        "fuelling_point": 1,
        "grade": "92",
        "volume_ml": 10_000,
        "amount_fen": 7810,
        "price_fen_per_l": 781,
        "started_us": 1,
        "ended_us": 2,
        "end_total_volume_ml": 10_000 * sequence,
        "end_total_amount_fen": 7810 * sequence,
    }


def post_sale(url, sequence):
    headers = {"Authorization": f"Bearer {STATION_KEY}"}
    url = f"{url}/v1/stations/KM01/sales"
    return httpx.post(url, json=sale(sequence), headers=headers, timeout=20, trust_env=False)


def test_it_serves_on_a_free_port_and_stops_on_sigterm(start):
    process, ready = start()
    assert ready["ready"]
    assert ready["port"] > 0
    assert put_station(ready["url"]).status_code == 200
    assert httpx.get(f"{ready['url']}/healthz", timeout=20, trust_env=False).json()["status"] == "ok"
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert process.returncode in {0, -signal.SIGTERM}, errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"port": "x"}, 2, "port"),
        ({"query_schedule_s": [90]}, 2, "query_schedule_s"),
        ({"merchant_file": "absent.json"}, 2, "merchant_file"),
        ({"database_url": "mysql://x"}, 2, "mysql"),
        ({"database_url": "postgresql://nobody@127.0.0.1:9/x"}, 3, "store"),
        ({"surprise": 1}, 2, "surprise"),
    ],
)
def test_a_bad_configuration_is_one_clear_message(start, changes, code, words):
    process, ready = start(**changes)
    _, errors = process.communicate(timeout=30)
    assert ready is None
    assert process.returncode == code
    assert words in errors
    assert "Traceback" not in errors


def test_a_port_in_use_is_said(start):
    _, ready = start()
    process, none = start(port=ready["port"])
    _, errors = process.communicate(timeout=30)
    assert (none, process.returncode) == (None, 2)
    assert str(ready["port"]) in errors


@pytest.mark.requirement("fc-sale.lossy-transport-converges")
def test_of_two_processes_one_is_killed_and_no_acknowledged_sale_is_lost(start, empty_postgres_url):
    (first, a), (_, b) = (
        start(database_url=empty_postgres_url, instance="a"),
        start(database_url=empty_postgres_url, instance="b"),
    )
    assert put_station(a["url"]).status_code == 200
    base = int(time.time())  # other tests have used this database
    answers = {}
    for sequence in range(base, base + 20):
        answers[sequence] = post_sale((a, b)[sequence % 2]["url"], sequence).json()["sale_id"]
    os.kill(first.pid, signal.SIGKILL)
    for sequence, sale_id in answers.items():
        again = post_sale(b["url"], sequence)
        assert (again.status_code, again.json()["sale_id"]) == (200, sale_id)
