"""A CNG dispenser and Coriolis meters behind foreign Modbus maps, read by unmodified clients on real sockets."""

from __future__ import annotations

import asyncio
import struct
from contextlib import asynccontextmanager

import pytest
from pymodbus import FramerType
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusIOException

from protocols.modbus.maps import ENDRESS_HAUSER, MICRO_MOTION, MapParameters, Quantity, scan_setup
from sim.dispenser import CngDispenser, CoriolisMeter, Cylinder, Dispenser, FlowThrough, FpState, StandingFlow
from sim.wires import serve_machine_tcp

S = 1_000_000
FLOW = 12_000  # g/min


class Cng:
    """One hose on a loopback port, its customer, and a client that knows the page."""

    def __init__(self, point, **options) -> None:
        self.now_us = 0
        self.point = point
        self.dispenser = Dispenser([point])
        self.device = CngDispenser(self.dispenser, framing="tcp", **options)

    def clock(self) -> int:
        return self.now_us

    def wait(self, by_us: int) -> None:
        self.now_us += by_us
        self.dispenser.handle_timer(self.now_us)

    def fill(self, seconds: int) -> None:
        self.point.lift(1, self.now_us)
        self.point.squeeze(self.now_us, FLOW)
        self.wait(seconds * S)

    def end(self) -> None:
        self.point.release(self.now_us)
        self.point.hang_up(self.now_us)
        self.wait(S)


@asynccontextmanager
async def client_of(make, clock, *, framer=FramerType.SOCKET, timeout=5):
    server = await serve_machine_tcp(make, "127.0.0.1", 0, clock)
    client = AsyncModbusTcpClient("127.0.0.1", port=server.port, framer=framer, timeout=timeout, retries=0)
    try:
        assert await client.connect()
        yield client
    finally:
        client.close()
        await server.aclose()


async def u16(client, address: int) -> int:
    reply = await client.read_holding_registers(address, count=1, device_id=1)
    assert not reply.isError(), reply
    return reply.registers[0]


async def u32(client, address: int) -> int:
    return client.convert_from_registers(
        (await client.read_holding_registers(address, count=2, device_id=1)).registers,
        client.DATATYPE.UINT32,
    )


async def bcd(client, address: int, count: int) -> int:
    reply = await client.read_holding_registers(address, count=count, device_id=1)
    return int("".join(f"{word:04x}" for word in reply.registers))


def test_pymodbus_follows_a_fill_up_to_the_target_pressure(make_point) -> None:
    bench = Cng(make_point(prices=(425,)), cylinder=Cylinder(start_decibar=400, decibar_per_kg=100))

    async def drive() -> None:
        async with client_of(bench.device.connection, bench.clock) as client:
            assert not (await client.write_register(202, 200, device_id=1)).isError()
            assert await u16(client, 112) == 400
            bench.fill(30)
            assert bench.point.state is FpState.FUELLING
            assert await u16(client, 113) == FLOW // 10
            live = await u32(client, 102)
            assert 4_000 < live < 6_100
            assert await u16(client, 112) == 400 + live // 10
            assert await u16(client, 124) == 0
            bench.wait(120 * S)  # 16 kg lift 40 bar to 200 bar; the valve closes there
            assert await u16(client, 124) == 2
            bench.end()
            assert await u32(client, 125) == 16_000
            assert await u32(client, 127) == 6_800
            assert (await u16(client, 130), await u16(client, 131)) == (400, 2_000)
            assert await bcd(client, 106, 3) == 1_600
            assert await bcd(client, 109, 3) == 6_800
            assert await bcd(client, 117, 2) == 1_600

    asyncio.run(drive())


