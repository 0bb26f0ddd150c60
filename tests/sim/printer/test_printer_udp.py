"""The control datagrams of an Epson board (UDP 3289), byte for byte as its manual and the TM-U230's have them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.escpos import (
    EnpcFunction,
    EnpcResult,
    enpc_reply,
    enpc_request,
    read_enpc_reply,
    read_enpc_request,
)
from sim.printer import EPSON_80MM_ETHERNET, ReceiptEnded, serve_printer_udp

from .printer_site import Site, site, true

BOARD = replace(EPSON_80MM_ETHERNET, speed_mm_s=100_000, cut_us=100, start_up_us=1000)
FORCE_ON = b"EPSONC\x03\x00\x00\x15\x00\x00\x00\x01\x01"
FORCE_OFF = b"EPSONC\x03\x00\x00\x15\x00\x00\x00\x01\x00"


class Asker(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.heard.put_nowait(data)


class Board:
    def __init__(self, here: Site, transport: asyncio.DatagramTransport, asker: Asker) -> None:
        self.here = here
        self._transport = transport
        self._asker = asker

    def tell(self, datagram: bytes) -> None:
        self._transport.sendto(datagram)

    async def ask(self, datagram: bytes) -> bytes:
        self.tell(datagram)
        async with asyncio.timeout(20):
            return await self._asker.heard.get()

    async def result(self, function: EnpcFunction, data: bytes = b"") -> tuple[int, bytes]:
        answer = read_enpc_reply(await self.ask(enpc_request(function, data)))
        assert answer is not None
        assert answer[0] == function
        return answer[1], answer[2]


@asynccontextmanager
async def board() -> AsyncIterator[Board]:
    async with site(BOARD) as here:
        control = await serve_printer_udp(here.server, "127.0.0.1", 0, here.clock)
        transport, asker = await asyncio.get_running_loop().create_datagram_endpoint(
            Asker, remote_addr=("127.0.0.1", control.port)
        )
        yield Board(here, transport, asker)
        transport.close()
        await control.aclose()


def test_compulsory_transmission_makes_a_busy_printer_answer() -> None:
    async def main() -> None:
        async with board() as it:
            reader, writer = await it.here.connect()
            writer.write(b"\x1b@kept\n")
            await true(lambda: it.here.printer.unfinished)
            it.here.printer.paper_out()
            writer.write(b"\x10\x04\x01")
            await true(lambda: it.here.printer.buffered_bytes)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await reader.readexactly(1)
            assert await it.ask(FORCE_ON) == b"EPSONc" + FORCE_ON[6:]
            assert await reader.readexactly(1) == b"\x1a"
            assert await it.ask(FORCE_OFF) == b"EPSONc" + FORCE_OFF[6:]
            writer.close()

    asyncio.run(main())


def test_forced_transmission_carries_a_status_request_and_brings_its_answer_back() -> None:
    async def main() -> None:
        async with board() as it:
            it.here.printer.open_cover()
            ask = b"\x01\x00\x03\x10\x04\x02"  # without flow control, three bytes
            assert await it.result(EnpcFunction.FORCED_TRANSMISSION, ask) == (0, b"\x00\x00\x01\x16")
            # With flow control a busy printer takes nothing; so does a length that is not there.
            refused = (0, b"\x01\x00\x00")
            assert await it.result(EnpcFunction.FORCED_TRANSMISSION, b"\x00" + ask[1:]) == refused
            assert await it.result(EnpcFunction.FORCED_TRANSMISSION, b"\x01\x00\x09\x10") == refused
            assert await it.result(EnpcFunction.FORCED_TRANSMISSION) == refused

    asyncio.run(main())


def test_a_flushed_buffer_and_a_reset_printer_forget_the_job() -> None:
    async def main() -> None:
        async with board() as it:
            _, writer = await it.here.connect()
            it.here.printer.paper_out()
            writer.write(b"gone\n" * 5000)
            await true(lambda: it.here.printer.buffered_bytes > 10_000)
            assert await it.result(EnpcFunction.FLUSH) == (0, b"\x00")
            writer.close()
            assert await it.result(EnpcFunction.RESET, b"\x00") == (0, b"\x00")
            await true(lambda: it.here.server.connections == 0)
            it.here.printer.load_paper()
            await true(lambda: not it.here.printer.condition.offline)
            fresh = await it.here.connect()
            fresh[1].write(b"\x1b@fresh\n\x1dVB\x00")
            receipt = (await it.here.until(ReceiptEnded)).receipt
            assert receipt.text.splitlines()[-1] == "fresh"
            fresh[1].close()

    asyncio.run(main())


def test_the_time_out_timer_starts_again() -> None:
    async def main() -> None:
        async with board() as it:
            reader, writer = await it.here.connect()
            await true(lambda: it.here.server.connections)
            for _ in range(3):
                it.here.later(200_000_000)
                assert await it.result(EnpcFunction.CLEAR_TIMER) == (0, b"\x00")
            assert it.here.server.connections == 1
            it.here.later(301_000_000)
            assert await reader.read() == b""
            writer.close()

    asyncio.run(main())


def test_what_a_board_does_not_know_it_says() -> None:
    async def main() -> None:
        async with board() as it:
            assert await it.result(EnpcFunction.BASIC_INFORMATION) == (0xFFFF, b"")
            assert await it.result(EnpcFunction.STATUS) == (0xFFFF, b"")
            other = b"EPSONC\x04\x00\x00\x12\x00\x00\x00\x00"
            assert await it.ask(other) == b"EPSONc\x04\x00\x00\x12\xff\xfe\x00\x00"
            # Rubbish, a reply and a length that lies are not answered; nor is anything without power.
            for silent in (b"", b"EPSONX" + bytes(8), b"EPSONq" + bytes(8), FORCE_ON[:-1]):
                it.tell(silent)
            assert await it.ask(FORCE_OFF) == b"EPSONc" + FORCE_OFF[6:]
            it.here.printer.power_off()
            it.tell(FORCE_ON)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await it._asker.heard.get()

    asyncio.run(main())


@given(st.binary(max_size=40))
def test_any_datagram_is_read_or_refused(noise: bytes) -> None:
    for datagram in (noise, b"EPSONC" + noise):
        request = read_enpc_request(datagram)
        if request is not None:
            answer = read_enpc_reply(enpc_reply(request, EnpcResult.NORMAL, request.data))
            assert answer == (request.function, 0, request.data)
    assert read_enpc_reply(noise) is None or noise[:5] == b"EPSON"
