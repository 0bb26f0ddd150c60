from __future__ import annotations

import itertools
from typing import Any

import pytest

from sim.printer import (
    CHINESE_58MM,
    CHINESE_80MM,
    EPSON_80MM_ETHERNET,
    BarcodeLine,
    PrintedLine,
    Printer,
    PrinterProfile,
    QrLine,
    RasterLine,
    Receipt,
    TextLine,
)

ESC, GS, FS = b"\x1b", b"\x1d", b"\x1c"


def printed(data: bytes, profile: PrinterProfile = CHINESE_80MM) -> tuple[Receipt, list[str]]:
    printer = Printer(profile)
    printer.receive_data(data, 0)
    printer.handle_timer(1_000_000_000)
    receipt = printer.unfinished or printer.receipts[-1]
    return receipt, [surprise.reason for surprise in printer.surprises]


def only(data: bytes, kind: type[PrintedLine]) -> Any:
    (line,) = [line for line in printed(data)[0].lines if isinstance(line, kind)]
    return line


def test_chinese_prints_without_any_switch_on_a_chinese_model() -> None:
    receipt, surprises = printed("92#汽油".encode("gb18030") + b"\n")
    assert [(cell.char, cell.columns) for cell in receipt.cells[0]] == [
        ("9", 1),
        ("2", 1),
        ("#", 1),
        ("汽", 2),
        ("油", 2),
    ]
    assert surprises == []


def test_without_chinese_mode_or_font_the_same_bytes_are_other_letters() -> None:
    data = "汽油".encode("gb18030")
    switched_off, _ = printed(FS + b"." + data + b"\n")
    assert switched_off.text == data.decode("cp437")
    without_font, surprises = printed(data + b"\n", EPSON_80MM_ETHERNET)
    assert without_font.text == data.decode("cp437")
    assert "without a Chinese font" in surprises[0]


def test_code_pages_that_clients_choose_by_themselves() -> None:
    data = b"".join(
        ESC + b"t" + bytes((number,)) + text.encode(page)
        for number, page, text in (
            (0, "cp437", "é"),
            (15, "iso8859_7", "Ω"),
            (19, "cp858", "€"),
            (45, "cp1250", "ł"),
            (46, "cp1251", "ж"),
        )
    )
    receipt, surprises = printed(data + b"\n", EPSON_80MM_ETHERNET)
    assert receipt.text == "éΩ€łж"
    assert surprises == []


def test_an_empty_line_shows_no_blanks_wherever_it_is_aligned() -> None:
    receipt, _ = printed(ESC + b"a\x01a\n\nb\n")
    assert [line.strip() and "text" for line in receipt.text.split("\n")] == ["text", "", "text"]
    assert receipt.text.split("\n")[1] == ""


def test_chinese_mode_comes_back_with_initialise() -> None:
    receipt, _ = printed(FS + b"." + ESC + b"@" + "油".encode("gb18030") + b"\n")
    assert receipt.text == "油"


def test_half_a_character_before_a_command_is_dropped_and_told() -> None:
    receipt, surprises = printed(b"a\xc6\nb\n")
    assert receipt.text == "a\nb"
    assert "half a Chinese character (C6)" in surprises[0]


@pytest.mark.parametrize(
    ("profile", "columns"), [(CHINESE_80MM, 48), (CHINESE_58MM, 32), (EPSON_80MM_ETHERNET, 48)]
)
def test_a_full_line_wraps_and_its_line_feed_prints_no_empty_one(
    profile: PrinterProfile, columns: int
) -> None:
    receipt, _ = printed(b"x" * columns + b"\n" + b"y" * (columns + 1) + b"\n", profile)
    assert receipt.text.splitlines() == ["x" * columns, "y" * columns, "y"]


def test_a_wide_character_that_does_not_fit_goes_to_the_next_line_whole() -> None:
    receipt, _ = printed(b"x" * 47 + "油".encode("gb18030") + b"\n")
    assert receipt.text.splitlines() == ["x" * 47, "油"]


def test_sizes_and_their_order() -> None:
    receipt, _ = printed(ESC + b"!\x38A" + GS + b"!\x12B" + ESC + b"!\x00C\n")
    styles = [(cell.style.width, cell.style.height, cell.style.bold) for cell in receipt.cells[0]]
    assert styles == [(2, 2, True), (2, 3, True), (1, 1, False)]
    assert receipt.lines[0].feed_dots == 72


