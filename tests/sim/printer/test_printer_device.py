from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.escpos import (
    ReceiptContent,
    completion_query,
    decode_asb,
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
    DrawerKicked,
    Printer,
    PrinterEvent,
    PrinterProfile,
    Surprise,
    WentOffline,
    WentOnline,
)

SECOND = 1_000_000


class Rig:
    """A printer and its host in one: every timer fires on time, every reply is kept with its time."""

    def __init__(self, profile: PrinterProfile = CHINESE_80MM) -> None:
        self.events: list[PrinterEvent] = []
        self.printer = Printer(profile, self.events.append)
        self.replies: list[tuple[int, bytes]] = []
        self.now_us = 0

    def drain(self) -> None:
        for outgoing in self.printer.data_to_send(self.now_us):
            self.replies.append((self.now_us, outgoing.data))

    def send(self, data: bytes) -> None:
        self.printer.receive_data(data, self.now_us)
        self.drain()

    def run(self, until_us: int | None = None) -> None:
        """Fire timers until an instant, or until none is left."""
        while (due := self.printer.next_timer()) is not None and (until_us is None or due <= until_us):
            self.now_us = max(self.now_us, due)
            self.printer.handle_timer(self.now_us)
            self.drain()
        if until_us is not None:
            self.now_us = max(self.now_us, until_us)

    def status(self) -> object:
        self.replies.clear()
        self.send(status_query())
        return decode_status(b"".join(data for _, data in self.replies))

    @property
    def texts(self) -> list[str]:
        return [receipt.text for receipt in self.printer.receipts]


def lines(*texts: str) -> bytes:
    return b"".join(text.encode("gb18030") + b"\n" for text in texts)


CUT = b"\x1dVB\x00"
LINE_US = 25_000
"""30 dots of 0.125 mm at 150 mm/s."""


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


# -- paper end --------------------------------------------------------------------------------------------------------


def test_at_paper_end_the_line_in_progress_ends_and_the_rest_waits() -> None:
    rig = Rig()
    rig.send(lines("一", "二", "三", "四") + CUT)
    rig.run(LINE_US + 10_000)
    rig.printer.paper_out(rig.now_us)
    rig.run(60 * SECOND)
    assert rig.printer.unfinished is not None
    assert rig.printer.unfinished.text == "一\n二"
    assert not rig.printer.idle
    rig.printer.load_paper(now_us=rig.now_us)
    rig.run()
    (receipt,) = rig.printer.receipts
    assert receipt.text == "一\n二\n三\n四"
    assert [(i.kind, i.after_line) for i in receipt.interruptions] == [("paper_end", 2)]
    assert not receipt.whole
    offline = [event for event in rig.events if isinstance(event, WentOffline | WentOnline)]
    assert offline == [WentOffline(LINE_US + 10_000, ("paper end",)), WentOnline(60 * SECOND)]


