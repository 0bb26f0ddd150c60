"""What is on the paper: lines of cells, symbols and images, and receipts cut from the roll."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "BarcodeLine",
    "BlankLine",
    "Cell",
    "Interruption",
    "PrintedLine",
    "QrLine",
    "RasterLine",
    "Receipt",
    "Style",
    "TextLine",
]

Alignment = Literal["left", "centre", "right"]


@dataclass(frozen=True, slots=True)
class Style:
    """How a character is printed; ``width`` and ``height`` magnify 1..8 times, ``font`` is 0 (A) or 1 (B)."""

    font: int = 0
    bold: bool = False
    underline: int = 0
    width: int = 1
    height: int = 1
    inverse: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """One character; ``columns`` is 2 for a full-width (Chinese) one, at normal size."""

    char: str
    columns: int
    style: Style

    @property
    def width_dots(self) -> int:
        """Width on paper."""
        base = 24 if self.columns == 2 else (9 if self.style.font else 12)
        return base * self.style.width

    @property
    def height_dots(self) -> int:
        """Height on paper."""
        base = 17 if self.style.font and self.columns == 1 else 24
        return base * self.style.height


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of text."""

    cells: tuple[Cell, ...]
    align: Alignment
    feed_dots: int

    @property
    def width_dots(self) -> int:
        """Sum of the cells' widths."""
        return sum(cell.width_dots for cell in self.cells)

    def text(self, width_dots: int) -> str:
        """The line as plain text, moved to its place by blanks of one column each."""
        body = "".join(cell.char for cell in self.cells).rstrip()
        return " " * (indent_dots(self.align, self.width_dots, width_dots) // 12) + body if body else ""


@dataclass(frozen=True, slots=True)
class QrLine:
    """A QR code: its data and its matrix (one bytes object a row, 1 = dark)."""

    data: bytes
    matrix: tuple[bytes, ...]
    module_dots: int
    align: Alignment
    feed_dots: int

    @property
    def width_dots(self) -> int:
        """Width on paper."""
        return len(self.matrix) * self.module_dots


@dataclass(frozen=True, slots=True)
class BarcodeLine:
    """A bar code: ``modules`` is a string of 1 (bar) and 0 (space); ``hri`` what is printed in clear, by its place."""

    symbology: str
    data: str
    modules: str
    module_dots: int
    height_dots: int
    hri: Literal["none", "above", "below", "both"]
    align: Alignment
    feed_dots: int

    @property
    def width_dots(self) -> int:
        """Width on paper."""
        return len(self.modules) * self.module_dots


@dataclass(frozen=True, slots=True)
class RasterLine:
    """A band of an image: ``rows`` packed bits, most significant first, ``width_bytes`` each."""

    rows: tuple[bytes, ...]
    scale_x: int
    scale_y: int
    align: Alignment
    feed_dots: int
    first: bool = True

    @property
    def width_dots(self) -> int:
        """Width on paper."""
        return len(self.rows[0]) * 8 * self.scale_x if self.rows else 0


@dataclass(frozen=True, slots=True)
class BlankLine:
    """Paper that was fed without print: one text row for each line height it covers."""

    feed_dots: int

    @property
    def width_dots(self) -> int:
        """Nothing is printed."""
        return 0


PrintedLine = TextLine | QrLine | BarcodeLine | RasterLine | BlankLine


@dataclass(frozen=True, slots=True)
class Interruption:
    """Something that happened to a receipt while it was being printed.

    Attributes:
        kind: the paper ran out, power went, the cover was opened, or the cutter jammed.
        after_line: how many lines of it were on paper.
        at_us: when.
    """

    kind: Literal["paper_end", "power_off", "cover_open", "cutter"]
    after_line: int
    at_us: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """The paper between two cuts.

    Attributes:
        lines: what is on it, in order.
        width_dots: printable width.
        started_us, ended_us: first line finished; cut done.
        end: how it ended: cut, or torn off by hand.
        interruptions: what happened meanwhile. A receipt with a ``paper_end`` hangs in two pieces, one on each roll.
    """

    lines: tuple[PrintedLine, ...]
    width_dots: int
    started_us: int
    ended_us: int
    end: Literal["full", "partial", "torn"]
    interruptions: tuple[Interruption, ...] = field(default=())

    @property
    def text(self) -> str:
        """The text grid: one row for each printed line."""
        shown = [
            line_text(line, self.width_dots)
            for line in self.lines
            if not (isinstance(line, RasterLine) and not line.first)
        ]
        return "\n".join(shown).strip("\n")

    @property
    def cells(self) -> tuple[tuple[Cell, ...], ...]:
        """The cells of the text lines, empty tuples for other lines."""
        return tuple(line.cells if isinstance(line, TextLine) else () for line in self.lines)

    @property
    def qr_codes(self) -> tuple[bytes, ...]:
        """Data of its QR codes."""
        return tuple(line.data for line in self.lines if isinstance(line, QrLine))

    @property
    def whole(self) -> bool:
        """Printed in one go, on one piece of paper."""
        return not self.interruptions and self.end != "torn"


def line_text(line: PrintedLine, width_dots: int) -> str:
    """A line of paper as plain text; symbols and images by a stand-in that names their data."""
    if isinstance(line, TextLine):
        return line.text(width_dots)
    if isinstance(line, QrLine):
        return f"[QR {line.data.decode('utf-8', 'replace')}]"
    if isinstance(line, BarcodeLine):
        return f"[{line.symbology} {line.data}]"
    return "[image]" if isinstance(line, RasterLine) else ""


def indent_dots(align: Alignment, used_dots: int, width_dots: int) -> int:
    """Dots left of a line that is ``used_dots`` wide."""
    room = max(0, width_dots - used_dots)
    if align == "centre":
        return room // 2
    return room if align == "right" else 0
