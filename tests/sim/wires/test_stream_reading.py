"""What a stream host reads and writes at once stays whole and in order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from protocols.sansio import Outgoing
from sim.wires import Capture, StreamHost, serve_machine_tcp


class Recorder:
    """Keeps what it hears and says what it is told to, with the earliest starts that it is told."""

    def __init__(self) -> None:
        self.on_wake: Any = None
        self.heard: list[bytes] = []
        self.due: list[Outgoing] = []

    def receive_data(self, data: bytes, now_us: int) -> None:
        del now_us
        self.heard.append(data)

    def data_to_send(self, now_us: int) -> list[Outgoing]:
        del now_us
        due, self.due = self.due, []
        return due

    def next_timer(self) -> int | None:
        return None

    def handle_timer(self, now_us: int) -> None:
        del now_us


class Writer:
    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def abort(self) -> None: ...

    def close(self) -> None: ...


@pytest.mark.parametrize("use", ["asyncio", "uvloop"])
def test_a_long_burst_comes_whole_and_in_order_and_what_was_heard_stays_as_it_was(use):
    """The host reads into one buffer again and again; what the machine was given must not change with it."""
    sent = bytes(index * 7 % 251 for index in range(100_000))
    machine = Recorder()

    async def run() -> None:
        server = await serve_machine_tcp(lambda: machine, "127.0.0.1", 0, lambda: 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        del reader
        writer.write(sent)
        while sum(map(len, machine.heard)) < len(sent):
            await asyncio.sleep(0.001)
        writer.close()
        await writer.wait_closed()
        await server.aclose()

    factory = asyncio.new_event_loop if use == "asyncio" else pytest.importorskip("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(run())
    assert b"".join(machine.heard) == sent
    assert all(isinstance(data, bytes) for data in machine.heard)


def test_nothing_overtakes_a_burst_that_waits_for_its_time():
    machine, writer, capture = Recorder(), Writer(), Capture("wire")
    now = [1_000]

    async def run() -> None:
        host = StreamHost(machine, lambda: now[0], name="pump", capture=capture)
        host.attach_writer(writer)
        machine.due = [Outgoing(b"a"), Outgoing(b"b", 5_000), Outgoing(b"c"), Outgoing(b"")]
        host.pump()
        assert writer.written == [b"a"]
        machine.due = [Outgoing(b"d")]
        host.pump()
        assert writer.written == [b"a"]
        now[0] = 5_000
        machine.due = [Outgoing(b"e")]
        host.pump()
        assert writer.written == [b"a", b"b", b"c", b"d", b"e"]
        machine.due = [Outgoing(b"f")]
        host.pause_writing()
        host.pump()
        assert writer.written[5:] == []
        host.resume_writing()
        assert writer.written[5:] == [b"f"]
        host.stop()

    asyncio.run(run())
    assert [(frame.t_us, frame.data) for frame in capture] == [
        (1_000, b"a"),
        *((5_000, data) for data in (b"b", b"c", b"d", b"e", b"f")),
    ]