@settings(max_examples=60)
@given(stops=st.lists(st.tuples(st.integers(0, 900_000), st.sampled_from(["paper", "cover"])), max_size=6))
def test_nothing_is_lost_or_doubled_whatever_the_operator_does(stops: list[tuple[int, str]]) -> None:
    wanted = [f"第{n}行 line {n}" for n in range(25)]
    rig = Rig()
    rig.send(lines(*wanted) + CUT)
    for at_us, what in sorted(stops):
        rig.run(rig.now_us + at_us // 6)
        if what == "paper":
            rig.printer.paper_out(rig.now_us)
            rig.run(rig.now_us + SECOND)
            rig.printer.load_paper(now_us=rig.now_us)
        else:
            rig.printer.open_cover(rig.now_us)
            rig.run(rig.now_us + SECOND)
            rig.printer.close_cover(rig.now_us)
    rig.run()
    assert rig.texts == ["\n".join(wanted)]
    assert rig.printer.idle


@pytest.mark.requirement("prn.near-end-warns")
def test_a_roll_runs_out_by_itself_after_a_near_end_warning() -> None:
    rig = Rig(replace(CHINESE_80MM, roll_mm=100, near_end_mm=50))
    rig.send(lines(*["x"] * 40))
    rig.run(13 * LINE_US)
    assert not decode_status(query(rig)).paper_near_end
    rig.run(14 * LINE_US)
    status = decode_status(query(rig))
    assert status.paper_near_end
    assert status.ready
    rig.run()
    status = decode_status(query(rig))
    assert status.paper_end
    assert not status.ready
    assert rig.printer.unfinished is not None
    assert len(rig.printer.unfinished.lines) == 27  # 27 x 3.75 mm: the line in progress ends on the tail
    assert rig.printer.paper_left_mm == 0


def query(rig: Rig) -> bytes:
    rig.replies.clear()
    rig.send(status_query())
    return b"".join(data for _, data in rig.replies)


# -- cover, cutter, power -----------------------------------------------------------------------------------------------


def test_a_cover_opened_in_mid_line_is_an_error_that_closing_clears() -> None:
    rig = Rig()
    rig.send(lines("一", "二"))
    rig.run(LINE_US + 5_000)
    rig.printer.open_cover(rig.now_us)
    status = decode_status(query(rig))
    assert (status.cover_open, status.auto_recoverable_error, status.ready) == (True, True, False)
    rig.run(SECOND)
    assert rig.printer.unfinished is not None
    assert rig.printer.unfinished.text == "一"
    rig.printer.close_cover(rig.now_us)
    rig.run()
    assert rig.printer.unfinished.text == "一\n二"
    assert decode_status(query(rig)).ready


def test_a_model_that_loses_the_line_loses_just_that_line() -> None:
    rig = Rig(replace(CHINESE_80MM, cover_open_line="lost"))
    rig.send(lines("一", "二", "三"))
    rig.run(LINE_US + 5_000)
    rig.printer.open_cover(rig.now_us)
    rig.printer.close_cover(rig.now_us)
    rig.run()
    assert rig.printer.unfinished is not None
    assert rig.printer.unfinished.text == "一\n三"


def test_an_idle_printer_with_its_cover_open_is_offline_without_error() -> None:
    rig = Rig()
    rig.printer.open_cover(0)
    assert query(rig) == b"\x1a\x16\x12\x12"


@pytest.mark.parametrize(("recovery", "texts"), [(1, ["一", "二"]), (2, [])])
def test_a_cutter_jam_needs_the_hand_and_the_host(recovery: int, texts: list[str]) -> None:
    rig = Rig()
    rig.printer.jam_cutter(0)
    rig.send(lines("一") + CUT + lines("二") + CUT)
    rig.run()
    status = decode_status(query(rig))
    assert (status.cutter_error, status.ready) == (True, False)
    rig.send(bytes((0x10, 0x05, recovery)))
    rig.run()
    assert not rig.printer.receipts  # the jam is still there
    rig.printer.clear_jam(rig.now_us)
    rig.run()
    assert decode_status(query(rig)).cutter_error
    rig.send(bytes((0x10, 0x05, recovery)))
    rig.run()
    assert decode_status(query(rig)).ready
    assert rig.texts == texts


def test_power_loss_forgets_what_was_not_printed_and_keeps_the_paper() -> None:
    rig = Rig()
    rig.send(lines("一", "二", "三") + CUT)
    rig.run(2 * LINE_US + 1)
    rig.printer.power_off(rig.now_us)
    rig.run()
    rig.send(lines("lost"))
    assert rig.replies == []
    rig.printer.power_on(rig.now_us)
    started_us = rig.now_us
    assert isinstance(rig.events[-1], WentOffline | DataDiscarded)
    rig.run()
    assert rig.now_us == started_us + CHINESE_80MM.start_up_us
    assert isinstance(rig.events[-1], WentOnline)
    rig.send(lines("again") + CUT)
    rig.run()
    (receipt,) = rig.printer.receipts
    assert receipt.text == "一\n二\nagain"
    assert [i.kind for i in receipt.interruptions] == ["power_off"]
    assert rig.printer.discarded_bytes >= len(lines("lost"))


def test_what_hangs_out_can_be_torn_off() -> None:
    rig = Rig()
    rig.printer.tear_off(0)
    assert not rig.printer.receipts
    rig.send(lines("一"))
    rig.run()
    rig.printer.tear_off(rig.now_us)
    assert rig.printer.receipts[0].end == "torn"
    assert not rig.printer.receipts[0].whole


# -- status ---------------------------------------------------------------------------------------------------------------


def test_real_time_status_is_answered_while_offline_and_ahead_of_the_buffer() -> None:
    rig = Rig()
    rig.printer.paper_out(0)
    rig.send(lines("一", "二"))
    assert query(rig) == b"\x1a\x32\x12\x7e"
    assert rig.printer.unfinished is None


def test_a_buffered_status_request_hangs_at_paper_end_and_answers_when_all_is_printed() -> None:
    rig = Rig()
    rig.send(lines("一", "二") + CUT + completion_query())
    rig.run(LINE_US + 1)
    rig.printer.paper_out(rig.now_us)
    rig.run(100 * SECOND)
    assert rig.replies == []
    rig.printer.load_paper(now_us=rig.now_us)
    rig.run()
    ((at_us, answer),) = rig.replies
    assert answer == b"\x00"
    assert at_us == rig.printer.receipts[0].ended_us


def test_a_process_id_comes_back_when_the_job_is_done() -> None:
    rig = Rig()
    rig.send(lines("一") + b"\x1d(H\x06\x0000ABCD")
    rig.run()
    assert rig.replies == [(LINE_US, b"\x37\x22ABCD\x00")]


def test_automatic_status_reports_every_change_of_what_is_watched() -> None:
    rig = Rig()
    rig.send(b"\x1da\xff")
    rig.printer.open_cover(0)
    rig.run()
    rig.printer.close_cover(0)
    rig.run()
    rig.send(b"\x1b@")
    rig.printer.open_cover(0)
    rig.run()
    reports = [decode_asb(data) for _, data in rig.replies]
    assert [(r.cover_open, r.reported_offline) for r in reports] == [
        (False, False),
        (True, True),
        (False, False),
    ]


def test_replies_can_be_gathered_into_one_segment() -> None:
    rig = Rig(replace(CHINESE_80MM, reply_coalesce_us=10_000))
    for byte in status_query():
        rig.send(bytes((byte,)))
        rig.run(rig.now_us + 500)
    rig.run()
    assert [len(data) for _, data in rig.replies] == [4]


def test_identity() -> None:
    rig = Rig(EPSON_80MM_ETHERNET)
    rig.send(b"\x1dI\x01\x1dIB\x1dIC")
    assert b"".join(data for _, data in rig.replies) == b"\x63\x5fEPSON\x00\x5fTM-T20III\x00"


def test_the_pattern_of_a_status_request_inside_an_image_is_obeyed_too() -> None:
    rig = Rig()
    rig.send(b"\x1dv0\x00\x03\x00\x01\x00\x10\x04\x01")
    rig.run()
    assert rig.replies == [(0, b"\x12")]
    assert rig.printer.unfinished is not None


def test_the_drawer() -> None:
    rig = Rig()
    rig.send(b"\x1bp\x00\x32\x32" + b"\x10\x14\x01\x01\x03")
    assert [event for event in rig.events if isinstance(event, DrawerKicked)] == [
        DrawerKicked(0, 5, 300),  # the real-time pulse overtakes the buffered one
        DrawerKicked(0, 2, 100),
    ]
    assert decode_status(query(rig)).drawer_high
    rig.printer.close_drawer(0)
    assert not decode_status(query(rig)).drawer_high


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
