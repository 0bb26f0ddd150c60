"""Glyphs for the picture of a receipt: from fonts of the machine where there are any, else boxes with code points.

The picture is a view; the cells are the truth. So a missing font is never an error.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from sim.printer.box_glyphs import box_glyph

__all__ = ["CHINESE_FONTS", "LATIN_FONTS", "GlyphSource"]

LATIN_FONTS: Final = (
    "/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf",
    "/usr/share/fonts/opentype/unifont/unifont.otf",
    "/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc",
)
"""Debian's fonts-dejavu-core, fonts-unifont, fonts-wqy-zenhei."""

CHINESE_FONTS: Final = (
    "/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/opentype/unifont/unifont.otf",
    "/usr/share/fonts/opentype/unifont/unifont_upper.otf",
    "/System/Library/Fonts/PingFang.ttc",
    "C:/Windows/Fonts/simsun.ttc",
)
"""Debian's fonts-wqy-zenhei, fonts-wqy-microhei, fonts-noto-cjk, fonts-unifont; then macOS and Windows."""

_HEX_ROWS: Final = (
    (7, 5, 5, 5, 7), (2, 6, 2, 2, 7), (7, 1, 7, 4, 7), (7, 1, 7, 1, 7), (5, 5, 7, 1, 1), (7, 4, 7, 1, 7), (7, 4, 7, 5, 7), (7, 1, 1, 1, 1),
    (7, 5, 7, 5, 7), (7, 5, 7, 1, 7), (7, 5, 7, 5, 5), (6, 5, 6, 5, 6), (7, 4, 4, 4, 7), (6, 5, 5, 5, 6), (7, 4, 6, 4, 7), (7, 4, 6, 4, 4),
)  # fmt: skip


class GlyphSource:
    """Draws one character into a cell of dots.

    Args:
        latin, chinese: font files to try, in order; missing ones are passed over.
    """

    def __init__(
        self, latin: tuple[str, ...] = LATIN_FONTS, chinese: tuple[str, ...] = CHINESE_FONTS
    ) -> None:
        self._latin = tuple(path for path in latin if Path(path).is_file())
        self._chinese = tuple(path for path in chinese if Path(path).is_file())
        self._cache: dict[tuple[str, int, int], Image.Image] = {}

    @property
    def has_chinese(self) -> bool:
        """Whether a font for Chinese was found."""
        return bool(self._chinese)

    def glyph(self, char: str, width: int, height: int) -> Image.Image:
        """The character as a black (1) on white (0) image of ``width`` x ``height`` dots. Never raises for a character."""
        key = (char, width, height)
        image = self._cache.get(key)
        if image is None:
            image = self._draw(char, width, height)
            self._cache[key] = image
        return image

    def _draw(self, char: str, width: int, height: int) -> Image.Image:
        if char.isspace():
            return Image.new("1", (width, height), 0)
        drawn = box_glyph(char, width, height)
        if drawn is not None:
            return drawn
        paths = self._latin if ord(char) < 0x250 else self._chinese
        for path in paths + (self._chinese if paths is self._latin else self._latin):
            font = _load(path, _point_size(width, height))
            if font is not None and _has_glyph(font, char):
                return _centred(font, char, width, height)
        return _code_point_box(char, width, height)


def _point_size(width: int, height: int) -> int:
    # A monospaced Latin letter is about 0.6 em wide, a Chinese one 1 em.
    return max(6, min(height - 2, width - 1 if width >= height else int(width / 0.602)))


@lru_cache(maxsize=64)
def _load(path: str, size: int) -> ImageFont.FreeTypeFont | None:
    try:
        return ImageFont.truetype(path, size)
    except (OSError, ImportError):
        return None


@lru_cache(maxsize=64)
def _missing(font: ImageFont.FreeTypeFont) -> bytes:
    return bytes(font.getmask("\U0010ffff"))


def _has_glyph(font: ImageFont.FreeTypeFont, char: str) -> bool:
    try:
        mask = bytes(font.getmask(char))
    except (OSError, ValueError):
        return False
    return bool(mask) and any(mask) and mask != _missing(font)


def _centred(font: ImageFont.FreeTypeFont, char: str, width: int, height: int) -> Image.Image:
    image = Image.new("L", (width, height), 0)
    left, _top, right, _bottom = font.getbbox(char)
    ascent, descent = font.getmetrics()
    x = (width - (right - left)) / 2 - left
    y = (height - (ascent + descent)) / 2
    ImageDraw.Draw(image).text((x, y), char, fill=255, font=font)
    return image.point(lambda value: 255 if value > 110 else 0).convert("1")


def _code_point_box(char: str, width: int, height: int) -> Image.Image:
    image = Image.new("1", (width, height), 0)
    draw = ImageDraw.Draw(image)
    draw.rectangle((1, 2, width - 2, height - 3), outline=1)
    digits = f"{ord(char):04X}"
    per_row = 2 if width < 20 or len(digits) <= 4 else 3
    scale = 2 if width >= 20 and per_row == 2 else 1
    for index, digit in enumerate(digits):
        column, row = index % per_row, index // per_row
        x0, y0 = 3 + column * 4 * scale, 5 + row * 7 * scale
        for dy, bits in enumerate(_HEX_ROWS[int(digit, 16)]):
            for dx in range(3):
                if bits >> (2 - dx) & 1:
                    x, y = x0 + dx * scale, y0 + dy * scale
                    draw.rectangle((x, y, x + scale - 1, y + scale - 1), fill=1)
    return image