def test_modes_of_single_characters() -> None:
    data = (
        ESC
        + b"E\x01a"
        + ESC
        + b"E\x00"
        + ESC
        + b"-\x02b"
        + ESC
        + b"-0"
        + GS
        + b"B\x01c"
        + GS
        + b"B\x00"
        + ESC
        + b"M\x01d\n"
    )
    cells = printed(data)[0].cells[0]
    assert [(c.style.bold, c.style.underline, c.style.inverse, c.style.font) for c in cells] == [
        (True, 0, False, 0),
        (False, 2, False, 0),
        (False, 0, True, 0),
        (False, 0, False, 1),
    ]


def test_chinese_size_modes() -> None:
    receipt, _ = printed(
        FS + b"!\x0c" + "油".encode("gb18030") + b"a" + FS + b"W\x00" + "油".encode("gb18030") + b"\n"
    )
    assert [(c.style.width, c.style.height) for c in receipt.cells[0]] == [(2, 2), (1, 1), (1, 1)]


def test_alignment_only_at_the_start_of_a_line() -> None:
    receipt, surprises = printed(ESC + b"a\x01mid\n" + ESC + b"a2" + b"right\n" + b"x" + ESC + b"a\x00\n")
    assert [line.align for line in receipt.lines if isinstance(line, TextLine)] == [
        "centre",
        "right",
        "right",
    ]
    assert receipt.text.splitlines()[1] == "right".rjust(48)
    assert "mid-line" in surprises[0]


def test_tabs_and_positions() -> None:
    receipt, _ = printed(b"a\tb" + ESC + b"D\x14\x00" + b"\tc" + ESC + b"$\x68\x01d\n")
    assert receipt.text == "a" + " " * 7 + "b" + " " * 11 + "c" + " " * 9 + "d"


def test_line_feed_then_carriage_return_feeds_once() -> None:
    receipt, _ = printed(b"a\n\rb\n\r")
    assert receipt.text == "a\nb"


def test_feeds_and_spacing() -> None:
    receipt, _ = printed(ESC + b"3\x50a\n" + ESC + b"2b\n" + ESC + b"J\x0a" + ESC + b"d\x02c\n")
    assert [line.feed_dots for line in receipt.lines] == [80, 30, 10, 30, 30, 30]


def test_a_cut_without_feed_goes_through_the_print() -> None:
    assert "cut goes through the print" in printed(b"a\n" + GS + b"V\x00")[1][0]
    assert printed(b"a\n" + ESC + b"d\x06" + GS + b"V\x00")[1] == []
    assert printed(b"a" + GS + b"VB\x00")[1] == []


def test_every_cut_ends_a_receipt_and_blank_paper_is_none() -> None:
    printer = Printer()
    printer.receive_data(b"a" + GS + b"VA\x00" + GS + b"VB\x00" + b"b" + ESC + b"i" + b"c" + ESC + b"m", 0)
    printer.handle_timer(100_000_000)
    assert [(r.text, r.end) for r in printer.receipts] == [("a", "full"), ("b", "full"), ("c", "partial")]


def test_a_printer_without_a_cutter_still_ends_the_receipt() -> None:
    printer = Printer(CHINESE_58MM)
    printer.receive_data(b"a\n" + GS + b"VB\x00", 0)
    printer.handle_timer(100_000_000)
    assert printer.receipts[0].ended_us == CHINESE_58MM.feed_us(30) + CHINESE_58MM.feed_us(120)


def test_qr_settings_live_and_the_store_survives_the_print() -> None:
    store = GS + b"(k\x03\x001C\x05" + GS + b"(k\x05\x001P0ab"
    show = GS + b"(k\x03\x001Q0"
    lines = [line for line in printed(store + show + show)[0].lines if isinstance(line, QrLine)]
    assert [(line.data, line.module_dots) for line in lines] == [(b"ab", 5), (b"ab", 5)]
    _, surprises = printed(store + ESC + b"@" + show + b"x\n")
    assert surprises == ["QR print without stored data"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (
            GS + b"(k\x03\x001C\x10" + GS + b"(k\x2c\x011P0" + b"z" * 297 + GS + b"(k\x03\x001Q0",
            "does not fit 576 dots",
        ),
        (b"x" + GS + b"(k\x05\x001P0ab" + GS + b"(k\x03\x001Q0", "start of a line"),
        (GS + b"(k\x03\x000Q0", "PDF417 print without stored data"),
        (GS + b"(k\x03\x002Q0", "symbol kind 50"),
        (GS + b"k\x42\x08" + b"20123456", "cannot draw UPC-E"),
        (GS + b"w\x06" + GS + b"k\x49\x20{B" + b"x" * 30, "does not fit 576 dots"),
        (b"x" + GS + b"k\x02690123456789\x00", "mid-line"),
        (ESC + b"t\x63", "no code page 99"),
        (GS + b"I\x63", "no item 99"),
    ],
)
def test_what_cannot_be_printed_is_told_and_does_no_harm(data: bytes, reason: str) -> None:
    receipt, surprises = printed(data + b"\nok\n")
    assert any(reason in surprise for surprise in surprises), surprises
    assert receipt.text.splitlines()[-1] == "ok"


