"""QR codes and bar codes from the data a printer was sent."""

from __future__ import annotations

import re
from typing import Final

import segno
from barcode import codabar, codex, ean, errors, itf, upc
from segno.encoder import DataOverflowError

__all__ = ["barcode_modules", "qr_matrix"]

_LEVELS: Final = {48: "L", 49: "M", 50: "Q", 51: "H"}


def qr_matrix(data: bytes, level: int) -> tuple[bytes, ...] | None:
    """The matrix of a model 2 QR code, one bytes object a row (1 = dark); None if the data is too long.

    Args:
        data: payload, as stored by GS ( k function 80.
        level: parameter of function 69, 48 (L) to 51 (H).
    """
    try:
        code = segno.make(data, error=_LEVELS.get(level, "L"), micro=False, boost_error=False)
    except DataOverflowError:
        return None
    return tuple(bytes(row) for row in code.matrix)


def code128_text(data: bytes) -> str | None:
    """The text of CODE128 data with its code set marks (``{A {B {C``, ``{{`` for a brace); None if malformed.

    In set C each byte is a number 0..99 that stands for two digits. Shifts and function codes are dropped: they do
    not change what a reader reports.
    """
    text = ""
    in_c = False
    at = 0
    while at < len(data):
        byte = data[at]
        if byte == 0x7B:
            mark = data[at + 1 : at + 2]
            if mark == b"{":
                text += "{"
            elif mark in (b"A", b"B", b"C"):
                in_c = mark == b"C"
            elif mark not in (b"S", b"1", b"2", b"3", b"4"):
                return None
            at += 2
            continue
        if in_c:
            if byte > 99:
                return None
            text += f"{byte:02d}"
        else:
            text += chr(byte)
        at += 1
    return text


def barcode_modules(name: str, data: bytes) -> tuple[str, str] | None:
    """Bars of a code as a string of 1 and 0, and its text; None if this code cannot be drawn."""
    text = code128_text(data) if name == "CODE128" else data.decode("ascii", "replace")
    if not text:
        return None
    try:
        if name == "EAN13":
            code = ean.EuropeanArticleNumber13(text[:12])
        elif name == "EAN8":
            code = ean.EuropeanArticleNumber8(text[:7])
        elif name == "UPC-A":
            code = upc.UniversalProductCodeA(text[:11])
        elif name == "CODE39":
            code = codex.Code39(text.strip("*"), add_checksum=False)
        elif name == "CODE128":
            code = codex.Code128(text)
        elif name == "ITF":
            code = itf.ITF(text, narrow=1, wide=3)
        elif name == "CODABAR":
            if not re.fullmatch(r"[ABCDabcd].*[ABCDabcd]", text):
                return None
            code = codabar.CODABAR(text.upper(), narrow=1, wide=3)
        else:  # UPC-E and CODE93: the library has neither
            return None
        bars = "".join(code.build())
        full = str(code.get_fullcode())
    except (errors.BarcodeError, KeyError, ValueError):
        return None
    return bars.replace("G", "1"), full if name in ("EAN13", "EAN8", "UPC-A") else text
