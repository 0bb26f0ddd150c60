"""Whatever bytes come, however they are cut: the printer reads them the same, and never breaks or hangs."""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.escpos import StreamParser, status_query
from sim.printer import (
    PROFILES,
    LinePrinted,
    Printer,
    PrinterEvent,
    PrinterProfile,
    Receipt,
    ReceiptEnded,
    Surprise,
    receipt_png,
)

from .printer_rig import CUT, Rig, lines

COMMANDS = [
    b"\x1b@", b"\x1b!", b"\x1bM", b"\x1bE", b"\x1b-", b"\x1b{", b"\x1bV", b"\x1ba", b"\x1bd", b"\x1bJ", b"\x1b2", b"\x1b3",
    b"\x1bD", b"\x1b$", b"\x1b\\", b"\x1b ", b"\x1bR", b"\x1bt", b"\x1bp", b"\x1bi", b"\x1bm", b"\x1b*\x21", b"\x1b*\x00",
    b"\x1b&\x03AB", b"\x1b%\x01", b"\x1b?", b"\x1b=\x01", b"\x1bL", b"\x1bS", b"\x1bT", b"\x1bW", b"\x1b\x0c", b"\x1bc4", b"\x1bc5",
    b"\x1bB", b"\x1b(A\x03\x00", b"\x1bZ\x03M\x04", b"\x1du\x00", b"\x1d!", b"\x1dB", b"\x1dL", b"\x1dW", b"\x1dP", b"\x1dT",
    b"\x1dV", b"\x1dk\x02", b"\x1dkC\x0c", b"\x1dkH\x04", b"\x1dkI\x05{B", b"\x1dh", b"\x1dw\x02", b"\x1dH\x02", b"\x1df",
    b"\x1d(k\x03\x001C\x05", b"\x1d(k\x06\x001P0abc", b"\x1d(k\x03\x001Q0", b"\x1d(k\x05\x000P0ab", b"\x1d(k\x03\x000Q0",
    b"\x1d(L\x0c\x000p0\x01\x011\x08\x00\x01\x00", b"\x1d(L\x02\x0002", b"\x1d(H\x06\x0000ABCD", b"\x1dv0\x00\x02\x00\x03\x00",
    b"\x1d*\x01\x01", b"\x1d/\x00", b"\x1dI", b"\x1dr\x01", b"\x1da", b"\x1d$", b"\x1d\\", b"\x1c&", b"\x1c.", b"\x1c!", b"\x1cW",
    b"\x1c-", b"\x1cS", b"\x1c2\xfe\xa1", b"\x1c?\xfe\xa1", b"\x1cq\x01\x01\x00\x01\x00", b"\x1cp\x01\x00", b"\x0c", b"\x18", b"\n",
    b"\t", b"\r", b"\x10\x04", b"\x10\x05", b"\x10\x14\x01\x00\x01", b"\x10\x14\x08\x01\x03\x14\x01\x06\x02\x08",
    "昆明北站".encode("gb18030"), b"text 12.29 L", b"\x81\x30\x81\x30",
]  # fmt: skip

CLEAR = bytes.fromhex("10 14 08 01 03 14 01 06 02 08")
"""Forgets what has come before it; how much of that was executed by then depends on when it came, rightly so."""

STREAMS = st.lists(st.sampled_from(COMMANDS) | st.binary(max_size=6), max_size=30).map(b"".join)
CUTS = st.lists(st.integers(0, 300), max_size=12)
MODELS = st.sampled_from([PROFILES[name] for name in sorted(PROFILES)])
ROOMY = MODELS.filter(lambda profile: profile.receive_buffer_bytes > 1000)
"""Their buffers hold all that is sent at once; what 45 bytes cannot hold is lost when it comes too fast."""


