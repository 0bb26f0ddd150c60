"""The real process, over TCP and over a pty, against the small pump of the conftest."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tty

import pytest

from protocols.dart import PumpStatus
from reference.site.config import ConfigError, parse_config
from reference.site.journal import Journal


def site_json(far_end, **more):
    return {
        "station": "KM01",
        "lines": [
            {
                "protocol": "dart",
                "baud": 19200,
                "period_us": 100_000,
                **far_end,
                "fuelling_points": [
                    {
                        "fuelling_point": 1,
                        "address": "0x51",
                        "nozzles": [
                            {"nozzle": 1, "logical": 1, "grade": "92", "price_fen_per_l": 750},
                            {"nozzle": 2, "logical": 2, "grade": "95", "price_fen_per_l": 750},
                        ],
                    }
                ],
            }
        ],
    } | more


class Wire:
    """The pump on a TCP server or on the master end of a pty."""

    def __init__(self, pump):
        self.pump = pump
        self.write = None

    def feed(self, data):
        self.pump.side.receive_data(data, 0)
        self.pump.handle()
        for out in self.pump.side.data_to_send(0):
            self.write(out.data)

    async def tcp(self):
        wire = self

        class Server(asyncio.Protocol):
            def connection_made(self, transport):
                wire.write = transport.write

            def data_received(self, data):
                wire.feed(data)

        server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        return {"tcp": f"{host}:{port}"}, server.close

    async def pty(self):
        master, slave = os.openpty()
        tty.setraw(slave)
        loop = asyncio.get_running_loop()
        self.write = lambda data: os.write(master, data)
        loop.add_reader(master, lambda: self.feed(os.read(master, 4096)))

        def close():
            loop.remove_reader(master)
            os.close(master)
            os.close(slave)

        return {"serial": os.ttyname(slave)}, close


async def until(condition, what, limit_s=30):
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.01)
    assert condition(), what


async def start(path):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "reference.site", "--config", str(path), stdout=subprocess.PIPE
    )
    line = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
    assert line["ready"]
    return process


@pytest.mark.requirement("fd-state.restart-rebuilds-state", "fc-sale.one-delivery-one-ledger-sale")
@pytest.mark.parametrize("medium", ["tcp", "pty"])
def test_a_sale_through_kill_9_and_a_clean_stop(fake, tmp_path, medium):
    async def scene():
        pump = fake.Pump()
        wire = Wire(pump)
        far_end, close = await getattr(wire, medium)()
        path = tmp_path / "site.json"
        path.write_text(json.dumps(site_json(far_end)))
        first = await start(path)
        await until(lambda: pump.commands.count("CD101") >= 4, "read before command")
        assert not {"RESET", "AUTHORISE"} & set(pump.commands)
        pump.lift(2)
        await until(lambda: pump.status is PumpStatus.AUTHORISED, "authorised by policy, no backend at all")
        pump.flow(700)
        first.send_signal(signal.SIGKILL)
        await first.wait()
        pump.flow(300)
        pump.hang_up()
        pump.commands.clear()
        second = await start(path)
        await until(lambda: pump.commands.count("CD101") >= 4, "totals of both nozzles")
        pump.lift(1)  # a second customer proves that the first sale was stored: only then comes RESET
        await until(lambda: pump.status is PumpStatus.AUTHORISED, "next customer")
        pump.hang_up()
        second.send_signal(signal.SIGTERM)
        last = json.loads(await asyncio.wait_for(second.stdout.readline(), 30))
        assert last == {"stopped": True, "unsent_sales": 1}
        assert await second.wait() == 0
        close()

    asyncio.run(scene())
    journal = Journal(str(tmp_path / "site.sqlite3"))
    sales = [(s.nozzle, s.sequence, s.volume_ml, s.amount_fen, s.flags) for s in journal.all_sales()]
    journal.close()
    assert sales == [(2, 1, 10_000, 7_500, ("recovered",))]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "not JSON"),
        ("[]", "document"),
        (json.dumps(site_json({})), "lines.0: needs tcp"),
        (json.dumps(site_json({"tcp": "nowhere"})), "not host:port"),
        (json.dumps(site_json({"tcp": "127.0.0.1:1"}, station="km 01")), "station"),
        (json.dumps(site_json({"tcp": "127.0.0.1:1"}, journal="no/such/folder/j")), "journal"),
    ],
)
def test_bad_configuration_is_one_clear_message_and_exit_2(tmp_path, capsys, document, message):
    from reference.site.__main__ import main

    path = tmp_path / "site.json"
    path.write_text(document)
    assert main(["--config", str(path)]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told


def test_two_pumps_on_one_address_and_numbers_named_twice_are_refused():
    document = site_json({"tcp": "127.0.0.1:1"})
    points = document["lines"][0]["fuelling_points"]
    points.append(json.loads(json.dumps(points[0])) | {"fuelling_point": 2})
    with pytest.raises(ConfigError, match="share address 0x51"):
        parse_config(document)
    points[1]["address"] = "0x52"
    with pytest.raises(ConfigError, match="nozzle 1 is named twice"):
        parse_config(document)
    points[1]["nozzles"] = [points[1]["nozzles"][0] | {"nozzle": 5}]
    assert parse_config(document).fuelling_points[1].address == 0x52
    points[1]["address"] = 0x70
    with pytest.raises(ConfigError, match="not a DART address"):
        parse_config(document)
