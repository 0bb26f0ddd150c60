"""The real site process against a dispenser node: found by heartbeat, killed with a sale half done, nothing sold twice."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reference.site.config import ConfigError, parse_config
from reference.site.journal import Journal
from sim.dispenser import Dispenser, DispenserProfile, FuellingPoint, IfsfDispenser, Nozzle, Tank
from sim.wires import NodeHost

S = 1_000_000


def site_json(udp: str) -> dict[str, object]:
    point = {
        "fuelling_point": 1,
        "address": "0x21",
        "nozzles": [{"nozzle": 1, "grade": "95", "price_fen_per_l": 868}],
    }
    return {
        "station": "KM01",
        "lines": [{"protocol": "ifsf", "ifsf": {"udp": udp, "node": 4}, "fuelling_points": [point]}],
    }


async def until(condition: Callable[[], bool], changed: asyncio.Event) -> None:
    async with asyncio.timeout(30):
        while not condition():
            changed.clear()
            await changed.wait()


async def start(path: Path) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "reference.site", "--config", str(path), stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert json.loads(await asyncio.wait_for(process.stdout.readline(), 60))["ready"]
    return process


@pytest.mark.requirement("fc-sale.one-delivery-one-ledger-sale", "fd-state.restart-rebuilds-state")
def test_a_sale_through_kill_9(tmp_path: Path) -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()
        start_us = round(loop.time() * S)
        # A pump without inertia: a second of fuel is enough.
        profile = DispenserProfile(slow_start_ml=0, slow_stop_ml=0)
        nozzle = Nozzle(logical=1, nozzle_id=1, grade="95", tank=Tank(1, "95"), price_fen_per_l=800)
        fp = FuellingPoint(1, [nozzle], profile=profile)
        machine = IfsfDispenser(Dispenser([fp]), 4)
        changed = asyncio.Event()
        fp.listeners.append(lambda _event: changed.set())

        def clock() -> int:
            return round(loop.time() * S) - start_us

        host = NodeHost(machine, clock, broadcast=("127.255.255.255", 0), name="pump")
        await host.start()
        address, port = host.broadcast
        path = tmp_path / "site.json"
        path.write_text(json.dumps(site_json(f"{address}:{port}")))
        process = await start(path)
        await until(lambda: fp.state == 3, changed)
        assert nozzle.price_fen_per_l == 868
        fp.lift(1, clock())
        await until(lambda: fp.state == 6, changed)
        fp.squeeze(clock(), 50_000)
        await until(lambda: fp.state == 8, changed)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        fp.hang_up(clock())
        assert [one.volume_ml > 0 for one in fp.journal] == [True]
        assert len(machine.points[1].buffer) == 1
        again = await start(path)
        inner, heard = machine.points[1].buffer.clear, asyncio.Event()

        def clear(*arguments: object) -> bool:
            done = inner(*arguments)  # type: ignore[arg-type]
            heard.set()
            return done

        machine.points[1].buffer.clear = clear  # type: ignore[assignment, method-assign]
        await asyncio.wait_for(heard.wait(), 30)
        again.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(again.wait(), 30) == 0
        await host.aclose()
        journal = Journal(str(tmp_path / "site.sqlite3"))
        sales = list(journal.all_sales())
        journal.close()
        assert [(sale.volume_ml, sale.amount_fen, sale.flags) for sale in sales] == [
            (fp.journal[0].volume_ml, fp.journal[0].amount_fen, ("recovered",))
        ]

    asyncio.run(scene())


def test_a_line_without_heartbeats_is_refused(tmp_path: Path) -> None:
    document = site_json("x")
    with pytest.raises(ConfigError, match="is not host:port"):
        parse_config(document)
    document["lines"][0]["ifsf"].pop("udp")  # type: ignore[index]
    path = tmp_path / "site.json"
    path.write_text(json.dumps(document))
    done = subprocess.run(
        [sys.executable, "-m", "reference.site", "--config", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "needs address:port of the heartbeats" in done.stderr
