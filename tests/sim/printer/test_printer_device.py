"""The printer as a machine: speed, buffers, whole receipts."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.escpos import (
    ReceiptContent,
    decode_status,
    read_receipt,
    receipt_bytes,
    status_query,
)
from protocols.sansio import Machine
from sim.printer import (
    CHINESE_80MM,
    EPSON_80MM_ETHERNET,
    EPSON_80MM_SERIAL,
    DataDiscarded,
    Printer,
    PrinterProfile,
    Surprise,
)

from .printer_rig import CUT, LINE_US, SECOND, Rig, lines, query


def test_it_is_a_machine() -> None:
    assert isinstance(Printer(), Machine)


# -- time -----------------------------------------------------------------------------------------------------------


def test_lines_come_out_one_by_one_at_the_speed_of_the_paper() -> None:
    rig = Rig()
    rig.send(lines("一", "二", "三"))
    assert rig.printer.unfinished is None
    rig.run(LINE_US - 1)
    assert rig.printer.unfinished is None
    rig.run(LINE_US)
    assert rig.printer.unfinished is not None
    assert rig.printer.unfinished.text == "一"
    rig.run(3 * LINE_US)
    assert rig.printer.unfinished.text == "一\n二\n三"
    assert rig.printer.next_timer() is None


def test_a_late_timer_does_not_stretch_the_print() -> None:
    rig = Rig()
    rig.send(lines("一", "二") + CUT)
    rig.printer.handle_timer(60 * SECOND)
    (receipt,) = rig.printer.receipts
    # two lines, 15 mm past the cutter at 150 mm/s, and the cut
    assert (receipt.started_us, receipt.ended_us) == (LINE_US, 2 * LINE_US + 100_000 + 350_000)


def test_a_receipt_of_forty_lines_takes_its_second() -> None:
    rig = Rig()
    rig.send(lines(*["x"] * 40) + CUT)
    rig.run()
    assert rig.printer.receipts[0].ended_us == 40 * LINE_US + 100_000 + 350_000


def test_time_of_arrival_counts_after_a_pause() -> None:
    rig = Rig()
    rig.send(lines("一"))
    rig.run(10 * SECOND)
    rig.send(lines("二"))
    rig.run()
    assert rig.now_us == 10 * SECOND + LINE_US


# -- buffers ----------------------------------------------------------------------------------------------------------------


def test_a_network_printer_closes_its_window_and_loses_nothing() -> None:
    rig = Rig()
    wanted = [f"line {n:04d} " + "x" * 30 for n in range(1500)]
    job = lines(*wanted) + CUT
    rig.printer.paper_out(0)
    sent = 0
    while rig.printer.can_receive:
        window = rig.printer.receive_window
        rig.send(job[sent : sent + window])
        sent += window
    assert 16_384 <= sent < 16_384 + 4096
    assert rig.printer.busy
    assert decode_status(query_ahead(rig)).paper_end  # status still gets through on this model
    rig.printer.load_paper(now_us=0)
    while sent < len(job) or not rig.printer.idle:
        rig.run(rig.now_us + LINE_US)
        window = rig.printer.receive_window
        if window and sent < len(job):
            rig.send(job[sent : sent + window])
            sent += window
    assert rig.texts == ["\n".join(wanted)]
    assert rig.printer.discarded_bytes == 0


def query_ahead(rig: Rig) -> bytes:
    rig.replies.clear()
    rig.printer.receive_data(status_query(), rig.now_us)
    rig.drain()
    return b"".join(data for _, data in rig.replies)


def test_a_serial_printer_discards_what_does_not_fit() -> None:
    rig = Rig(EPSON_80MM_SERIAL)
    rig.printer.paper_out(0)
    rig.send(b"x" * 3967)
    assert not rig.printer.busy
    rig.send(b"x")
    assert rig.printer.busy
    assert not rig.printer.can_receive
    rig.send(b"x" * 200)
    assert rig.printer.discarded_bytes == 3968 + 200 - 4096
    assert any(isinstance(event, DataDiscarded) for event in rig.events)
    assert decode_status(query(rig)).paper_end


def test_an_epson_board_passes_nothing_while_the_printer_is_offline_unless_forced() -> None:
    rig = Rig(EPSON_80MM_ETHERNET)
    rig.send(b"\x1b@")  # switches the board's automatic status off
    rig.printer.paper_out(0)
    assert query(rig) == b""
    rig.printer.forced_transmission(True, 0)
    rig.run()
    assert [data for _, data in rig.replies] == [b"\x1a\x32\x12\x7e"]


def test_forced_transmission_with_a_full_buffer_loses_no_print_data() -> None:
    rig = Rig(EPSON_80MM_ETHERNET)
    rig.printer.paper_out(0)
    rig.printer.forced_transmission(True, 0)
    wanted = ["y" * 40] * 200
    rig.send(lines(*wanted))
    assert query(rig) == b"\x1a\x32\x12\x7e"
    rig.printer.load_paper(now_us=0)
    rig.run()
    assert rig.printer.unfinished is not None
    assert rig.printer.unfinished.text == "\n".join(wanted)


def test_the_buffer_clear_command_forgets_the_job() -> None:
    rig = Rig()
    rig.printer.paper_out(0)
    rig.send(lines("一", "二"))
    rig.send(bytes.fromhex("10 14 08 01 03 14 01 06 02 08"))
    rig.printer.load_paper(now_us=0)
    rig.run()
    assert rig.printer.unfinished is None
    assert b"\x37\x25\x00" in [data for _, data in rig.replies]


@pytest.mark.parametrize(
    "profile", [CHINESE_80MM, EPSON_80MM_SERIAL, replace(EPSON_80MM_ETHERNET, busy_when="full")]
)
@pytest.mark.parametrize("size", [1, 3, 7, 20_000])
def test_a_buffer_clear_forgets_what_came_before_it_and_nothing_that_comes_after(
    profile: PrinterProfile, size: int
) -> None:
    rig = Rig(profile)
    rig.printer.open_cover(0)
    job = b"gone\n" * 40 + bytes.fromhex("10 14 08 01 03 14 01 06 02 08") + b"kept\n"
    for at in range(0, len(job), size):
        rig.send(job[at : at + size])
    rig.printer.close_cover(0)
    rig.run()
    assert rig.printer.unfinished is not None
    assert rig.printer.unfinished.text == "kept"
    assert rig.printer.surprises == []


def test_what_still_lies_on_the_board_is_forgotten_as_well() -> None:
    rig = Rig()
    rig.printer.paper_out(0)
    rig.send(b"gone\n" * 3000)
    rig.send(bytes.fromhex("10 14 08 01 03 14 01 06 02 08"))
    assert rig.printer.buffered_bytes == 0
    rig.send(b"kept\n")
    rig.printer.load_paper(now_us=0)
    rig.run()
    assert rig.printer.unfinished is not None
    assert rig.printer.unfinished.text == "kept"


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_noise_never_breaks_it(noise: bytes, cuts: list[int]) -> None:
    rig = Rig()
    edges = [0, *sorted(min(cut, len(noise)) for cut in cuts), len(noise)]
    for start, end in itertools.pairwise(edges):
        rig.send(noise[start:end])
    rig.run(100 * SECOND)
    rig.printer.power_off(rig.now_us)
    rig.printer.power_on(rig.now_us)
    rig.run()
    rig.printer.tear_off(rig.now_us)
    rig.send(lines("ok") + CUT)
    rig.run()
    assert rig.texts[-1] == "ok"


# -- whole receipts ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("prn.receipt-content-equals-ledger")
def test_a_receipt_reads_back_from_paper(content: ReceiptContent) -> None:
    rig = Rig()
    rig.send(receipt_bytes(content) + receipt_bytes(content, 2))
    rig.run()
    first, second = (read_receipt(text) for text in rig.texts)
    assert (first.volume_ml, first.amount_fen, first.sequence, first.reprint) == (12_290, 9598, 107, 0)
    assert second.reprint == 2
    assert rig.printer.receipts[0].qr_codes == (content.qr_text.encode(),)
    assert rig.printer.receipts[0].whole
    assert not rig.printer.surprises


@pytest.mark.requirement("prn.paper-out-reprints-whole-with-mark")
def test_paper_out_at_every_line_then_a_marked_reprint(content: ReceiptContent) -> None:
    whole = Rig()
    whole.send(receipt_bytes(content))
    whole.run()
    last_us = whole.now_us
    for at_us in range(0, last_us, last_us // 20):
        rig = Rig()
        rig.send(receipt_bytes(content, confirm=True))
        rig.run(at_us)
        rig.printer.paper_out(rig.now_us)
        rig.run(rig.now_us + SECOND)
        rig.printer.load_paper(now_us=rig.now_us)
        rig.run()
        rig.send(receipt_bytes(content, 1, confirm=True))
        rig.run()
        assert [read_receipt(text).reprint for text in rig.texts] == [0, 1]
        assert {read_receipt(text).sequence for text in rig.texts} == {107}


def test_equal_jobs_give_equal_receipts_at_equal_times(content: ReceiptContent) -> None:
    def once(step: int) -> object:
        rig = Rig()
        job = receipt_bytes(content)
        for at in range(0, len(job), step):
            rig.send(job[at : at + step])
        rig.run()
        return rig.printer.receipts

    assert once(1) == once(7) == once(10_000)


def test_controls_wake_the_host() -> None:
    printer = Printer()
    woken: list[str] = []
    printer.on_wake = lambda: woken.append("woken")
    controls: list[Callable[[], None]] = [
        printer.paper_out,
        printer.load_paper,
        printer.open_cover,
        printer.close_cover,
        printer.power_off,
        printer.power_on,
    ]
    for control in controls:
        control()
    assert len(woken) == 6
    with pytest.raises(ValueError, match="roll"):
        printer.load_paper(0)


@pytest.mark.parametrize(
    "wrong", [{"speed_mm_s": 0}, {"width_dots": -1}, {"receive_buffer_bytes": 100}, {"ready_left_bytes": 10}]
)
def test_impossible_profiles_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="printer profile"):
        replace(CHINESE_80MM, **wrong)


def test_surprises_are_kept_with_their_offset_and_bounded() -> None:
    rig = Rig()
    rig.send(b"abc\x1b5\n")
    rig.run()
    (surprise,) = rig.printer.surprises
    assert isinstance(surprise, Surprise)
    assert surprise.offset == 3
    rig.send(b"\x1b5" * 5000)
    assert len(rig.printer.surprises) == 1000
