"""One console, the same bytes on each wire; and what an unmodified client from PyPI makes of them over loopback TCP."""

# ruff: noqa: DTZ001 - a console tells its local time, without an offset
from __future__ import annotations

import asyncio
import os
import random
import time
import tty
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from protocols.sansio import Outgoing
from protocols.tls import ComputerReply, ReplyReader, TankAlarm, command, read_inventory
from reference.site.gauge.config import GaugeConfig
from reference.site.gauge.reader import GaugeRead, GaugeReader
from reference.site.pumps.lines import tcp_host
from sim.dispenser import Tank
from sim.gauge import GaugeConsole, GaugePort, Probe, ProbeSource, SeenDelivery, TankSetup
from sim.kernel import VirtualKernel
from sim.tanks import StorageTank, TankFarm
from sim.wires import PtyHost, VirtualLink, serve_machine_tcp

L = 1_000
AT = datetime(2026, 3, 6, 18, 0)
COMMANDS = [
    command("i201"),
    command("I201"),
    b"\x01i10100",
    command("i205"),
    command("i602"),
    b"\x01x12300",
    command("i902"),
]


def console(*litres: int) -> GaugeConsole:
    tanks = [
        StorageTank(Tank(number, "92", capacity_ml=30_000 * L, initial_ml=stock * L))
        for number, stock in enumerate(litres or (15_000, 28_700), start=1)
    ]
    quiet = {tank.tank_id: Probe(noise_um=0, resolution_um=1) for tank in tanks}
    source = ProbeSource(TankFarm(tanks), random.Random("probes"), probes=quiet)
    setups = {tank.tank_id: TankSetup(tank.tank.capacity_ml, f"PETROL {tank.tank_id}", "1") for tank in tanks}
    return GaugeConsole(source, setups, clock=lambda now_us: AT)


def now_us() -> int:
    return time.monotonic_ns() // 1_000


class Asker:
    """A machine that says all commands at once and keeps what comes back."""

    def __init__(self) -> None:
        self.on_wake: Callable[[], None] | None = None
        self.heard = b""
        self._to_say = [Outgoing(b"".join(COMMANDS))]

    def receive_data(self, data: bytes, now_us: int) -> None:
        self.heard += data

    def data_to_send(self, now_us: int) -> list[Outgoing]:
        said, self._to_say = self._to_say, []
        return said

    def next_timer(self) -> int | None:
        return None

    def handle_timer(self, now_us: int) -> None: ...


def over_virtual_link() -> bytes:
    kernel = VirtualKernel("gauge", epoch_us=0)
    asker = Asker()
    VirtualLink(kernel, "gauge", asker, GaugePort(console()), latency_us=1_000)
    kernel.run(5_000_000)
    kernel.close()
    return asker.heard


async def over_tcp(wanted: int) -> bytes:
    server = await serve_machine_tcp(lambda: GaugePort(console(), think_us=0), "127.0.0.1", 0, now_us)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"".join(COMMANDS))
    heard = await asyncio.wait_for(reader.readexactly(wanted), 10)
    writer.close()
    await writer.wait_closed()
    await server.aclose()
    return heard


async def over_pty(wanted: int) -> bytes:
    host = PtyHost(GaugePort(console(), think_us=0), now_us, baud=115_200)
    path = await host.start()
    peer = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    tty.setraw(peer)
    loop = asyncio.get_running_loop()
    heard, done = bytearray(), loop.create_future()

    def readable() -> None:
        heard.extend(os.read(peer, 4096))
        if len(heard) >= wanted and not done.done():
            done.set_result(None)

    loop.add_reader(peer, readable)
    os.write(peer, b"".join(COMMANDS))
    await asyncio.wait_for(done, 10)
    loop.remove_reader(peer)
    os.close(peer)
    await host.aclose()
    return bytes(heard)


def test_the_same_bytes_on_a_virtual_link_on_tcp_and_on_a_pty() -> None:
    virtual = over_virtual_link()
    assert virtual.count(b"\x01") == len(COMMANDS)
    assert asyncio.run(over_tcp(len(virtual))) == virtual
    assert asyncio.run(over_pty(len(virtual))) == virtual


def test_the_sites_reader_on_real_tcp() -> None:
    async def play() -> list[Any]:
        server = await serve_machine_tcp(lambda: GaugePort(console(), think_us=0), "127.0.0.1", 0, now_us)
        config = GaugeConfig.model_validate(
            {"tanks": [{"tank": 1, "grade": "92", "capacity_ml": 30_000 * L}], "phase_us": 0}
        )
        reader = GaugeReader(config)
        heard: asyncio.Queue[Any] = asyncio.Queue()
        reader.listener = heard.put_nowait
        host = tcp_host(reader, f"127.0.0.1:{server.port}", name="gauge")
        # The first round falls due before the connection stands; the next would come half a minute later.
        host.start()
        await asyncio.wait_for(host.connected.wait(), 10)
        reader.connection_made(now_us())
        assert reader.on_wake is not None
        reader.on_wake()
        event = await asyncio.wait_for(heard.get(), 20)
        await host.stop()
        await server.aclose()
        return [event]

    (event,) = asyncio.run(play())
    assert isinstance(event, GaugeRead)
    assert [tank.volume_ml for tank in event.tanks] == pytest.approx([15_000 * L, 28_700 * L], abs=20)
    assert event.tanks[1].alarms == (TankAlarm.OVERFILL, TankAlarm.HIGH_PRODUCT)


# The client from PyPI: https://github.com/eredden/Veeder-Root-TLS-Socket-Library, unmodified.

library = pytest.importorskip(
    "veeder_root_tls_socket_library.tls_3xx", reason="pip install veeder_root_tls_socket_library"
)


