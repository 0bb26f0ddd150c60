"""The network board: who owns the printer, what the others see, when it hangs up, and a window that really closes."""

from __future__ import annotations

import asyncio
import random
import select
import socket
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from protocols.escpos import completion_query, decode_asb, status_query
from sim.printer import EPSON_80MM_ETHERNET, PROFILES, ReceiptEnded

from .printer_site import BIG_JOB, ENDLESS, FAST, Site, assert_big_job, site, true

CUT = b"\x1dVB\x00"


class BlockingSender:
    """A plain socket in a thread of its own: it writes until the kernel takes no more."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)

    def push(self, data: bytes) -> int:
        """Send without waiting until nothing has been taken for a while; returns how much was taken."""
        self.socket.setblocking(False)
        sent = 0
        while sent < len(data):
            _, writable, _ = select.select([], [self.socket], [], 0.5)
            if not writable:
                break
            sent += self.socket.send(data[sent:])
        return sent

    def blocks(self, data: bytes) -> bool:
        """Whether a send with a time limit runs into it."""
        self.socket.settimeout(0.3)
        try:
            self.socket.send(data)
        except TimeoutError:
            return True
        return False

    def finish(self, data: bytes) -> None:
        self.socket.settimeout(60)
        self.socket.sendall(data)
        self.socket.close()


@pytest.mark.parametrize(
    ("strike", "heal"),
    [
        (lambda here: here.printer.paper_out(), lambda here: here.printer.load_paper()),
        (lambda here: here.printer.open_cover(), lambda here: here.printer.close_cover()),
        (lambda here: here.printer.overheat(3_600_000_000), lambda here: here.later(3_600_000_001)),
    ],
    ids=["paper out", "cover open", "head hot"],
)
def test_a_real_socket_blocks_while_the_printer_cannot_print_and_nothing_is_lost(
    strike: Callable[[Site], None], heal: Callable[[Site], None]
) -> None:
    async def main() -> None:
        async with site(ENDLESS) as here:
            strike(here)
            sender = await asyncio.to_thread(BlockingSender, here.server.port)
            sent = await asyncio.to_thread(sender.push, BIG_JOB)
            while here.printer.receive_window:  # a machine that has no time for either of them
                sent += await asyncio.to_thread(sender.push, BIG_JOB[sent:])
            # What is taken lies in the receive buffer, the board's memory, and the kernels' own on both sides.
            assert ENDLESS.interface_buffer_bytes < sent < len(BIG_JOB) // 2
            assert here.printer.buffered_bytes <= (
                ENDLESS.receive_buffer_bytes + ENDLESS.interface_buffer_bytes
            )
            assert here.printer.receive_window == 0
            assert await asyncio.to_thread(sender.blocks, b"?")
            heal(here)
            await asyncio.to_thread(sender.finish, BIG_JOB[sent:])
            assert_big_job((await here.until(ReceiptEnded)).receipt)
            assert here.printer.discarded_bytes == 0

    asyncio.run(main())


def test_the_second_connection_is_taken_and_hears_nothing_until_the_first_has_gone() -> None:
    async def main() -> None:
        async with site() as here:
            owner = await here.connect()
            owner[1].write(status_query(1))
            await owner[0].readexactly(1)
            second = await here.connect()
            second[1].write(status_query(1) + b"second\n" + CUT)
            # The owner is served as before, as often as it likes.
            for _ in range(5):
                owner[1].write(b"first\n" + completion_query())
                await owner[0].readexactly(1)
            assert here.server.connections == 2
            assert not here.printer.receipts
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await second[0].readexactly(1)
            owner[1].write(CUT)
            owner[1].close()
            assert (await here.until(ReceiptEnded)).receipt.text.count("first") == 5
            assert (await here.until(ReceiptEnded)).receipt.text == "second"
            assert await second[0].readexactly(1) == b"\x12"
            second[1].close()

    asyncio.run(main())


def test_a_client_that_has_gone_before_its_turn_came_is_printed_all_the_same() -> None:
    async def main() -> None:
        async with site() as here:
            owner = await here.connect()
            owner[1].write(status_query(1))
            await owner[0].readexactly(1)
            for name in (b"second", b"third"):
                _, writer = await here.connect()
                writer.write(name + b"\n" + CUT)
                writer.close()
                await writer.wait_closed()
            await true(lambda: here.server.connections == 3)
            assert not here.printer.receipts
            owner[1].close()
            for name in ("second", "third"):
                assert (await here.until(ReceiptEnded)).receipt.text == name

    asyncio.run(main())


def test_bytes_of_a_connection_that_waits_are_not_read_beyond_a_few_kilobytes() -> None:
    async def main() -> None:
        async with site(ENDLESS) as here:
            owner = await here.connect()
            owner[1].write(status_query(1))
            await owner[0].readexactly(1)
            waiting = await asyncio.to_thread(BlockingSender, here.server.port)
            sent = await asyncio.to_thread(waiting.push, BIG_JOB)
            assert sent < len(BIG_JOB) // 2
            assert here.printer.buffered_bytes == 0
            owner[1].close()
            await asyncio.to_thread(waiting.finish, BIG_JOB[sent:])
            assert_big_job((await here.until(ReceiptEnded)).receipt)

    asyncio.run(main())


def test_a_board_that_takes_one_connection_sends_the_second_away() -> None:
    async def main() -> None:
        async with site(replace(FAST, second_connection="refused")) as here:
            owner = await here.connect()
            owner[1].write(status_query(1))
            await owner[0].readexactly(1)
            reader, writer = await here.connect()
            assert await _ends(reader)
            writer.close()
            owner[1].write(status_query(4))
            assert await owner[0].readexactly(1) == b"\x12"
            owner[1].close()
            await true(lambda: here.server.connections == 0)
            third = await here.connect()
            third[1].write(status_query(1))
            assert await third[0].readexactly(1) == b"\x12"
            third[1].close()

    asyncio.run(main())


async def _ends(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(30):
            return await reader.read(1) == b""
    except ConnectionResetError:
        return True


def test_an_idle_connection_is_closed_and_the_next_in_the_queue_owns_the_printer() -> None:
    async def main() -> None:
        async with site(replace(FAST, idle_close_us=300_000_000)) as here:
            silent = await here.connect()
            silent[1].write(status_query(1))
            await silent[0].readexactly(1)
            here.later(299_000_000)
            busy = await here.connect()
            busy[1].write(b"waits\n" + CUT)
            await true(lambda: here.server.connections == 2)
            here.later(2_000_000)
            assert await _ends(silent[0])
            silent[1].close()
            assert (await here.until(ReceiptEnded)).receipt.text == "waits"
            busy[1].close()

    asyncio.run(main())


def test_a_job_that_waits_for_paper_is_no_idle_connection() -> None:
    async def main() -> None:
        async with site(replace(FAST, idle_close_us=300_000_000)) as here:
            here.printer.paper_out()
            reader, writer = await here.connect()
            writer.write(b"waits\n" + CUT + completion_query())
            await true(lambda: here.printer.buffered_bytes)
            for _ in range(10):
                here.later(200_000_000)
            assert here.server.connections == 1
            here.printer.load_paper()
            assert await reader.readexactly(1) == b"\x00"
            writer.close()

    asyncio.run(main())


def test_a_board_that_has_switched_automatic_status_on_tells_every_change_until_the_job_switches_it_off() -> (
    None
):
    async def main() -> None:
        async with site(replace(EPSON_80MM_ETHERNET, speed_mm_s=100_000, cut_us=100)) as here:
            reader, writer = await here.connect()
            writer.write(status_query(1))
            assert await reader.readexactly(1) == b"\x12"
            here.printer.open_cover()
            report = decode_asb(await reader.readexactly(4))
            assert (report.cover_open, report.reported_offline) == (True, True)
            here.printer.close_cover()
            assert not decode_asb(await reader.readexactly(4)).cover_open
            writer.write(b"\x1b@" + completion_query())
            assert await reader.readexactly(1) == b"\x00"
            here.printer.open_cover()
            here.printer.close_cover()
            writer.write(completion_query())
            assert await reader.readexactly(1) == b"\x00"
            writer.close()

    asyncio.run(main())


def test_a_client_that_leaves_with_unread_status_behind_still_gets_its_job_printed() -> None:
    """Unread bytes turn its close into a reset; what it had sent before counts all the same."""

    def slam(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as peer:
            peer.sendall(b"\x1da\xff" + status_query() * 20 + b"whole\n" * 50 + CUT)
            time.sleep(0.1)  # the replies have come, and nobody reads them

    async def main() -> None:
        async with site(replace(FAST, asb_at_power_on=0xFF)) as here:
            await asyncio.to_thread(slam, here.server.port)
            assert (await here.until(ReceiptEnded)).receipt.text.splitlines() == ["whole"] * 50

    asyncio.run(main())


def test_replies_that_nobody_reads_are_bounded() -> None:
    async def main() -> None:
        async with site() as here:
            peer = await asyncio.to_thread(BlockingSender, here.server.port)
            peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            await asyncio.to_thread(peer.push, status_query() * 10_000)
            await true(lambda: here.server.lost_replies)
            peer.socket.close()

    asyncio.run(main())


async def _client(here: Site, number: int, rng: random.Random) -> None:
    """Prints one job in pieces, trying again while the board sends it away before it could say anything."""
    text = "".join(f"{number:02d}/{line:02d}\n" for line in range(rng.randrange(1, 40))).encode() + CUT
    while True:
        reader, writer = await here.connect()
        try:
            writer.write(b"\x10\x04\x01")
            # Answered as soon as this client owns the printer; the end of the stream means it was one too many.
            if await reader.read(1):
                break
        except ConnectionResetError:
            pass
        writer.close()
        await asyncio.sleep(0)
    at = 0
    while at < len(text):
        size = rng.randrange(1, 60)
        writer.write(text[at : at + size])
        at += size
        await writer.drain()
        await asyncio.sleep(0)
    if rng.random() < 0.5:
        writer.write(completion_query())
        await reader.read(1)
    writer.close()


@pytest.mark.parametrize("seed", range(3))
def test_many_clients_at_once_each_print_one_whole_job(seed: int) -> None:
    """Twelve clients push for a board of three places while the paper runs out and the cover opens."""
    rng = random.Random(f"clients/{seed}")

    async def trouble(here: Site) -> None:
        while True:
            await asyncio.sleep(0.002)
            strike, heal = rng.choice(
                [
                    (here.printer.paper_out, here.printer.load_paper),
                    (here.printer.open_cover, here.printer.close_cover),
                ]
            )
            strike()
            await asyncio.sleep(0.002)
            heal()

    async def main() -> None:
        async with site(ENDLESS) as here:
            troubles = asyncio.create_task(trouble(here))
            async with asyncio.timeout(60):
                await asyncio.gather(*(_client(here, number, rng) for number in range(12)))
                await true(lambda: len(here.printer.receipts) == 12)
            troubles.cancel()
            jobs = [receipt.text.split() for receipt in here.printer.receipts]
            assert sorted(job[0][:2] for job in jobs) == [f"{number:02d}" for number in range(12)]
            for job in jobs:
                assert job == [f"{job[0][:2]}/{line:02d}" for line in range(len(job))]

    asyncio.run(main())


@pytest.mark.parametrize("name", PROFILES)
def test_every_model_prints_from_a_socket(name: str) -> None:
    async def main() -> None:
        async with site(replace(PROFILES[name], speed_mm_s=100_000, cut_us=100)) as here:
            reader, writer = await here.connect()
            writer.write(b"\x1b@plain text\n" + CUT + completion_query())
            heard = await reader.readexactly(1)
            while heard in (b"\x11", b"\x13"):  # XON and XOFF of a serial model
                heard = await reader.readexactly(1)
            assert heard == b"\x00"
            assert [receipt.text for receipt in here.printer.receipts] == ["plain text"]
            writer.close()

    asyncio.run(main())
