"""``forecourt device`` in real processes: one device on one wire, driven by clients that nobody here wrote."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

import pytest
import serial
from escpos.printer import Network
from pymodbus.client import ModbusTcpClient
from typer.testing import CliRunner

from forecourt.attend import pcapng_beside
from forecourt.cli import app
from sim.wires import read_capture

from .running_device import begin, device

POLL, NOTHING_TO_SEND = bytes.fromhex("50 20 FA"), bytes.fromhex("50 70 FA")


def test_a_dart_dispenser_on_a_pty_answers_polls_and_its_nozzles_can_be_lifted(tmp_path):
    said: list[str] = []
    arguments = (
        "dispenser",
        "--pty",
        "--points",
        "2",
        "--grades",
        "92=7.99,diesel",
        "--capture",
        "wire.fcap",
    )
    with device(*arguments, cwd=tmp_path, said=said) as (path, control):  # noqa: SIM117 - the path comes from it
        with serial.Serial(path, 9600, timeout=10) as line:

            def ask(frame: bytes) -> bytes:
                line.write(frame)
                return line.read_until(b"\xfa")

            # The first polls bring what a pump tells after power-up; each block wants its acknowledgement.
            answers = [ask(POLL)]
            while answers[-1] != NOTHING_TO_SEND:
                assert len(answers) < 20
                line.write(bytes([0x50, 0xC0 | answers[-1][1] & 0x0F, 0xFA]))
                answers.append(ask(POLL))
            lifted = control.post("/nozzles/3/lift").raise_for_status().json()
            assert (lifted["fuelling_point"], lifted["state"]) == (2, "CALLING")
            assert ask(POLL.replace(b"\x50", b"\x51"))[1] & 0xF0 == 0x30  # a data block: the nozzle is out
            prices = [nozzle["price_fen_per_l"] for nozzle in control.get("/points/1").json()["nozzles"]]
            assert prices == [799, 730]
    assert said[0].startswith("1 idle 0.00 L 0.00 yuan; 2 ")
    assert said[-1].startswith("stopped | in ")
    capture = read_capture(tmp_path / "wire.fcap")
    assert [frame.data for frame in capture if frame.data in (POLL, NOTHING_TO_SEND)]
    assert len(capture) >= 2 * len(answers)


@pytest.mark.foreign
def test_pymodbus_reads_a_modbus_tcp_dispenser_and_tshark_the_capture(tmp_path, foreign):
    arguments = ("dispenser", "--protocol", "modbus", "--capture", "wire.fcap")
    with device(*arguments, cwd=tmp_path) as (where, control):
        host, port = where.split(":")
        assert host == "127.0.0.1"
        with ModbusTcpClient(host, port=int(port)) as client:
            before = client.read_holding_registers(200, count=8, device_id=1)
            assert not before.isError()
            control.post("/nozzles/1/lift").raise_for_status()
            after = client.read_holding_registers(200, count=8, device_id=1)
        assert before.registers != after.registers
    assert sorted(path.name for path in tmp_path.iterdir()) == ["wire.fcap", "wire.pcapng"]
    tshark = foreign.program("tshark", install="apt-get install tshark")
    fields = ("frame.time_epoch", "tcp.port", "tcp.checksum.status", "mbtcp.trans_id", "modbus.func_code")
    command = [tshark, "-r", "wire.pcapng", "-d", f"tcp.port=={port},mbtcp", "-o", "tcp.check_checksum:TRUE",
               "-T", "fields", *(part for name in fields for part in ("-e", name))]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    packets = [line.split("\t") for line in done.stdout.splitlines()]
    assert {packet[2] for packet in packets} == {"1"}
    assert all(port in packet[1].split(",") for packet in packets)
    assert [(packet[3], packet[4]) for packet in packets[3:]] == [("1", "3")] * 2 + [("2", "3")] * 2
    assert abs(float(packets[3][0]) - (tmp_path / "wire.fcap").stat().st_mtime) < 300


def test_where_the_pcapng_goes():
    assert pcapng_beside(Path("a/wire.fcap")) == Path("a/wire.pcapng")
    assert pcapng_beside(Path("a/wire")) == Path("a/wire.pcapng")
    assert pcapng_beside(Path("a/wire.1")) == Path("a/wire.1.pcapng")


def test_python_escpos_prints_on_a_printer_that_runs_out_of_paper(tmp_path):
    said: list[str] = []
    arguments = ("printer", "--model", "generic-80mm", "--capture", "wire.fcap")
    with device(*arguments, cwd=tmp_path, said=said) as (where, control):
        host, port = where.split(":")
        control.post("/printer/paper-out").raise_for_status()
        printer = Network(host, int(port), timeout=30)
        printer.text("pump 7\n")
        printer.cut()
        printer.close()
        assert control.get("/printer").json()["condition"]["paper_end"] is True
        assert control.get("/printer/receipts").json() == []
        control.post("/printer/load-paper").raise_for_status()
        receipts: list[dict[str, str]] = []
        end_s = time.monotonic() + 30
        while not receipts and time.monotonic() < end_s:  # the printer takes its time
            receipts = control.get("/printer/receipts").json()
        assert "pump 7" in receipts[0]["text"]
    heard = b"".join(f.data for f in read_capture(tmp_path / "wire.fcap") if f.sender == "peer")
    assert b"pump 7\n" in heard
    assert b"pump 7\n" in (tmp_path / "wire.pcapng").read_bytes()
    assert f" {len(heard):,} bytes; out " in said[-1]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["dispenser", "--protocol", "dort"], "--protocol 'dort': there are dart"),
        (["dispenser", "--pty", "--tcp", "127.0.0.1:0"], "give one of --tcp, --pty and --serial"),
        (["dispenser", "--tcp", "here"], "--tcp 'here': expected HOST:PORT"),
        (["dispenser", "--address", "3"], "DART address 3 of fuelling point 1 is not in 80..111"),
        (["dispenser", "--address", "0x6f", "--points", "2"], "DART address 112 of fuelling point 2"),
        (["dispenser", "--grades", "91"], "--grades: '91' is none of 92"),
        (["dispenser", "--grades", "92,92"], "--grades: 92 is there twice"),
        (["dispenser", "--serial", "/dev/no-such-port"], "/dev/no-such-port"),
        (["dispenser", "--rtu"], "--rtu is for --protocol modbus"),
        (["dispenser", "--protocol", "ifsf", "--tcp", "[::1]:0"], "network node on the loopback network"),
        (["gauge", "--pty", "--characters", "7X1"], "--characters '7X1': data bits, parity and stop bits"),
        (["gauge", "--characters", "7O1"], "--characters is for --pty and --serial"),
        (["printer", "--pty", "--characters", "7O1"], "8 bits; 7 are for the gauge's text"),
        (["gauge", "--tcp", "no-such-host.invalid:0"], "no-such-host.invalid:0: "),
    ],
)
def test_what_cannot_be_is_told_in_one_line(tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["device", *arguments])
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr
    assert "Traceback" not in result.stderr
    assert "Unknown error" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_port_in_use_is_told(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for arguments in (
            ("dispenser", "--tcp", f"127.0.0.1:{port}"),
            ("printer", "--control-port", str(port)),
        ):
            with begin(*arguments, cwd=tmp_path) as process:
                _, err = process.communicate(timeout=60)
            assert process.returncode == 2
            assert f"127.0.0.1:{port}: Address already in use" in " ".join(err.split())
            assert "while attempting" not in err


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")
@pytest.mark.parametrize("kind", ["printer", "gauge"])
def test_a_device_listens_on_ipv6_and_says_so(tmp_path, kind: str):
    with device(kind, "--tcp", "[::1]:0", cwd=tmp_path) as (where, _control):
        host, _, port = where.rpartition(":")
        assert host == "[::1]"
        asked, told = (b"\x10\x04\x01", b"\x12\x16") if kind == "printer" else (b"\x01i20101", b"\x01")
        with socket.create_connection(("::1", int(port)), timeout=20) as line:
            line.sendall(asked)
            assert line.recv(1) in told
