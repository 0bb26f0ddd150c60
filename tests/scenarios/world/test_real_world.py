"""The world on real sockets: a sale on a DART and on a Modbus line, faults by hand, callbacks, clear errors."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys

import httpx
import psutil
import pytest

from reference.site import SiteController
from reference.site.pumps.events import PointState
from reference.site.pumps.lines import monotonic_us, tcp_host
from scenarios.loader import load
from scenarios.world.keys import load_run_keys, run_keys, save_run_keys
from scenarios.world.real import Endpoints, RealWorld
from scenarios.world.translate import site_config


async def until(condition, what, limit_s=30.0):
    async with asyncio.timeout(limit_s):
        while not await condition():
            await asyncio.sleep(0.02)
    assert await condition(), what


def in_world(scene, scenario="smoke", **more):
    async def main():
        world = RealWorld(load(scenario).scenario, "real", run_keys(), **more)
        endpoints = await world.start()
        assert endpoints is world.endpoints
        try:
            async with httpx.AsyncClient(base_url=endpoints.control, trust_env=False) as control:
                await scene(world, control)
        finally:
            await world.stop()
            await world.stop()  # harmless

    asyncio.run(main())


async def with_site(world, scene):
    """Our own site controller, in this process, dials the world's lines and printer."""
    endpoints = world.endpoints
    config = site_config(
        world.scenario.station, dict(endpoints.lines), printer={"tcp": endpoints.printer}, station_key="k" * 8
    )
    site = SiteController(
        config,
        clock_us=monotonic_us,
        http_transport=None,
        journal_path=":memory:",
        base_urls=[],
        station_key="k",
    )
    hosts = [
        tcp_host(driver, line.tcp, name=line.name)
        for line, driver in zip(config.lines, site.drivers, strict=True)
    ]
    await site.start()
    for host in hosts:
        host.start()
    try:
        await scene(site)
    finally:
        for host in hosts:
            await host.stop()
        await site.stop()
        site.journal.close()


async def point(control, number):
    return (await control.get(f"/points/{number}")).raise_for_status().json()


async def act(control, nozzle, hand, **body):
    reply = await control.post(f"/nozzles/{nozzle}/{hand}", json=body or None)
    return reply.raise_for_status().json()


@pytest.mark.parametrize(("nozzle", "number"), [(1, 1), (25, 13)], ids=["dart", "modbus"])
def test_a_sale_by_hand_reaches_the_controllers_journal(nozzle, number):
    async def scene(world, control):
        async def drive(site):
            async def online():
                return site.driver_of[number].status(number).state is not PointState.OFFLINE

            await until(online, "the line is up")
            assert (await act(control, nozzle, "lift"))["done"]

            async def may_deliver():
                return (await point(control, number))["state"] in {"STARTED", "FUELLING"}

            await until(may_deliver, "authorised by policy")
            await act(control, nozzle, "squeeze", flow_ml_per_min=60_000, full_ml=1_000)

            async def full():
                shown = await point(control, number)
                return shown["volume_ml"] == 1_000 and not shown["flowing"]

            await until(full, "the tank is full")
            shown = await act(control, nozzle, "hang-up")

            async def captured():
                return len(site.journal.all_sales()) == 1

            await until(captured, "the sale is in the journal")
            sale = site.journal.all_sales()[0]
            assert (sale.nozzle, sale.volume_ml, sale.amount_fen) == (nozzle, 1_000, 760)
            delivered = (await control.get("/deliveries")).json()
            assert [(d["nozzle_id"], d["volume_ml"], d["amount_fen"]) for d in delivered] == [
                (nozzle, 1_000, 760)
            ]
            tanks = (await control.get("/tanks")).json()
            assert sum(tank["drawn_ml"] for tank in tanks) == 1_000
            assert shown["version"] > 0

        await with_site(world, drive)

    in_world(scene, "kunming-peak")


def test_a_cut_line_goes_down_and_comes_back():
    async def scene(world, control):
        async def drive(site):
            async def online():
                return site.driver_of[1].status(1).state is not PointState.OFFLINE

            async def offline():
                return not await online()

            await until(online, "up")
            (await control.post("/lines/pumps/cut")).raise_for_status()
            await until(offline, "down")
            (await control.post("/lines/pumps/join")).raise_for_status()
            await until(online, "up again")
            (await control.post("/dispensers/D1/power-off")).raise_for_status()
            await until(offline, "no power, no answer")
            (await control.post("/dispensers/D1/power-on")).raise_for_status()
            await until(online, "power is back")

        await with_site(world, drive)

    in_world(scene)


def test_hands_are_refused_with_a_reason():
    async def scene(world, control):
        for method, path, status, words in (
            ("POST", "/nozzles/99/lift", 404, "no nozzle 99"),
            ("POST", "/nozzles/1/squeeze", 409, "hangs in its boot"),
            ("POST", "/nozzles/1/kick", 422, "lift"),
            ("GET", "/points/99", 404, "no fuelling point 99"),
            ("POST", "/lines/nowhere/cut", 404, "no line"),
            ("POST", "/dispensers/D9/power-off", 404, "no dispenser"),
            ("GET", "/printer/receipts/0.png", 404, "0 receipts"),
            ("PUT", "/backends", 422, "urls"),
        ):
            reply = await control.request(method, path, json={} if method == "PUT" else None)
            assert (reply.status_code, words in reply.text) == (status, True), (path, reply.text)

    in_world(scene)