def test_the_lock_stops_a_fill_and_keeps_the_next_customer_waiting(make_point) -> None:
    bench = Cng(make_point(prices=(425,)))

    async def drive() -> None:
        async with client_of(bench.device.connection, bench.clock) as client:
            bench.fill(20)
            await client.write_register(200, 1, device_id=1)
            bench.wait(2 * S)
            assert not bench.point.flowing
            assert await u16(client, 124) == 4
            stopped = await u32(client, 125)
            bench.end()
            bench.fill(20)
            assert bench.point.state is FpState.CALLING
            assert await u32(client, 125) == stopped
            await client.write_register(200, 0, device_id=1)
            bench.wait(20 * S)
            assert bench.point.flowing
            bench.end()
            assert await u16(client, 124) == 1
            assert (await client.write_register(200, 2, device_id=1)).exception_code == 3

    asyncio.run(drive())


@pytest.mark.parametrize("keeps_lock", [False, True])
def test_a_lock_and_a_power_cut(make_point, keeps_lock: bool) -> None:
    bench = Cng(make_point(prices=(425,)), keeps_lock=keeps_lock)
    bench.device.write_field("lock", 1, 0)
    bench.dispenser.cut_power(S)
    bench.dispenser.restore_power(60 * S)
    bench.wait(70 * S)
    assert bench.device.is_locked is keeps_lock
    bench.fill(10)
    assert bench.point.flowing is not keeps_lock


def test_a_price_holds_for_a_sale(make_point) -> None:
    bench = Cng(make_point(prices=(425,)))

    async def drive() -> None:
        async with client_of(bench.device.connection, bench.clock) as client:
            assert not (await client.write_register(201, 450, device_id=1)).isError()
            assert (await u16(client, 101), await u16(client, 201)) == (450, 450)
            bench.fill(10)
            assert (await client.write_register(201, 500, device_id=1)).exception_code == 6
            assert (await client.write_register(201, 0, device_id=1)).exception_code == 3
            bench.end()
            assert not (await client.write_register(201, 500, device_id=1)).isError()

    asyncio.run(drive())


def test_maximum_pressure_no_flow_and_power_each_end_a_sale_by_their_own_code(make_point) -> None:
    bench = Cng(make_point(prices=(425,)), cylinder=Cylinder(ambient_decidegree=-251, gas_decidegree=-7))
    read, write = bench.device.read_field, bench.device.write_field
    write("target_pressure", 250, 0)
    write("max_pressure", 900, 0)
    bench.fill(300)
    assert read("end_of_sale", bench.now_us) == 5
    assert read("end_pressure", bench.now_us) == 900
    bench.end()
    write("max_pressure", 0, 0)
    bench.fill(5)
    bench.point.release(bench.now_us)
    bench.wait(bench.point.profile.no_flow_timeout_us + S)
    assert read("end_of_sale", bench.now_us) == 3
    bench.end()
    bench.fill(5)
    bench.dispenser.cut_power(bench.now_us)
    bench.now_us += 60 * S
    bench.dispenser.restore_power(bench.now_us)
    bench.wait(S)
    assert read("end_of_sale", bench.now_us) == 7
    assert (read("ambient_temperature", 0), read("last_gas_temperature", 0)) == (-251, -7)


def test_a_cylinder_that_is_full_gets_nothing(make_point) -> None:
    bench = Cng(make_point(prices=(425,)), cylinder=Cylinder(start_decibar=2_500))
    bench.device.write_field("target_pressure", 200, 0)
    bench.fill(10)
    assert not bench.point.flowing
    assert bench.point.totals(1, bench.now_us) == (0, 0)


def test_one_hose_only(make_point) -> None:
    with pytest.raises(ValueError, match="one hose"):
        CngDispenser(Dispenser([make_point()]))


