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
    PrintedLine,
    QrLine,
    RasterLine,
    Receipt,
    TextLine,
    indent_dots,
)

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
        if not isinstance(line, BlankLine):
            x = MARGIN_DOTS + indent_dots(line.align, line.width_dots, receipt.width_dots)
            _draw_line(image, line, x, y, source)
        y += line.feed_dots
    return image.point(lambda value: 0 if value else 255)


def _draw_line(image: Image.Image, line: PrintedLine, x: int, y: int, source: GlyphSource) -> None:
    if isinstance(line, TextLine):
        _draw_text(image, line, x, y, source)
    elif isinstance(line, QrLine):
        _draw_qr(image, line, x, y)
    elif isinstance(line, BarcodeLine):
        _draw_barcode(image, line, x, y, source)
    elif isinstance(line, RasterLine):
        _draw_raster(image, line, x, y)


def _draw_text(image: Image.Image, line: TextLine, x: int, y: int, source: GlyphSource) -> None:
    tallest = max((cell.height_dots for cell in line.cells), default=0)
    for cell in line.cells:
        # Characters of different height stand on one base line.
        _draw_cell(image, cell, x, y + tallest - cell.height_dots, source)
        x += cell.width_dots


def _draw_cell(image: Image.Image, cell: Cell, x: int, y: int, source: GlyphSource) -> None:
    style = cell.style
    width, height = cell.width_dots, cell.height_dots
    glyph = source.glyph(cell.char, width // style.width, height // style.height)
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
    image.paste(ink, (x, y))


def _draw_qr(image: Image.Image, line: QrLine, x: int, y: int) -> None:
    size = len(line.matrix)
    small = Image.new("1", (size, size), 0)
    small.putdata([255 if dark else 0 for row in line.matrix for dark in row])
    dots = size * line.module_dots
    image.paste(small.resize((dots, dots), Image.Resampling.NEAREST), (x, y))


def _draw_barcode(image: Image.Image, line: BarcodeLine, x: int, y: int, source: GlyphSource) -> None:
    draw = ImageDraw.Draw(image)
    text_x = x + max(0, line.width_dots - 12 * len(line.data)) // 2
    top = y
    if line.hri in ("above", "both"):
        _draw_hri(image, line.data, text_x, y, source)
        top += 26
    for index, module in enumerate(line.modules):
        if module == "1":
            left = x + index * line.module_dots
            draw.rectangle((left, top, left + line.module_dots - 1, top + line.height_dots - 1), fill=1)
    if line.hri in ("below", "both"):
        _draw_hri(image, line.data, text_x, top + line.height_dots + 2, source)


def _draw_hri(image: Image.Image, text: str, x: int, y: int, source: GlyphSource) -> None:
    for index, char in enumerate(text):
        image.paste(source.glyph(char, 12, 24), (x + index * 12, y))


def _draw_raster(image: Image.Image, line: RasterLine, x: int, y: int) -> None:
    width = len(line.rows[0]) * 8
    band = Image.frombytes("1", (width, len(line.rows)), b"".join(line.rows))
    if line.scale_x > 1 or line.scale_y > 1:
        size = (width * line.scale_x, len(line.rows) * line.scale_y)
        band = band.resize(size, Image.Resampling.NEAREST)
    image.paste(band, (x, y))
