"""Several devices on one TCP port: all hear everything, one far end at a time, cut and joined."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

import pytest

from protocols.sansio import Outgoing
from sim.wires import SharedLine, serve_line_tcp


class Echo:
    """Answers messages that begin with its letter; remembers all it heard."""

    def __init__(self, letter):
        self.letter = letter
        self.on_wake = None
        self.heard = b""
        self.out = []
        self.due_us = None
        self.links = []

    def connection_made(self, now_us):
        self.links.append("up")

    def connection_lost(self, now_us):
        self.links.append("down")

    def receive_data(self, data, now_us):
        self.heard += data
        if data[:1] == self.letter:
            self.out.append(Outgoing(b"ok " + self.letter))

    def data_to_send(self, now_us):
        out, self.out = self.out, []
        return out

    def next_timer(self):
        return self.due_us

    def handle_timer(self, now_us):
        self.due_us = None
        self.out.append(Outgoing(b"timer " + self.letter))

    def say(self, data):
        self.out.append(Outgoing(data))
        self.on_wake()


def on_line(scene):
    async def main():
        loop = asyncio.get_running_loop()
        a, b = Echo(b"a"), Echo(b"b")
        server = await serve_line_tcp(SharedLine([a, b]), "127.0.0.1", 0, lambda: round(loop.time() * 1e6))
        try:
            async with asyncio.timeout(10):
                await scene(server, a, b)
        finally:
            await server.aclose()

    asyncio.run(main())


async def dial(server):
    return await asyncio.open_connection(server.host, server.port)


async def close(writer):
    writer.close()
    await writer.wait_closed()


def test_all_hear_the_far_end_and_each_other():
    async def scene(server, a, b):
        reader, writer = await dial(server)
        writer.write(b"a1")
        assert await reader.readexactly(4) == b"ok a"
        writer.write(b"b2")
        assert await reader.readexactly(4) == b"ok b"
        assert a.heard == b"a1b2ok b"
        assert b.heard == b"a1ok ab2"
        await close(writer)

    on_line(scene)


def test_a_device_wakes_the_line_and_keeps_its_own_timer():
    async def scene(server, a, b):
        reader, writer = await dial(server)
        b.say(b"!")
        assert await reader.readexactly(1) == b"!"
        b.due_us = 1
        a.on_wake()
        assert await reader.readexactly(7) == b"timer b"
        await close(writer)

    on_line(scene)


def test_one_far_end_at_a_time_and_the_next_one_finds_the_same_devices():
    async def scene(server, a, b):
        _, first = await dial(server)
        while not server.is_connected:
            await asyncio.sleep(0)
        second_reader, second = await dial(server)
        assert await second_reader.read() == b""
        assert server.refused == 1
        await close(second)
        await close(first)
        while server.is_connected:
            await asyncio.sleep(0.001)
        reader, third = await dial(server)
        third.write(b"a")
        assert await reader.readexactly(4) == b"ok a"
        assert a.links == ["up", "down", "up"]
        await close(third)

    on_line(scene)


def test_two_that_dial_at_once_do_not_share_the_line():
    """Both are accepted in one turn of the loop, before either is connected."""

    async def scene(server, a, b):
        calls = [socket.create_connection((server.host, server.port)) for _ in range(2)]
        loop = asyncio.get_running_loop()
        for call in calls:
            call.setblocking(False)
        await loop.sock_sendall(calls[0], b"a")
        assert await loop.sock_recv(calls[0], 10) == b"ok a"
        assert await loop.sock_recv(calls[1], 10) == b""
        assert server.refused == 1
        assert a.links == ["up"]
        for call in calls:
            call.close()

    on_line(scene)


def test_a_driver_that_hangs_up_and_dials_again_at_once_has_the_line():
    """Its new call is heard before its hanging up."""

    async def scene(server, a, b):
        loop = asyncio.get_running_loop()
        for _ in range(5):
            first, second = (socket.create_connection((server.host, server.port)) for _ in range(2))
            first.close()
            second.setblocking(False)
            await loop.sock_sendall(second, b"a")
            assert await loop.sock_recv(second, 10) == b"ok a"
            second.close()
        assert server.refused == 0

    on_line(scene)


def test_a_storm_of_broken_connections_leaves_the_line_to_the_next_caller():
    async def scene(server, a, b):
        for _ in range(100):
            with socket.create_connection((server.host, server.port)) as call:
                call.sendall(b"a")
                call.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        async with asyncio.timeout(20):
            while True:
                reader, writer = await dial(server)
                writer.write(b"b")
                with contextlib.suppress(ConnectionError):
                    if await reader.read(10) == b"ok b":
                        break
                writer.close()
        await close(writer)

    on_line(scene)


def test_a_cut_line_breaks_and_takes_nobody_until_it_is_joined():
    async def scene(server, a, b):
        reader, writer = await dial(server)
        writer.write(b"a")
        await reader.readexactly(4)
        server.cut()
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
        again, other = await dial(server)
        assert await again.read() == b""
        await close(other)
        server.join()
        reader, writer = await dial(server)
        writer.write(b"b")
        assert await reader.readexactly(4) == b"ok b"
        await close(writer)

    on_line(scene)


def test_a_line_without_devices_is_refused():
    with pytest.raises(ValueError, match="at least one machine"):
        SharedLine([])
