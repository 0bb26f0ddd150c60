"""What can stand in an ESC/POS stream, as data: the operations and how long each one is.

Sources: Epson ESC/POS command manuals (TM-T88III, TM-T20), the SP-91 and HPRT manuals for the Chinese (FS)
commands, and the byte traces of five unmodified clients (python-escpos, node-thermal-printer, escpos for
Node, receipt-printer-encoder and python-escpos on a serial line).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = ["DLE_DC4_BYTES", "FIXED", "Command", "Op"]

DLE: Final = 0x10
ESC: Final = 0x1B
FS: Final = 0x1C
GS: Final = 0x1D


class Op(StrEnum):
    """An operation, under the name the manuals give it."""

    TEXT = "text"
    UNKNOWN = "unknown"
    IGNORED = "ignored"  # known, consumed by its length, and of no effect on a receipt
    LF = "LF"
    CR = "CR"
    FF = "FF"
    HT = "HT"
    CANCEL = "CAN"
    DLE_EOT = "DLE EOT"
    DLE_ENQ = "DLE ENQ"
    DLE_DC4 = "DLE DC4"
    INITIALISE = "ESC @"
    PRINT_MODE = "ESC !"
    FONT = "ESC M"
    BOLD = "ESC E"
    UNDERLINE = "ESC -"
    DOUBLE_STRIKE = "ESC G"
    UPSIDE_DOWN = "ESC {"
    ROTATE = "ESC V"
    CHARACTER_SPACING = "ESC SP"
    INTERNATIONAL = "ESC R"
    USER_CHARACTERS = "ESC &"
    USER_SELECT = "ESC %"
    USER_CANCEL = "ESC ?"
    PERIPHERAL = "ESC ="
    PAPER_SENSOR_STOPS = "ESC c 4"
    BUTTONS = "ESC c 5"
    BUZZER = "ESC B"
    BUZZER_PATTERN = "ESC ( A"
    ALIGN = "ESC a"
    FEED_LINES = "ESC d"
    FEED_UNITS = "ESC J"
    DEFAULT_SPACING = "ESC 2"
    SPACING = "ESC 3"
    TABS = "ESC D"
    POSITION = "ESC $"
    POSITION_RELATIVE = "ESC \\"
    PAGE_MODE = "ESC L"
    STANDARD_MODE = "ESC S"
    PAGE_DIRECTION = "ESC T"
    PAGE_AREA = "ESC W"
    PAGE_PRINT = "ESC FF"
    PAGE_ABSOLUTE = "GS $"
    PAGE_RELATIVE = "GS \\"
    LEFT_MARGIN = "GS L"
    AREA_WIDTH = "GS W"
    MOTION_UNITS = "GS P"
    LINE_START = "GS T"
    CODE_PAGE = "ESC t"
    PULSE = "ESC p"
    CUT_FULL_OLD = "ESC i"
    CUT_PARTIAL_OLD = "ESC m"
    COLUMN_IMAGE = "ESC *"
    PAPER_STATUS_OLD = "ESC v"
    DRAWER_STATUS_OLD = "ESC u"
    CHARACTER_SIZE = "GS !"
    INVERSE = "GS B"
    CUT = "GS V"
    BARCODE = "GS k"
    BARCODE_REFUSED = "GS k refused"
    BARCODE_HEIGHT = "GS h"
    BARCODE_WIDTH = "GS w"
    HRI_PLACE = "GS H"
    HRI_FONT = "GS f"
    SYMBOL = "GS ( k"
    BOARD_SYMBOL_KIND = "GS Z"
    BOARD_SYMBOL = "ESC Z"
    GRAPHICS = "GS ( L"
    PROCESS_ID = "GS ( H"
    RASTER = "GS v 0"
    DOWNLOAD_IMAGE = "GS *"
    PRINT_DOWNLOADED = "GS /"
    NV_IMAGES = "FS q"
    NV_PRINT = "FS p"
    PRINTER_ID = "GS I"
    STATUS = "GS r"
    ASB = "GS a"
    CHINESE_ON = "FS &"
    CHINESE_OFF = "FS ."
    CHINESE_MODE = "FS !"
    CHINESE_QUAD = "FS W"
    CHINESE_UNDERLINE = "FS -"
    CHINESE_SPACING = "FS S"
    CHINESE_USER = "FS 2"
    CHINESE_USER_CANCEL = "FS ?"


@dataclass(frozen=True, slots=True)
class Command:
    """One decoded command.

    Attributes:
        op: the operation.
        args: its parameter bytes as integers, without length and terminator bytes.
        data: the payload: text bytes, bar code data, raster dots, symbol data, user-defined characters.
        offset: position of its first byte in the stream, counted from 0 since the parser was made.
        length: how many bytes it took.
        surprise: why a reader of the log should look here; empty for a clean command.
    """

    op: Op
    args: tuple[int, ...] = ()
    data: bytes = b""
    offset: int = 0
    length: int = 0
    surprise: str = ""


FIXED: Final[dict[tuple[int, int], tuple[Op, int]]] = {
    (ESC, 0x40): (Op.INITIALISE, 0),
    (ESC, 0x21): (Op.PRINT_MODE, 1),
    (ESC, 0x4D): (Op.FONT, 1),
    (ESC, 0x45): (Op.BOLD, 1),
    (ESC, 0x2D): (Op.UNDERLINE, 1),
    (ESC, 0x47): (Op.DOUBLE_STRIKE, 1),
    (ESC, 0x7B): (Op.UPSIDE_DOWN, 1),
    (ESC, 0x56): (Op.ROTATE, 1),
    (ESC, 0x61): (Op.ALIGN, 1),
    (ESC, 0x64): (Op.FEED_LINES, 1),
    (ESC, 0x4A): (Op.FEED_UNITS, 1),
    (ESC, 0x32): (Op.DEFAULT_SPACING, 0),
    (ESC, 0x33): (Op.SPACING, 1),
    (ESC, 0x24): (Op.POSITION, 2),
    (ESC, 0x5C): (Op.POSITION_RELATIVE, 2),
    (ESC, 0x20): (Op.CHARACTER_SPACING, 1),
    (ESC, 0x25): (Op.USER_SELECT, 1),
    (ESC, 0x3D): (Op.PERIPHERAL, 1),
    (ESC, 0x3F): (Op.USER_CANCEL, 1),
    (ESC, 0x0C): (Op.PAGE_PRINT, 0),
    (ESC, 0x4C): (Op.PAGE_MODE, 0),
    (ESC, 0x53): (Op.STANDARD_MODE, 0),
    (ESC, 0x54): (Op.PAGE_DIRECTION, 1),
    (ESC, 0x55): (Op.IGNORED, 1),  # unidirectional printing: line thermal heads have no direction
    (ESC, 0x57): (Op.PAGE_AREA, 8),
    (ESC, 0x52): (Op.INTERNATIONAL, 1),
    (ESC, 0x72): (Op.IGNORED, 1),  # print colour: one colour here
    (ESC, 0x42): (Op.BUZZER, 2),  # of Chinese kitchen printers: times, length in 50 ms
    (ESC, 0x74): (Op.CODE_PAGE, 1),
    (ESC, 0x70): (Op.PULSE, 3),
    (ESC, 0x69): (Op.CUT_FULL_OLD, 0),
    (ESC, 0x6D): (Op.CUT_PARTIAL_OLD, 0),
    (ESC, 0x75): (Op.DRAWER_STATUS_OLD, 1),
    (ESC, 0x76): (Op.PAPER_STATUS_OLD, 0),
    (GS, 0x21): (Op.CHARACTER_SIZE, 1),
    (GS, 0x42): (Op.INVERSE, 1),
    (GS, 0x62): (Op.IGNORED, 1),
    (GS, 0x68): (Op.BARCODE_HEIGHT, 1),
    (GS, 0x77): (Op.BARCODE_WIDTH, 1),
    (GS, 0x48): (Op.HRI_PLACE, 1),
    (GS, 0x66): (Op.HRI_FONT, 1),
    (GS, 0x49): (Op.PRINTER_ID, 1),
    (GS, 0x72): (Op.STATUS, 1),
    (GS, 0x61): (Op.ASB, 1),
    (GS, 0x6A): (Op.IGNORED, 1),
    (GS, 0x45): (Op.IGNORED, 1),
    (GS, 0x3A): (Op.IGNORED, 0),
    (GS, 0x2F): (Op.PRINT_DOWNLOADED, 1),
    (GS, 0x4C): (Op.LEFT_MARGIN, 2),
    (GS, 0x57): (Op.AREA_WIDTH, 2),
    (GS, 0x50): (Op.MOTION_UNITS, 2),
    (GS, 0x24): (Op.PAGE_ABSOLUTE, 2),
    (GS, 0x5C): (Op.PAGE_RELATIVE, 2),
    (GS, 0x54): (Op.LINE_START, 1),
    (GS, 0x5E): (Op.IGNORED, 3),
    (GS, 0x63): (Op.IGNORED, 0),
    (GS, 0x7A): (Op.IGNORED, 3),
    (FS, 0x26): (Op.CHINESE_ON, 0),
    (FS, 0x2E): (Op.CHINESE_OFF, 0),
    (FS, 0x21): (Op.CHINESE_MODE, 1),
    (FS, 0x57): (Op.CHINESE_QUAD, 1),
    (FS, 0x2D): (Op.CHINESE_UNDERLINE, 1),
    (FS, 0x43): (Op.IGNORED, 1),  # JIS or Shift-JIS: of Japanese models
    (FS, 0x53): (Op.CHINESE_SPACING, 2),
    (FS, 0x3F): (Op.CHINESE_USER_CANCEL, 2),
    (FS, 0x70): (Op.NV_PRINT, 2),
    (DLE, 0x05): (Op.DLE_ENQ, 1),
}
"""Commands of fixed length: prefix -> operation and number of parameter bytes."""

DLE_DC4_BYTES: Final = {1: 5, 2: 5, 7: 4, 8: 10}
"""Length of DLE DC4 by its function: pulse, power-off, status, clear buffers."""
