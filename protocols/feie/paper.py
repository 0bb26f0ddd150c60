"""From Feie's markup to the bytes of the print head behind it: a cloud printer is a receipt printer with a SIM card."""

from __future__ import annotations

import contextlib
from typing import Final

from protocols.escpos import Align, ReceiptBuilder
from protocols.feie.markup import Mark, Piece, QrPiece, TextPiece, TextStyle, parse_markup

__all__ = ["order_bytes"]

_ALIGN: Final = {"left": Align.LEFT, "centre": Align.CENTRE, "right": Align.RIGHT}
_DRAWER_PIN: Final = 2


class _Sheet:
    """One copy under way: where on the line it stands, and in which style."""

    def __init__(self, width_columns: int) -> None:
        self.out = ReceiptBuilder(width_columns).initialise()
        self._style = TextStyle()
        self._at_start = True
        self._is_cut = True

    def put(self, piece: Piece) -> None:
        if isinstance(piece, TextPiece):
            self._text(piece)
        elif isinstance(piece, QrPiece):
            self._qr(piece)
        elif piece is Mark.BREAK:
            self.out.line()
            self._at_start, self._is_cut = True, False
        elif piece is Mark.CUT:
            self.cut()
        elif piece is Mark.PLUGIN:
            self.out.drawer(_DRAWER_PIN)

    def _text(self, piece: TextPiece) -> None:
        style = piece.style
        if self._at_start:
            self.out.align(_ALIGN[style.align])
        if (style.width, style.height) != (self._style.width, self._style.height):
            self.out.size(style.width, style.height)
        if style.bold != self._style.bold:
            self.out.bold(style.bold)
        self.out.text(piece.text)
        self._style, self._at_start, self._is_cut = style, False, False

    def _qr(self, piece: QrPiece) -> None:
        self.end_line()
        with contextlib.suppress(ValueError):  # empty, or more than any code holds: nothing is printed
            self.out.align(_ALIGN[piece.align]).qr(piece.text)
            self._is_cut = False

    def end_line(self) -> None:
        if not self._at_start:
            self.out.line()
            self._at_start = True

    def cut(self) -> None:
        self.end_line()
        if not self._is_cut:
            self.out.cut()
            self._is_cut = True


def order_bytes(content: str, *, width_columns: int = 32) -> bytes:
    """One copy of an order as ESC/POS, fed out and cut at its end whether or not it says so. Takes any content."""
    sheet = _Sheet(width_columns)
    for piece in parse_markup(content):
        sheet.put(piece)
    sheet.cut()
    return bytes(sheet.out)
