"""`forecourt device` with foreign Modbus maps, several fuelling points in one unit, and a Coriolis meter."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest
from pymodbus.client import ModbusSerialClient, ModbusTcpClient
from typer.testing import CliRunner

from forecourt.cli import app
from forecourt.foreign_maps import read_cng

from .running_device import device


def test_a_cng_dispenser_sells_by_itself_and_obeys_its_lock(tmp_path: Path) -> None:
    arguments = ("dispenser", "--protocol", "modbus", "--map", "cng:first-address=1,words=low")
    with device(*arguments, cwd=tmp_path) as (where, control):
        host, port = where.split(":")
        with ModbusTcpClient(host, port=int(port)) as client:
            assert client.read_holding_registers(100, count=1, device_id=1).registers == [425]
            control.post("/nozzles/1/lift").raise_for_status()
            control.post("/nozzles/1/squeeze", json={"full_ml": 700}).raise_for_status()
            point = control.get("/points/1").json()
            while point["volume_ml"] < 700:
                point = control.get("/points/1", params={"after": point["version"], "wait_ms": 5000}).json()
            low, high = client.read_holding_registers(101, count=2, device_id=1).registers
            assert high << 16 | low == 700
            assert not client.write_register(199, 1, device_id=1).isError()
            assert client.read_holding_registers(123, count=1, device_id=1).registers == [4]
            assert client.read_holding_registers(118, count=1, device_id=1).exception_code == 2


def test_several_fuelling_points_are_blocks_of_one_unit_on_modbus_tcp(tmp_path: Path) -> None:
    with device("dispenser", "--protocol", "modbus", "--points", "3", cwd=tmp_path) as (where, control):
        host, port = where.split(":")
        with ModbusTcpClient(host, port=int(port)) as client:
            assert client.read_holding_registers(3, count=1, device_id=1).registers == [3]
            control.post("/nozzles/5/lift").raise_for_status()  # the first nozzle of fuelling point 3
            states = [
                client.read_holding_registers(200 * k, count=2, device_id=1).registers for k in (1, 2, 3)
            ]
            assert states == [[3, 0], [3, 0], [4, 1]]
            control.post("/dispensers/dispenser-1/power-off").raise_for_status()
            control.post("/dispensers/dispenser-1/power-on").raise_for_status()
            assert client.read_holding_registers(4, count=1, device_id=1).registers == [1]


def test_a_meter_on_a_pseudo_terminal(tmp_path: Path) -> None:
    arguments = ("meter", "--profile", "endress-hauser", "--unit", "2", "--pty")
    with device(*arguments, cwd=tmp_path) as (path, control):  # noqa: SIM117 - the path comes from it
        with ModbusSerialClient(path, baudrate=9600, timeout=5) as client:

            def number(address: int) -> float:
                words = client.read_holding_registers(address, count=2, device_id=2).registers
                return struct.unpack(">f", struct.pack(">HH", *reversed(words)))[0]

            assert number(2006) == 0.0
            control.post("/meter/flow", json={"g_per_min": 900_000}).raise_for_status()
            control.post("/meter/conditions", json={"temperature_c": -161.5}).raise_for_status()
            assert number(2006) == 900.0
            deadline = time.monotonic() + 30
            while number(2609) < 0.5:
                assert time.monotonic() < deadline
            control.post("/meter/flow", json={"g_per_min": 0}).raise_for_status()
            control.post("/meter/resets/ignored").raise_for_status()
            assert not client.write_register(2607, 1, device_id=2).isError()
            assert number(2609) > 0.01
            control.post("/meter/resets/obeyed").raise_for_status()
            assert not client.write_register(2607, 1, device_id=2).isError()
            assert number(2609) < 0.01
            assert not client.write_register(5000, 2017, device_id=2).isError()
            assert number(5050) == -161.5
            assert control.get("/meter").json()["total_kg"] < 0.01


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--map", "cng"), "--map is for --protocol modbus"),
        (("--protocol", "modbus", "--map", "lpg"), "there are own and cng"),
        (("--protocol", "modbus", "--map", "cng:word=low"), "'word' is none of"),
        (("--protocol", "modbus", "--map", "cng:words=middle"), "words is high or low"),
        (("--protocol", "modbus", "--map", "cng", "--points", "2"), "one hose"),
    ],
)
def test_what_cannot_be_is_told(arguments: tuple[str, ...], said: str) -> None:
    result = CliRunner().invoke(app, ["device", "dispenser", *arguments], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert said in result.stderr.replace("\n", " ")


def test_unknowns_are_set() -> None:
    assert read_cng("cng").parameters(7).functions == {3, 4}
    told = read_cng("cng:first-address=1,words=low,functions=4,gaps=zero").parameters(7)
    assert (told.unit_id, told.first_address, told.low_word_first, told.functions, told.gaps) == (
        7,
        1,
        True,
        {4},
        "zero",
    )