def test_mbpoll_reads_the_unknown_word_order_and_counting_from_one(make_point, foreign) -> None:
    program = foreign.program("mbpoll", install="apt-get install mbpoll")
    bench = Cng(
        make_point(prices=(425,)), parameters=MapParameters(unit_id=9, low_word_first=True, first_address=1)
    )
    bench.fill(600)  # 120 kg: more than one word holds

    async def drive() -> str:
        server = await serve_machine_tcp(bench.device.connection, "127.0.0.1", 0, bench.clock)
        process = await asyncio.create_subprocess_exec(
            program, "-m", "tcp", "-p", str(server.port), "-a", "9", "-t", "4:int", "-r", "102", "-1", "127.0.0.1",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await process.communicate()
        await server.aclose()
        return out.decode()

    shown = asyncio.run(drive())
    assert f"[102]: \t{bench.point.reading(bench.now_us).volume_ml}" in shown, shown


def number(registers: list[int]) -> float:
    """Words swapped, each with its high byte first: 1-0-3-2."""
    low, high = registers
    return struct.unpack(">f", struct.pack(">HH", high, low))[0]


@pytest.mark.parametrize("profile", [MICRO_MOTION, ENDRESS_HAUSER], ids=lambda profile: profile.name)
def test_pymodbus_reads_a_meter_as_the_fielded_firmware_does(profile) -> None:
    flow = StandingFlow()
    now = [0]
    meter = CoriolisMeter(flow, profile, unit_id=2, silence_us=2_000)
    flow.set(30_000, 0)

    async def drive() -> None:
        async with client_of(lambda: meter, lambda: now[0] + _tick(), framer=FramerType.RTU) as client:

            async def read(address: int, count: int = 2) -> list[int]:
                return (await client.read_holding_registers(address, count=count, device_id=2)).registers

            now[0] = 60 * S
            assert number(await read(profile.mass_flow)) == 30.0
            assert number(await read(profile.total)) == pytest.approx(30.0, abs=0.1)
            assert await read(profile.own_address, 1) == [2]
            everything = list(Quantity)
            for address, code in scan_setup(profile, everything):
                assert not (await client.write_register(address, code, device_id=2)).isError()
            scanned = await read(profile.scan_values, 10)
            numbers = [number(scanned[at : at + 2]) for at in range(0, 10, 2)]
            assert numbers[0] == 30.0
            assert numbers[2:] == pytest.approx([-140.0, 0.42, 3.5])
            flow.set(0, now[0] + S)
            if profile.reset_coil is not None:
                reply = await client.write_coil(profile.reset_coil, True, device_id=2)
            else:
                reply = await client.write_register(profile.reset_register, 1, device_id=2)
            assert not reply.isError()
            now[0] += S
            assert number(await read(profile.total)) < 0.01
            assert (await client.write_register(profile.scan_setup, 4_711, device_id=2)).exception_code == 3

    async def ask_another_unit() -> None:
        async with client_of(
            lambda: meter, lambda: now[0] + _tick(), framer=FramerType.RTU, timeout=0.2
        ) as client:
            with pytest.raises(ModbusIOException):
                await client.read_holding_registers(profile.total, count=2, device_id=1)

    ticks = [0]

    def _tick() -> int:
        ticks[0] += 10_000  # silence on the line, without sleeping for it
        return ticks[0]

    asyncio.run(drive())
    asyncio.run(ask_another_unit())


def test_a_meter_inside_a_dispenser_counts_what_its_hose_gives(make_point) -> None:
    point = make_point(prices=(425,))
    meter = CoriolisMeter(FlowThrough(point, 1))
    point.authorise(0)
    point.lift(1, 0)
    point.squeeze(0, FLOW)
    point.handle_timer(60 * S)
    assert meter.read_field("mass_flow", 60 * S) == FLOW / 1_000
    assert meter.total_kg(60 * S) == point.reading(60 * S).volume_ml / 1_000
    meter.write_coil("reset", False, 60 * S)
    assert meter.total_kg(60 * S) > 0
    meter.is_deaf_to_resets = True
    meter.write_coil("reset", True, 60 * S)
    assert meter.total_kg(60 * S) > 0.01  # acknowledged and not obeyed: the total tells
    meter.is_deaf_to_resets = False
    meter.write_coil("reset", True, 60 * S)
    assert meter.total_kg(60 * S) == 0
    with pytest.raises(ValueError, match="not negative"):
        StandingFlow().set(-1, 0)
