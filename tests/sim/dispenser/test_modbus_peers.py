"""Unmodified clients read a running delivery over a real socket. The model's time is moved by the test."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pymodbus.client import AsyncModbusTcpClient

from protocols.modbus import Command, acknowledge_write, command_write, decode_point, point_read
from sim.dispenser import Dispenser, FpState, ModbusDispenser
from sim.wires import MachineServer, serve_machine_tcp

S = 1_000_000
UNIT = 5


@pytest.fixture
def program(foreign) -> str:
    found: str = foreign.program("mbpoll", install="apt-get install mbpoll")
    return found


class Served:
    """A dispenser on a loopback port, and its clock."""

    def __init__(self, points) -> None:
        self.now_us = 0
        self.point = points[0]
        self.dispenser = Dispenser(points)
        self.device = ModbusDispenser(self.dispenser, UNIT)
        self.server: MachineServer

    def clock(self) -> int:
        return self.now_us

    def wait(self, by_us: int) -> None:
        self.now_us += by_us
        self.dispenser.handle_timer(self.now_us)


@asynccontextmanager
async def served(points) -> AsyncIterator[Served]:
    bench = Served(points)
    bench.server = await serve_machine_tcp(bench.device.connection, "127.0.0.1", 0, bench.clock)
    try:
        yield bench
    finally:
        await bench.server.aclose()


async def mbpoll(program: str, bench: Served, *arguments: str, expect: int = 0) -> str:
    """Run mbpoll once with wire addresses (-0); returns what it printed."""
    process = await asyncio.create_subprocess_exec(
        program, "-m", "tcp", "-p", str(bench.server.port), "-a", str(UNIT), "-0", "-1", "-B", *arguments[:-1], "127.0.0.1", *arguments[-1].split(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == expect, output.decode()
    return output.decode()


def values(output: str) -> dict[int, int]:
    """Addresses and values of mbpoll's ``[204]: \\t12345`` lines (signed ones have the unsigned form in brackets)."""
    return {
        int(address): int(value)
        for address, value in re.findall(r"^\[(\d+)\]:\s+(-?\d+)", output, re.MULTILINE)
    }


@pytest.mark.foreign
def test_mbpoll_reads_a_running_delivery_and_authorises_the_next(program, make_point) -> None:
    async def run() -> None:
        async with served([make_point()]) as bench:
            point = bench.point
            point.lift(1, 0)
            # Command 3, AUTHORISE, written with function 06.
            await mbpoll(program, bench, "-t", "4", "-r", "247", "3")
            assert point.state is FpState.STARTED
            point.squeeze(0, 33_000)
            last = (0, 0)
            for _ in range(3):
                bench.wait(7 * S)
                output = await mbpoll(program, bench, "-t", "4:int", "-r", "204", "-c", "2", "")
                shown = values(output)
                reading = point.reading(bench.now_us)
                assert (shown[204], shown[206]) == (reading.volume_ml, reading.amount_fen)
                assert (shown[204], shown[206]) > last
                last = (shown[204], shown[206])
            # The same registers as input registers.
            output = await mbpoll(program, bench, "-t", "3", "-r", "200", "-c", "4", "")
            assert values(output) == {200: int(FpState.FUELLING), 201: 1, 202: 5, 203: 760}
            point.hang_up(bench.now_us)
            output = await mbpoll(program, bench, "-t", "4:int", "-r", "216", "-c", "2", "")
            assert values(output) == {216: point.journal[-1].volume_ml, 218: point.journal[-1].amount_fen}
            # Acknowledge with function 16.
            await mbpoll(program, bench, "-t", "4:int", "-r", "240", "1")
            assert not point.unacknowledged

    asyncio.run(run())


@pytest.mark.foreign
def test_mbpoll_understands_our_refusals(program, make_point) -> None:
    async def run() -> None:
        async with served([make_point()]) as bench:
            assert "Illegal data address" in await mbpoll(
                program, bench, "-t", "4", "-r", "190", "-c", "2", "", expect=1
            )
            assert "Illegal data value" in await mbpoll(
                program, bench, "-t", "4", "-r", "247", "99", expect=1
            )
            assert "Illegal function" in await mbpoll(
                program, bench, "-t", "0", "-r", "1", "-c", "1", "", expect=1
            )

    asyncio.run(run())


def test_pymodbus_client_sells_over_a_real_socket(make_point) -> None:
    async def run() -> None:
        async with served([make_point()]) as bench:
            point = bench.point
            async with AsyncModbusTcpClient("127.0.0.1", port=bench.server.port) as client:
                point.lift(1, 0)
                address, registers = command_write(1, Command.AUTHORISE, token=1, preset_ml=20_000)
                written = await client.write_registers(address, registers, device_id=UNIT)
                assert not written.isError()
                point.squeeze(0, 38_000)
                address, count = point_read(1)
                last = 0
                for _ in range(5):
                    bench.wait(4 * S)
                    answer = await client.read_holding_registers(address, count=count, device_id=UNIT)
                    image = decode_point(answer.registers)
                    assert image.state == FpState.FUELLING
                    assert image.volume_ml == point.reading(bench.now_us).volume_ml > last
                    last = image.volume_ml
                bench.wait(60 * S)
                point.hang_up(bench.now_us)
                answer = await client.read_input_registers(address, count=count, device_id=UNIT)
                sale = decode_point(answer.registers).sale
                assert sale is not None
                assert (sale.volume_ml, sale.amount_fen) == (20_000, 15_200)
                address, registers = acknowledge_write(1, sale.sequence)
                assert not (await client.write_registers(address, registers, device_id=UNIT)).isError()
                assert not point.unacknowledged
                # Many at once: each reply finds its request.
                answers = await asyncio.gather(
                    *(
                        client.read_holding_registers(where, count=1, device_id=UNIT)
                        for where in (200, 203, 300, 310, 5)
                    )
                )
                assert [
                    one.registers[0] if not one.isError() else -one.exception_code for one in answers
                ] == [
                    int(FpState.IDLE),
                    760,
                    760,
                    812,
                    -2,
                ]
                gone = await client.read_holding_registers(200, count=1, device_id=9)
                assert gone.isError()
                assert gone.exception_code == 11

    asyncio.run(run())


def test_a_web_browser_on_the_modbus_port_is_hung_up_on_and_no_connection_is_kept(make_point) -> None:
    async def run() -> None:
        async with served([make_point()]) as bench:
            kept = len(bench.device._connections)
            reader, writer = await asyncio.open_connection("127.0.0.1", bench.server.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert await asyncio.wait_for(reader.read(), 10) == b""
            writer.close()
            while bench.server.hosts:
                await asyncio.sleep(0)
            assert len(bench.device._connections) == kept

    asyncio.run(run())
