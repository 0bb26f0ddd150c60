"""Codes that the printer draws are read back by another program; what cannot be drawn is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.printer import (
    EPSON_80MM_ETHERNET,
    BarcodeLine,
    Pdf417Line,
    QrLine,
)
from sim.printer.symbols import qr_matrix, qr_modules

from .printer_paper import GS, only, printed, symbols, word
from .printer_rig import CUT, Rig

# -- codes ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "kind", "text"),
    [
        (b"\x48\x07Ab-1 $z", "Code93", "Ab-1 $z"),
        (b"\x48\x12KM01-2026010500107", "Code93", "KM01-2026010500107"),
        (b"\x42\x06123456", "UPCE", "0012345000065"),
        (b"\x42\x0b04210000526", "UPCE", "0042100005264"),
        (b"\x42\x0714252614"[:9], "UPCE", None),
    ],
)
def test_codes_that_are_drawn_here_read_back(command: bytes, kind: str, text: str | None) -> None:
    found = symbols(GS + b"w\x02" + GS + b"k" + command + CUT)
    assert list(found) == [kind]
    assert text is None or found[kind] == text


@given(st.text(st.characters(max_codepoint=127), min_size=1, max_size=10))
def test_every_ascii_text_fits_code93(text: str) -> None:
    data = GS + b"w\x02" + GS + b"k\x48" + bytes((len(text),)) + text.encode() + CUT
    line = only(data, BarcodeLine)
    assert line.data == text
    assert (len(line.modules) - 1) % 9 == 0


def pdf417(function: int, parameters: bytes) -> bytes:
    return GS + b"(k" + word(len(parameters) + 2) + b"0" + bytes((function,)) + parameters


@pytest.mark.parametrize(
    "settings",
    [
        b"",
        pdf417(65, b"\x04") + pdf417(67, b"\x02") + pdf417(68, b"\x04") + pdf417(69, b"0\x35"),
        pdf417(66, b"\x0c") + pdf417(69, b"1\x0a"),
        pdf417(65, b"\x06") + pdf417(69, b"1\x01"),
    ],
    ids=["automatic", "columns and level", "rows and ratio", "few rows"],
)
def test_pdf417_reads_back(settings: bytes) -> None:
    data = "昆明北站 KM01-107".encode()
    job = settings + pdf417(80, b"0" + data) + pdf417(81, b"0") + CUT
    assert symbols(job) == {"PDF417": data.decode()}
    line = only(job, Pdf417Line)
    assert line.width_dots <= 576


def test_pdf417_that_cannot_be_is_told() -> None:
    for data, reason in (
        (pdf417(81, b"0"), "without stored data"),
        (pdf417(80, b"0" + bytes(range(256)) * 8) + pdf417(81, b"0"), "do not fit"),
        (pdf417(67, b"\x09"), "does not take 09"),
        (pdf417(65, b""), "does not take nothing"),
    ):
        assert reason in printed(data + b"x\n")[1][0]


@given(st.binary(min_size=1, max_size=400), st.sampled_from([48, 49, 50, 51]))
def test_the_size_of_a_qr_code_is_known_before_it_is_drawn(data: bytes, level: int) -> None:
    matrix = qr_matrix(data, level)
    assert matrix is not None
    assert qr_modules(data, level) == len(matrix)


def test_a_printer_tells_the_size_of_a_code() -> None:
    rig = Rig()
    store = GS + b"(k\x03\x001C\x05" + GS + b"(k\x05\x001P0ab"
    rig.send(GS + b"(k\x03\x001R0" + store + GS + b"(k\x03\x001R0" + pdf417(82, b"0"))
    assert b"".join(data for _, data in rig.replies) == (
        b"\x37\x360\x1f0\x1f1\x1f1\0" + b"\x37\x36105\x1f105\x1f1\x1f0\0" + b"\x37\x2f0\x1f0\x1f1\x1f1\0"
    )


def test_chinese_boards_have_qr_commands_of_their_own_and_epson_prints_them_as_text() -> None:
    data = b"\x1dZ\x02\x1bZ\x03M\x06" + word(11) + b"hello world"
    line = only(data + b"\n", QrLine)
    assert (line.data, line.level, line.module_dots) == (b"hello world", 49, 6)
    receipt, surprises = printed(data + b"\n", EPSON_80MM_ETHERNET)
    assert receipt.text.endswith("hello world")
    assert not receipt.qr_codes
    assert "1D 5A" in surprises[0]
    told = printed(b"\x1dZ\x00\x1bZ\x03M\x06" + word(1) + b"x" + b"ok\n")[1]
    assert "symbol kind 0" in told[0]


def test_the_small_font_under_a_bar_code() -> None:
    line = only(GS + b"H\x02" + GS + b"f\x01" + GS + b"k\x02690123456789\x00", BarcodeLine)
    assert line.hri_font == 1
