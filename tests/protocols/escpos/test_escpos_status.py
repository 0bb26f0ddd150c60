from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.escpos import (
    Op,
    PrinterCondition,
    RealTimeScanner,
    asb_bytes,
    asb_items,
    completion_query,
    decode_asb,
    decode_completion,
    decode_status,
    dle_eot_byte,
    gs_r_byte,
    status_query,
)
from protocols.sansio import RemoteProtocolError

FLAGS = (
    "cover_open",
    "paper_end",
    "paper_near_end",
    "feeding",
    "waiting_for_recovery",
    "cutter_error",
    "unrecoverable_error",
    "auto_recoverable_error",
    "drawer_high",
)
CONDITIONS = st.builds(PrinterCondition, **{name: st.booleans() for name in FLAGS})


def reply(condition: PrinterCondition) -> bytes:
    found = [dle_eot_byte(n, condition) for n in (1, 2, 3, 4)]
    return bytes(byte for byte in found if byte is not None)


@pytest.mark.parametrize(
    ("condition", "n", "byte"),
    [
        (PrinterCondition(), 1, 0x12),
        (PrinterCondition(drawer_high=True), 1, 0x16),
        (PrinterCondition(cover_open=True), 1, 0x1A),
        (PrinterCondition(cover_open=True, drawer_high=True), 1, 0x1E),
        (PrinterCondition(cover_open=True), 2, 0x16),
        (PrinterCondition(paper_end=True), 2, 0x32),
        (PrinterCondition(cutter_error=True), 3, 0x1A),
        (PrinterCondition(cutter_error=True), 2, 0x52),
        (PrinterCondition(), 4, 0x12),
        (PrinterCondition(paper_near_end=True), 4, 0x1E),
        (PrinterCondition(paper_end=True), 4, 0x72),
        (PrinterCondition(paper_end=True, paper_near_end=True), 4, 0x7E),
    ],
)
def test_status_bytes_of_the_manuals(condition: PrinterCondition, n: int, byte: int) -> None:
    assert dle_eot_byte(n, condition) == byte


def test_unknown_status_requests_get_no_answer() -> None:
    assert dle_eot_byte(9, PrinterCondition()) is None
    assert gs_r_byte(3, PrinterCondition()) is None


@pytest.mark.requirement("prn.status-read-before-printing")
@given(CONDITIONS)
def test_a_spooler_reads_what_the_printer_means(condition: PrinterCondition) -> None:
    status = decode_status(reply(condition))
    assert {name: getattr(status, name) for name in FLAGS} == {
        name: getattr(condition, name) for name in FLAGS
    }
    assert status.ready is not condition.offline
    assert bool(status.problems) is condition.offline


@given(CONDITIONS)
def test_automatic_status_says_the_same(condition: PrinterCondition) -> None:
    status = decode_asb(asb_bytes(condition))
    assert {name: getattr(status, name) for name in FLAGS} == {
        name: getattr(condition, name) for name in FLAGS
    }


@given(CONDITIONS, st.integers(1, 4))
def test_fixed_bits_tell_the_kinds_of_reply_apart(condition: PrinterCondition, n: int) -> None:
    byte = dle_eot_byte(n, condition)
    buffered = gs_r_byte(1, condition)
    assert byte is not None
    assert buffered is not None
    assert byte & 0x93 == 0x12
    assert buffered & 0x90 == 0
    assert asb_bytes(condition)[0] & 0x93 == 0x10


@pytest.mark.parametrize(
    "data", [b"", b"\x12\x12\x12", b"\x12\x12\x12\x10", b"\x00\x12\x12\x12", b"\x12" * 5]
)
def test_what_is_no_status_reply_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_status(data)


def test_the_completion_query_and_its_answer() -> None:
    assert completion_query() == b"\x1dr\x01"
    assert not decode_completion(b"\x00").paper_near_end
    assert decode_completion(b"\x03").paper_near_end
    for wrong in (b"", b"\x12", b"\x00\x00"):
        with pytest.raises(RemoteProtocolError):
            decode_completion(wrong)


def test_an_unknown_cause_still_says_offline() -> None:
    assert decode_status(b"\x1a\x12\x12\x12").problems == ("offline",)


def test_asb_watches_only_what_was_enabled() -> None:
    idle, cover = PrinterCondition(), PrinterCondition(cover_open=True)
    assert asb_items(idle, 0x08) == asb_items(cover, 0x08)
    assert asb_items(idle, 0x02) != asb_items(cover, 0x02)
    assert asb_items(idle, 0x02) != asb_items(PrinterCondition(paper_end=True), 0x02)


@given(st.binary(max_size=40), st.lists(st.integers(0, 60), max_size=8))
def test_real_time_commands_are_found_however_the_stream_is_cut(noise: bytes, cuts: list[int]) -> None:
    data = noise.replace(b"\x10", b"") + status_query() + b"\x10\x05\x01" + b"\x10\x14\x01\x00\x02"
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    scanner = RealTimeScanner()
    found = [c for a, b in itertools.pairwise(edges) for c in scanner.feed(data[a:b])]
    assert [(c.op, c.args) for c in found] == [
        *((Op.DLE_EOT, (n,)) for n in (1, 2, 3, 4)),
        (Op.DLE_ENQ, (1,)),
        (Op.DLE_DC4, (1, 0, 2)),
    ]


def test_the_buffer_clear_command_is_known_by_all_its_fixed_bytes() -> None:
    good = bytes.fromhex("10 14 08 01 03 14 01 06 02 08")
    assert [c.op for c in RealTimeScanner().feed(good)] == [Op.DLE_DC4]
    assert RealTimeScanner().feed(good[:-1] + b"\x09") == []
