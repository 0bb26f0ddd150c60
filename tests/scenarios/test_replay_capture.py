"""Captures of a reference driver and a simulated dispenser, played back to either of them on real wires."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from typer.testing import CliRunner

from forecourt.cli import app
from reference.site.pumps.drivers import make_driver
from reference.site.pumps.lines import serial_host, tcp_host
from scenarios.replay_capture import Place, ReplayError, replay_capture, take_turns
from scenarios.world.device import DeviceOnWire, WirePlace
from scenarios.world.equipment import build_equipment
from scenarios.world.lone_dispenser import dispenser_station
from scenarios.world.translate import site_config
from sim.kernel import VirtualKernel
from sim.wires import Capture, VirtualBus, VirtualLink

PRICES = {"92": 760, "95": 812}


def station(protocol: str, framing: str, prices=PRICES):
    made = dispenser_station(
        protocol, points=1, prices_fen_per_l=prices, first_address=None, baud=9600, framing=framing
    )
    line = made.lines[0].model_copy(update={"poll_period_ms": 150})
    return made.model_copy(update={"lines": (line,)})


def driver(protocol: str, framing: str):
    return make_driver(site_config(station(protocol, framing)).lines[0], clock_us=lambda: 0)


@cache
def recorded(protocol: str, framing: str = "serial", for_us: int = 2_000_000) -> Capture:
    """What a driver and a dispenser said to each other in virtual time, beginning with both switched on."""
    capture = Capture("wire")
    made = station(protocol, framing)
    (cabinet,) = build_equipment(made).on_line(made.lines[0].name)
    kernel = VirtualKernel("recorded", epoch_us=1_780_000_000_000_000)
    master = driver(protocol, framing)
    if framing == "tcp":
        VirtualLink(
            kernel, "wire", master, cabinet.machine, latency_us=500, capture=capture, names=("site", "pump")
        )
    else:
        bus = VirtualBus(kernel, "wire", baud=9600, capture=capture)
        bus.attach(master, name="site", master=True)
        bus.attach(cabinet.machine, name="pump", addresses=cabinet.addresses)
    kernel.run(for_us)
    kernel.close()
    assert len(capture) > 10
    return capture


async def play_to_dispenser(
    capture: Capture, protocol: str, framing: str, kind: str, prices=PRICES, **options
):
    device = DeviceOnWire.dispenser(station(protocol, framing, prices), WirePlace(kind))
    await device.start()
    try:
        host, _, port = device.where.rpartition(":")
        place = Place(host, int(port)) if kind == "tcp" else Place(path=Path(device.where))
        return await replay_capture(capture, take_turns(capture, ["site"]), place, **options)
    finally:
        await device.stop()


@pytest.mark.parametrize(
    ("protocol", "framing", "kind"),
    [
        ("dart", "serial", "tcp"),
        ("dart", "serial", "pty"),
        ("modbus", "tcp", "tcp"),
        ("modbus", "serial", "pty"),
    ],
)
def test_a_dispenser_says_again_what_was_recorded(protocol, framing, kind):
    capture = recorded(protocol, framing)
    report = asyncio.run(play_to_dispenser(capture, protocol, framing, kind))
    assert report.same, report
    assert report.played == report.turns > 5
    said = sum(len(frame.data) for frame in capture if frame.sender == "pump")
    assert report.got_bytes == said


def test_a_dispenser_in_another_state_differs():
    capture = recorded("modbus", "tcp")
    report = asyncio.run(play_to_dispenser(capture, "modbus", "tcp", "tcp", prices={"92": 761, "95": 812}))
    assert not report.same
    assert 0 < report.different < report.turns
    first = report.differences[0]
    assert len(first.expected) == len(first.got)
    assert first.expected[:6] == first.got[:6]


@pytest.mark.parametrize(
    ("protocol", "framing", "kind"),
    [("dart", "serial", "tcp"), ("dart", "serial", "pty"), ("modbus", "serial", "tcp")],
)
def test_a_reference_driver_says_again_what_was_recorded(protocol, framing, kind):
    capture = recorded(protocol, framing)

    async def play():
        started = []

        def start(where: str) -> None:
            master = driver(protocol, framing)
            if kind == "tcp":
                host = tcp_host(master, where, name="driver")
            else:
                host = serial_host(master, where, 9600, parity="N", name="driver")
            host.start()
            started.append(host)

        try:
            place = Place("127.0.0.1", 0, listens=True) if kind == "tcp" else Place(listens=True)
            return await replay_capture(capture, take_turns(capture, ["pump"]), place, on_place=start)
        finally:
            for host in started:
                await host.stop()

    report = asyncio.run(play())
    assert report.same, report
    assert report.played == report.turns > 5


def test_nobody_comes():
    capture = recorded("dart")
    place = Place("127.0.0.1", 0, listens=True)
    with pytest.raises(ReplayError, match=r"nobody came within 0\.01 s"):
        asyncio.run(replay_capture(capture, take_turns(capture, ["pump"]), place, start_limit_us=10_000))


def test_a_target_that_has_to_be_spoken_to_first_cannot_come_to_a_pty_of_ours():
    capture = recorded("dart")
    with pytest.raises(ReplayError, match="the target has to speak first"):
        asyncio.run(replay_capture(capture, take_turns(capture, ["site"]), Place(listens=True)))


# The command.


@pytest.fixture
def fcap(tmp_path) -> Path:
    path = tmp_path / "wire.fcap"
    recorded("dart").write(path)
    return path


def run(*arguments: object):
    return CliRunner().invoke(app, ["replay-capture", *map(str, arguments)], env={"COLUMNS": "160"})


@pytest.fixture
def pump():
    """A real ``forecourt device dispenser`` in a process of its own: (where it listens)."""
    with subprocess.Popen(
        [sys.executable, "-m", "forecourt", "device", "dispenser", "--protocol", "dart"],
        env={**os.environ, "PYTHONUNBUFFERED": "1"}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        for line in process.stdout:
            cells = [cell.strip() for cell in line.strip().strip("│").split("│")]
            if cells[0] == "dispenser":
                where = cells[1]
            if "Ctrl-C" in line:
                break
        yield f"tcp:{where}"
        process.terminate()
        process.communicate(timeout=30)


def test_the_command_says_what_it_played_and_what_differed(fcap, pump, tmp_path):
    done = run(fcap, "--against", pump)
    assert done.exit_code == 0, done.output
    assert "0 different" in done.output
    # Once more, to a dispenser that is no longer as it was when it was switched on.
    capture = recorded("dart")
    forged = Capture("wire")
    forged.describe(medium="bus", baud=9600)
    numbers = {name: forged.port(name) for name in capture.ports}
    for frame in list(capture)[-6:]:
        data = b"\x50\x7f\xfa" if frame.sender == "pump" else frame.data
        forged.record(frame.t_us, numbers[frame.sender], data)
    path = tmp_path / "forged.fcap"
    forged.write(path)
    done = run(path, "--against", pump, "--differences", 1, "--timing", "recorded")
    assert done.exit_code == 1, done.output
    assert "  sent     50 20 fa\n  expected 50 7f fa\n  got      50 70 fa\n" in done.output
    assert "and 2 more turns that differ" in done.output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "damaged capture"),
        ('{"fcap": 2}\n', "not a capture of format 1"),
        ('{"fcap": 1, "wire": "w", "ports": ["a", "b"], "frames": 2}\n[1,"a","00"]\n', "cut short"),
        ('{"fcap": 1, "wire": "w", "ports": ["a", "b"], "frames": 1}\n[1,"c","00"]\n', r"bad\.fcap:2: damaged"),
        ('{"fcap": 1, "wire": "w", "ports": ["a", "b"], "frames": 0}\n', "holds no bursts"),
        ('{"fcap": 1, "wire": "w", "ports": ["a"], "frames": 1}\n[1,"a","00"]\n', "nobody is left to be the target"),
        ("\n\r\r\n....", "is a pcapng; play the .fcap"),
        ("\0\1\2", "damaged capture"),
    ],
)  # fmt: skip
def test_a_bad_file_is_one_message(tmp_path, text, message):
    path = tmp_path / "bad.fcap"
    path.write_bytes(text.encode())
    done = run(path, "--against", "tcp:127.0.0.1:9")
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1
    assert re.search(message, done.stderr), done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--against", "127.0.0.1:5001"], "neither tcp:HOST:PORT nor the path of a serial device"),
        (["--against", "tcp:127.0.0.1"], "expected tcp:HOST:PORT"),
        (["--against", "tcp:127.0.0.1:0"], "expected tcp:HOST:PORT"),
        (["--against", "/dev/pts/x", "--listen"], "--listen is for tcp:HOST:PORT and pty"),
        (["--against", "tcp:127.0.0.1:9", "--play", "east"], "nobody is called 'east'"),
    ],
)
def test_a_wrong_option_is_one_message(fcap, arguments, message):
    done = run(fcap, *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_nobody_listens(fcap):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    done = run(fcap, "--against", f"tcp:127.0.0.1:{port}")
    assert done.exit_code == 2
    assert f"127.0.0.1:{port}: nobody is there" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_missing_file_is_told(tmp_path):
    done = run(tmp_path / "none.fcap", "--against", "tcp:127.0.0.1:9")
    assert done.exit_code == 2
    assert "none.fcap cannot be read: No such file" in done.stderr
