"""Lines and blocks of the picture, from edge to edge of their cell, so that frames join as they do on paper.

A font centres them in an em of its own, and thin ones vanish between two dots. What a character consists of is read out of
its Unicode name: ``BOX DRAWINGS DOWN SINGLE AND RIGHT DOUBLE``.
"""

from __future__ import annotations

import unicodedata
from typing import Final

from PIL import Image, ImageDraw

__all__ = ["box_glyph"]

_ARMS: Final = {
    "HORIZONTAL": ("left", "right"),
    "VERTICAL": ("up", "down"),
    "LEFT": ("left",),
    "RIGHT": ("right",),
    "UP": ("up",),
    "DOWN": ("down",),
}
_WEIGHTS: Final = {"LIGHT": 1, "SINGLE": 1, "DOUBLE": 2}
_SHADES: Final = {"░": (0,), "▒": (0, 3), "▓": (0, 1, 3)}
"""Which dots of each block of two by two are black."""

_THICK: Final = 2
_HALF_GAP: Final = 2
"""A single line is two dots thick; a double one is two dots left and right of the middle, one thick."""


def box_glyph(char: str, width: int, height: int) -> Image.Image | None:
    """A line, corner, crossing, block or shade as a black (1) on white (0) image; None for any other character."""
    if not "\u2500" <= char <= "\u2595":
        return None
    if char >= "\u2580":
        return _block(char, width, height)
    arms = _arms(unicodedata.name(char).removeprefix("BOX DRAWINGS ").split(" AND "))
    if not arms:
        return None
    image = Image.new("1", (width, height), 0)
    draw = ImageDraw.Draw(image)
    for direction, lines in arms.items():
        _draw_arm(draw, direction, lines, width, height)
    return image


def _arms(parts: list[str]) -> dict[str, int]:
    """Direction -> number of lines; empty for dashes, diagonals and heavy lines, which no code page has."""
    arms: dict[str, int] = {}
    common = 1
    for part in parts:
        words = [word for word in part.split() if word != "ARC"]
        if any(word not in _ARMS and word not in _WEIGHTS for word in words):
            return {}
        weights = [_WEIGHTS[word] for word in words if word in _WEIGHTS]
        weight = weights[0] if weights else common
        if words[0] in _WEIGHTS:  # "DOUBLE DOWN AND RIGHT" holds for both, "DOWN DOUBLE" for this one
            common = weight
        for word in words:
            for direction in _ARMS.get(word, ()):
                arms[direction] = weight
    return arms


def _draw_arm(draw: ImageDraw.ImageDraw, direction: str, lines: int, width: int, height: int) -> None:
    middle_x, middle_y = width // 2, height // 2
    near = _HALF_GAP if lines == 2 else _THICK // 2
    for offset in (-_HALF_GAP, _HALF_GAP) if lines == 2 else range(-(_THICK // 2), _THICK - _THICK // 2):
        if direction in ("left", "right"):
            x0, x1 = (0, middle_x + near) if direction == "left" else (middle_x - near, width)
            draw.line((x0, middle_y + offset, x1, middle_y + offset), fill=1)
        else:
            y0, y1 = (0, middle_y + near) if direction == "up" else (middle_y - near, height)
            draw.line((middle_x + offset, y0, middle_x + offset, y1), fill=1)


def _block(char: str, width: int, height: int) -> Image.Image:
    image = Image.new("1", (width, height), 0)
    if char in _SHADES:
        image.putdata(
            [255 if (y % 2) * 2 + x % 2 in _SHADES[char] else 0 for y in range(height) for x in range(width)]
        )
        return image
    code = ord(char)
    left, top, right, bottom = 0, 0, width, height
    if code == 0x2580:
        bottom = height // 2
    elif code <= 0x2588:  # from one to eight eighths of the height
        top = height - height * (code - 0x2580) // 8
    elif code <= 0x258F:  # from seven eighths to one of the width
        right = max(1, width * (0x2590 - code) // 8)
    elif code == 0x2590:
        left = width // 2
    elif code == 0x2594:
        bottom = height // 8
    else:
        left = width - max(1, width // 8)
    ImageDraw.Draw(image).rectangle((left, top, right - 1, bottom - 1), fill=1)
    return image
