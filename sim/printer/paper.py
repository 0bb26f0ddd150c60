"""What is on the paper: lines of cells, symbols and images, and receipts cut from the roll."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

__all__ = [
    "BarcodeLine",
    "BlankLine",
    "Cell",
    "Dots",
    "Interruption",
    "PageBlock",
    "Pdf417Line",
    "Placed",
    "PrintedLine",
    "QrLine",
    "RasterLine",
    "Receipt",
    "Style",
    "TextLine",
]

Alignment = Literal["left", "centre", "right"]

Dots = tuple[bytes, ...]
"""A small picture: one bytes object a row, one byte a dot, 1 = dark."""


@dataclass(frozen=True, slots=True)
class Style:
    """How a character is printed; ``width`` and ``height`` magnify 1..8 times, ``font`` is 0 (A) or 1 (B)."""

    font: int = 0
    bold: bool = False
    underline: int = 0
    width: int = 1
    height: int = 1
    inverse: bool = False
    rotated: bool = False
    """Turned by 90 degrees clockwise (ESC V)."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One character, or one picture of ESC *.

    Attributes:
        char: the character; ``[image]`` for a picture.
        columns: 2 for a full-width (Chinese) one, at normal size.
        style: how it is printed.
        before_dots: blank dots left of it; negative where the print position was moved back.
        drawn: its dots, if the host has defined them itself (ESC &, FS 2).
        picture: columns that the host has put into the line (ESC *); then style has no meaning.
    """

    char: str
    columns: int
    style: Style
    before_dots: int = 0
    drawn: Dots | None = None
    picture: RasterLine | None = None

    @property
    def upright_dots(self) -> tuple[int, int]:
        """Width and height of its box, neither turned nor magnified."""
        if self.columns == 2:
            return 24, 24
        return (9, 17) if self.style.font else (12, 24)

    @property
    def width_dots(self) -> int:
        """Width on paper."""
        if self.picture is not None:
            return self.picture.width_dots
        style = self.style
        if style.rotated:
            return self.upright_dots[1] * style.width
        return (24 if self.columns == 2 else 9 if style.font else 12) * style.width

    @property
    def height_dots(self) -> int:
        """Height on paper."""
        if self.picture is not None:
            return self.picture.feed_dots
        return self.upright_dots[0 if self.style.rotated else 1] * self.style.height


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of text; ``upside_down`` (ESC {) turns it by 180 degrees in its area."""

    cells: tuple[Cell, ...]
    align: Alignment
    feed_dots: int
    left_dots: int = 0
    area_dots: int = 0
    upside_down: bool = False

    @property
    def width_dots(self) -> int:
        """From its left edge to the right edge of its last cell."""
        return sum(cell.before_dots + cell.width_dots for cell in self.cells)

    @property
    def only_picture(self) -> RasterLine | None:
        """The line as a band of an image, if there is nothing but one picture in it."""
        if len(self.cells) != 1 or self.cells[0].picture is None:
            return None
        return replace(
            self.cells[0].picture,
            align=self.align,
            feed_dots=self.feed_dots,
            left_dots=self.left_dots + self.cells[0].before_dots,
            area_dots=self.area_dots,
        )

    def text(self, width_dots: int) -> str:
        """The line as plain text, moved to its place by blanks of one column each."""
        body = self._by_columns() if any(cell.before_dots < 0 for cell in self.cells) else None
        if body is None:
            body = "".join(" " * (cell.before_dots // 12) + cell.char for cell in self.cells)
        body = body.rstrip()
        return " " * (left_of(self, width_dots) // 12) + body if body else ""

    def _by_columns(self) -> str | None:
        """A line whose print position has gone back (ESC $): each character stands in the column where it is on paper.

        None if one stands on another, because both are to be told.
        """
        row: dict[int, str] = {}
        x = 0
        for cell in self.cells:
            x += cell.before_dots
            if not cell.char.isspace():
                column = max(0, x // 12)
                places = range(column, column + cell.columns)
                if any(place in row for place in places):
                    return None
                row.update(dict.fromkeys(places, ""))
                row[column] = cell.char
            x += cell.width_dots
        return "".join(row.get(column, " ") for column in range(max(row, default=-1) + 1))


@dataclass(frozen=True, slots=True)
class QrLine:
    """A QR code: its data, its error correction (48 L to 51 H) and its size in modules."""

    data: bytes
    level: int
    modules: int
    module_dots: int
    align: Alignment
    feed_dots: int
    left_dots: int = 0
    area_dots: int = 0

    @property
    def width_dots(self) -> int:
        """Width on paper."""
        return self.modules * self.module_dots


@dataclass(frozen=True, slots=True)
class Pdf417Line:
    """A PDF417 code: its data and its rows, each a string of 1 (bar) and 0 (space)."""

    data: bytes
    rows: tuple[str, ...]
    module_dots: int
    row_dots: int
    align: Alignment
    feed_dots: int
    left_dots: int = 0
    area_dots: int = 0

    @property
    def width_dots(self) -> int:
        """Width on paper."""
        return len(self.rows[0]) * self.module_dots if self.rows else 0


@dataclass(frozen=True, slots=True)
class BarcodeLine:
    """A bar code: ``modules`` is a string of 1 (bar) and 0 (space), of one dot each where thick is no multiple of thin; ``hri`` what is printed in clear, by its place."""

    symbology: str
    data: str
    modules: str
    module_dots: int
    height_dots: int
    hri: Literal["none", "above", "below", "both"]
    align: Alignment
    feed_dots: int
    hri_font: int = 0
    left_dots: int = 0
    area_dots: int = 0

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
    left_dots: int = 0
    area_dots: int = 0

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


LineInArea = TextLine | QrLine | Pdf417Line | BarcodeLine | RasterLine
"""A line with a place of its own: ``area_dots`` wide (0: the rest of the paper) from ``left_dots`` on, aligned in there."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A line somewhere on a page: the upper left corner of its box after ``turns`` quarter turns against the clock."""

    line: LineInArea
    x: int
    y: int
    turns: int


@dataclass(frozen=True, slots=True)
class PageBlock:
    """What page mode has put together, printed in one piece."""

    items: tuple[Placed, ...]
    feed_dots: int

    @property
    def width_dots(self) -> int:
        """A page takes the paper's width: its items know their places."""
        return 0


PrintedLine = LineInArea | PageBlock | BlankLine


InterruptionKind = Literal["paper_end", "power_off", "cover_open", "cutter", "head_hot", "broken"]


@dataclass(frozen=True, slots=True)
class Interruption:
    """Something that happened to a receipt while it was being printed.

    Attributes:
        kind: the paper ran out, power went, the cover was opened, the cutter jammed, the head was too hot or broke.
        after_line: how many lines of it were on paper.
        at_us: when.
    """

    kind: InterruptionKind
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
        lines = [each for line in self.lines for each in _parts(line)]
        return tuple(line.data for line in lines if isinstance(line, QrLine))

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
    if isinstance(line, Pdf417Line):
        return f"[PDF417 {line.data.decode('utf-8', 'replace')}]"
    if isinstance(line, BarcodeLine):
        return f"[{line.symbology} {line.data}]"
    if isinstance(line, PageBlock):
        rows = sorted(line.items, key=lambda item: (item.y, item.x))
        shown = [item for item in rows if not (isinstance(item.line, RasterLine) and not item.line.first)]
        return "\n".join(line_text(item.line, 0) for item in shown)
    return "[image]" if isinstance(line, RasterLine) else ""


def _parts(line: PrintedLine) -> tuple[PrintedLine, ...]:
    return tuple(item.line for item in line.items) if isinstance(line, PageBlock) else (line,)


def left_of(line: LineInArea, paper_dots: int) -> int:
    """Dots between the left edge of the printable paper and a line."""
    area_dots = line.area_dots or paper_dots - line.left_dots
    return line.left_dots + indent_dots(line.align, line.width_dots, area_dots)


def indent_dots(align: Alignment, used_dots: int, width_dots: int) -> int:
    """Dots left of a line that is ``used_dots`` wide."""
    room = max(0, width_dots - used_dots)
    if align == "centre":
        return room // 2
    return room if align == "right" else 0
