"""The printer without paper, with its cover open, jammed, without power."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.escpos import (
    decode_status,
)
from sim.printer import (
    CHINESE_80MM,
    DataDiscarded,
    WentOffline,
    WentOnline,
)

from .printer_rig import CUT, LINE_US, SECOND, Rig, lines, query

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
