"""From commands to actions: modes, the line being composed, and symbol settings. No time, no paper."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from protocols.escpos import Command, GbDecoder, Op
from sim.printer.actions import Action, Cut, Print, Pulse, Reply, StatusReply
from sim.printer.graphics import GraphicsStore, column_image, raster_bands
from sim.printer.paper import Alignment, BlankLine, Cell, Style, TextLine
from sim.printer.profile import PrinterProfile, identity
from sim.printer.symbol_settings import SymbolSettings

__all__ = ["Interpreter"]

_ALIGNMENTS: Final[dict[int, Alignment]] = {
    0: "left",
    48: "left",
    1: "centre",
    49: "centre",
    2: "right",
    50: "right",
}
_CODE_PAGES: Final = {
    0: "cp437",
    2: "cp850",
    3: "cp860",
    4: "cp863",
    5: "cp865",
    13: "cp857",
    14: "cp737",
    15: "iso8859_7",
    16: "cp1252",
    17: "cp866",
    18: "cp852",
    19: "cp858",
    32: "cp720",
    33: "cp775",
    34: "cp855",
    35: "cp861",
    36: "cp862",
    37: "cp864",
    38: "cp869",
    39: "iso8859_2",
    40: "iso8859_15",
    44: "cp1125",
    45: "cp1250",
    46: "cp1251",
    47: "cp1253",
    48: "cp1254",
    49: "cp1255",
    50: "cp1256",
    51: "cp1257",
    52: "cp1258",
    53: "kz1048",
}
"""Numbers of the TM-T20II (receipt-print-hq/escpos-printer-db), without those that Python has no table for: 1, 11, 12, 30,
31 and 41. receipt-printer-encoder chooses among them by itself."""
_CUT_FEED_MODES: Final = frozenset({65, 66, 97, 98, 103, 104})
_FULL_CUTS: Final = frozenset({0, 48, 65, 97, 103})
_PARTIAL_CUTS: Final = frozenset({1, 49, 66, 98, 104})


class Interpreter:
    """Executes parsed commands against the printer's modes.

    Args:
        profile: the printer model.
        surprise: called with (offset, reason) for whatever a careful engineer would ask about.
        set_asb: called with the parameter of GS a.
    """

    def __init__(
        self,
        profile: PrinterProfile,
        surprise: Callable[[int, str], None],
        set_asb: Callable[[int], None],
    ) -> None:
        self._profile = profile
        self._surprise = surprise
        self._set_asb = set_asb
        self._actions: list[Action] = []
        lead = 0xA1 if profile.chinese == "gb2312" else 0x81
        self._decoder = GbDecoder(lowest_lead=lead)
        self._handlers = self._table()
        self._reset_modes()

    def _reset_modes(self) -> None:
        self._style = Style()
        self._align: Alignment = "left"
        self._spacing = self._profile.line_spacing_dots
        self._tabs: tuple[int, ...] = tuple(range(8, 96, 8))
        self._code_page = "cp437"
        self._chinese = self._profile.chinese is not None and self._profile.chinese_on
        self._chinese_wide = False
        self._chinese_high = False
        self._cells: list[Cell] = []
        self._used_dots = 0
        self._symbols = SymbolSettings()
        self._graphics = GraphicsStore()
        self._decoder.drop()
        self._fed_since_print_dots = 0

    def reset(self) -> None:
        """Power-on or buffer clear: modes, line and symbol store are forgotten."""
        self._actions.clear()
        self._reset_modes()

    def clear_line(self) -> None:
        """Drop the line being composed; modes stay (DLE ENQ 2, DLE DC4 8)."""
        self._cells.clear()
        self._used_dots = 0
        self._decoder.drop()

    def execute(self, command: Command) -> list[Action]:
        """Execute one command and return what the mechanism is to do for it."""
        if command.op is not Op.TEXT and self._decoder.holds_half:
            half = self._decoder.drop().hex(" ").upper()
            self._surprise(
                command.offset, f"half a Chinese character ({half}) before {command.op.value}; dropped"
            )
        if command.surprise:
            self._surprise(command.offset, command.surprise)
        handler = self._handlers.get(command.op)
        if handler is not None:
            handler(command)
        actions, self._actions = self._actions, []
        return actions

    # -- text ---------------------------------------------------------------------------------------------------

    def _text(self, command: Command) -> None:
        self._put_text(command.data, command.offset)

    def _put_text(self, data: bytes, offset: int) -> None:
        if self._chinese:
            for char, columns in self._decoder.feed(data):
                self._put(char, columns)
            return
        text = data.decode(self._code_page, errors="replace")
        if self._profile.chinese is None and any(byte >= 0x80 for byte in data) and _looks_chinese(data):
            self._surprise(
                offset, "Chinese bytes on a printer without a Chinese font: they print as other letters"
            )
        for char in text:
            self._put(char if char.isprintable() else " ", 1)

    def _put(self, char: str, columns: int) -> None:
        style = self._style
        if columns == 2 and (self._chinese_wide or self._chinese_high):
            width = max(style.width, 2 if self._chinese_wide else 1)
            style = replace(style, width=width, height=max(style.height, 2 if self._chinese_high else 1))
        cell = Cell(char, columns, style)
        if self._used_dots + cell.width_dots > self._profile.width_dots and self._cells:
            self._print_line()
        self._cells.append(cell)
        self._used_dots += cell.width_dots

    def _print_line(self) -> None:
        tallest = max((cell.height_dots for cell in self._cells), default=0)
        line = TextLine(tuple(self._cells), self._align, max(self._spacing, tallest))
        self._actions.append(Print(line))
        if self._cells:
            self._fed_since_print_dots = 0
        self._fed_since_print_dots += line.feed_dots
        self._cells.clear()
        self._used_dots = 0

    def _flush(self) -> None:
        if self._cells:
            self._print_line()

    def _blank(self, dots: int) -> None:
        if dots:
            self._actions.append(Print(BlankLine(dots)))
            self._fed_since_print_dots += dots

    def _tab(self, _command: Command) -> None:
        column = self._used_dots // 12
        stop = next((tab for tab in self._tabs if tab > column), None)
        if stop is not None and stop < self._profile.columns:
            self._pad_to(stop)

    def _pad_to(self, column: int) -> None:
        blank = Cell(" ", 1, Style())
        while self._used_dots + 12 <= column * 12:
            self._cells.append(blank)
            self._used_dots += 12

    def _position(self, command: Command) -> None:
        dots = min(command.args[0] | command.args[1] << 8, self._profile.width_dots)
        self._pad_to(dots // 12)

    # -- modes --------------------------------------------------------------------------------------------------

    def _print_mode(self, command: Command) -> None:
        n = command.args[0]
        self._style = replace(
            self._style,
            font=n & 1,
            bold=bool(n & 0x08),
            height=2 if n & 0x10 else 1,
            width=2 if n & 0x20 else 1,
            underline=1 if n & 0x80 else 0,
        )

    def _character_size(self, command: Command) -> None:
        n = command.args[0]
        self._style = replace(self._style, width=(n >> 4 & 7) + 1, height=(n & 7) + 1)

    def _set_align(self, command: Command) -> None:
        align = _ALIGNMENTS.get(command.args[0])
        if align is None:
            self._surprise(command.offset, f"ESC a has no value {command.args[0]}; ignored")
        elif self._cells:
            self._surprise(command.offset, "ESC a in mid-line has no effect")
        else:
            self._align = align

    def _set_code_page(self, command: Command) -> None:
        page = _CODE_PAGES.get(command.args[0])
        if page is None:
            self._surprise(command.offset, f"ESC t: no code page {command.args[0]} in this model; unchanged")
        else:
            self._code_page = page

    def _set_chinese(self, command: Command) -> None:
        if self._profile.chinese is not None:
            self._chinese = command.op is Op.CHINESE_ON
        elif command.op is Op.CHINESE_ON:
            self._surprise(command.offset, "FS & on a printer without a Chinese font; ignored")

    def _chinese_mode(self, command: Command) -> None:
        n = command.args[0]
        self._chinese_wide, self._chinese_high = bool(n & 0x04), bool(n & 0x08)

    def _chinese_quad(self, command: Command) -> None:
        self._chinese_wide = self._chinese_high = bool(command.args[0] & 1)

    # -- paper --------------------------------------------------------------------------------------------------

    def _feed_lines(self, command: Command) -> None:
        self._flush()
        for _ in range(command.args[0]):
            self._blank(self._spacing)

    def _feed_units(self, command: Command) -> None:
        self._flush()
        self._blank(command.args[0])

    def _cut(self, command: Command) -> None:
        mode = command.args[0]
        if mode in _CUT_FEED_MODES:
            self._do_cut(mode in _FULL_CUTS, self._cutter_dots() + command.args[1], command.offset)
        elif mode in _FULL_CUTS or mode in _PARTIAL_CUTS:
            self._do_cut(mode in _FULL_CUTS, 0, command.offset)

    def _old_cut(self, command: Command) -> None:
        self._do_cut(command.op is Op.CUT_FULL_OLD, 0, command.offset)

    def _cutter_dots(self) -> int:
        return self._profile.head_to_cutter_mm * 1000 // self._profile.dot_um

    def _do_cut(self, full: bool, feed_dots: int, offset: int) -> None:
        self._flush()
        self._blank(feed_dots)
        fed_mm = self._fed_since_print_dots * self._profile.dot_um // 1000
        if self._profile.cutter and fed_mm < self._profile.head_to_cutter_mm:
            self._surprise(
                offset,
                f"the cut goes through the print: {fed_mm} mm fed since the last line, "
                f"the cutter sits {self._profile.head_to_cutter_mm} mm behind the head",
            )
        self._actions.append(Cut(full))

    def _pulse(self, command: Command) -> None:
        pin = {0: 2, 48: 2, 1: 5, 49: 5}.get(command.args[0])
        if pin is None:
            self._surprise(command.offset, f"ESC p has no connector {command.args[0]}; no pulse")
            return
        self._actions.append(Pulse(pin, command.args[1] * 2))

    # -- symbols and images -------------------------------------------------------------------------------------

    def _symbol(self, command: Command) -> None:
        line, problem = self._symbols.symbol(command.data, self._align, self._profile.width_dots)
        if problem:
            self._surprise(command.offset, problem)
        if line is None:
            return
        if self._cells:
            self._surprise(command.offset, "a symbol is printed only at the start of a line; ignored")
            return
        self._fed_since_print_dots = 0
        self._actions.append(Print(line))

    def _barcode(self, command: Command) -> None:
        if self._cells:
            self._surprise(command.offset, "GS k in mid-line: its data is printed as text")
            self._put_text(command.data, command.offset)
            return
        line, problem = self._symbols.barcode(
            command.args[0], command.data, self._align, self._profile.width_dots
        )
        if problem:
            self._surprise(command.offset, problem)
        if line is None:
            self._blank(self._spacing)
        else:
            self._fed_since_print_dots = 0
            self._actions.append(Print(line))

    def _barcode_refused(self, _command: Command) -> None:
        self._flush()
        self._blank(self._spacing)

    def _raster(self, command: Command) -> None:
        mode, width_bytes, height = command.args
        self._print_image(width_bytes, height, command.data, 2 if mode & 1 else 1, 2 if mode & 2 else 1)

    def _print_image(self, width_bytes: int, height: int, data: bytes, scale_x: int, scale_y: int) -> None:
        self._flush()
        for band in raster_bands(
            width_bytes, height, data, scale_x, scale_y, self._align, self._profile.width_dots
        ):
            self._fed_since_print_dots = 0
            self._actions.append(Print(band))

    def _column_image(self, command: Command) -> None:
        image = column_image(command.args[0], command.data)
        if image is not None:
            width_bytes, height, rows, scale_x = image
            self._print_image(width_bytes, height, rows, scale_x, 1)

    def _graphics_command(self, command: Command) -> None:
        image, problem = self._graphics.execute(command.data)
        if problem:
            self._surprise(command.offset, problem)
        if image is not None:
            self._print_image(*image)

    # -- status and identity ------------------------------------------------------------------------------------

    def _printer_id(self, command: Command) -> None:
        answer = identity(self._profile, command.args[0])
        if answer is None:
            self._surprise(command.offset, f"GS I has no item {command.args[0]}; no answer")
        else:
            self._actions.append(Reply(answer))

    def _status(self, command: Command) -> None:
        self._actions.append(StatusReply(command.args[0] if command.args else 1))

    def _old_paper_status(self, _command: Command) -> None:
        self._actions.append(StatusReply(1))

    def _old_drawer_status(self, _command: Command) -> None:
        self._actions.append(StatusReply(2))

    def _process_id(self, command: Command) -> None:
        # GS ( H fn 48: "when all before is printed, answer 37 22 d1 d2 d3 d4 00".
        if len(command.data) == 6 and command.data[0] == 48 and command.data[1] == 48:
            self._actions.append(Reply(b"\x37\x22" + command.data[2:] + b"\0"))

    def _initialise(self, _command: Command) -> None:
        self._reset_modes()
        self._set_asb(0)

    def _font(self, command: Command) -> None:
        self._style = replace(self._style, font=command.args[0] & 1)

    def _bold(self, command: Command) -> None:
        self._style = replace(self._style, bold=bool(command.args[0] & 1))

    def _inverse(self, command: Command) -> None:
        self._style = replace(self._style, inverse=bool(command.args[0] & 1))

    def _underline(self, command: Command) -> None:
        self._style = replace(self._style, underline={49: 1, 50: 2, 1: 1, 2: 2}.get(command.args[0], 0))

    def _set_spacing(self, command: Command) -> None:
        self._spacing = command.args[0]

    def _default_spacing(self, _command: Command) -> None:
        self._spacing = self._profile.line_spacing_dots

    def _set_tabs(self, command: Command) -> None:
        self._tabs = command.args

    def _line_feed(self, _command: Command) -> None:
        self._print_line()

    def _asb(self, command: Command) -> None:
        self._set_asb(command.args[0])

    def _setting(self, command: Command) -> None:
        self._symbols.set(command.op, command.args[0])

    def _table(self) -> dict[Op, Callable[[Command], None]]:
        return {
            Op.TEXT: self._text,
            Op.LF: self._line_feed,
            Op.HT: self._tab,
            Op.INITIALISE: self._initialise,
            Op.PRINT_MODE: self._print_mode,
            Op.FONT: self._font,
            Op.BOLD: self._bold,
            Op.DOUBLE_STRIKE: self._bold,
            Op.UNDERLINE: self._underline,
            Op.INVERSE: self._inverse,
            Op.CHARACTER_SIZE: self._character_size,
            Op.ALIGN: self._set_align,
            Op.FEED_LINES: self._feed_lines,
            Op.FEED_UNITS: self._feed_units,
            Op.SPACING: self._set_spacing,
            Op.DEFAULT_SPACING: self._default_spacing,
            Op.TABS: self._set_tabs,
            Op.POSITION: self._position,
            Op.CODE_PAGE: self._set_code_page,
            Op.PULSE: self._pulse,
            Op.CUT: self._cut,
            Op.CUT_FULL_OLD: self._old_cut,
            Op.CUT_PARTIAL_OLD: self._old_cut,
            Op.CHINESE_ON: self._set_chinese,
            Op.CHINESE_OFF: self._set_chinese,
            Op.CHINESE_MODE: self._chinese_mode,
            Op.CHINESE_QUAD: self._chinese_quad,
            Op.BARCODE: self._barcode,
            Op.BARCODE_REFUSED: self._barcode_refused,
            Op.BARCODE_HEIGHT: self._setting,
            Op.BARCODE_WIDTH: self._setting,
            Op.HRI_PLACE: self._setting,
            Op.SYMBOL: self._symbol,
            Op.RASTER: self._raster,
            Op.COLUMN_IMAGE: self._column_image,
            Op.GRAPHICS: self._graphics_command,
            Op.PROCESS_ID: self._process_id,
            Op.PRINTER_ID: self._printer_id,
            Op.STATUS: self._status,
            Op.PAPER_STATUS_OLD: self._old_paper_status,
            Op.DRAWER_STATUS_OLD: self._old_drawer_status,
            Op.ASB: self._asb,
        }


def _looks_chinese(data: bytes) -> bool:
    """Two bytes in a row from the GB2312 area: hardly ever sense in a Western code page."""
    return any(a >= 0xB0 and b >= 0xA1 for a, b in itertools.pairwise(data))
