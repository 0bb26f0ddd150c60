"""A receipt as a picture: one pixel a dot, black on white, symbols as the printer would draw them."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Final

from PIL import Image, ImageDraw

from sim.printer.fonts import GlyphSource
from sim.printer.paper import (
    BarcodeLine,
    BlankLine,
    Cell,
    LineInArea,
    PageBlock,
    Pdf417Line,
    QrLine,
    RasterLine,
    Receipt,
    TextLine,
    left_of,
)
from sim.printer.symbols import qr_matrix

__all__ = ["MAX_PICTURE_DOTS", "receipt_png", "render_receipt"]

MARGIN_DOTS: Final = 32
"""White border all round: paper edge, and quiet zone for symbols at the edge."""

MAX_PICTURE_DOTS: Final = 40_000
"""Highest picture (5 m of paper); what is below is left out."""


@lru_cache(maxsize=1)
def _default_glyphs() -> GlyphSource:
    return GlyphSource()


def receipt_png(receipt: Receipt, glyphs: GlyphSource | None = None) -> bytes:
    """The picture as a PNG file."""
    out = io.BytesIO()
    render_receipt(receipt, glyphs).save(out, "PNG", optimize=False)
    return out.getvalue()


def render_receipt(receipt: Receipt, glyphs: GlyphSource | None = None) -> Image.Image:
    """Draw a receipt, 1 bit a pixel (0 black, 1 white). Characters without a font become boxes with their code point."""
    source = glyphs or _default_glyphs()
    height = min(sum(line.feed_dots for line in receipt.lines), MAX_PICTURE_DOTS)
    # Drawn as ink (1) on nothing (0), and inverted at the end.
    image = Image.new("1", (receipt.width_dots + 2 * MARGIN_DOTS, height + 2 * MARGIN_DOTS), 0)
    y = MARGIN_DOTS
    for line in receipt.lines:
        if y + line.feed_dots > height + MARGIN_DOTS:
            break
        if isinstance(line, PageBlock):
            _draw_page(image, line, receipt.width_dots, y, source)
        elif isinstance(line, TextLine) and line.upside_down:
            _draw_upside_down(image, line, receipt.width_dots, y, source)
        elif not isinstance(line, BlankLine):
            _draw_line(image, line, MARGIN_DOTS + left_of(line, receipt.width_dots), y, source)
        y += line.feed_dots
    return image.point(lambda value: 0 if value else 255)


def _draw_page(image: Image.Image, page: PageBlock, paper_dots: int, y: int, source: GlyphSource) -> None:
    sheet = Image.new("1", (paper_dots, page.feed_dots), 0)
    for item in page.items:
        width, height = item.line.width_dots, item.line.feed_dots
        if width < 1 or height < 1:
            continue
        box = Image.new("1", (width, height), 0)
        _draw_line(box, item.line, 0, 0, source)
        box = box.rotate(90 * item.turns, expand=True)
        # Later things are printed over earlier ones: ink stays.
        sheet.paste(1, (item.x, item.y), box)
    image.paste(sheet, (MARGIN_DOTS, y))


def _draw_upside_down(
    image: Image.Image, line: TextLine, paper_dots: int, y: int, source: GlyphSource
) -> None:
    strip = Image.new("1", (paper_dots, line.feed_dots), 0)
    _draw_line(strip, line, left_of(line, paper_dots), 0, source)
    image.paste(strip.rotate(180), (MARGIN_DOTS, y))


def _draw_line(image: Image.Image, line: LineInArea, x: int, y: int, source: GlyphSource) -> None:
    if isinstance(line, TextLine):
        _draw_text(image, line, x, y, source)
    elif isinstance(line, QrLine):
        _draw_qr(image, line, x, y)
    elif isinstance(line, Pdf417Line):
        _draw_pdf417(image, line, x, y)
    elif isinstance(line, BarcodeLine):
        _draw_barcode(image, line, x, y, source)
    elif isinstance(line, RasterLine):
        _draw_raster(image, line, x, y)


def _draw_text(image: Image.Image, line: TextLine, x: int, y: int, source: GlyphSource) -> None:
    tallest = max((cell.height_dots for cell in line.cells), default=0)
    right = x
    for cell in line.cells:
        x += cell.before_dots
        # Characters of different height stand on one base line; after a step back they are printed over what is there.
        _draw_cell(image, cell, x, y + tallest - cell.height_dots, source, is_over=x < right)
        x += cell.width_dots
        right = max(right, x)


def _draw_cell(image: Image.Image, cell: Cell, x: int, y: int, source: GlyphSource, *, is_over: bool) -> None:
    if cell.picture is not None:
        _draw_raster(image, cell.picture, x, y)
        return
    style = cell.style
    width, height = cell.width_dots, cell.height_dots
    glyph = _glyph(cell, source)
    if style.rotated:
        glyph = glyph.rotate(-90, expand=True)
    if style.width > 1 or style.height > 1:
        glyph = glyph.resize((width, height), Image.Resampling.NEAREST)
    ink = Image.new("1", (width, height), 0)
    ink.paste(1, (0, 0, width, height), glyph)
    if style.bold:
        ink.paste(1, (1, 0, width, height), glyph.crop((0, 0, width - 1, height)))
    if style.underline:
        ImageDraw.Draw(ink).rectangle((0, height - style.underline, width, height), fill=1)
    if style.inverse:
        ink = ink.point(lambda value: 0 if value else 255)
    if is_over:
        image.paste(1, (x, y), ink)
    else:
        image.paste(ink, (x, y))


def _glyph(cell: Cell, source: GlyphSource) -> Image.Image:
    if cell.drawn is None:
        return source.glyph(cell.char, *cell.upright_dots)
    image = Image.new("1", (len(cell.drawn[0]), len(cell.drawn)), 0)
    image.putdata([255 if dark else 0 for row in cell.drawn for dark in row])
    return image


def _draw_qr(image: Image.Image, line: QrLine, x: int, y: int) -> None:
    matrix, size = qr_matrix(line.data, line.level), line.modules
    if matrix is None:
        return  # it would not have become a line
    small = Image.new("1", (size, size), 0)
    small.putdata([255 if dark else 0 for row in matrix for dark in row])
    dots = size * line.module_dots
    image.paste(small.resize((dots, dots), Image.Resampling.NEAREST), (x, y))


def _draw_pdf417(image: Image.Image, line: Pdf417Line, x: int, y: int) -> None:
    small = Image.new("1", (len(line.rows[0]), len(line.rows)), 0)
    small.putdata([255 if module == "1" else 0 for row in line.rows for module in row])
    size = (line.width_dots, len(line.rows) * line.row_dots)
    image.paste(small.resize(size, Image.Resampling.NEAREST), (x, y))


def _draw_barcode(image: Image.Image, line: BarcodeLine, x: int, y: int, source: GlyphSource) -> None:
    draw = ImageDraw.Draw(image)
    size = (9, 17) if line.hri_font else (12, 24)
    text_x = x + max(0, line.width_dots - size[0] * len(line.data)) // 2
    top = y
    if line.hri in ("above", "both"):
        _draw_hri(image, line.data, text_x, y, size, source)
        top += 26
    for index, module in enumerate(line.modules):
        if module == "1":
            left = x + index * line.module_dots
            draw.rectangle((left, top, left + line.module_dots - 1, top + line.height_dots - 1), fill=1)
    if line.hri in ("below", "both"):
        _draw_hri(image, line.data, text_x, top + line.height_dots + 2, size, source)


def _draw_hri(
    image: Image.Image, text: str, x: int, y: int, size: tuple[int, int], source: GlyphSource
) -> None:
    for index, char in enumerate(text):
        image.paste(source.glyph(char, *size), (x + index * size[0], y))


def _draw_raster(image: Image.Image, line: RasterLine, x: int, y: int) -> None:
    width = len(line.rows[0]) * 8
    band = Image.frombytes("1", (width, len(line.rows)), b"".join(line.rows))
    if line.scale_x > 1 or line.scale_y > 1:
        size = (width * line.scale_x, len(line.rows) * line.scale_y)
        band = band.resize(size, Image.Resampling.NEAREST)
    image.paste(band, (x, y))
