"""Feie's markup: its tags read into pieces, and written by a builder that cannot be steered by what it prints.

Tags as in the vendor's demo code; single ones are ``<BR> <CUT> <LOGO> <PLUGIN> <AUDIO-CANCEL> <AUDIO-REFUND>``, pairs are
``<CB> <B> <C> <L> <W> <QR> <BOLD> <RIGHT>``. Not published, and assumed here: a line feed breaks the line as ``<BR>`` does, a pair
that is never closed goes on to the end, a line stands where its first piece wants to stand, and what is no tag is text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, Literal, Self, TypeAlias

from protocols.escpos import clip_columns, text_columns

__all__ = ["Mark", "MarkupBuilder", "Piece", "QrPiece", "TextPiece", "TextStyle", "parse_markup", "safe_text"]


class Mark(Enum):
    """A tag that stands alone."""

    BREAK = "BR"
    CUT = "CUT"
    LOGO = "LOGO"
    PLUGIN = "PLUGIN"
    AUDIO_CANCEL = "AUDIO-CANCEL"
    AUDIO_REFUND = "AUDIO-REFUND"


@dataclass(frozen=True, slots=True)
class TextStyle:
    """How a text is printed; the sizes magnify once or twice."""

    align: Literal["left", "centre", "right"] = "left"
    width: int = 1
    height: int = 1
    bold: bool = False


@dataclass(frozen=True, slots=True)
class TextPiece:
    """Text within one line."""

    text: str
    style: TextStyle = TextStyle()


@dataclass(frozen=True, slots=True)
class QrPiece:
    """A QR code."""

    text: str
    align: Literal["left", "centre", "right"] = "left"


Piece: TypeAlias = TextPiece | QrPiece | Mark

_TAG: Final = re.compile(r"<(/?)(CB|BOLD|RIGHT|QR|B|C|L|W|BR|CUT|LOGO|PLUGIN|AUDIO-CANCEL|AUDIO-REFUND)>")
_MARKS: Final = {mark.value: mark for mark in Mark}


def _styled(style: TextStyle, tag: str) -> TextStyle:
    match tag:
        case "CB":
            return replace(style, align="centre", width=2, height=2)
        case "B":
            return replace(style, width=2, height=2)
        case "C":
            return replace(style, align="centre")
        case "RIGHT":
            return replace(style, align="right")
        case "L":
            return replace(style, height=2)
        case "W":
            return replace(style, width=2)
        case _:
            return replace(style, bold=True)


def parse_markup(content: str) -> list[Piece]:
    """Read the content of an order."""
    pieces: list[Piece] = []
    open_tags: list[str] = []
    qr_text: list[str] | None = None
    at = 0
    for match in _TAG.finditer(content):
        _text(pieces, content[at : match.start()], open_tags, qr_text)
        at = match.end()
        closes, tag = bool(match[1]), match[2]
        if tag == "QR":
            if qr_text is not None and closes:
                pieces.append(QrPiece("".join(qr_text), _style(open_tags).align))
            qr_text = None if closes else []
        elif tag in _MARKS:
            if not closes:
                pieces.append(_MARKS[tag])
        elif not closes:
            open_tags.append(tag)
        elif tag in open_tags:
            del open_tags[len(open_tags) - 1 - open_tags[::-1].index(tag)]
    _text(pieces, content[at:], open_tags, qr_text)
    if qr_text:
        pieces.append(QrPiece("".join(qr_text), _style(open_tags).align))
    return pieces


def _style(open_tags: list[str]) -> TextStyle:
    style = TextStyle()
    for tag in open_tags:
        style = _styled(style, tag)
    return style


def _text(pieces: list[Piece], text: str, open_tags: list[str], qr_text: list[str] | None) -> None:
    if qr_text is not None:
        qr_text.append(text)
        return
    for number, part in enumerate(text.split("\n")):
        if number:
            pieces.append(Mark.BREAK)
        part = part.strip("\r")
        if part:
            pieces.append(TextPiece(part, _style(open_tags)))


def safe_text(text: str) -> str:
    """``text`` that no tag can hide in: angle brackets become full-width ones, control characters ``?``."""
    text = "".join("?" if char < " " or 0x7F <= ord(char) <= 0x9F else char for char in text)
    return text.replace("<", "＜").replace(">", "＞")


class MarkupBuilder:
    """Builds the content of one order; every method returns the builder.

    Args:
        width_columns: 32 on 58 mm paper, 48 on 80 mm.

    Raises:
        ValueError: a width outside 16..96.
    """

    def __init__(self, width_columns: int = 32) -> None:
        if not 16 <= width_columns <= 96:
            raise ValueError(f"width_columns is 16 to 96, not {width_columns}")
        self.width_columns = width_columns
        self._out: list[str] = []

    def __str__(self) -> str:
        return "".join(self._out)

    def line(self, text: str = "", tag: Literal["", "CB", "C", "B", "L", "BOLD", "RIGHT"] = "") -> Self:
        """One line, in a pair of tags."""
        text = safe_text(text)
        self._out.append(f"<{tag}>{text}</{tag}><BR>" if tag else f"{text}<BR>")
        return self

    def columns(self, left: str, right: str, tag: Literal["", "BOLD"] = "") -> Self:
        """One line with ``left`` at the left edge and ``right`` at the right; two lines when both do not fit."""
        left, right = safe_text(left), safe_text(right)
        room = self.width_columns - text_columns(right)
        if text_columns(left) + 1 <= room:
            return self.line(left + " " * (room - text_columns(left)) + right, tag)
        self.line(left, tag)
        right = clip_columns(right, self.width_columns)
        return self.line(" " * (self.width_columns - text_columns(right)) + right, tag)

    def rule(self) -> Self:
        """A line across the paper."""
        return self.line("-" * self.width_columns)

    def qr(self, text: str) -> Self:
        """A QR code. Raises ValueError for one that is empty or that holds a tag's brackets."""
        if not text or "<" in text or ">" in text:
            raise ValueError(f"a QR code cannot hold {text!r} here")
        self._out.append(f"<C><QR>{text}</QR></C>")
        return self

    def cut(self) -> Self:
        """Cut, where there is a cutter."""
        self._out.append("<CUT>")
        return self
