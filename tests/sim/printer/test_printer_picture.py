from __future__ import annotations

import io

import pytest
import zxingcpp
from PIL import Image

from protocols.escpos import Align, ReceiptBuilder, ReceiptContent, receipt_bytes
from sim.printer import CHINESE_80MM, Printer, Receipt, receipt_png, render_receipt
from sim.printer.fonts import CHINESE_FONTS, LATIN_FONTS, GlyphSource


def printed(data: bytes) -> Receipt:
    printer = Printer()
    printer.receive_data(data, 0)
    printer.handle_timer(1_000_000_000)
    return printer.receipts[-1]


def symbols(png: bytes) -> dict[str, str]:
    image = Image.open(io.BytesIO(png)).convert("L")
    return {symbol.format.name: symbol.text for symbol in zxingcpp.read_barcodes(image)}


def test_the_qr_code_of_a_receipt_reads_back_from_the_picture(content: ReceiptContent) -> None:
    assert symbols(receipt_png(printed(receipt_bytes(content)))) == {"QRCode": content.qr_text}


@pytest.mark.parametrize("level", ["L", "M", "Q", "H"])
@pytest.mark.parametrize("module", [2, 5, 16])
def test_every_level_and_size_of_qr_code_reads_back(level: str, module: int) -> None:
    data = bytes(
        ReceiptBuilder()
        .align(Align.CENTRE)
        .qr("发票 24442000000071309399", module_dots=module, level=level)
        .cut()
    )
    assert set(symbols(receipt_png(printed(data))).values()) == {"发票 24442000000071309399"}


def test_bar_codes_read_back_from_the_picture() -> None:
    job = ReceiptBuilder().initialise().ean13("690123456789").feed(2).code128("KM01-{7}-000107").cut()
    assert symbols(receipt_png(printed(bytes(job)))) == {
        "EAN13": "6901234567892",
        "Code128": "KM01-{7}-000107",
    }


def test_the_picture_has_the_size_of_the_paper(content: ReceiptContent) -> None:
    receipt = printed(receipt_bytes(content))
    image = render_receipt(receipt)
    assert image.size == (CHINESE_80MM.width_dots + 64, sum(line.feed_dots for line in receipt.lines) + 64)
    assert image.mode == "1"


def test_without_any_font_every_character_becomes_a_box_and_symbols_still_read(
    content: ReceiptContent,
) -> None:
    receipt = printed(receipt_bytes(content))
    bare = GlyphSource(latin=(), chinese=())
    assert not bare.has_chinese
    assert symbols(receipt_png(receipt, bare))["QRCode"] == content.qr_text
    assert bare.glyph("油", 24, 24).tobytes() != bare.glyph("枪", 24, 24).tobytes()
    assert bare.glyph("油", 24, 24).getbbox() is not None
    assert bare.glyph("a", 12, 24).getbbox() is not None
    assert bare.glyph("𠀀", 24, 24).getbbox() is not None
    assert bare.glyph(" ", 12, 24).getbbox() is None


def test_a_file_that_is_no_font_is_passed_over(tmp_path: object) -> None:
    source = GlyphSource(latin=(__file__,), chinese=(__file__, "/nowhere/at/all.ttf"))
    assert source.glyph("油", 24, 24).getbbox() is not None


def test_a_font_of_the_machine_draws_chinese_when_there_is_one() -> None:
    source = GlyphSource(LATIN_FONTS, CHINESE_FONTS)
    if not source.has_chinese:
        pytest.skip("no Chinese font here: apt-get install fonts-wqy-zenhei")
    boxes = GlyphSource(latin=(), chinese=())
    for char in "昆明加油站小票":
        drawn = source.glyph(char, 24, 24)
        assert drawn.getbbox() is not None
        assert drawn.tobytes() != boxes.glyph(char, 24, 24).tobytes()


def test_equal_receipts_give_equal_pictures(content: ReceiptContent) -> None:
    job = receipt_bytes(content)
    assert receipt_png(printed(job)) == receipt_png(printed(job))


def test_styles_are_visible() -> None:
    def ink(data: bytes) -> int:
        return render_receipt(printed(data + b"\n\x1dVB\x00")).histogram()[0]

    plain = ink(b"H")
    assert ink(b"\x1bE\x01H") > plain
    assert ink(b"\x1d!\x11H") > 3 * plain
    assert ink(b"\x1b-\x02H") > plain
    assert ink(b"\x1dB\x01H") > plain
