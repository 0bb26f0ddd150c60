"""What the printer answers: real-time and buffered status, automatic status, identity."""

from __future__ import annotations

from dataclasses import replace

from protocols.escpos import (
    completion_query,
    decode_asb,
    decode_status,
    status_query,
)
from sim.printer import (
    CHINESE_80MM,
    EPSON_80MM_ETHERNET,
    DrawerKicked,
)

from .printer_rig import CUT, LINE_US, SECOND, Rig, lines, query

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
