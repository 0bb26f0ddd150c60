"""Errors and their recovery, the buttons, the near-end switch, and automatic status about all of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.escpos import decode_asb, decode_status
from sim.printer import CHINESE_80MM, EPSON_80MM_ETHERNET, PROFILES, WentOffline, WentOnline

from .printer_rig import CUT, LINE_US, SECOND, Rig, lines, query

ESC, GS = b"\x1b", b"\x1d"


def test_a_hot_head_waits_and_goes_on_by_itself() -> None:
    rig = Rig()
    rig.send(lines("一", "二", "三") + CUT)
    rig.run(LINE_US + 5_000)
    rig.printer.overheat(10 * SECOND, rig.now_us)
    assert query(rig) == b"\x1a\x52\x52\x12"  # offline, error, auto-recoverable
    rig.run(5 * SECOND)
    assert rig.printer.unfinished is not None
    assert rig.printer.unfinished.text == "一\n二"  # the line under way has ended
    rig.send(b"\x10\x05\x01\x10\x05\x02")  # the host can do nothing about it
    assert decode_status(query(rig)).auto_recoverable_error
    rig.run()
    assert query(rig) == b"\x12\x12\x12\x12"
    (receipt,) = rig.printer.receipts
    assert receipt.text == "一\n二\n三"
    assert [each.kind for each in receipt.interruptions] == ["head_hot"]
    started_us = LINE_US + 5_000 + 10 * SECOND
    assert receipt.ended_us == started_us + LINE_US + 100_000 + 350_000
    assert [type(event) for event in rig.events if isinstance(event, WentOffline | WentOnline)] == [
        WentOffline,
        WentOnline,
    ]


def test_a_late_host_sees_a_head_that_cooled_in_between() -> None:
    rig = Rig()
    rig.send(lines("一", "二"))
    rig.printer.overheat(SECOND, 0)
    rig.printer.handle_timer(100 * SECOND)
    assert rig.printer.unfinished is not None
    assert rig.printer.unfinished.ended_us == SECOND + LINE_US
    with pytest.raises(ValueError, match="cools down"):
        rig.printer.overheat(0)


def test_a_broken_printer_needs_a_repair_and_power() -> None:
    rig = Rig()
    rig.send(lines("一", "二"))
    rig.run(LINE_US + 5_000)
    rig.printer.break_down(rig.now_us)
    assert query(rig) == b"\x1a\x52\x32\x12"
    for hopeless in (b"\x10\x05\x01", b"\x10\x05\x02"):
        rig.send(hopeless)
    rig.run(rig.now_us + 60 * SECOND)
    assert decode_status(query(rig)).unrecoverable_error
    rig.printer.power_off(rig.now_us)
    rig.printer.power_on(rig.now_us)
    rig.run()
    assert decode_status(query(rig)).unrecoverable_error  # nobody has mended it
    rig.printer.repair(rig.now_us)
    assert decode_status(query(rig)).unrecoverable_error
    rig.printer.power_off(rig.now_us)
    rig.printer.power_on(rig.now_us)
    rig.run()
    assert decode_status(query(rig)).ready
    rig.send(lines("三") + CUT)
    rig.run()
    assert rig.texts == ["一\n三"]
    assert [each.kind for each in rig.printer.receipts[0].interruptions] == [
        "broken",
        "power_off",
        "power_off",
    ]


def test_a_jam_that_is_still_there_shows_again_when_power_comes_back() -> None:
    rig = Rig()
    rig.printer.jam_cutter(0)
    rig.send(lines("一") + CUT)
    rig.run()
    assert decode_status(query(rig)).cutter_error
    for cleared in (False, True):
        if cleared:
            rig.printer.clear_jam(rig.now_us)
        rig.printer.power_off(rig.now_us)
        rig.printer.power_on(rig.now_us)
        rig.run()
        assert decode_status(query(rig)).cutter_error is not cleared


def test_newer_models_mark_a_cutter_error_as_recoverable() -> None:
    rig = Rig(replace(EPSON_80MM_ETHERNET, realtime_when_busy="always", busy_when="full", asb_at_power_on=0))
    rig.printer.jam_cutter(0)
    rig.send(b"x" + CUT)
    rig.run()
    assert query(rig) == b"\x3a\x52\x1e\x12"
    assert "cutter error" in decode_status(query(rig)).problems
    older = Rig()
    older.printer.jam_cutter(0)
    older.send(b"x" + CUT)
    older.run()
    assert query(older) == b"\x3a\x52\x1a\x12"


def test_the_feed_button_moves_paper_and_keeps_the_host_waiting() -> None:
    rig = Rig()
    rig.send(lines("一"))
    rig.run()
    assert rig.printer.press_feed(True, rig.now_us)
    assert query(rig) == b"\x5a\x1a\x12\x12"
    rig.send(lines("二"))
    rig.run(rig.now_us + 4 * LINE_US)
    assert rig.printer.unfinished is not None
    assert rig.printer.unfinished.text == "一"
    rig.printer.press_feed(False, rig.now_us)
    rig.run()
    # Four lines in the time, and the one that was under way when the button was let go.
    assert [line.feed_dots for line in rig.printer.unfinished.lines] == [30] * 7
    assert rig.printer.unfinished.text == "一" + "\n" * 6 + "二"


def test_buttons_can_be_switched_off() -> None:
    rig = Rig()
    rig.send(ESC + b"c5\x01")
    assert not rig.printer.press_feed(True, 0)
    assert decode_status(query(rig)).ready
    rig.send(ESC + b"@")
    assert rig.printer.press_feed(True, 0)


def test_the_near_end_sensor_stops_printing_where_the_host_wants_it() -> None:
    short = replace(CHINESE_80MM, roll_mm=60, near_end_mm=50)
    rig = Rig(short)
    rig.send(ESC + b"c4\x03" + lines(*"abcdef"))
    rig.run()
    assert rig.printer.unfinished is not None
    assert rig.printer.unfinished.text == "a\nb\nc"  # 10 mm: the line under way ends
    assert query(rig) == b"\x1a\x32\x12\x1e"
    assert rig.printer.paper_left_mm > 40
    rig.printer.load_paper(1000, rig.now_us)
    rig.run()
    assert rig.printer.unfinished.text.splitlines()[-1] == "f"
    without = Rig(replace(short, near_end_mm=0))
    without.printer.load_paper(20, 0)
    assert query(without) == b"\x12\x12\x12\x12"
    without.printer.paper_out(0)
    assert query(without)[3:] == b"\x72"  # end, and no near-end sensor to say so too


WATCHED = [
    (0x01, lambda p: p.close_drawer(0), False),
    (0x02, lambda p: p.open_cover(0), True),
    (0x04, lambda p: p.open_cover(0), False),
    (0x08, lambda p: p.open_cover(0), False),
    (0x04, lambda p: p.overheat(None, 0), True),
    (0x08, lambda p: p.overheat(None, 0), False),
    (0x02, lambda p: p.overheat(None, 0), True),  # it goes offline as well
    (0x08, lambda p: p.load_paper(10, 0), True),
    (0x02, lambda p: p.load_paper(10, 0), False),  # near end: still online
    (0x08, lambda p: p.paper_out(0), True),
    (0x04, lambda p: p.break_down(0), True),
    (0x02, lambda p: p.press_feed(True, 0), True),
    (0x01, lambda p: p.paper_out(0), False),
]


@pytest.mark.parametrize(("enabled", "happens", "told"), WATCHED)
def test_automatic_status_comes_at_once_and_then_only_for_what_is_watched(
    enabled: int, happens: object, told: bool
) -> None:
    rig = Rig()
    rig.send(GS + b"a" + bytes((enabled,)))
    assert [len(data) for _, data in rig.replies] == [4]
    rig.replies.clear()
    happens(rig.printer)  # type: ignore[operator]
    rig.drain()
    assert bool(rig.replies) is told
    assert all(decode_asb(data) for _, data in rig.replies)


def test_the_drawer_reports_itself_and_the_last_byte_is_the_boards() -> None:
    rig = Rig(PROFILES["chinese-80mm-gb2312"])
    rig.send(GS + b"a\x01" + ESC + b"p\x00\x32\x32")
    rig.run()
    said = b"".join(data for _, data in rig.replies)
    assert said == b"\x10\x00\x00\x0f" + b"\x14\x00\x00\x0f"
    rig.replies.clear()
    rig.send(b"\x10\x14\x07\x01")  # asked for in real time
    rig.run()
    assert rig.replies[-1][1] == b"\x14\x00\x00\x0f"


def test_automatic_status_is_off_after_initialise_and_after_power() -> None:
    rig = Rig()
    rig.send(GS + b"a\xff")
    rig.printer.power_off(0)
    rig.printer.power_on(0)
    rig.run()
    rig.replies.clear()
    rig.printer.open_cover(rig.now_us)
    rig.run()
    assert rig.replies == []


FAULTS = ["paper", "cover", "heat", "jam", "feed"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1_200_000), st.sampled_from(FAULTS)), max_size=6))
def test_nothing_is_lost_or_doubled_by_any_error_that_can_be_recovered(faults: list[tuple[int, str]]) -> None:
    wanted = [f"第{n}行" for n in range(20)]
    rig = Rig()
    rig.send(lines(*wanted) + CUT)
    for wait_us, fault in faults:
        rig.run(rig.now_us + wait_us // 4)
        printer, now_us = rig.printer, rig.now_us
        if fault == "paper":
            printer.paper_out(now_us)
            rig.run(now_us + SECOND)
            printer.load_paper(now_us=rig.now_us)
        elif fault == "cover":
            printer.open_cover(now_us)
            rig.run(now_us + SECOND)
            printer.close_cover(rig.now_us)
        elif fault == "heat":
            printer.overheat(3 * SECOND, now_us)
        elif fault == "jam":
            printer.jam_cutter(now_us)
            rig.run(now_us + SECOND)
            printer.clear_jam(rig.now_us)
            rig.send(b"\x10\x05\x01")
        else:
            printer.press_feed(True, now_us)
            rig.run(now_us + 2 * LINE_US)
            printer.press_feed(False, rig.now_us)
    rig.run()
    assert len(rig.printer.receipts) == 1
    assert rig.printer.receipts[0].text.split() == wanted
    assert rig.printer.idle
    assert rig.printer.condition == type(rig.printer.condition)()
