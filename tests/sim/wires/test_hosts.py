"""The same machine on a virtual wire, on TCP, on a pty and on a serial device: same bytes, same events, same order."""

from __future__ import annotations

import asyncio
import os
import time
import tty

import pytest

from protocols.sansio import Outgoing
from sim.kernel import Streams
from sim.wires import (
    Capture,
    Pace,
    PtyHost,
    SerialHost,
    StreamHost,
    VirtualBus,
    VirtualLink,
    WireFault,
    WireFaults,
    connect_machine_tcp,
    serve_machine_tcp,
)


def clock() -> int:
    return time.monotonic_ns() // 1000


async def until(condition) -> None:
    """Wait for a condition; the test's own time-out bounds it."""
    while not condition():
        await asyncio.sleep(0.001)


def bytes_in_order(capture) -> list[bytes]:
    return [frame.data for frame in capture]


def faults(*specs) -> WireFaults:
    return WireFaults(specs, streams=Streams("hosts"), entity="wire/test")


@pytest.fixture
def over_virtual(make_kernel, countdown):
    def play(wire_type):
        kernel = make_kernel()
        asker, answerer, capture = countdown(serve=9), countdown(), Capture("virtual")
        if wire_type is VirtualBus:
            bus = VirtualBus(kernel, "line", baud=9600, capture=capture)
            bus.attach(asker, name="asker")
            bus.attach(answerer, name="answerer")
        else:
            VirtualLink(kernel, "tcp", asker, answerer, latency_us=100, capture=capture)
        kernel.run(10_000_000)
        return asker.events, answerer.events, bytes_in_order(capture)

    return play


def over_tcp(countdown):
    async def play():
        answerer, asker, capture = countdown(), countdown(serve=9), Capture("tcp")
        server = await serve_machine_tcp(lambda: answerer, "127.0.0.1", 0, clock)
        client = await connect_machine_tcp(asker, "127.0.0.1", server.port, clock, capture=capture)
        await until(lambda: answerer.is_done and asker.is_done)
        await client.aclose()
        await server.aclose()
        return asker.events, answerer.events, bytes_in_order(capture)

    return asyncio.run(play())


def over_pty(countdown):
    async def play():
        answerer, asker, capture = countdown(), countdown(serve=9), Capture("pty")
        pty = PtyHost(answerer, clock, baud=115_200)
        path = await pty.start()
        serial = SerialHost(asker, clock, path=path, baud=115_200, is_paced=True, capture=capture)
        await serial.start()
        await until(lambda: answerer.is_done and asker.is_done)
        await serial.aclose()
        await pty.aclose()
        return asker.events, answerer.events, bytes_in_order(capture)

    return asyncio.run(play())


def test_bytes_and_events_are_the_same_on_every_wire(over_virtual, countdown):
    on_bus = over_virtual(VirtualBus)
    assert on_bus[2] == [bytes([number]) for number in range(9, -1, -1)]
    assert on_bus[0][:3] == [("said", 9), ("heard", 8), ("said", 7)]
    assert over_virtual(VirtualLink) == on_bus
    assert over_tcp(countdown) == on_bus
    assert over_pty(countdown) == on_bus


def test_a_serial_device_of_seven_bits_and_parity_opens_and_counts_its_characters(countdown):
    async def play():
        answerer, asker, capture = countdown(), countdown(serve=9), Capture("serial")
        pty = PtyHost(answerer, clock, baud=115_200)
        path = await pty.start()
        line = {"baud": 115_200, "parity": "O", "stop_bits": 2, "data_bits": 7}
        serial = SerialHost(asker, clock, path=path, **line, capture=capture)
        await serial.start()
        await until(lambda: answerer.is_done and asker.is_done)
        await serial.aclose()
        await pty.aclose()
        return capture

    capture = asyncio.run(play())
    assert capture.about["bits_per_char"] == 11
    assert bytes_in_order(capture) == [bytes([number]) for number in range(9, -1, -1)]


def test_each_connection_has_its_own_machine_and_a_port_is_free_to_choose(countdown):
    async def play():
        made = []

        def make():
            made.append(countdown())
            return made[-1]

        server = await serve_machine_tcp(make, "127.0.0.1", 0, clock)
        askers = [countdown(serve=3), countdown(serve=5)]
        clients = [await connect_machine_tcp(asker, "127.0.0.1", server.port, clock) for asker in askers]
        await until(lambda: all(machine.is_done for machine in askers))
        for client in clients:
            await client.aclose()
        await until(lambda: not server.hosts)
        await server.aclose()
        return [machine.events[0] for machine in made]

    assert asyncio.run(play()) == [("heard", 3), ("heard", 5)]


