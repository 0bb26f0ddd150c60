from __future__ import annotations

import asyncio
import socket

import pytest

from scenarios.world.serving import open_port


def test_connections_of_a_port_do_not_wait_for_acknowledgements() -> None:
    async def run() -> None:
        accepted: asyncio.Queue[socket.socket] = asyncio.Queue()

        class Peek(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                accepted.put_nowait(transport.get_extra_info("socket"))

        listener = open_port("127.0.0.1", 0)
        server = await asyncio.get_running_loop().create_server(Peek, sock=listener)
        _, writer = await asyncio.open_connection(*listener.getsockname())
        sock = await accepted.get()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        writer.close()
        server.close()

    asyncio.run(run())


def test_a_port_in_use_is_named() -> None:
    with open_port("127.0.0.1", 0) as listener, pytest.raises(OSError, match=r"127\.0\.0\.1:\d+: "):
        open_port(*listener.getsockname())
