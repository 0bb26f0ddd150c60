"""Frames join from cell to cell in the picture, and shades and blocks fill their share of it."""

from __future__ import annotations

import pytest

from sim.printer.box_glyphs import box_glyph


def edges(char: str) -> str:
    """Which edges of its cell a character touches."""
    image = box_glyph(char, 12, 24)
    assert image is not None
    dots = {(x, y) for x in range(12) for y in range(24) if image.getpixel((x, y))}
    touched = {
        "left": any(x == 0 for x, _ in dots),
        "right": any(x == 11 for x, _ in dots),
        "up": any(y == 0 for _, y in dots),
        "down": any(y == 23 for _, y in dots),
    }
    return " ".join(name for name, is_touched in touched.items() if is_touched)


@pytest.mark.parametrize(
    ("chars", "touched"),
    [
        ("─═", "left right"),
        ("│║", "up down"),
        ("┌╔╭╒╓", "right down"),
        ("┘╝╯╛╜", "left up"),
        ("├╠╞╟", "right up down"),
        ("┼╬╪╫", "left right up down"),
        ("╤╥", "left right down"),
    ],
)
def test_lines_reach_the_edges_that_their_name_tells(chars: str, touched: str) -> None:
    assert [edges(char) for char in chars] == [touched] * len(chars)


def test_a_double_line_is_two_and_a_single_one_meets_its_like() -> None:
    double, single = box_glyph("║", 12, 24), box_glyph("│", 12, 24)
    assert double is not None
    assert single is not None
    assert [x for x in range(12) if double.getpixel((x, 3))] == [4, 8]
    assert [x for x in range(12) if single.getpixel((x, 3))] == [5, 6]


def test_blocks_and_shades_have_their_share_of_the_dots() -> None:
    def share(char: str) -> int:
        image = box_glyph(char, 16, 24)
        assert image is not None
        return sum(1 for x in range(16) for y in range(24) if image.getpixel((x, y))) * 100 // (16 * 24)

    assert [share(char) for char in "▁▄█▀▌▐░▒▓"] == [12, 50, 100, 50, 50, 50, 25, 50, 75]


def test_other_characters_come_from_a_font() -> None:
    assert [box_glyph(char, 12, 24) for char in "A中─"[:2] + "╱┅"] == [None] * 4