def test_a_port_in_use_and_a_dead_peer_are_plain_os_errors(countdown):
    async def play():
        server = await serve_machine_tcp(countdown, "127.0.0.1", 0, clock)
        with pytest.raises(OSError, match="in use"):
            await serve_machine_tcp(countdown, "127.0.0.1", server.port, clock)
        await server.aclose()
        with pytest.raises(ConnectionRefusedError):
            await connect_machine_tcp(countdown(), "127.0.0.1", server.port, clock)

    asyncio.run(play())


def test_a_client_dials_until_somebody_listens_and_again_after_a_loss(scripted):
    async def play():
        first = await serve_machine_tcp(scripted, "127.0.0.1", 0, clock)
        port = first.port
        await first.aclose()
        machine = scripted()
        client = await connect_machine_tcp(machine, "127.0.0.1", port, clock, redial_us=2_000)
        assert not client.is_connected
        again = await serve_machine_tcp(scripted, "127.0.0.1", port, clock)
        await until(lambda: client.is_connected)
        again.hosts[0].abort()
        await client.wait_lost()
        await until(lambda: client.is_connected)
        await client.aclose()
        await again.aclose()
        return [what for _, what in machine.links]

    assert asyncio.run(play()) == ["up", "down", "up", "down"]


def test_a_command_from_outside_reaches_the_socket(scripted):
    async def play():
        hearer, sayer = scripted(), scripted()
        server = await serve_machine_tcp(lambda: hearer, "127.0.0.1", 0, clock)
        client = await connect_machine_tcp(sayer, "127.0.0.1", server.port, clock)
        sayer._due.append(Outgoing(b"go"))
        sayer.on_wake()
        await until(lambda: hearer.heard)
        await client.aclose()
        await server.aclose()
        return hearer.heard[0][1]

    assert asyncio.run(play()) == b"go"


def test_a_burst_is_never_written_before_its_time(scripted):
    async def play():
        hearer, sayer = scripted(), scripted()
        server = await serve_machine_tcp(lambda: hearer, "127.0.0.1", 0, clock)
        client = await connect_machine_tcp(sayer, "127.0.0.1", server.port, clock)
        not_before_us = clock() + 30_000
        sayer._due.append(Outgoing(b"late", not_before_us))
        sayer.on_wake()
        await until(lambda: hearer.heard)
        await client.aclose()
        await server.aclose()
        return hearer.heard[0][0] - not_before_us

    assert asyncio.run(play()) >= 0


def test_a_paced_pty_gives_bytes_no_faster_than_its_rate(scripted):
    async def play():
        sayer = scripted()
        pty = PtyHost(sayer, clock, baud=9600, bits_per_char=10)
        path = await pty.start()
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(fd)
        loop = asyncio.get_running_loop()
        heard: list[tuple[int, int]] = []
        loop.add_reader(fd, lambda: heard.append((clock(), len(os.read(fd, 4096)))))
        start_us = clock()
        sayer._due.append(Outgoing(bytes(200)))
        sayer.on_wake()
        await until(lambda: sum(count for _, count in heard) == 200)
        loop.remove_reader(fd)
        os.close(fd)
        await pty.aclose()
        return start_us, heard

    start_us, heard = asyncio.run(play())
    pace = Pace(9600, 10)
    total = 0
    for at_us, count in heard:
        total += count
        assert at_us - start_us >= pace.burst_us(total)
    assert len(heard) > 5, "bytes trickle, they do not come in one piece"


