"""What a printer has put on paper, by kind of line, by symbol and by where the ink is."""

from __future__ import annotations

import io
from typing import Any

import zxingcpp
from PIL import Image

from sim.printer import (
    CHINESE_80MM,
    PrintedLine,
    PrinterProfile,
    Receipt,
    receipt_png,
    render_receipt,
)

from .printer_rig import Rig

ESC, GS, FS = b"\x1b", b"\x1d", b"\x1c"
MARGIN = 32


def printed(data: bytes, profile: PrinterProfile = CHINESE_80MM) -> tuple[Receipt, list[str]]:
    rig = Rig(profile)
    rig.send(data)
    rig.run()
    receipt = rig.printer.unfinished or rig.printer.receipts[-1]
    return receipt, [surprise.reason for surprise in rig.printer.surprises]


def only(data: bytes, kind: type[PrintedLine], profile: PrinterProfile = CHINESE_80MM) -> Any:
    (line,) = [line for line in printed(data, profile)[0].lines if isinstance(line, kind)]
    return line


def symbols(data: bytes) -> dict[str, str]:
    receipt, surprises = printed(data)
    assert surprises == []
    image = Image.open(io.BytesIO(receipt_png(receipt))).convert("L")
    return {symbol.format.name: symbol.text for symbol in zxingcpp.read_barcodes(image)}


def ink(receipt: Receipt) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what is dark, without the margin."""
    box = render_receipt(receipt).point(lambda value: 255 - value).getbbox()
    assert box is not None
    return box[0] - MARGIN, box[1] - MARGIN, box[2] - MARGIN, box[3] - MARGIN


def word(value: int) -> bytes:
    return (value & 0xFFFF).to_bytes(2, "little")


BLOCK = GS + b"v0\x00\x01\x00\x08\x00" + b"\xff" * 8
"""A black square of 8 x 8 dots."""
