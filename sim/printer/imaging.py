"""Commands that print what is no text: bar codes, QR and PDF417 codes, raster and column images, stored images."""

from __future__ import annotations

from collections.abc import Callable

from protocols.escpos import Command, Op
from sim.printer.actions import Reply
from sim.printer.graphics import GraphicsStore, Image, column_image, nv_images, raster_bands, stored_image
from sim.printer.profile import PrinterProfile
from sim.printer.sheet import Sheet
from sim.printer.symbol_settings import SymbolSettings

__all__ = ["Imaging"]


class Imaging:
    """Executes them on a sheet.

    Args:
        profile: the printer model.
        sheet: where it prints.
        surprise: called with (offset, reason).
        reset_printer: FS q ends with a reset of all modes.
    """

    def __init__(
        self,
        profile: PrinterProfile,
        sheet: Sheet,
        surprise: Callable[[int, str], None],
        reset_printer: Callable[[], None],
    ) -> None:
        self._profile = profile
        self._sheet = sheet
        self._surprise = surprise
        self._reset_printer = reset_printer
        self._symbols = SymbolSettings()
        self._graphics = GraphicsStore()
        self._downloaded: Image | None = None
        self._kept: list[Image | None] = []

    def reset(self) -> None:
        """ESC @ and power-off: non-volatile images stay."""
        self._symbols = SymbolSettings()
        self._graphics.reset()
        self._downloaded = None

    # -- symbols ------------------------------------------------------------------------------------------------

    def _setting(self, command: Command) -> None:
        self._symbols.set(command.op, command.args[0])

    def _symbol(self, command: Command) -> None:
        align, _, _ = self._sheet.line.place
        width_dots = self._sheet.line.width_dots
        size = self._symbols.size_reply(command.data, width_dots)
        if size is not None:
            self._sheet.actions.append(Reply(size))
            return
        line, problem = self._symbols.symbol(command.data, align, width_dots)
        if problem:
            self._surprise(command.offset, problem)
        if line is None:
            return
        if not self._sheet.is_line_empty:
            self._surprise(command.offset, "a symbol is printed only at the start of a line; ignored")
            return
        self._sheet.put(line, command.offset)

    def _board_symbol(self, command: Command) -> None:
        line, problem = self._symbols.board_symbol(
            command.args, command.data, self._sheet.line.place[0], self._sheet.line.width_dots
        )
        if problem:
            self._surprise(command.offset, problem)
        if line is not None:
            self._sheet.flush()
            self._sheet.put(line, command.offset)

    def barcode(self, command: Command) -> None:
        """GS k with good data, at the start of a line."""
        align, _, _ = self._sheet.line.place
        width_dots = self._sheet.line.width_dots
        line, problem = self._symbols.barcode(command.args[0], command.data, align, width_dots)
        if problem:
            self._surprise(command.offset, problem)
        if line is None:
            self._sheet.blank(self._sheet.line.spacing_dots)
        else:
            self._sheet.put(line, command.offset)

    def _barcode_refused(self, _command: Command) -> None:
        self._sheet.flush()
        self._sheet.blank(self._sheet.line.spacing_dots)

    # -- images -------------------------------------------------------------------------------------------------

    def _print(self, image: Image, offset: int) -> None:
        sheet = self._sheet
        sheet.flush()
        align, _, _ = sheet.line.place
        for band in raster_bands(image, align, sheet.line.width_dots):
            sheet.put(band, offset)

    def _raster(self, command: Command) -> None:
        mode, width_bytes, height = command.args
        self._print(
            Image(width_bytes, height, command.data, 2 if mode & 1 else 1, 2 if mode & 2 else 1),
            command.offset,
        )

    def _column_image(self, command: Command) -> None:
        image = column_image(command.args[0], command.data)
        if image is not None:
            for band in raster_bands(image, "left", image.width_bytes * 8 * image.scale_x):
                self._sheet.line.put_picture(band)

    def _graphics_command(self, command: Command) -> None:
        image, problem = self._graphics.execute(command.data)
        if problem:
            self._surprise(command.offset, problem)
        if image is not None:
            self._print(image, command.offset)

    def _download(self, command: Command) -> None:
        x, y = command.args
        self._downloaded = stored_image(x, y, command.data)

    def _print_downloaded(self, command: Command) -> None:
        self._print_stored(self._downloaded, command, command.args[0])

    def _store_nv(self, command: Command) -> None:
        self._kept = nv_images(command.args[0], command.data)
        self._reset_printer()

    def _print_nv(self, command: Command) -> None:
        number, mode = command.args
        self._print_stored(self._kept[number - 1] if 1 <= number <= len(self._kept) else None, command, mode)

    def _print_stored(self, image: Image | None, command: Command, mode: int) -> None:
        if image is None or mode not in (0, 1, 2, 3, 48, 49, 50, 51):
            told = " ".join(str(arg) for arg in command.args)
            self._surprise(command.offset, f"{command.op.value} {told}: no such image; nothing is printed")
            return
        scaled = image._replace(scale_x=2 if mode & 1 else 1, scale_y=2 if mode & 2 else 1)
        self._print(scaled, command.offset)

    def table(self) -> dict[Op, Callable[[Command], None]]:
        """Which command is executed by what; GS k itself is `barcode`."""
        return {
            Op.BARCODE_REFUSED: self._barcode_refused,
            Op.BARCODE_HEIGHT: self._setting,
            Op.BARCODE_WIDTH: self._setting,
            Op.HRI_PLACE: self._setting,
            Op.HRI_FONT: self._setting,
            Op.BOARD_SYMBOL_KIND: self._setting,
            Op.BOARD_SYMBOL: self._board_symbol,
            Op.SYMBOL: self._symbol,
            Op.RASTER: self._raster,
            Op.COLUMN_IMAGE: self._column_image,
            Op.GRAPHICS: self._graphics_command,
            Op.DOWNLOAD_IMAGE: self._download,
            Op.PRINT_DOWNLOADED: self._print_downloaded,
            Op.NV_IMAGES: self._store_nv,
            Op.NV_PRINT: self._print_nv,
        }