def test_a_short_reply_on_a_pty_comes_at_its_end_and_in_one_piece(scripted):
    """As from a USB adapter; some drivers take the first bytes that they read for the whole."""

    async def play():
        sayer = scripted()
        pty = PtyHost(sayer, clock, baud=9600, bits_per_char=10)
        fd = os.open(await pty.start(), os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(fd)
        loop = asyncio.get_running_loop()
        heard: list[int] = []
        loop.add_reader(fd, lambda: heard.append(len(os.read(fd, 4096))))
        sayer._due.append(Outgoing(bytes(15)))
        sayer.on_wake()
        await until(lambda: heard)
        loop.remove_reader(fd)
        os.close(fd)
        await pty.aclose()
        return heard

    assert asyncio.run(play()) == [15]


def test_pace_matches_the_modelled_bus(kernel):
    bus = VirtualBus(kernel, "line", baud=9600, bits_per_char=10)
    pace = Pace(9600, 10)
    for count in range(1, 300):
        assert pace.burst_us(count) == bus.burst_us(count)
        assert pace.characters(pace.burst_us(count)) == count
        assert pace.characters(pace.burst_us(count) - 1) == count - 1


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (WireFault(kind="drop", limit=1), b"twothree"),
        (WireFault(kind="duplicate", limit=1), b"oneonetwothree"),
        (WireFault(kind="cut", offset=1, limit=1), b"otwothree"),
        (WireFault(kind="delay", delay_us=3_000, limit=1), b"onetwothree"),
    ],
)
def test_faults_land_on_tcp_as_they_do_on_a_modelled_wire(scripted, fault, expected):
    async def play():
        hearer, sayer, capture = scripted(), scripted(), Capture("tcp")
        sayer._due += [Outgoing(b"one"), Outgoing(b"two"), Outgoing(b"three")]
        at_work = faults(fault)
        server = await serve_machine_tcp(lambda: hearer, "127.0.0.1", 0, clock)
        client = await connect_machine_tcp(
            sayer, "127.0.0.1", server.port, clock, faults=at_work, capture=capture
        )
        await until(lambda: sum(len(data) for _, data in hearer.heard) >= len(expected))
        await client.aclose()
        await server.aclose()
        return (
            b"".join(data for _, data in hearer.heard),
            at_work[0].landed,
            [frame.note for frame in capture],
        )

    heard, landed, notes = asyncio.run(play())
    assert (heard, landed) == (expected, 1)
    assert notes[0] == fault.kind


def test_a_link_that_is_down_refuses_and_breaks_tcp(scripted):
    async def play():
        machine = scripted()
        at_work = faults(WireFault(kind="down", at_us=0))
        server = await serve_machine_tcp(scripted, "127.0.0.1", 0, clock, faults=at_work)
        client = await connect_machine_tcp(machine, "127.0.0.1", server.port, clock)
        await client.wait_lost()
        await client.aclose()
        await server.aclose()
        return at_work[0].landed, [what for _, what in machine.links]

    assert asyncio.run(play()) == (1, ["up", "down"])


def test_noise_is_heard_on_tcp(scripted):
    async def play():
        machine = scripted()
        at_work = faults(WireFault(kind="noise", every_us=500, at_us=clock()))
        server = await serve_machine_tcp(scripted, "127.0.0.1", 0, clock)
        client = await connect_machine_tcp(machine, "127.0.0.1", server.port, clock, faults=at_work)
        await until(lambda: len(machine.heard) > 3)
        await client.aclose()
        await server.aclose()
        return at_work[0].landed >= len(machine.heard) > 3

    assert asyncio.run(play())


def test_a_peer_that_never_reads_is_dropped():
    class Flood:
        on_wake = None

        def receive_data(self, data, now_us):
            pass

        def data_to_send(self, now_us):
            return [Outgoing(bytes(65_536))]

        def next_timer(self):
            return 0

        def handle_timer(self, now_us):
            pass

    async def play():
        server = await serve_machine_tcp(Flood, "127.0.0.1", 0, clock)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        await until(lambda: server.hosts)
        await until(lambda: not server.hosts)
        writer.close()
        await server.aclose()
        return reader

    asyncio.run(play())


def test_a_stopped_host_leaves_no_timer_behind(scripted):
    async def play():
        machine = scripted((clock() + 3_600_000_000, b"in an hour"))
        host = StreamHost(machine, clock)
        host.pump()
        host.stop()
        return host._timer

    assert asyncio.run(play()) is None


def test_a_machine_whose_peer_speaks_another_protocol_is_hung_up_on_and_forgotten_after_its_reply(scripted):
    class Fastidious(type(scripted())):
        wants_close = False
        is_closed = False

        def receive_data(self, data, now_us):
            super().receive_data(data, now_us)
            self._due.append(Outgoing(b"last words"))
            self.wants_close = data == b"GET / HTTP/1.1\r\n"

        def close(self):
            self.is_closed = True

    async def play():
        machine = Fastidious()
        server = await serve_machine_tcp(lambda: machine, "127.0.0.1", 0, clock)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"proper")
        assert await reader.readexactly(10) == b"last words"
        assert not machine.is_closed
        writer.write(b"GET / HTTP/1.1\r\n")
        assert await reader.read() == b"last words"  # to the end of the stream
        writer.close()
        await until(lambda: machine.is_closed)
        assert not server.hosts
        await server.aclose()

    asyncio.run(play())
