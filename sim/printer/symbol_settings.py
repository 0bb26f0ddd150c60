"""Settings of bar codes, QR codes and PDF417 codes, which live until ESC @, and the lines made with them."""

from __future__ import annotations

import itertools
from typing import Final, Literal

from protocols.escpos import Op, symbology_of
from sim.printer.paper import Alignment, BarcodeLine, Pdf417Line, QrLine
from sim.printer.pdf417 import Pdf417Settings, pdf417_rows
from sim.printer.symbols import barcode_modules, qr_modules

__all__ = ["SymbolSettings"]

_HRI: Final[dict[int, Literal["none", "above", "below", "both"]]] = {
    0: "none",
    48: "none",
    1: "above",
    49: "above",
    2: "below",
    50: "below",
    3: "both",
    51: "both",
}
_HRI_DOTS: Final = 26

_OTHER_QR: Final = {49: "a QR code of model 1", 51: "a Micro QR code"}
"""By n1 of function 65; 50 is model 2."""

_TWO_WIDTHS: Final = frozenset({"CODE39", "ITF", "CODABAR"})
"""Bar codes of thin and thick elements only: thick ones are 2.5 times as wide, rounded up to a dot (Epson, GS w)."""
_MAX_QR_BYTES: Final = 7089


class SymbolSettings:
    """Bar code height 162 dots and module 3, QR module 3 and level L: the power-on values of the manuals."""

    def __init__(self) -> None:
        self._height = 162
        self._module = 3
        self._hri: Literal["none", "above", "below", "both"] = "none"
        self._qr_module = 3
        self._qr_level = 48
        self._qr_data = b""
        self._hri_font = 0
        self._board_kind = 2
        self._pdf417 = Pdf417Settings()
        self._pdf417_data = b""

    def set(self, op: Op, value: int) -> None:
        """GS h, GS w, GS H; values a printer does not know (clients send GS w 0 and 1) are ignored."""
        if op is Op.BARCODE_HEIGHT and value:
            self._height = value
        elif op is Op.BARCODE_WIDTH and 2 <= value <= 6:
            self._module = value
        elif op is Op.HRI_PLACE:
            self._hri = _HRI.get(value, self._hri)
        elif op is Op.HRI_FONT and value in (0, 1, 48, 49):
            self._hri_font = value & 1
        elif op is Op.BOARD_SYMBOL_KIND:
            self._board_kind = value

    def symbol(
        self, data: bytes, align: Alignment, width_dots: int
    ) -> tuple[QrLine | Pdf417Line | None, str]:
        """GS ( k. Returns a line when something is to be printed, and a surprise or an empty text."""
        if len(data) < 2:
            return None, "GS ( k without a function"
        kind, function, parameters = data[0], data[1], data[2:]
        if kind == 0x30:
            return self._pdf417_function(function, parameters, align, width_dots)
        if kind != 0x31:
            return None, f"GS ( k: symbol kind {kind} is not drawn (only PDF417, 48, and QR codes, 49, are)"
        if function == 67 and parameters and 1 <= parameters[0] <= 16:
            self._qr_module = parameters[0]
        elif function == 69 and parameters and 48 <= parameters[0] <= 51:
            self._qr_level = parameters[0]
        elif function == 80 and len(parameters) > _MAX_QR_BYTES + 1:
            return None, f"GS ( k: a QR code holds {_MAX_QR_BYTES} characters at most"
        elif function == 80:
            self._qr_data = parameters[1:]
        elif function == 81:
            return self._qr(align, width_dots)
        elif function == 65 and parameters and parameters[0] in _OTHER_QR:
            return None, f"GS ( k: {_OTHER_QR[parameters[0]]} is drawn as a QR code of model 2"
        elif function not in (65, 67, 69, 82):
            return None, f"GS ( k: QR function {function} is unknown"
        return None, ""

    def _qr(self, align: Alignment, width_dots: int) -> tuple[QrLine | None, str]:
        if not self._qr_data:
            return None, "QR print without stored data"
        # The store survives the print: the same symbol can be printed again.
        return _qr_line(self._qr_data, self._qr_level, self._qr_module, align, width_dots)

    def board_symbol(
        self, args: tuple[int, ...], data: bytes, align: Alignment, width_dots: int
    ) -> tuple[QrLine | None, str]:
        """ESC Z: version (a hint), error correction as a letter or 0 to 3, module size, data."""
        _version, level, module = args
        if self._board_kind != 2:
            return None, f"ESC Z: symbol kind {self._board_kind} of GS Z is not drawn (only QR codes, 2, are)"
        if not data or not 1 <= module <= 16:
            return None, f"ESC Z with module size {module} and {len(data)} bytes; ignored"
        letter = b"LMQH".find(level) if level > 3 else level
        return _qr_line(data, 48 + max(letter, 0), module, align, width_dots)

    def size_reply(self, data: bytes, width_dots: int) -> bytes | None:
        """The answer to function 82: ``37 36`` (``37 2F`` for PDF417), width, height, ``31``, ``30`` if printable; None for others."""
        if len(data) < 2 or data[1] != 82 or data[0] not in (0x30, 0x31):
            return None
        line, _ = self._qr("left", width_dots) if data[0] == 0x31 else self._pdf417_line("left", width_dots)
        width, height = (0, 0) if line is None else (line.width_dots, line.feed_dots)
        fields = (str(width), str(height), "1", "0" if line is not None else "1")
        return bytes((0x37, 0x36 if data[0] == 0x31 else 0x2F)) + "\x1f".join(fields).encode() + b"\0"

    def _pdf417_function(
        self, function: int, parameters: bytes, align: Alignment, width_dots: int
    ) -> tuple[Pdf417Line | None, str]:
        if function == 80:
            self._pdf417_data = parameters[1:]
        elif function == 81:
            return self._pdf417_line(align, width_dots)
        elif function != 82:
            return None, self._pdf417.set(function, parameters)
        return None, ""

    def _pdf417_line(self, align: Alignment, width_dots: int) -> tuple[Pdf417Line | None, str]:
        if not self._pdf417_data:
            return None, "PDF417 print without stored data"
        rows = pdf417_rows(self._pdf417_data, self._pdf417, width_dots)
        if rows is None:
            return (
                None,
                f"{len(self._pdf417_data)} bytes do not fit a PDF417 code of these settings; not printed",
            )
        module, row = self._pdf417.module_dots, self._pdf417.module_dots * self._pdf417.row_modules
        return Pdf417Line(self._pdf417_data, rows, module, row, align, len(rows) * row), ""

    def barcode(
        self, m: int, data: bytes, align: Alignment, width_dots: int
    ) -> tuple[BarcodeLine | None, str]:
        """GS k with good data. Returns a line, or None and why nothing can be printed."""
        system = symbology_of(m)
        drawn = barcode_modules(system.name, data) if system is not None else None
        if system is None or drawn is None:
            return None, f"this simulator cannot draw {system.name if system else m} of {data!r}"
        modules, text = drawn
        module = self._module
        if system.name in _TWO_WIDTHS:
            modules, module = _thin_and_thick(modules, module), 1
        if len(modules) * module > width_dots:
            return None, f"a bar code {len(modules) * module} dots wide does not fit {width_dots} dots"
        shown = {"none": 0, "both": 2}.get(self._hri, 1)
        feed = self._height + shown * _HRI_DOTS
        return BarcodeLine(
            system.name, text, modules, module, self._height, self._hri, align, feed, self._hri_font
        ), ""


def _thin_and_thick(modules: str, thin: int) -> str:
    """Elements of one and three modules, dot by dot in the widths of the printer."""
    thick = (5 * thin + 1) // 2
    return "".join(bar * (thin if len(list(run)) == 1 else thick) for bar, run in itertools.groupby(modules))


def _qr_line(
    data: bytes, level: int, module: int, align: Alignment, width_dots: int
) -> tuple[QrLine | None, str]:
    modules = qr_modules(data, level)
    if modules is None:
        return None, f"{len(data)} bytes do not fit any QR code of this error correction level"
    size = modules * module
    if size > width_dots:
        return None, f"a QR code {size} dots wide does not fit {width_dots} dots; not printed"
    return QrLine(data, level, modules, module, align, size), ""
