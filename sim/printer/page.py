"""Page mode: lines are put anywhere in an area, in any of four directions, and printed together.

Source: ESC L, ESC S, ESC W, ESC T, ESC FF, FF, CAN, GS $ and GS backslash in the Epson command manuals.
"""

from __future__ import annotations

from typing import Final

from sim.printer.paper import LineInArea, PageBlock, Placed, TextLine, left_of

__all__ = ["Page"]

_MAX_ITEMS: Final = 4096
_MAX_HEIGHT_DOTS: Final = 65_535


class Page:
    """What has been put on the page so far.

    Coordinates of the host follow the direction of print: ``u`` along a line, ``v`` from line to line.

    Args:
        width_dots: of the paper.
    """

    def __init__(self, width_dots: int) -> None:
        self._paper_dots = width_dots
        self.reset()

    def reset(self) -> None:
        """ESC L and ESC S: an empty page, the whole paper wide, printed from left to right."""
        self._items: list[Placed] = []
        self._x, self._y = 0, 0
        self._width, self._height = self._paper_dots, 0
        self._direction = 0
        self._v = 0
        self._bottom = 0

    @property
    def line_dots(self) -> int:
        """How long a line may be in the present direction."""
        return self._width if self._direction % 2 == 0 else (self._height or _MAX_HEIGHT_DOTS)

    def set_area(self, x: int, y: int, width: int, height: int) -> str:
        """ESC W; returns a surprise or an empty text."""
        if not width or not height or x >= self._paper_dots:
            return f"ESC W {x} {y} {width} {height}: no such area on this paper; ignored"
        self._x, self._y = x, y
        self._width, self._height = min(width, self._paper_dots - x), height
        self._v = 0
        self._bottom = max(self._bottom, min(y + height, _MAX_HEIGHT_DOTS))
        return ""

    def set_direction(self, direction: int) -> None:
        """ESC T: 0 to the right, 1 upwards, 2 to the left (upside down), 3 downwards."""
        self._direction = direction
        self._v = 0

    def move_to(self, v: int) -> None:
        """GS $: where the next line begins, down from the start of the area in the present direction."""
        self._v = max(0, min(v, _MAX_HEIGHT_DOTS))

    def move_by(self, v: int) -> None:
        """GS backslash: relative move; what would leave the page is ignored."""
        if 0 <= self._v + v <= _MAX_HEIGHT_DOTS:
            self._v += v

    def put(self, line: LineInArea, *, feeds: bool = True) -> str:
        """Place a line and go on below it; returns a surprise or an empty text."""
        if len(self._items) >= _MAX_ITEMS or self._v >= _MAX_HEIGHT_DOTS:
            return "the page is full; ignored"
        width, height = line.width_dots, line.feed_dots
        if not isinstance(line, TextLine) or line.cells:
            u, v = left_of(line, self.line_dots), self._v
            # Where the upper left corner of the turned box lies.
            x, y = {
                0: (self._x + u, self._y + v),
                1: (self._x + v, self._y + self._height - u - width),
                2: (self._x + self._width - u - width, self._y + self._height - v - height),
                3: (self._x + self._width - v - height, self._y + u),
            }[self._direction]
            self._items.append(Placed(line, x, y, self._direction))
            if not self._height:
                self._bottom = max(self._bottom, y + (height if self._direction % 2 == 0 else width))
        if feeds:
            self._v += height
        return ""

    def clear(self) -> None:
        """CAN: what lies in the present area is gone."""
        inside_x, inside_y = range(self._x, self._x + self._width), range(self._y, self._y + self._height)
        self._items = [
            item for item in self._items if self._height and not (item.x in inside_x and item.y in inside_y)
        ]
        self._v = 0

    def block(self) -> PageBlock | None:
        """The page as it is to be printed; None while it is empty."""
        if not self._items:
            return None
        lowest = max(item.y + _height_of(item) for item in self._items)
        return PageBlock(tuple(self._items), min(self._bottom or max(lowest, 1), _MAX_HEIGHT_DOTS))


def _height_of(item: Placed) -> int:
    return item.line.feed_dots if item.turns % 2 == 0 else item.line.width_dots