def cut_up(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def outcome(
    profile: PrinterProfile, pieces: list[bytes]
) -> tuple[list[Receipt], Receipt | None, bytes, list[str]]:
    rig = Rig(profile)
    for piece in pieces:
        rig.send(piece)
    rig.run(3_600_000_000)
    printer = rig.printer
    said = b"".join(data for _, data in rig.replies)
    return printer.receipts, printer.unfinished, said, [each.reason for each in printer.surprises]


@settings(max_examples=150, deadline=None)
@given(profile=ROOMY, data=STREAMS.filter(lambda data: CLEAR not in data), cuts=CUTS)
def test_a_stream_prints_the_same_however_the_network_cuts_it(
    profile: PrinterProfile, data: bytes, cuts: list[int]
) -> None:
    whole, pieces = outcome(profile, [data]), outcome(profile, cut_up(data, cuts))
    assert pieces[0] == whole[0]
    assert pieces[1] == whole[1]
    assert pieces[3] == whole[3]


@settings(max_examples=100, deadline=None)
@given(profile=MODELS, data=STREAMS, cuts=CUTS)
def test_after_any_stream_and_a_power_cycle_the_printer_is_as_new(
    profile: PrinterProfile, data: bytes, cuts: list[int]
) -> None:
    rig = Rig(profile)
    for piece in cut_up(data, cuts):
        rig.send(piece)
    rig.run(3_600_000_000)
    for receipt in (*rig.printer.receipts, *filter(None, [rig.printer.unfinished])):
        assert receipt_png(receipt)[:4] == b"\x89PNG"
    rig.printer.power_off(rig.now_us)
    rig.printer.power_on(rig.now_us)
    rig.printer.load_paper(now_us=rig.now_us)
    rig.run()
    rig.printer.tear_off(rig.now_us)
    rig.replies.clear()
    rig.send(b"\x1b@plain\n" + CUT)
    rig.run()
    assert rig.texts[-1] == "plain"
    rig.send(status_query())
    rig.run()
    heard = b"".join(data for _, data in rig.replies)[-4:]
    assert [byte & 0x93 for byte in heard] == [0x12] * 4


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", PROFILES)
def test_a_million_bytes_of_noise(name: str) -> None:
    """Plain noise and noise made of commands, in pieces of any size; no piece may take longer than a moment."""
    rng = random.Random(f"noise/{name}")
    seen: Counter[type[PrinterEvent]] = Counter()
    printer = Printer(PROFILES[name], lambda event: seen.update((type(event),)))
    now_us = fed = 0
    slowest_s = 0.0
    while fed < 1_000_000:
        if rng.random() < 0.5:
            piece = rng.randbytes(rng.randrange(1, 2000))
        else:
            piece = b"".join(
                rng.choice(COMMANDS) + rng.randbytes(rng.randrange(4)) for _ in range(rng.randrange(1, 200))
            )
        fed += len(piece)
        start_s = time.process_time()
        printer.receive_data(piece, now_us)
        printer.data_to_send(now_us)
        now_us += 3_600_000_000
        printer.handle_timer(now_us)
        slowest_s = max(slowest_s, time.process_time() - start_s)
        if printer.condition.paper_end or rng.random() < 0.02:
            printer.load_paper(now_us=now_us)
        if rng.random() < 0.2:
            # Noise may have asked for a page, deselected the printer, or announced a megabyte of dots.
            printer.power_off(now_us)
            printer.power_on(now_us)
        if len(printer.receipts) > 50:
            assert receipt_png(printer.receipts[-1])[:4] == b"\x89PNG"
            printer.receipts.clear()
        printer.surprises.clear()
    assert slowest_s < 5
    # The noise was not all swallowed by one command: thousands of lines and surprises came of it.
    assert min(seen[LinePrinted], seen[Surprise]) > 2000
    assert seen[ReceiptEnded] > 50
    printer.power_off(now_us)
    printer.power_on(now_us)
    printer.load_paper(now_us=now_us)
    printer.handle_timer(now_us + 10_000_000)
    printer.tear_off()
    printer.receive_data(lines("好") if PROFILES[name].chinese else b"good\n", now_us + 10_000_000)
    printer.handle_timer(now_us + 20_000_000)
    assert printer.unfinished is not None
    assert printer.unfinished.text in ("好", "good")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_parser_takes_a_million_bytes_in_single_bytes() -> None:
    rng = random.Random("noise/parser")
    parser = StreamParser(board_symbols=True)
    position = 0
    for _ in range(1_000_000):
        for command in parser.feed(rng.randbytes(1)):
            assert command.offset == position
            position += command.length
