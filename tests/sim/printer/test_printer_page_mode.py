"""Page mode: a page is put together in any direction and printed in one piece."""

from __future__ import annotations

import pytest

from sim.printer import (
    PageBlock,
    PrintedLine,
    Printer,
    TextLine,
)

from .printer_paper import BLOCK, ESC, GS, ink, printed, symbols, word
from .printer_rig import CUT

# -- page mode --------------------------------------------------------------------------------------------------------------


def page(*parts: bytes, area: tuple[int, int, int, int] = (0, 0, 400, 200)) -> bytes:
    return ESC + b"L" + ESC + b"W" + b"".join(word(value) for value in area) + b"".join(parts)


@pytest.mark.parametrize(
    ("direction", "box"),
    [
        (0, (100, 50, 108, 58)),
        (1, (100, 242, 108, 250)),
        (2, (492, 242, 500, 250)),
        (3, (492, 50, 500, 58)),
    ],
)
def test_page_mode_begins_in_the_corner_of_its_direction(
    direction: int, box: tuple[int, int, int, int]
) -> None:
    receipt, surprises = printed(
        page(ESC + b"T" + bytes((direction,)), BLOCK, b"\x0c", area=(100, 50, 400, 200))
    )
    assert surprises == []
    assert ink(receipt) == box
    assert receipt.lines[0].feed_dots == 250


def test_a_page_is_printed_in_one_piece_with_text_in_two_directions() -> None:
    job = page(
        b"across\n",
        GS + b"$" + word(100) + ESC + b"$" + word(120) + b"here\n",
        ESC + b"T\x01" + b"up\n",
        b"\x0c",
    )
    receipt, surprises = printed(job + b"after\n")
    assert surprises == []
    block, after = receipt.lines
    assert isinstance(block, PageBlock)
    assert [(item.x, item.y, item.turns) for item in block.items] == [(0, 0, 0), (0, 100, 0), (0, 176, 1)]
    assert receipt.text.split("\n") == ["across", " " * 10 + "here", "up", "after"]
    assert isinstance(after, TextLine)


def test_symbols_on_a_page_read_back() -> None:
    qr = GS + b"(k\x03\x001C\x05" + GS + b"(k\x09\x001P0turned" + GS + b"(k\x03\x001Q0"
    job = page(ESC + b"T\x03", qr, GS + b"\\" + word(60), GS + b"w\x02", GS + b"k\x49\x08{BKM0107", b"\x0c")
    assert symbols(job + CUT) == {"QRCode": "turned", "Code128": "KM0107"}
    assert printed(job + CUT)[0].qr_codes == (b"turned",)


def test_a_page_can_be_printed_again_cleared_and_left() -> None:
    twice, _ = printed(page(b"a\n", ESC + b"\x0c" + ESC + b"\x0c" + ESC + b"S"))
    assert [line_items(line) for line in twice.lines] == [1, 1]
    cleared, _ = printed(page(b"a\n", b"\x18", b"b\n", b"\x0c"))
    assert cleared.text == "b"
    left, _ = printed(page(b"gone\n", ESC + b"S") + b"kept\n")
    assert left.text == "kept"
    nothing, _ = printed(page(b"\x0c") + b"kept\n")
    assert nothing.text == "kept"


def line_items(line: PrintedLine) -> int:
    assert isinstance(line, PageBlock)
    return len(line.items)


def test_what_page_mode_forbids_is_told() -> None:
    for data, reason in (
        (page(GS + b"VB\x00", b"\x0c"), "cut in page mode"),
        (b"x" + ESC + b"L" + b"\n", "ESC L in mid-line"),
        (page(b"", area=(700, 0, 10, 10)), "no such area"),
        (GS + b"$" + word(1), "GS $ in standard mode"),
    ):
        assert reason in printed(data + ESC + b"Sok\n")[1][0]


def test_without_an_area_a_page_is_as_high_as_what_is_on_it() -> None:
    receipt, _ = printed(ESC + b"L" + b"a\nb\n\x0c")
    assert receipt.lines[0].feed_dots == 60


def test_power_takes_the_page_and_everything_on_it() -> None:
    printer = Printer()
    printer.receive_data(page(b"lost\n"), 0)
    printer.power_off(0)
    printer.power_on(0)
    printer.handle_timer(10_000_000)
    printer.receive_data(b"\x0cplain\n", 10_000_000)
    printer.handle_timer(20_000_000)
    assert printer.unfinished is not None
    assert printer.unfinished.text == "plain"
