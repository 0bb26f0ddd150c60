"""Characters that the host draws itself: ESC & for single bytes, FS 2 for Chinese codes."""

from __future__ import annotations

from typing import Final

from sim.printer.paper import Dots

__all__ = ["UserGlyphs", "column_dots"]

_HIGHEST_CODE: Final = 126


def column_dots(data: bytes, width: int, depth: int) -> Dots:
    """A picture from columns of ``depth`` bytes, most significant bit on top."""
    return tuple(
        bytes(data[x * depth + y // 8] >> (7 - y % 8) & 1 for x in range(width)) for y in range(depth * 8)
    )


class UserGlyphs:
    """The two stores. A single-byte one holds for the font in which it was defined.

    Attributes:
        selected: whether single-byte ones are used (ESC %).
    """

    def __init__(self) -> None:
        self.selected = False
        self._single: dict[tuple[int, int], Dots] = {}
        self._chinese: dict[str, Dots] = {}

    def define(self, depth: int, first: int, last: int, data: bytes, font: int) -> str:
        """ESC & y c1 c2 [x d..]..; returns a surprise or an empty text."""
        width, height = (9, 17) if font else (12, 24)
        if depth != 3 or not 32 <= first <= last <= _HIGHEST_CODE:
            return (
                f"ESC & {depth} {first} {last}: this model defines characters 32 to 126 of 3 bytes a column"
            )
        at = 0
        for code in range(first, last + 1):
            columns = data[at]
            body = data[at + 1 : at + 1 + columns * depth]
            at += 1 + columns * depth
            if columns > width:
                return f"ESC &: character {code} has {columns} columns, the font has {width}"
            # The dots stand left in their box; what is missing is blank.
            self._single[font, code] = column_dots(body.ljust(width * depth, b"\0"), width, depth)[:height]
        return ""

    def cancel(self, code: int, font: int) -> None:
        """ESC ? n: the printer's own character again."""
        self._single.pop((font, code), None)

    def define_chinese(self, code: bytes, data: bytes) -> str:
        """FS 2 c1 c2 d1..d72; returns a surprise or an empty text."""
        char = _chinese(code)
        if char is None:
            return f"FS 2: {code.hex(' ').upper()} is no Chinese code"
        self._chinese[char] = column_dots(data, 24, 3)
        return ""

    def cancel_chinese(self, code: bytes) -> None:
        """FS ? c1 c2."""
        char = _chinese(code)
        if char is not None:
            self._chinese.pop(char, None)

    @property
    def in_use(self) -> bool:
        """Whether any character may be the host's own."""
        return bool(self._chinese) or (self.selected and bool(self._single))

    def of(self, char: str, columns: int, font: int) -> Dots | None:
        """The host's own dots for a character, or None."""
        if columns == 2:
            return self._chinese.get(char) if self._chinese else None
        return self._single.get((font, ord(char))) if self.selected and self._single else None


def _chinese(code: bytes) -> str | None:
    try:
        char = code.decode("gb18030")
    except UnicodeDecodeError:
        return None
    return char if len(char) == 1 else None
