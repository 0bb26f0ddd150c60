"""Modbus masters that were written for other devices sell a delivery."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import minimalmodbus
import pytest
from pymodbus.client import AsyncModbusSerialClient, ModbusSerialClient
from pyModbusTCP.client import ModbusClient

from protocols.modbus import Command, acknowledge_write, command_write, decode_point, point_read
from sim.dispenser import Dispenser, FpState, ModbusDispenser
from sim.wires import PtyHost, serve_machine_tcp

S = 1_000_000
UNIT = 5
BAUD = 19_200


@pytest.mark.foreign
def test_modbus_serial_reads_three_blocks_at_once_while_fuel_flows(start_node, point) -> None:
    """Its three requests leave in one segment or three; each reply has to find its own."""

    async def run() -> None:
        now_us = 0
        dispenser = Dispenser([point])
        device = ModbusDispenser(dispenser, UNIT)
        server = await serve_machine_tcp(device.connection, "127.0.0.1", 0, lambda: now_us)
        try:
            async with start_node("modbus-serial", "modbus_serial.cjs", server.port, UNIT) as master:
                point.lift(1, now_us)
                address, registers = command_write(1, Command.AUTHORISE, token=1, preset_ml=20_000)
                assert await master.ask([["writeRegisters", address, registers]])
                assert point.state is FpState.STARTED
                point.squeeze(now_us, 33_000)
                now_us = 9 * S
                dispenser.handle_timer(now_us)
                address, count = point_read(1)
                block, device_block, nozzle = await master.ask(
                    [
                        ["readHoldingRegisters", address, count],
                        ["readInputRegisters", 0, 5],
                        ["readHoldingRegisters", 300, 10],
                    ]
                )
                image = decode_point(block["data"])
                assert image.volume_ml == point.reading(now_us).volume_ml > 0
                assert bytes.fromhex(f"{device_block['data'][0]:04x}{device_block['data'][1]:04x}") == b"FCRT"
                assert nozzle["data"][0] == 760
                refusals = await master.ask(
                    [
                        ["readCoils", 0, 1],
                        ["readHoldingRegisters", 5, 1],
                        ["readHoldingRegisters", 200, 126],
                        ["maskWriteRegister", 247, 1, 1],
                        ["readDeviceIdentification", 1, 0],
                    ]
                )
                assert [refusal["exception"] for refusal in refusals] == [1, 2, 3, 1, 1]
                now_us = 90 * S
                dispenser.handle_timer(now_us)
                point.hang_up(now_us)
                (block,) = await master.ask([["readInputRegisters", address, count]])
                sale = decode_point(block["data"]).sale
                assert sale is not None
                assert (sale.volume_ml, sale.amount_fen) == (20_000, 15_200)
                await master.ask([["writeRegisters", *acknowledge_write(1, sale.sequence)]])
                assert not point.unacknowledged
                many = await master.ask([["readHoldingRegisters", 200, 1 + n % 35] for n in range(60)])
                assert [len(one["data"]) for one in many] == [1 + n % 35 for n in range(60)]
        finally:
            await server.aclose()

    asyncio.run(run())


@pytest.mark.foreign
def test_jsmodbus_sends_all_its_requests_at_once_and_tells_our_refusals(start_node, point) -> None:
    async def run() -> None:
        device = ModbusDispenser(Dispenser([point]), UNIT)
        server = await serve_machine_tcp(device.connection, "127.0.0.1", 0, lambda: 0)
        try:
            async with start_node("jsmodbus", "jsmodbus.cjs", server.port, UNIT) as master:
                many = await master.ask([["readHoldingRegisters", 200, 1 + n % 35] for n in range(60)])
                assert [len(one["data"]) for one in many] == [1 + n % 35 for n in range(60)]
                refusals = await master.ask(
                    [
                        ["readCoils", 0, 1],
                        ["readDiscreteInputs", 0, 1],
                        ["writeSingleCoil", 0, True],
                        ["writeMultipleCoils", 0, [True, False]],
                        ["writeSingleRegister", 247, 99],
                        ["readInputRegisters", 5, 1],
                    ]
                )
                assert [refusal["exception"] for refusal in refusals] == [1, 1, 1, 1, 3, 2]
        finally:
            await server.aclose()

    asyncio.run(run())


def test_two_pymodbustcp_masters_share_one_dispenser(point) -> None:
    """One commands, one looks on; a unit that is not there is told, and the units 0 and 255 mean the end of the connection."""

    def drive(port: int) -> None:
        masters = [ModbusClient("127.0.0.1", port, unit_id=UNIT, timeout=10) for _ in range(2)]
        try:
            address, registers = command_write(1, Command.CLOSE, token=7)
            assert masters[0].write_multiple_registers(address, registers)
            assert masters[1].read_holding_registers(200, 1) == [int(FpState.CLOSED)]
            assert masters[1].read_input_registers(233, 2) == [7, 1]
            for refused in (
                masters[1].read_coils(0, 1),
                masters[1].read_device_identification(1, 0),
                masters[1].write_read_multiple_registers(247, [1], 200, 4),
            ):
                assert refused is None
                assert masters[1].last_except == 1
            for unit in (0, 255):
                masters[0].unit_id = unit
                assert masters[0].read_holding_registers(0, 2) == [0x4643, 0x5254]
            masters[0].unit_id = 9
            assert masters[0].read_holding_registers(0, 2) is None
            assert masters[0].last_except == 11
        finally:
            for master in masters:
                master.close()

    async def run() -> None:
        device = ModbusDispenser(Dispenser([point]), UNIT)
        server = await serve_machine_tcp(device.connection, "127.0.0.1", 0, lambda: 0)
        try:
            await asyncio.to_thread(drive, server.port)
        finally:
            await server.aclose()

    asyncio.run(run())


class SerialBench:
    """A dispenser on a pty. RTU frames end with silence, so its clock runs; the test moves it on besides."""

    def __init__(self, point) -> None:
        self.point = point
        self.dispenser = Dispenser([point])
        self.device = ModbusDispenser(self.dispenser, UNIT, framing="rtu", baud=BAUD)
        self._ahead_us = 0
        self.path = ""

    def clock(self) -> int:
        return time.monotonic_ns() // 1000 + self._ahead_us

    def wait(self, by_us: int) -> None:
        self._ahead_us += by_us
        self.dispenser.handle_timer(self.clock())


@asynccontextmanager
async def on_a_pty(point) -> AsyncIterator[SerialBench]:
    bench = SerialBench(point)
    host = PtyHost(bench.device, bench.clock, baud=BAUD)
    bench.path = str(await host.start())
    try:
        yield bench
    finally:
        await host.aclose()


def test_pymodbus_sells_over_rtu_on_a_pty(point) -> None:
    async def run() -> None:
        async with on_a_pty(point) as bench:
            client = AsyncModbusSerialClient(bench.path, baudrate=BAUD, timeout=5)
            assert await client.connect()
            try:
                point.lift(1, bench.clock())
                address, registers = command_write(1, Command.AUTHORISE, token=1, preset_ml=10_000)
                assert not (await client.write_registers(address, registers, device_id=UNIT)).isError()
                point.squeeze(bench.clock(), 33_000)
                address, count = point_read(1)
                volumes = []
                for _ in range(3):
                    bench.wait(5 * S)
                    answer = await client.read_holding_registers(address, count=count, device_id=UNIT)
                    volumes.append(decode_point(answer.registers).volume_ml)
                assert 0 < volumes[0] < volumes[1] < volumes[2] <= 10_000
                bench.wait(60 * S)
                point.hang_up(bench.clock())
                answer = await client.read_input_registers(address, count=count, device_id=UNIT)
                sale = decode_point(answer.registers).sale
                assert sale is not None
                assert (sale.volume_ml, sale.amount_fen) == (10_000, 7_600)
                refused = await client.report_device_id(device_id=UNIT)
                assert refused.exception_code == 1
            finally:
                client.close()

    asyncio.run(run())


def test_pymodbus_blocking_client_reads_over_rtu_on_a_pty(point) -> None:
    def read(path: str) -> tuple[int, list[int]]:
        client = ModbusSerialClient(path, baudrate=BAUD, timeout=5)
        assert client.connect()
        try:
            identity = client.read_holding_registers(0, count=2, device_id=UNIT).registers
            block = client.read_holding_registers(200, count=4, device_id=UNIT).registers
            return identity[0] << 16 | identity[1], block
        finally:
            client.close()

    async def run() -> None:
        async with on_a_pty(point) as bench:
            point.lift(2, bench.clock())
            identity, block = await asyncio.to_thread(read, bench.path)
            assert identity == 0x46435254
            assert block[:2] == [int(FpState.CALLING), 2]

    asyncio.run(run())


def test_minimalmodbus_reads_writes_and_broadcasts_on_a_pty(point) -> None:
    def drive(path: str) -> None:
        master = minimalmodbus.Instrument(path, UNIT)
        assert master.serial is not None
        try:
            master.serial.baudrate = BAUD
            master.serial.timeout = 5
            assert master.read_long(0) == 0x46435254
            assert master.read_register(300, 2, functioncode=4) == 7.6
            master.write_register(300, 8.05, 2, functioncode=6)
            assert master.read_register(300, 2) == 8.05
            # It waits its whole time for the bytes that an exception does not have.
            master.serial.timeout = 1
            with pytest.raises(minimalmodbus.IllegalRequestError, match="illegal data address"):
                master.read_register(5)
            master.serial.timeout = 5
            master.address = 0  # broadcast: done, and not answered
            master.write_register(247, int(Command.CLOSE), functioncode=6)
            master.address = UNIT
            assert master.read_register(200) == int(FpState.CLOSED)
        finally:
            master.serial.close()

    async def run() -> None:
        async with on_a_pty(point) as bench:
            await asyncio.to_thread(drive, bench.path)

    asyncio.run(run())
