"""QR codes and bar codes from the data a printer was sent."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import segno
from barcode import codabar, codex, ean, errors, itf, upc
from segno import consts, encoder
from segno.encoder import DataOverflowError

from sim.printer.code93 import code93_modules
from sim.printer.upc_e import upc_e_modules

__all__ = ["barcode_modules", "qr_matrix", "qr_modules"]

_LEVELS: Final = {48: "L", 49: "M", 50: "Q", 51: "H"}


_encoder: Any = encoder

_SEGNO_LEVELS: Final = {
    48: consts.ERROR_LEVEL_L,
    49: consts.ERROR_LEVEL_M,
    50: consts.ERROR_LEVEL_Q,
    51: consts.ERROR_LEVEL_H,
}


def qr_modules(data: bytes, level: int) -> int | None:
    """How many modules wide the QR code of `qr_matrix` is, without drawing it (sixty times faster); None if too long."""
    try:
        segments = _encoder.prepare_data(data, None, None)
        version = _encoder.find_version(
            segments, _SEGNO_LEVELS.get(level, consts.ERROR_LEVEL_L), False, False
        )
    except DataOverflowError:
        return None
    return 17 + 4 * int(version)


@lru_cache(maxsize=64)
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
    if name == "CODE93":  # the library has neither this nor UPC-E
        return code93_modules(text), text
    if name == "UPC-E":
        return upc_e_modules(text)
    make = _MAKERS.get(name)
    if make is None or (name == "CODABAR" and not re.fullmatch(r"[ABCDabcd].*[ABCDabcd]", text)):
        return None
    try:
        code = make(text)
        bars = "".join(code.build())
        full = str(code.get_fullcode())
    except (errors.BarcodeError, KeyError, ValueError):
        return None
    return bars.replace("G", "1"), full if name in ("EAN13", "EAN8", "UPC-A") else text


_MAKERS: Final[dict[str, Callable[[str], Any]]] = {
    "EAN13": lambda text: ean.EuropeanArticleNumber13(text[:12]),
    "EAN8": lambda text: ean.EuropeanArticleNumber8(text[:7]),
    "UPC-A": lambda text: upc.UniversalProductCodeA(text[:11]),
    "CODE39": lambda text: codex.Code39(text.strip("*"), add_checksum=False),
    "CODE128": codex.Code128,
    "ITF": lambda text: itf.ITF(text, narrow=1, wide=3),
    "CODABAR": lambda text: codabar.CODABAR(text.upper(), narrow=1, wide=3),
}