def asked(gauge: GaugeConsole, *codes: str) -> list[str]:
    """What the library's own socket gives for each code, from a gauge on a port of its own."""
    from veeder_root_tls_socket_library.async_socket import AsyncTlsSocket

    async def play() -> list[str]:
        server = await serve_machine_tcp(lambda: GaugePort(gauge, think_us=0), "127.0.0.1", 0, now_us)
        try:
            async with AsyncTlsSocket("127.0.0.1", server.port) as tls:
                return [await tls.execute(code) for code in codes]
        finally:
            await server.aclose()

    return asyncio.run(play())


def test_the_library_reads_inventory_alarms_deliveries_history_and_labels() -> None:
    gauge = console()
    gauge.scan(0)
    now = gauge.latest[1]
    before = now._replace(measured=now.measured.__class__(9_000 * L, 9_010 * L, 0, 800_000, 0, 0, 17_250))
    gauge.deliveries[1].deliveries.appendleft(SeenDelivery(before, now))
    inventory, status, deliveries, history, labels = asked(
        gauge, "i20100", "i10100", "i20200", "i20600", "i60200"
    )
    first, second = library.function_201(inventory)["tanks"]
    assert first["volume"] == pytest.approx(15_000, abs=0.02)
    assert first["temperature"] == 18.0
    assert second["volume"] == pytest.approx(28_700, abs=0.02)
    assert second["tank_status_bits"] == 0
    assert library.function_201(inventory)["hour"] == 18
    kinds = [
        (a["alarm_category"], a["alarm_type"], a["tank_number"])
        for a in library.function_101(status)["alarms"]
    ]
    assert kinds == [(2, 4, "02"), (2, 7, "02")]
    (delivery,) = library.function_202(deliveries)["tanks"][0]["deliveries"]
    assert delivery["starting_volume"] == 9_000.0
    assert delivery["starting_temp"] == 17.25
    assert delivery["ending_volume"] == pytest.approx(15_000, abs=0.02)
    assert [a["alarm_type"] for a in library.function_206(history)["tanks"]["02"]] == ["0007", "0004"]
    assert library.function_602(labels)["labels"] == {1: "PETROL 1", 2: "PETROL 2"}


def test_the_library_reads_mass_histories_and_results() -> None:
    history, ullage = asked(console(), "i11100", "i21A00".replace("A", "a"))[:2]
    assert [a["alarm_state"] for a in library.function_111(history)["alarms"]] == [2, 2]
    assert len(library.function_21A(ullage)["tanks"]) == 2


def test_the_library_is_told_when_a_code_is_not_known() -> None:
    with pytest.raises(ValueError, match="Unsupported command"):
        asked(console(), "i99900")


def test_known_bug_of_the_library_several_alarms_on_one_tank() -> None:
    """The reply to 205 is right (two alarms: 04, 07); version 2.0.0 takes one alarm a tank and loses its place behind it."""
    (status,) = asked(console(28_700), "i20500")
    assert status[10:] == "01020407"
    with pytest.raises(ValueError, match="invalid literal"):
        library.function_205(status)
    (one,) = asked(console(27_500), "i20500")
    assert library.function_205(one)["alarms"] == [
        {"tank_number": "01", "number_of_alarms": 1, "alarm_type": "04"}
    ]


def test_known_bug_of_the_library_leak_tests_with_more_than_one_hourly_value() -> None:
    """A report of function 203 has as many hourly values as the test has hours; version 2.0.0 expects exactly one."""
    gauge = console(15_000)
    gauge.scan(0)
    seen = gauge.latest[1]
    watch = gauge.leak_tests[1]
    watch.start(seen)
    for hours in (1, 2, 3):
        watch.see(seen._replace(at_us=hours * 3_600_000_001))
    gauge.next_scan_us = gauge._scanned_us = 1 << 62
    (report,) = asked(gauge, "i20300")
    assert report[25:27] == "07"  # four figures of the test and three hourly ones
    with pytest.raises((ValueError, IndexError)):
        library.function_203(report)
    watch.hourly_ml[:] = [0]
    (short,) = asked(gauge, "i20300")
    assert library.function_203(short)["tanks"][0]["starting_volume"] == pytest.approx(15_000, abs=0.02)


def test_the_libraries_blocking_socket_too() -> None:
    from veeder_root_tls_socket_library.socket import TlsSocket

    async def play() -> str:
        server = await serve_machine_tcp(lambda: GaugePort(console(), think_us=0), "127.0.0.1", 0, now_us)

        def ask() -> str:
            with TlsSocket("127.0.0.1", server.port) as tls:
                return tls.execute("i20100", timeout=0.05)

        reply = await asyncio.to_thread(ask)
        await server.aclose()
        return reply

    assert len(library.function_201(asyncio.run(play()))["tanks"]) == 2


def test_display_format_over_the_wire_is_what_a_display_shows() -> None:
    virtual = over_virtual_link()
    reader = ReplyReader()
    reader.receive_data(virtual)
    first = reader.next_event()
    assert isinstance(first, ComputerReply)
    assert len(read_inventory(first.data)) == 2


def test_a_host_that_has_said_its_last_still_hears_the_answer() -> None:
    """As ``printf '\\x01i20100' | nc -N console 10001`` does: it hangs up its half at once."""

    async def run() -> None:
        server = await serve_machine_tcp(lambda: GaugePort(console()), "127.0.0.1", 0, now_us)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(command("i201"))
        writer.write_eof()
        heard = await asyncio.wait_for(reader.read(), 10)
        assert heard.startswith(b"\x01i20100")
        assert heard.endswith(b"\x03")
        writer.close()
        await writer.wait_closed()
        await server.aclose()

    asyncio.run(run())