def test_bar_code_settings_of_careless_clients_are_ignored() -> None:
    line = only(
        GS + b"w\x00" + GS + b"w\x01" + GS + b"h\x50" + GS + b"H\x02" + GS + b"k\x02690123456789\x00",
        BarcodeLine,
    )
    assert (line.symbology, line.data, line.module_dots, line.height_dots, line.hri) == (
        "EAN13",
        "6901234567892",
        3,
        80,
        "below",
    )


@pytest.mark.parametrize(
    ("command", "name", "text"),
    [
        (b"\x49\x06{B12ab", "CODE128", "12ab"),
        (b"\x49\x08{C\x0c\x22{Bxy", "CODE128", "1234xy"),
        (b"\x49\x05{B{{1", "CODE128", "{1"),
        (b"\x44\x071234567", "EAN8", "12345670"),
        (b"\x41\x0b03600029145", "UPC-A", "036000291452"),
        (b"\x45\x05AB-12", "CODE39", "AB-12"),
        (b"\x46\x041234", "ITF", "1234"),
        (b"\x47\x06A1234B", "CODABAR", "A1234B"),
    ],
)
def test_each_bar_code_that_is_drawn(command: bytes, name: str, text: str) -> None:
    line = only(GS + b"w\x02" + GS + b"k" + command, BarcodeLine)
    assert (line.symbology, line.data) == (name, text)
    assert set(line.modules) == {"0", "1"}


def test_thick_bars_are_two_and_a_half_times_as_wide_as_thin_ones() -> None:
    """In whole dots: 5, 8, 10, 13 and 15 for the widths 2 to 6 (Epson, GS w)."""
    for thin, thick in ((2, 5), (3, 8), (4, 10), (5, 13), (6, 15)):
        for command in (b"\x45\x02A1", b"\x46\x0212", b"\x47\x03A1B"):
            line = only(GS + b"w" + bytes([thin]) + GS + b"k" + command, BarcodeLine)
            widths = {len(list(run)) * line.module_dots for _, run in itertools.groupby(line.modules)}
            assert widths == {thin, thick}


def test_a_line_that_goes_back_reads_as_it_stands_on_paper() -> None:
    """Receiptline prints the rules of a table first and goes back for what stands between them."""
    receipt, _ = printed(
        FS + b"." + ESC + b"t\x01\x96" + ESC + b"$\x54\x00\x96" + ESC + b"$\x0c\x00pump" + b"\n"
    )
    assert receipt.text == "│pump  │"
    receipt, _ = printed(b"a" + ESC + b"$\x00\x00/\n")
    assert receipt.text == "a/"


@pytest.mark.parametrize(
    ("page", "data", "text"),
    [(1, b"\x95\x98\xb1\xf9", "─┌ｱ市"), (11, b"\x98\xd6\x91", "Ώα\ufffd"), (12, b"\xd5\xe7", "ıĦ"), (13, b"\xd5", "€")],
)  # fmt: skip
def test_pages_that_python_does_not_know(page: int, data: bytes, text: str) -> None:
    receipt, surprises = printed(FS + b"." + ESC + b"t" + bytes([page]) + data + b"\n")
    assert receipt.text == text
    assert not surprises


def test_images_are_printed_in_bands() -> None:
    receipt, _ = printed(GS + b"v0\x03\x02\x00\x32\x00" + b"\xff\x00" * 50)
    bands = [line for line in receipt.lines if isinstance(line, RasterLine)]
    assert [(len(band.rows), band.feed_dots, band.first) for band in bands] == [
        (24, 48, True),
        (24, 48, False),
        (2, 4, False),
    ]
    assert receipt.text == "[image]"


def test_an_image_wider_than_the_paper_is_cut_off() -> None:
    band = only(GS + b"v0\x00\xc8\x00\x01\x00" + b"\xff" * 200, RasterLine)
    assert band.width_dots == 576


def test_column_images_and_the_graphics_store_give_the_same_dots() -> None:
    column = only(ESC + b"*\x01\x02\x00\x80\x01\n", RasterLine)
    assert column.rows == (b"\x80", *[b"\x00"] * 6, b"\x40")
    pixels = b"\x80" + b"\x00" * 6 + b"\x40"
    store = GS + b"(L" + (10 + 8).to_bytes(2, "little") + b"0p0\x01\x011\x08\x00\x08\x00" + pixels
    stored = only(store + GS + b"(L\x02\x0002", RasterLine)
    assert stored.rows == column.rows
