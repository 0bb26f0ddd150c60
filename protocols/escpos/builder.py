"""Writes ESC/POS: the controller's side. Only commands that every receipt printer on the market knows."""

from __future__ import annotations

from enum import IntEnum
from typing import Final, Self

from protocols.escpos.chinese import clean_text, clip_columns, encode_text, text_columns

__all__ = ["Align", "ReceiptBuilder"]

_QR_LEVELS: Final = {"L": 48, "M": 49, "Q": 50, "H": 51}
_MAX_QR_BYTES: Final = 2953  # version 40, level L, byte mode (ISO/IEC 18004)


class Align(IntEnum):
    """Parameter of ESC a."""

    LEFT = 0
    CENTRE = 1
    RIGHT = 2


class ReceiptBuilder:
    """Builds one print job as bytes; every method returns the builder.

    Args:
        width_columns: characters of font A on a line: 48 on 80 mm paper at 203 dpi, 42 at 180 dpi, 32 on 58 mm.
        codepage: Python codec of the printer's Chinese mode: ``gb18030``, ``gbk`` or ``gb2312``.

    Raises:
        ValueError: a width outside 16..96, or a code page that is none of the three.
    """

    def __init__(self, width_columns: int = 48, codepage: str = "gb18030") -> None:
        if not 16 <= width_columns <= 96:
            raise ValueError(f"width_columns is 16 to 96, not {width_columns}")
        if codepage not in ("gb18030", "gbk", "gb2312"):
            raise ValueError(f"codepage is gb18030, gbk or gb2312, not {codepage!r}")
        self.width_columns = width_columns
        self.codepage = codepage
        self._out = bytearray()

    def __bytes__(self) -> bytes:
        return bytes(self._out)

    def raw(self, data: bytes) -> Self:
        """Append bytes as they are."""
        self._out += data
        return self

    def initialise(self) -> Self:
        """ESC @ and Chinese mode on (FS &): a known state whatever the job before left behind."""
        return self.raw(b"\x1b\x40\x1c\x26")

    def align(self, where: Align) -> Self:
        """ESC a. Takes effect at the start of a line only."""
        return self.raw(bytes((0x1B, 0x61, where)))

    def bold(self, on: bool = True) -> Self:
        """ESC E."""
        return self.raw(bytes((0x1B, 0x45, on)))

    def size(self, width: int = 1, height: int = 1) -> Self:
        """GS !: magnify 1 to 8 times in each direction.

        Raises:
            ValueError: a factor outside 1..8.
        """
        if not (1 <= width <= 8 and 1 <= height <= 8):
            raise ValueError(f"size factors are 1 to 8, not {width} and {height}")
        return self.raw(bytes((0x1D, 0x21, (width - 1) << 4 | (height - 1))))

    def text(self, text: str) -> Self:
        """Text without a line end; control characters in it become ``?``."""
        return self.raw(encode_text(text, self.codepage))

    def line(self, text: str = "") -> Self:
        """Text and LF."""
        return self.text(text).raw(b"\n")

    def columns(self, left: str, right: str) -> Self:
        """One line with ``left`` at the left edge and ``right`` at the right; two lines when both do not fit."""
        left, right = clean_text(left), clean_text(right)
        room = self.width_columns - text_columns(right)
        if text_columns(left) + 1 <= room:
            return self.line(left + " " * (room - text_columns(left)) + right)
        self.line(left)
        right = clip_columns(right, self.width_columns)
        return self.line(" " * (self.width_columns - text_columns(right)) + right)

    def rule(self, char: str = "-") -> Self:
        """A line across the paper."""
        return self.line(char * (self.width_columns // text_columns(char)))

    def feed(self, lines: int = 1) -> Self:
        """ESC d: print what is buffered and feed 0 to 255 lines."""
        if not 0 <= lines <= 255:
            raise ValueError(f"lines is 0 to 255, not {lines}")
        return self.raw(bytes((0x1B, 0x64, lines)))

    def qr(self, text: str, *, module_dots: int = 5, level: str = "M") -> Self:
        """A QR code (GS ( k: model 2, module size, error correction, store, print), UTF-8 inside.

        Raises:
            ValueError: empty or too long for any QR code, module size outside 1..16, or a level not in LMQH.
        """
        data = text.encode()
        if not 1 <= len(data) <= _MAX_QR_BYTES:
            raise ValueError(f"a QR code holds 1 to {_MAX_QR_BYTES} bytes, not {len(data)}")
        if not 1 <= module_dots <= 16:
            raise ValueError(f"module_dots is 1 to 16, not {module_dots}")
        if level not in _QR_LEVELS:
            raise ValueError(f"level is one of L M Q H, not {level!r}")
        self._symbol(65, bytes((50, 0)))
        self._symbol(67, bytes((module_dots,)))
        self._symbol(69, bytes((_QR_LEVELS[level],)))
        self._symbol(80, b"0" + data)
        return self._symbol(81, b"0")

    def _symbol(self, function: int, parameters: bytes) -> Self:
        length = len(parameters) + 2
        return self.raw(b"\x1d\x28\x6b" + length.to_bytes(2, "little") + bytes((0x31, function)) + parameters)

    def ean13(self, digits: str, *, height_dots: int = 64) -> Self:
        """An EAN-13 bar code of 12 digits (the printer adds the check digit) or 13.

        Raises:
            ValueError: not 12 or 13 digits.
        """
        if not (digits.isascii() and digits.isdigit() and len(digits) in (12, 13)):
            raise ValueError(f"EAN-13 takes 12 or 13 digits, not {digits!r}")
        return self._barcode(67, digits.encode(), height_dots)

    def code128(self, text: str, *, height_dots: int = 64) -> Self:
        """A CODE128 bar code in code set B.

        Raises:
            ValueError: empty, longer than 120, or a character outside printable ASCII.
        """
        if not (1 <= len(text) <= 120 and all(" " <= char <= "~" for char in text)):
            raise ValueError("CODE128 takes 1 to 120 printable ASCII characters")
        return self._barcode(73, b"{B" + text.replace("{", "{{").encode(), height_dots)

    def _barcode(self, system: int, data: bytes, height_dots: int) -> Self:
        if not 1 <= height_dots <= 255:
            raise ValueError(f"height_dots is 1 to 255, not {height_dots}")
        self.raw(bytes((0x1D, 0x68, height_dots, 0x1D, 0x77, 2, 0x1D, 0x48, 2)))
        return self.raw(bytes((0x1D, 0x6B, system, len(data))) + data)

    def drawer(self, pin: int = 2, *, on_ms: int = 100, off_ms: int = 100) -> Self:
        """ESC p with all three parameters: kick the cash drawer on connector pin 2 or 5.

        Raises:
            ValueError: another pin, or a time outside 2..510 ms.
        """
        if pin not in (2, 5) or not (2 <= on_ms <= 510 and 2 <= off_ms <= 510):
            raise ValueError("the drawer hangs on pin 2 or 5, with pulse times of 2 to 510 ms")
        return self.raw(bytes((0x1B, 0x70, 0 if pin == 2 else 1, on_ms // 2, off_ms // 2)))

    def cut(self, *, partial: bool = True) -> Self:
        """GS V 65/66: feed the paper past the cutter, then cut."""
        return self.raw(bytes((0x1D, 0x56, 66 if partial else 65, 0)))
