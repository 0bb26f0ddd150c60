"""The rest of the command set: places, page mode, the host's own characters, stored images, codes, buzzer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sim.printer import (
    CHINESE_80MM,
    EPSON_80MM_ETHERNET,
    EPSON_80MM_SERIAL,
    PROFILES,
    BlankLine,
    Buzzed,
    PrinterProfile,
    RasterLine,
    TextLine,
    render_receipt,
)

from .printer_paper import BLOCK, ESC, FS, GS, MARGIN, ink, only, printed, word
from .printer_rig import Rig

# -- places -----------------------------------------------------------------------------------------------------------------


def test_left_margin_and_print_area_move_and_wrap_the_text() -> None:
    area = GS + b"L" + word(120) + GS + b"W" + word(240)
    receipt, surprises = printed(area + b"x" * 25 + b"\n" + ESC + b"a\x02r\n")
    assert surprises == []
    assert receipt.text.split("\n") == [" " * 10 + "x" * 20, " " * 10 + "x" * 5, " " * 29 + "r"]
    assert ink(printed(area + BLOCK + ESC + b"a\x01" + BLOCK)[0]) == (120, 0, 244, 16)
    # An area that the paper does not have ends with the paper.
    wide, _ = printed(GS + b"L" + word(480) + GS + b"W" + word(999) + b"x" * 9 + b"\n")
    assert wide.text.split("\n") == [" " * 40 + "x" * 8, " " * 40 + "x"]


def test_a_margin_in_mid_line_has_no_effect() -> None:
    receipt, surprises = printed(b"a" + GS + b"L" + word(120) + b"b\n")
    assert receipt.text == "ab"
    assert surprises == ["GS L in mid-line has no effect"]


def test_motion_units_of_a_360th_of_an_inch() -> None:
    """On a printer of 180 dots an inch, two units are a dot."""
    units = GS + b"P\xb4\xb4"  # 180
    receipt, _ = printed(units + GS + b"L" + word(90) + b"a\n" + ESC + b"J\x5a", EPSON_80MM_SERIAL)
    text, blank = receipt.lines
    assert isinstance(text, TextLine)
    assert (text.left_dots, blank.feed_dots) == (90, 90)
    half = GS + b"P\x00\xff" + ESC + b"J\xff"  # 255 units of a 255th: an inch
    assert only(half, BlankLine, CHINESE_80MM).feed_dots == 203


def test_positions_to_the_dot_backwards_and_relative() -> None:
    at_100, _ = printed(ESC + b"$" + word(100) + b"|" + b"\n")
    assert at_100.lines[0].width_dots == 112
    back, _ = printed(b"ab" + ESC + b"\\" + word(-24) + b"_\n")
    assert back.text == "ab_"
    assert back.lines[0].width_dots == 12 * 3 - 24
    assert ink(back)[2] <= 24  # printed over the first letter
    refused, surprises = printed(b"a" + ESC + b"\\" + word(-13) + b"b\n")
    assert refused.text == "ab"
    assert "would leave" in surprises[0]


def test_tabs_count_characters_of_the_size_in_which_they_were_set() -> None:
    wide = GS + b"!\x10" + ESC + b"D\x04\x08\x00" + GS + b"!\x00"
    assert printed(wide + b"\ta\tb\n")[0].text == " " * 8 + "a" + " " * 7 + "b"
    assert (
        printed(ESC + b"D\x04\x02\x00" + b"\ta\tb\n")[0].text == "    ab"
    )  # what does not ascend ends the list
    assert printed(ESC + b"D\x00" + b"\ta\n")[0].text == "a"


def test_spaces_between_characters() -> None:
    line = only(ESC + b" \x06" + b"ab" + "油".encode("gb18030") + b"\n", TextLine)
    assert [cell.before_dots for cell in line.cells] == [0, 6, 6]
    gaps = FS + b"S\x02\x04" + "油枪".encode("gb18030") + b"a\n"
    assert [cell.before_dots for cell in only(gaps, TextLine).cells] == [2, 6, 4]
    full, _ = printed(ESC + b" \x0c" + b"x" * 25 + b"\n")
    assert [len(cells) for cells in full.cells] == [24, 1]


def test_a_line_can_be_dropped_or_printed_before_it_is_full() -> None:
    assert printed(b"gone" + GS + b"T\x00" + b"a" + GS + b"T\x01" + b"b\n")[0].text == "a\nb"


# -- styles -----------------------------------------------------------------------------------------------------------------


def test_turned_characters_lie_on_their_side() -> None:
    line = only(ESC + b"V\x01" + b"ab" + ESC + b"V\x00" + b"c\n", TextLine)
    assert [(cell.width_dots, cell.height_dots) for cell in line.cells] == [(24, 12), (24, 12), (12, 24)]
    upright, turned = ink(printed(b"l\n")[0]), ink(printed(ESC + b"V\x01l\n")[0])
    assert upright[3] - upright[1] == turned[2] - turned[0]


def test_upside_down_lines_begin_at_the_right() -> None:
    receipt, _ = printed(ESC + b"{\x01" + b"ab\n" + ESC + b"{\x00" + b"c\n")
    assert [line.upside_down for line in receipt.lines if isinstance(line, TextLine)] == [True, False]
    assert receipt.text == "ab\nc"
    assert ink(printed(ESC + b"{\x01ab\n")[0])[0] >= 576 - 24


def test_countries_replace_twelve_characters() -> None:
    assert (
        printed(FS + b"." + ESC + b"R\x0f$5 " + ESC + b"R\x02[\\]~ " + ESC + b"R\x00[\n")[0].text
        == "¥5 ÄÖÜß ["
    )
    assert "no country 99" in printed(ESC + b"Rca\n")[1][0]


def test_chinese_underline_and_quad() -> None:
    data = (
        FS
        + b"!\x80"
        + "油".encode("gb18030")
        + FS
        + b"-\x00"
        + FS
        + b"W\x01"
        + "枪".encode("gb18030")
        + b"\n"
    )
    styles = [cell.style for cell in only(data, TextLine).cells]
    assert [(style.underline, style.width, style.height) for style in styles] == [(1, 1, 1), (0, 2, 2)]


# -- the host's own characters ------------------------------------------------------------------------------------------------


def test_a_character_of_the_host_is_drawn_dot_by_dot_where_it_is_selected() -> None:
    bar = b"\x02" + b"\xff" * 6  # two columns, all dark
    define = ESC + b"&\x03AB" + bar + bar
    plain, _ = printed(define + b"A\n")
    assert plain.lines[0].cells[0].drawn is None  # type: ignore[union-attr]
    receipt, surprises = printed(define + ESC + b"%\x01" + b"AC" + ESC + b"?A" + b"A\n")
    assert surprises == []
    cells = receipt.cells[0]
    assert [cell.drawn is not None for cell in cells] == [True, False, False]
    assert receipt.text == "ACA"
    picture = render_receipt(receipt)
    column = [picture.getpixel((MARGIN + x, MARGIN + y)) for x in (0, 1, 2) for y in (0, 23)]
    assert column == [0, 0, 0, 0, 255, 255]


def test_a_chinese_character_of_the_host() -> None:
    code = b"\xfe\xa1"
    data = FS + b"2" + code + b"\xff" * 72 + code + b"\n"
    (cell,) = only(data, TextLine).cells
    assert cell.columns == 2
    assert ink(printed(data)[0]) == (0, 0, 24, 24)
    gone = FS + b"2" + code + b"\xff" * 72 + FS + b"?" + code + code + b"\n"
    assert only(gone, TextLine).cells[0].drawn is None


def test_definitions_that_cannot_be_are_told() -> None:
    for data, reason in (
        (ESC + b"&\x02AA\x01\xff\xff", "3 bytes a column"),
        (ESC + b"&\x03AA\x0d" + b"\xff" * 39, "13 columns"),
        (FS + b"2\x41\x41" + b"\0" * 72, "no Chinese code"),
    ):
        assert reason in printed(data + b"ok\n")[1][0]


# -- images -----------------------------------------------------------------------------------------------------------------


def test_non_volatile_images_survive_initialise_and_power() -> None:
    store = FS + b"q\x02" + word(1) + word(1) + b"\xff" * 8 + word(2) + word(1) + b"\x80" * 16
    rig = Rig(replace(CHINESE_80MM, start_up_us=100))
    rig.send(ESC + b"a\x01" + store + ESC + b"@")
    rig.run()
    rig.printer.power_off(rig.now_us)
    rig.printer.power_on(rig.now_us)
    rig.run()
    rig.send(FS + b"p\x01\x00" + FS + b"p\x02\x03" + FS + b"p\x03\x00")
    rig.run()
    assert rig.printer.unfinished is not None
    first, second = rig.printer.unfinished.lines
    assert isinstance(first, RasterLine)
    assert isinstance(second, RasterLine)
    assert (first.rows, first.scale_x, first.align) == ((b"\xff",) * 8, 1, "left")
    assert (second.rows, second.scale_x, second.scale_y) == ((b"\xff\xff", *[b"\0\0"] * 7), 2, 2)
    assert [surprise.reason for surprise in rig.printer.surprises] == [
        "FS p 3 0: no such image; nothing is printed"
    ]


def test_storing_images_resets_the_modes() -> None:
    store = FS + b"q\x01" + word(1) + word(1) + b"\xff" * 8
    assert only(ESC + b"a\x01" + store + FS + b"p\x01\x00", RasterLine).align == "left"


def test_a_downloaded_image_lives_until_initialise() -> None:
    store = GS + b"*\x01\x01" + b"\x01" * 8
    assert only(store + GS + b"/\x00", RasterLine).rows == (*[b"\0"] * 7, b"\xff")
    receipt, surprises = printed(store + ESC + b"@" + GS + b"/\x00" + b"x\n")
    assert "no such image" in surprises[0]
    assert receipt.text == "x"


def graphics(function: int, body: bytes) -> bytes:
    return GS + b"(L" + word(len(body) + 2) + b"0" + bytes((function,)) + body


@pytest.mark.parametrize(("define", "show", "kept"), [(67, 69, True), (83, 85, False)])
def test_graphics_by_key(define: int, show: int, kept: bool) -> None:
    store = graphics(define, b"0A1\x01" + word(8) + word(8) + b"1" + b"\x81" * 8)
    columns = graphics(define + 1, b"0B1\x01" + word(8) + word(8) + b"1" + b"\xff" + b"\0" * 7)
    both = store + columns + graphics(show, b"A1\x02\x01") + graphics(show, b"B1\x01\x01")
    first, second = (line for line in printed(both)[0].lines if isinstance(line, RasterLine))
    assert (first.rows, first.scale_x, first.scale_y) == ((b"\x81",) * 8, 2, 1)
    assert second.rows == (b"\x80",) * 8
    after = printed(store + ESC + b"@" + graphics(show, b"A1\x01\x01") + b"x\n")
    assert ("never defined" in " ".join(after[1])) is not kept
    for forget in (graphics(define - 1, b"A1"), graphics(define - 2, b"CLR")):
        assert "never defined" in printed(store + forget + graphics(show, b"A1\x01\x01") + b"x\n")[1][0]


def test_graphics_that_announce_more_dots_than_they_bring_are_refused() -> None:
    for body in (
        graphics(112, b"0\x01\x011" + word(60_000) + word(60_000)),
        graphics(113, b"0\x01\x011" + word(60_000) + word(60_000)),
    ):
        receipt, surprises = printed(body + graphics(50, b"") + b"x\n")
        assert "are not in 0 bytes" in surprises[0]
        assert receipt.text == "x"


def test_eight_dot_columns_are_as_high_as_twenty_four() -> None:
    line = only(ESC + b"3\x00" + ESC + b"*\x00" + word(2) + b"\xff\xff\n", RasterLine)
    assert (line.scale_x, line.scale_y, line.feed_dots) == (2, 3, 24)


def test_columns_wait_in_the_line_for_its_end_and_leave_no_stripe_between_bands() -> None:
    """ESC * fills the print buffer like a character: LF prints it and feeds the line spacing or its height, not both."""
    band = ESC + b"*\x21" + word(8) + b"\xff" * 24 + b"\n"
    receipt, surprises = printed(ESC + b"3\x18" + band * 2 + ESC + b"2" + band)
    assert [line.feed_dots for line in receipt.lines if isinstance(line, RasterLine)] == [24, 24, 30]
    assert not surprises


def test_columns_stand_beside_text_and_beside_each_other_and_end_at_the_edge() -> None:
    columns = ESC + b"*\x21" + word(8) + b"\xff" * 24
    receipt, _ = printed(b"pump" + columns + columns + b"7\n")
    (line,) = (line for line in receipt.lines if isinstance(line, TextLine))
    assert line.text(576) == "pump[image][image]7"
    assert line.width_dots == 4 * 12 + 16 + 12
    wide = ESC + b"*\x21" + word(600) + b"\xff" * 1800
    receipt, _ = printed(b"x" * 47 + wide + b"\n")
    (line,) = (line for line in receipt.lines if isinstance(line, TextLine))
    assert line.cells[-1].width_dots == 16  # whole bytes of rows


# -- the rest ---------------------------------------------------------------------------------------------------------------


def test_the_buzzer() -> None:
    rig = Rig()
    rig.send(ESC + b"B\x02\x04" + ESC + b"(A\x04\x000\x31\x03\x05")
    assert [event for event in rig.events if isinstance(event, Buzzed)] == [
        Buzzed(0, 2, 200),
        Buzzed(0, 3, 500),
    ]
    assert "no buzzer" in printed(ESC + b"B\x02\x04x\n", PROFILES["chinese-58mm-serial"])[1][0]


def test_a_deselected_printer_ignores_all_until_it_is_selected_again() -> None:
    assert (
        printed(b"a\n" + ESC + b"=\x00" + b"lost\n" + GS + b"r\x01" + ESC + b"=\x01" + b"b\n")[0].text
        == "a\nb"
    )


@pytest.mark.parametrize(
    ("profile", "kind"),
    [(CHINESE_80MM, 3), (PROFILES["chinese-58mm"], 1), (EPSON_80MM_ETHERNET, 2)],
)
def test_the_type_tells_of_cutter_and_chinese(profile: PrinterProfile, kind: int) -> None:
    rig = Rig(profile)
    rig.send(GS + b"I2")
    assert rig.replies[-1][1] == bytes((kind,))


def test_a_gb2312_board_takes_its_leads_from_a1_on() -> None:
    """The character 81 40 is none of GB2312: its first byte prints by itself."""
    assert printed(b"\x81\x40\n")[0].text == b"\x81\x40".decode("gb18030")
    assert printed(b"\x81\x40\n", PROFILES["chinese-80mm-gb2312"])[0].text == "?@"
