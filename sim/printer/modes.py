"""Commands that change how and where the following is printed: styles, sizes, alignment, margins, tabs, page mode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from protocols.escpos import Command, Op
from sim.printer.paper import Alignment
from sim.printer.profile import PrinterProfile
from sim.printer.sheet import Sheet

__all__ = ["Modes"]

_ALIGNMENTS: Final[dict[int, Alignment]] = {
    0: "left",
    48: "left",
    1: "centre",
    49: "centre",
    2: "right",
    50: "right",
}
_UNDERLINES: Final = {49: 1, 50: 2, 1: 1, 2: 2}
_UM_PER_INCH: Final = 25_400


class Modes:
    """Executes them on a sheet.

    Args:
        profile: the printer model.
        sheet: whose line and page they change.
        surprise: called with (offset, reason).
    """

    def __init__(self, profile: PrinterProfile, sheet: Sheet, surprise: Callable[[int, str], None]) -> None:
        self._profile = profile
        self._sheet = sheet
        self._line = sheet.line
        self._surprise = surprise
        self._units = (0, 0)

    def reset(self) -> None:
        """ESC @ and power-off; the line and the page are the sheet's."""
        self._units = (0, 0)

    # -- style --------------------------------------------------------------------------------------------------

    def _print_mode(self, command: Command) -> None:
        n = command.args[0]
        self._line.style = replace(
            self._line.style,
            font=n & 1,
            bold=bool(n & 0x08),
            height=2 if n & 0x10 else 1,
            width=2 if n & 0x20 else 1,
            underline=1 if n & 0x80 else 0,
        )

    def _character_size(self, command: Command) -> None:
        n = command.args[0]
        self._line.style = replace(self._line.style, width=(n >> 4 & 7) + 1, height=(n & 7) + 1)

    def _font(self, command: Command) -> None:
        self._line.style = replace(self._line.style, font=command.args[0] & 1)

    def _bold(self, command: Command) -> None:
        self._line.style = replace(self._line.style, bold=bool(command.args[0] & 1))

    def _inverse(self, command: Command) -> None:
        self._line.style = replace(self._line.style, inverse=bool(command.args[0] & 1))

    def _underline(self, command: Command) -> None:
        self._line.style = replace(self._line.style, underline=_UNDERLINES.get(command.args[0], 0))

    def _rotate(self, command: Command) -> None:
        if command.args[0] in (0, 1, 2, 48, 49, 50):
            self._line.style = replace(self._line.style, rotated=command.args[0] not in (0, 48))

    def _upside_down(self, command: Command) -> None:
        if self._sheet.is_line_empty and not self._sheet.in_page:
            self._line.upside_down = bool(command.args[0] & 1)

    # -- places -------------------------------------------------------------------------------------------------

    def across(self, n: int) -> int:
        """``n`` horizontal motion units (GS P) in dots."""
        return n if not self._units[0] else n * _UM_PER_INCH // (self._units[0] * self._profile.dot_um)

    def down(self, n: int) -> int:
        """``n`` vertical motion units (GS P) in dots."""
        return n if not self._units[1] else n * _UM_PER_INCH // (self._units[1] * self._profile.dot_um)

    def _set_units(self, command: Command) -> None:
        self._units = (command.args[0], command.args[1])

    def _set_align(self, command: Command) -> None:
        align = _ALIGNMENTS.get(command.args[0])
        if align is None:
            self._surprise(command.offset, f"ESC a has no value {command.args[0]}; ignored")
        elif not self._sheet.is_line_empty:
            self._surprise(command.offset, "ESC a in mid-line has no effect")
        else:
            self._line.align = align

    def _margin(self, command: Command) -> None:
        dots = self.across(_word(command.args))
        if not self._sheet.is_line_empty:
            self._surprise(command.offset, f"{command.op.value} in mid-line has no effect")
        elif command.op is Op.LEFT_MARGIN:
            self._line.left_dots = min(dots, self._profile.width_dots - 12)
        else:
            self._line.area_dots = dots or self._profile.width_dots

    def _set_tabs(self, command: Command) -> None:
        self._line.set_tabs(command.args)

    def _tab(self, _command: Command) -> None:
        self._line.tab()

    def _position(self, command: Command) -> None:
        self._line.move_to(self.across(_word(command.args)))

    def _position_relative(self, command: Command) -> None:
        if not self._line.move_by(_signed(self.across, _word(command.args))):
            self._surprise(command.offset, "ESC \\ would leave the print area; ignored")

    def _character_spacing(self, command: Command) -> None:
        self._line.character_gap_dots = self.across(command.args[0])

    def _set_spacing(self, command: Command) -> None:
        self._line.spacing_dots = self.down(command.args[0])

    def _default_spacing(self, _command: Command) -> None:
        self._line.spacing_dots = self._profile.line_spacing_dots

    def _line_start(self, command: Command) -> None:
        if command.args[0] in (1, 49):
            self._sheet.flush()
        elif command.args[0] in (0, 48):
            self._line.clear()

    # -- page mode ------------------------------------------------------------------------------------------------

    def _page_mode(self, command: Command) -> None:
        sheet = self._sheet
        if command.op is Op.PAGE_MODE:
            if not sheet.is_line_empty:
                self._surprise(command.offset, "ESC L in mid-line has no effect")
            elif not sheet.in_page:
                sheet.begin_page()
        elif not sheet.in_page:
            return  # they mean nothing in standard mode
        elif command.op is Op.STANDARD_MODE:
            sheet.end_page()
        elif command.op is Op.FF:
            sheet.print_page()
            sheet.end_page()
        elif command.op is Op.PAGE_PRINT:
            sheet.print_page()
        elif command.op is Op.CANCEL:
            self._line.clear()
            sheet.page.clear()

    def _page_place(self, command: Command) -> None:
        sheet, args = self._sheet, command.args
        if command.op is Op.PAGE_AREA and not sheet.in_page:
            return
        if not sheet.in_page:
            self._surprise(command.offset, f"{command.op.value} in standard mode has no effect")
            return
        sheet.flush()
        if command.op is Op.PAGE_AREA:
            across, down = self.across, self.down
            x, y, width, height = (_word(args, at) for at in (0, 2, 4, 6))
            self._told(command, sheet.page.set_area(across(x), down(y), across(width), down(height)))
        elif command.op is Op.PAGE_DIRECTION and args[0] in (0, 1, 2, 3, 48, 49, 50, 51):
            sheet.page.set_direction(args[0] & 3)
        elif command.op is Op.PAGE_ABSOLUTE:
            sheet.page.move_to(self.down(_word(args)))
        elif command.op is Op.PAGE_RELATIVE:
            sheet.page.move_by(_signed(self.down, _word(args)))
        sheet.page_changed()

    # -- Chinese ------------------------------------------------------------------------------------------------

    def _chinese_mode(self, command: Command) -> None:
        n = command.args[0]
        self._line.chinese_wide, self._line.chinese_high = bool(n & 0x04), bool(n & 0x08)
        self._line.chinese_underline = 1 if n & 0x80 else 0

    def _chinese_quad(self, command: Command) -> None:
        self._line.chinese_wide = self._line.chinese_high = bool(command.args[0] & 1)

    def _chinese_underline(self, command: Command) -> None:
        self._line.chinese_underline = _UNDERLINES.get(command.args[0], 0)

    def _chinese_spacing(self, command: Command) -> None:
        self._line.chinese_gap_dots = (self.across(command.args[0]), self.across(command.args[1]))

    def _told(self, command: Command, problem: str) -> None:
        if problem:
            self._surprise(command.offset, problem)

    def table(self) -> dict[Op, Callable[[Command], None]]:
        """Which command is executed by what."""
        page = dict.fromkeys(
            (Op.PAGE_MODE, Op.STANDARD_MODE, Op.FF, Op.PAGE_PRINT, Op.CANCEL), self._page_mode
        )
        places = dict.fromkeys(
            (Op.PAGE_AREA, Op.PAGE_DIRECTION, Op.PAGE_ABSOLUTE, Op.PAGE_RELATIVE), self._page_place
        )
        return {
            **page,
            **places,
            Op.PRINT_MODE: self._print_mode,
            Op.FONT: self._font,
            Op.BOLD: self._bold,
            Op.DOUBLE_STRIKE: self._bold,
            Op.UNDERLINE: self._underline,
            Op.INVERSE: self._inverse,
            Op.ROTATE: self._rotate,
            Op.UPSIDE_DOWN: self._upside_down,
            Op.CHARACTER_SIZE: self._character_size,
            Op.CHARACTER_SPACING: self._character_spacing,
            Op.ALIGN: self._set_align,
            Op.SPACING: self._set_spacing,
            Op.DEFAULT_SPACING: self._default_spacing,
            Op.TABS: self._set_tabs,
            Op.HT: self._tab,
            Op.POSITION: self._position,
            Op.POSITION_RELATIVE: self._position_relative,
            Op.LEFT_MARGIN: self._margin,
            Op.AREA_WIDTH: self._margin,
            Op.MOTION_UNITS: self._set_units,
            Op.LINE_START: self._line_start,
            Op.CHINESE_MODE: self._chinese_mode,
            Op.CHINESE_QUAD: self._chinese_quad,
            Op.CHINESE_UNDERLINE: self._chinese_underline,
            Op.CHINESE_SPACING: self._chinese_spacing,
        }


def _word(args: tuple[int, ...], at: int = 0) -> int:
    return args[at] | args[at + 1] << 8


def _signed(scale: Callable[[int], int], word: int) -> int:
    """A relative move: words from 8000 on count back from 65536."""
    return scale(word) if word < 0x8000 else -scale(0x10000 - word)
