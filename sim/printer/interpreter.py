"""From commands to actions: text, paper, status. No time, no paper. The rest is in `Modes` (styles, places) and `Imaging`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from protocols.escpos import Command, GbDecoder, Op
from sim.printer.actions import Action, Buzz, Cut, Pulse, Reply, StatusReply
from sim.printer.code_pages import CODE_PAGES, NATIONAL, looks_chinese
from sim.printer.imaging import Imaging
from sim.printer.modes import Modes
from sim.printer.own_pages import read_text
from sim.printer.profile import PrinterProfile, identity
from sim.printer.sheet import Sheet
from sim.printer.user_glyphs import UserGlyphs

__all__ = ["Interpreter"]

_CUT_FEED_MODES: Final = frozenset({65, 66, 97, 98, 103, 104})
_FULL_CUTS: Final = frozenset({0, 48, 65, 97, 103})
_PARTIAL_CUTS: Final = frozenset({1, 49, 66, 98, 104})


class Interpreter:
    """Executes parsed commands against the printer's modes.

    Args:
        profile: the printer model.
        surprise: called with (offset, reason) for whatever a careful engineer would ask about.
        set_asb: called with the parameter of GS a.
        set_sensors: called with (near end stops printing, buttons are enabled), the settings of ESC c 4 and ESC c 5.
    """

    def __init__(
        self,
        profile: PrinterProfile,
        surprise: Callable[[int, str], None],
        set_asb: Callable[[int], None],
        set_sensors: Callable[[bool, bool], None],
    ) -> None:
        self._profile = profile
        self._surprise = surprise
        self._set_asb = set_asb
        self._set_sensors = set_sensors
        self._sheet = Sheet(profile, surprise)
        self._line = self._sheet.line
        self._modes = Modes(profile, self._sheet, surprise)
        self._imaging = Imaging(profile, self._sheet, surprise, self._reset_modes)
        lead = 0xA1 if profile.chinese == "gb2312" else 0x81
        self._decoder = GbDecoder(lowest_lead=lead)
        self._handlers = {**self._table(), **self._modes.table(), **self._imaging.table()}
        self._reset_modes()

    def _reset_modes(self) -> None:
        self._sheet.reset()
        self._imaging.reset()
        self._code_page = "cp437"
        self._national = NATIONAL[0]
        self._chinese = self._profile.chinese is not None and self._profile.chinese_on
        self._glyphs = UserGlyphs()
        self._decoder.drop()
        self._selected = True
        self._is_warned = False
        self._last_byte = b""
        self._near_end_stops = False
        self._buttons = True
        self._modes.reset()
        self._set_sensors(False, True)

    def reset(self) -> None:
        """Power-off: modes, line, page and stores are forgotten; what is in non-volatile memory stays."""
        self._sheet.actions.clear()
        self._reset_modes()

    def clear_line(self) -> None:
        """Drop the line being composed and the page; modes stay (DLE ENQ 2, DLE DC4 8)."""
        self._line.clear()
        self._decoder.drop()
        if self._sheet.in_page:
            self._sheet.begin_page()

    def execute(self, command: Command) -> list[Action]:
        """Execute one command and return what the mechanism is to do for it."""
        if not self._selected and command.op is not Op.PERIPHERAL:
            return []
        if command.op is not Op.TEXT and self._decoder.holds_half:
            half = self._decoder.drop().hex(" ").upper()
            self._surprise(
                command.offset, f"half a Chinese character ({half}) before {command.op.value}; dropped"
            )
        if command.op is not Op.TEXT:
            self._last_byte = b""
        if command.surprise:
            self._surprise(command.offset, command.surprise)
        handler = self._handlers.get(command.op)
        if handler is None:
            return []
        handler(command)
        actions = self._sheet.actions
        self._sheet.actions = []
        return actions

    # -- text ---------------------------------------------------------------------------------------------------

    def _text(self, command: Command) -> None:
        data = command.data
        if self._chinese:
            found = self._decoder.feed(data)
            if not (self._national or self._glyphs.in_use or self._line.has_gaps):
                for full in self._line.put_run(found):
                    self._sheet.print_line(full, command.offset)
                return
        else:
            if self._profile.chinese is None and not self._is_warned:
                self._warn_of_chinese(command)
            found = [(char, 1) for char in read_text(data, self._code_page)]
        line, glyphs, font = self._line, self._glyphs, self._line.style.font
        for char, columns in found:
            drawn = glyphs.of(char, columns, font)
            if columns == 1:
                if self._national and char < "\x80":
                    char = char.translate(self._national)
                if not char.isprintable():
                    char = " "
            overflow = line.put(char, columns, drawn)
            if overflow is not None:
                self._sheet.print_line(overflow, command.offset)

    def _warn_of_chinese(self, command: Command) -> None:
        # A character may be cut by the network, so the last byte is looked at again.
        if looks_chinese(self._last_byte + command.data):
            self._is_warned = True
            self._surprise(
                command.offset,
                "Chinese bytes on a printer without a Chinese font: they print as other letters",
            )
        self._last_byte = command.data[-1:]

    def _barcode_as_text(self, command: Command) -> None:
        self._surprise(command.offset, "GS k in mid-line: its data is printed as text")
        self._text(command)

    def _line_feed(self, command: Command) -> None:
        self._sheet.print_line(offset=command.offset)

    def _set_code_page(self, command: Command) -> None:
        page = CODE_PAGES.get(command.args[0])
        if page is None:
            self._surprise(command.offset, f"ESC t: no code page {command.args[0]} in this model; unchanged")
        else:
            self._code_page = page

    def _set_national(self, command: Command) -> None:
        if command.args[0] < len(NATIONAL):
            self._national = NATIONAL[command.args[0]]
        else:
            self._surprise(command.offset, f"ESC R has no country {command.args[0]}; unchanged")

    def _set_chinese(self, command: Command) -> None:
        if self._profile.chinese is not None:
            self._chinese = command.op is Op.CHINESE_ON
        elif command.op is Op.CHINESE_ON:
            self._surprise(command.offset, "FS & on a printer without a Chinese font; ignored")

    def _user_characters(self, command: Command) -> None:
        depth, first, last = command.args
        self._told(command, self._glyphs.define(depth, first, last, command.data, self._line.style.font))

    def _user_select(self, command: Command) -> None:
        self._glyphs.selected = bool(command.args[0] & 1)

    def _user_cancel(self, command: Command) -> None:
        self._glyphs.cancel(command.args[0], self._line.style.font)

    def _chinese_user(self, command: Command) -> None:
        self._told(command, self._glyphs.define_chinese(bytes(command.args), command.data))

    def _chinese_user_cancel(self, command: Command) -> None:
        self._glyphs.cancel_chinese(bytes(command.args))

    # -- paper, drawer, buzzer ------------------------------------------------------------------------------------

    def _feed_lines(self, command: Command) -> None:
        self._sheet.flush()
        for _ in range(command.args[0]):
            self._sheet.blank(self._line.spacing_dots)

    def _feed_units(self, command: Command) -> None:
        self._sheet.flush()
        self._sheet.blank(self._modes.down(command.args[0]))

    def _cut(self, command: Command) -> None:
        mode = command.args[0]
        if mode in _CUT_FEED_MODES:
            feed_dots = self._cutter_dots() + self._modes.down(command.args[1])
            self._do_cut(mode in _FULL_CUTS, feed_dots, command.offset)
        elif mode in _FULL_CUTS or mode in _PARTIAL_CUTS:
            self._do_cut(mode in _FULL_CUTS, 0, command.offset)

    def _old_cut(self, command: Command) -> None:
        self._do_cut(command.op is Op.CUT_FULL_OLD, 0, command.offset)

    def _cutter_dots(self) -> int:
        return self._profile.head_to_cutter_mm * 1000 // self._profile.dot_um

    def _do_cut(self, full: bool, feed_dots: int, offset: int) -> None:
        sheet = self._sheet
        if sheet.in_page:
            self._surprise(offset, "a cut in page mode has no effect")
            return
        sheet.flush()
        sheet.blank(feed_dots)
        fed_mm = sheet.fed_dots * self._profile.dot_um // 1000
        if self._profile.cutter and fed_mm < self._profile.head_to_cutter_mm:
            self._surprise(
                offset,
                f"the cut goes through the print: {fed_mm} mm fed since the last line, "
                f"the cutter sits {self._profile.head_to_cutter_mm} mm behind the head",
            )
        sheet.actions.append(Cut(full))

    def _pulse(self, command: Command) -> None:
        pin = {0: 2, 48: 2, 1: 5, 49: 5}.get(command.args[0])
        if pin is None:
            self._surprise(command.offset, f"ESC p has no connector {command.args[0]}; no pulse")
            return
        self._sheet.actions.append(Pulse(pin, command.args[1] * 2))

    def _buzz(self, command: Command) -> None:
        times, length = command.args
        if not (self._profile.buzzer and 1 <= times <= 9 and 1 <= length <= 9):
            self._surprise(command.offset, f"ESC B {times} {length}: no buzzer, or not 1 to 9; silent")
            return
        self._sheet.actions.append(Buzz(times, length * 50))

    def _buzz_pattern(self, command: Command) -> None:
        # ESC ( A, function 97 (n c) or 48 (n c t): pattern, cycles, length in 100 ms.
        data = command.data
        if not (self._profile.buzzer and len(data) >= 3 and data[0] in (48, 97)):
            self._surprise(command.offset, "ESC ( A on a printer without that buzzer; silent")
            return
        self._sheet.actions.append(Buzz(data[2], (data[3] if len(data) > 3 else 1) * 100))

    # -- status and identity ------------------------------------------------------------------------------------

    def _printer_id(self, command: Command) -> None:
        answer = identity(self._profile, command.args[0])
        if answer is None:
            self._surprise(command.offset, f"GS I has no item {command.args[0]}; no answer")
        else:
            self._sheet.actions.append(Reply(answer))

    def _status(self, command: Command) -> None:
        self._sheet.actions.append(StatusReply(command.args[0]))

    def _old_paper_status(self, _command: Command) -> None:
        self._sheet.actions.append(StatusReply(1))

    def _old_drawer_status(self, _command: Command) -> None:
        self._sheet.actions.append(StatusReply(2))

    def _process_id(self, command: Command) -> None:
        # GS ( H fn 48: "when all before is printed, answer 37 22 d1 d2 d3 d4 00".
        if len(command.data) == 6 and command.data[0] == 48 and command.data[1] == 48:
            self._sheet.actions.append(Reply(b"\x37\x22" + command.data[2:] + b"\0"))

    def _asb(self, command: Command) -> None:
        self._set_asb(command.args[0])

    def _sensors(self, command: Command) -> None:
        if command.op is Op.PAPER_SENSOR_STOPS:
            self._near_end_stops = bool(command.args[0] & 0x03)
        else:
            self._buttons = not command.args[0] & 1
        self._set_sensors(self._near_end_stops, self._buttons)

    def _peripheral(self, command: Command) -> None:
        self._selected = bool(command.args[0] & 1)
        if not self._selected:
            self._surprise(command.offset, "ESC = deselects the printer: all is ignored until ESC = 1")

    def _initialise(self, _command: Command) -> None:
        self._reset_modes()
        self._set_asb(0)

    def _told(self, command: Command, problem: str) -> None:
        if problem:
            self._surprise(command.offset, problem)

    def _barcode(self, command: Command) -> None:
        if self._sheet.is_line_empty:
            self._imaging.barcode(command)
        else:
            self._barcode_as_text(command)

    def _table(self) -> dict[Op, Callable[[Command], None]]:
        return {
            Op.TEXT: self._text,
            Op.LF: self._line_feed,
            Op.INITIALISE: self._initialise,
            Op.INTERNATIONAL: self._set_national,
            Op.USER_CHARACTERS: self._user_characters,
            Op.USER_SELECT: self._user_select,
            Op.USER_CANCEL: self._user_cancel,
            Op.FEED_LINES: self._feed_lines,
            Op.FEED_UNITS: self._feed_units,
            Op.CODE_PAGE: self._set_code_page,
            Op.PULSE: self._pulse,
            Op.BUZZER: self._buzz,
            Op.BUZZER_PATTERN: self._buzz_pattern,
            Op.CUT: self._cut,
            Op.CUT_FULL_OLD: self._old_cut,
            Op.CUT_PARTIAL_OLD: self._old_cut,
            Op.CHINESE_ON: self._set_chinese,
            Op.CHINESE_OFF: self._set_chinese,
            Op.CHINESE_USER: self._chinese_user,
            Op.CHINESE_USER_CANCEL: self._chinese_user_cancel,
            Op.BARCODE: self._barcode,
            Op.PROCESS_ID: self._process_id,
            Op.PRINTER_ID: self._printer_id,
            Op.STATUS: self._status,
            Op.PAPER_STATUS_OLD: self._old_paper_status,
            Op.DRAWER_STATUS_OLD: self._old_drawer_status,
            Op.ASB: self._asb,
            Op.PAPER_SENSOR_STOPS: self._sensors,
            Op.BUTTONS: self._sensors,
            Op.PERIPHERAL: self._peripheral,
        }
