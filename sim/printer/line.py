"""The line being composed: where the next character goes, and what a finished line is."""

from __future__ import annotations

from dataclasses import replace
from operator import itemgetter
from typing import Final

from sim.printer.paper import Alignment, Cell, Dots, RasterLine, Style, TextLine
from sim.printer.profile import PrinterProfile

__all__ = ["LineComposer"]

_DEFAULT_TABS: Final = tuple(range(8 * 12, 96 * 12, 8 * 12))
_COLUMN_DOTS: Final = 12
_MOST_KEPT: Final = 4096
_columns_of: Final = itemgetter(1)
_BLANK: Final = Cell(" ", 1, Style())


class LineComposer:
    """Holds the modes that decide on places, and the cells of one line (the print buffer).

    Attributes:
        style: how single-byte characters are printed.
        align, upside_down: of the line.
        spacing_dots: line spacing (ESC 2, ESC 3).
        character_gap_dots: blank dots right of a character (ESC SP), before magnification.
        chinese_gap_dots: blank dots left and right of a Chinese character (FS S).
        left_dots, area_dots: left margin and width of the print area (GS L, GS W).
        tabs_dots: tab stops.
        page_dots: length of a line in page mode, where margins and alignment have no effect; None in standard mode.
        cells: what is in the line.
    """

    def __init__(self, profile: PrinterProfile) -> None:
        self._paper_dots = profile.width_dots
        self._spacing_dots = profile.line_spacing_dots
        self.reset()

    def reset(self) -> None:
        """Power-on and ESC @."""
        self.style = Style()
        self.align: Alignment = "left"
        self.upside_down = False
        self.spacing_dots = self._spacing_dots
        self.character_gap_dots = 0
        self.chinese_gap_dots = (0, 0)
        self.chinese_wide = False
        self.chinese_high = False
        self.chinese_underline = 0
        self.left_dots = 0
        self.area_dots = self._paper_dots
        self.tabs_dots: tuple[int, ...] = _DEFAULT_TABS
        self.page_dots: int | None = None
        self.cells: list[Cell] = []
        self._made: dict[tuple[str, int], Cell] = {}
        self._made_in: tuple[Style, Style] | None = None
        self.clear()

    def clear(self) -> None:
        """Drop the line; modes stay."""
        self.cells.clear()
        self._used_dots = 0
        self._gap_dots = 0
        self._tallest_dots = 0

    @property
    def used_dots(self) -> int:
        """The print position, from the left margin."""
        return self._used_dots + self._gap_dots

    @property
    def width_dots(self) -> int:
        """How much fits in a line: the print area, or what the paper leaves of it."""
        if self.page_dots is not None:
            return max(_COLUMN_DOTS, self.page_dots)
        return max(_COLUMN_DOTS, min(self.area_dots, self._paper_dots - self.left_dots))

    @property
    def place(self) -> tuple[Alignment, int, int]:
        """Alignment, left margin and width of the print area, 0 for all that the paper has."""
        if self.page_dots is not None:
            return "left", 0, 0
        area_dots = self.width_dots
        return self.align, self.left_dots, 0 if area_dots == self._paper_dots - self.left_dots else area_dots

    def put(self, char: str, columns: int, drawn: Dots | None = None) -> TextLine | None:
        """Add a character. Returns the line that was full and had to be printed first, or None."""
        style = self.style
        before_dots = self._gap_dots
        if columns == 2:
            style = self._chinese_style()
            before_dots += self.chinese_gap_dots[0] * style.width
            after_dots = self.chinese_gap_dots[1] * style.width
        else:
            after_dots = self.character_gap_dots * style.width
        cell = Cell(char, columns, style, before_dots, drawn)
        width_dots = cell.width_dots
        full = None
        if self._used_dots + before_dots + width_dots > self.width_dots and self.cells:
            full = self.take()
            if before_dots:
                cell = replace(cell, before_dots=0)
                before_dots = 0
        self.cells.append(cell)
        self._tallest_dots = max(self._tallest_dots, cell.height_dots)
        self._used_dots += before_dots + width_dots
        self._gap_dots = after_dots
        return full

    def put_picture(self, picture: RasterLine) -> None:
        """Columns of ESC *: they stand in the line like a character; what does not fit is cut off at the right."""
        room = self.width_dots - self.used_dots
        keep = -(-room // (8 * picture.scale_x))
        if keep <= 0:
            return
        rows = tuple(row[:keep] for row in picture.rows)
        cell = Cell("[image]", 1, Style(), self._gap_dots, picture=replace(picture, rows=rows))
        self.cells.append(cell)
        self._tallest_dots = max(self._tallest_dots, cell.height_dots)
        self._used_dots += self._gap_dots + cell.width_dots
        self._gap_dots = 0

    @property
    def has_gaps(self) -> bool:
        """Whether the next character may have blank dots before it: then `put` must place it."""
        return bool(self._gap_dots or self.character_gap_dots or any(self.chinese_gap_dots))

    def put_run(self, found: list[tuple[str, int]]) -> list[TextLine]:
        """`put` for many (character, columns) without gaps and without dots of the host; returns the lines that were full."""
        styles = self.style, self._chinese_style()
        if styles != self._made_in:
            self._made_in, self._made = styles, {}
        elif len(self._made) > _MOST_KEPT:
            self._made.clear()
        narrow, wide = (Cell("0", columns, style) for columns, style in zip((1, 2), styles, strict=True))
        sizes = ((narrow.width_dots, narrow.height_dots), (wide.width_dots, wide.height_dots))
        full: list[TextLine] = []
        made, width_dots = self._made, self.width_dots
        for key in found:
            if key not in made:
                made[key] = Cell(key[0], key[1], styles[key[1] - 1])
        wides = sum(map(_columns_of, found)) - len(found)
        run_dots = (len(found) - wides) * narrow.width_dots + wides * wide.width_dots
        if self._used_dots + run_dots <= width_dots:  # nearly always: it fits as a whole
            self.cells.extend(map(made.__getitem__, found))
            self._used_dots += run_dots
            for count, (_, height_dots) in zip((len(found) - wides, wides), sizes, strict=True):
                if count and height_dots > self._tallest_dots:
                    self._tallest_dots = height_dots
            return full
        for key in found:
            cell = made[key]
            cell_dots, height_dots = sizes[key[1] - 1]
            if self._used_dots + cell_dots > width_dots and self.cells:
                full.append(self.take())
            self.cells.append(cell)
            if height_dots > self._tallest_dots:
                self._tallest_dots = height_dots
            self._used_dots += cell_dots
        return full

    def _chinese_style(self) -> Style:
        style = self.style
        if self.chinese_wide or self.chinese_high or self.chinese_underline:
            return replace(
                style,
                width=max(style.width, 2 if self.chinese_wide else 1),
                height=max(style.height, 2 if self.chinese_high else 1),
                underline=max(style.underline, self.chinese_underline),
            )
        return style

    def take(self) -> TextLine:
        """The line as composed (empty if nothing is in it); the next one begins."""
        align, left_dots, area_dots = self.place
        feed_dots = max(self.spacing_dots, self._tallest_dots)
        line = TextLine(tuple(self.cells), align, feed_dots, left_dots, area_dots, self.upside_down)
        self.clear()
        return line

    # -- places -------------------------------------------------------------------------------------------------

    def set_tabs(self, columns: tuple[int, ...]) -> None:
        """ESC D: stops count characters of the present width. What is not ascending ends the list."""
        unit = Cell("0", 1, replace(self.style, rotated=False)).width_dots + self.character_gap_dots
        stops: list[int] = []
        for column in columns:
            if stops and column * unit <= stops[-1]:
                break
            stops.append(column * unit)
        self.tabs_dots = tuple(stops)

    def tab(self) -> None:
        """HT: to the next stop; without one inside the line it has no effect."""
        stop = next((stop for stop in self.tabs_dots if stop > self.used_dots), None)
        if stop is not None and stop < self.width_dots:
            self.move_to(stop)

    def move_to(self, dots: int) -> None:
        """ESC $: the next character begins here, also left of what is there already."""
        dots = max(0, min(dots, self.width_dots))
        self._gap_dots += dots - self.used_dots
        # Blanks of whole columns are cells, so that a text grid has them.
        while self._gap_dots >= _COLUMN_DOTS:
            self.cells.append(_BLANK)
            self._tallest_dots = max(self._tallest_dots, _BLANK.height_dots)
            self._used_dots += _COLUMN_DOTS
            self._gap_dots -= _COLUMN_DOTS

    def move_by(self, dots: int) -> bool:
        """ESC backslash: relative move; False (and no move) where it would leave the line."""
        if not 0 <= self.used_dots + dots <= self.width_dots:
            return False
        self.move_to(self.used_dots + dots)
        return True