def test_a_client_can_wait_for_the_next_change():
    async def scene(world, control):
        before = await point(control, 1)
        waiting = asyncio.create_task(
            control.get("/points/1", params={"after": before["version"], "wait_ms": 20_000})
        )
        await act(control, 1, "lift")
        shown = (await waiting).json()
        assert shown["version"] > before["version"]
        assert shown["nozzle_out"] == 1

    in_world(scene)


def test_the_printer_by_hand():
    async def scene(world, control):
        for deed, field, value in (
            ("paper-out", "paper_end", True),
            ("load-paper", "paper_end", False),
            ("open-cover", "cover_open", True),
            ("close-cover", "cover_open", False),
        ):
            (await control.post(f"/printer/{deed}")).raise_for_status()
            assert (await control.get("/printer")).json()["condition"][field] is value, deed
        host, _, port = world.endpoints.printer.partition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write("昆明\n".encode("gb18030") + b"\x1dV\x00")
        await writer.drain()

        async def printed():
            return len((await control.get("/printer/receipts")).json()) == 1

        await until(printed, "a receipt")
        writer.close()
        assert "昆明" in (await control.get("/printer/receipts")).json()[0]["text"]
        assert (await control.get("/printer/receipts/0.png")).content.startswith(b"\x89PNG")

    in_world(scene)


def test_callbacks_go_to_whichever_backend_lives():
    async def scene(world, control):
        async with httpx.AsyncClient(trust_env=False) as client:
            url = f"{world.endpoints.callbacks}/v1/notify/wechatpay"
            assert (await client.post(url, json={})).status_code == 503
            heard = []

            async def handle(reader, writer):
                heard.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
                await writer.drain()
                writer.close()

            server = await asyncio.start_server(handle, "127.0.0.1", 0)
            alive = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            with socket.socket() as dead:
                dead.bind(("127.0.0.1", 0))
                gone = f"http://127.0.0.1:{dead.getsockname()[1]}"
                (await control.put("/backends", json={"urls": [gone, alive]})).raise_for_status()
                assert world.backends == (gone, alive)
                for _ in range(4):
                    assert (await client.post(url, json={})).status_code == 204
            assert len(heard) == 4
            server.close()
            await server.wait_closed()

    in_world(scene)


def test_every_route_is_documented():
    async def scene(world, control):
        document = (await control.get("/openapi.json")).json()
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                assert operation.get("description"), (method, path)

    in_world(scene)


@pytest.mark.parametrize("name", ["payer", "gateway", "printer", "pumps"])
def test_a_port_in_use_is_named_and_nothing_stays_open(name):
    async def main():
        before = {one.laddr for one in psutil.Process().net_connections() if one.status == "LISTEN"}
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            world = RealWorld(load("smoke").scenario, "1", run_keys(), ports={name: port})
            with pytest.raises(OSError, match=f"127.0.0.1.*{port}"):
                await world.start()
        after = {one.laddr for one in psutil.Process().net_connections() if one.status == "LISTEN"}
        assert after == before
        with pytest.raises(ValueError, match=r"no port is called .pomps.; there are .*pumps"):
            await RealWorld(load("smoke").scenario, "1", run_keys(), ports={"pomps": 0}).start()

    asyncio.run(main())


def test_keys_survive_the_way_through_files(tmp_path):
    keys = run_keys()
    save_run_keys(tmp_path / "keys", keys)
    read = load_run_keys(tmp_path / "keys")
    assert (read.station_key, read.admin_key) == (keys.station_key, keys.admin_key)
    assert read.merchant.account.mchid == keys.merchant.account.mchid
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "keys").iterdir()} == {0}


def world_config(folder, **changes):
    save_run_keys(folder / "keys", run_keys())
    config = {
        "scenario": load("smoke").scenario.model_dump(mode="json"),
        "seed": "1",
        "keys": "keys",
        **changes,
    }
    (folder / "world.json").write_text(json.dumps(config))
    return [sys.executable, "-m", "scenarios.processes.world", "--config", str(folder / "world.json")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_process_says_where_it_is_and_stops_cleanly(tmp_path, number):
    process = subprocess.Popen(
        world_config(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        ready = json.loads(process.stdout.readline())
        endpoints = Endpoints.from_dict(ready)
        assert endpoints.as_dict().items() <= ready.items()
        assert httpx.get(f"{endpoints.control}/points", trust_env=False).json()[0]["state"] == "IDLE"
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, errors) == (0, "")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sceanrio": 1}, "sceanrio: Extra inputs"),
        ({"ports": {"gateway": 70_000}}, "ports.gateway"),
        ({"ports": {"gatway": 0}}, "no port is called 'gatway'"),
        ({"keys": "elsewhere"}, "gateway.json: No such file"),
    ],
)
def test_a_bad_configuration_is_one_clear_line(tmp_path, changes, words):
    done = subprocess.run(
        world_config(tmp_path, **changes), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
