"""Where finished lines go: onto the paper, line by line, or onto a page that is printed in one piece."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sim.printer.actions import Action, Print
from sim.printer.line import LineComposer
from sim.printer.page import Page
from sim.printer.paper import BarcodeLine, BlankLine, LineInArea, Pdf417Line, QrLine, RasterLine, TextLine
from sim.printer.profile import PrinterProfile

__all__ = ["Sheet"]


class Sheet:
    """The line being composed, the page if there is one, and the actions that come of them.

    Args:
        profile: the printer model.
        surprise: called with (offset, reason).

    Attributes:
        line: the line being composed.
        page: the page; in use while `in_page`.
        actions: for the mechanism, oldest first; whoever takes them empties the list.
        fed_dots: paper fed since the last print.
    """

    def __init__(self, profile: PrinterProfile, surprise: Callable[[int, str], None]) -> None:
        self._surprise = surprise
        self.line = LineComposer(profile)
        self.page = Page(profile.width_dots)
        self.in_page = False
        self.actions: list[Action] = []
        self.fed_dots = 0

    def reset(self) -> None:
        """Modes, line and page of power-on; actions stay."""
        self.line.reset()
        self.page.reset()
        self.in_page = False
        self.fed_dots = 0

    @property
    def is_line_empty(self) -> bool:
        """Whether the print buffer is empty: some commands have an effect only then."""
        return not self.line.cells

    def print_line(self, line: TextLine | None = None, offset: int = 0) -> None:
        """LF: print what is in the line (or a line that was full), and feed."""
        line = line or self.line.take()
        picture = line.only_picture
        if picture is not None:
            self._print(picture, offset)
        else:
            self._print(line, offset)

    def _print(self, line: TextLine | RasterLine, offset: int) -> None:
        if self.in_page:
            self._onto_page(line, offset)
            return
        self.actions.append(Print(line))
        if isinstance(line, RasterLine) or line.cells:
            self.fed_dots = 0
        self.fed_dots += line.feed_dots

    def flush(self) -> None:
        """Print the line if anything is in it."""
        if self.line.cells:
            self.print_line()

    def blank(self, dots: int) -> None:
        """Feed."""
        if self.in_page:
            self.page.move_by(dots)
        elif dots:
            self.actions.append(Print(BlankLine(dots)))
            self.fed_dots += dots

    def put(self, line: QrLine | Pdf417Line | BarcodeLine | RasterLine, offset: int) -> None:
        """A symbol or a band of an image: at its place in the print area."""
        _, left_dots, area_dots = self.line.place
        if left_dots or area_dots:
            line = replace(line, left_dots=left_dots, area_dots=area_dots)
        if self.in_page:
            self._onto_page(line, offset)
            return
        self.fed_dots = 0
        self.actions.append(Print(line))

    def _onto_page(self, line: LineInArea, offset: int) -> None:
        problem = self.page.put(line)
        if problem:
            self._surprise(offset, problem)

    # -- page mode ------------------------------------------------------------------------------------------------

    def begin_page(self) -> None:
        """ESC L, at the start of a line."""
        self.page.reset()
        self.in_page = True
        self.page_changed()

    def end_page(self) -> None:
        """ESC S: back to standard mode; what was not printed is gone."""
        self.in_page = False
        self.line.page_dots = None
        self.line.clear()
        self.page.reset()

    def page_changed(self) -> None:
        """The page's direction or area has changed: lines have another length."""
        if self.in_page:
            self.line.page_dots = self.page.line_dots

    def print_page(self) -> None:
        """FF and ESC FF: print the page; it stays for another print."""
        self.flush()
        block = self.page.block()
        if block is not None:
            self.actions.append(Print(block))
            self.fed_dots = 0
