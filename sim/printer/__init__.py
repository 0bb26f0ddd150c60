"""A receipt printer: ESC/POS in, status bytes out, receipts as cells, text and pictures, in the time real paper takes."""

from __future__ import annotations

from sim.printer.device import MAX_SURPRISES, Printer
from sim.printer.events import (
    DataDiscarded,
    DrawerKicked,
    LinePrinted,
    PrinterEvent,
    ReceiptEnded,
    Surprise,
    WentOffline,
    WentOnline,
)
from sim.printer.paper import (
    BarcodeLine,
    BlankLine,
    Cell,
    Interruption,
    PrintedLine,
    QrLine,
    RasterLine,
    Receipt,
    Style,
    TextLine,
)
from sim.printer.profile import (
    CHINESE_58MM,
    CHINESE_80MM,
    EPSON_80MM_ETHERNET,
    EPSON_80MM_SERIAL,
    PrinterProfile,
)
from sim.printer.receive_path import MAX_INTERFACE_BYTES
from sim.printer.render import receipt_png, render_receipt
from sim.printer.tcp import MAX_CONNECTIONS, PrinterServer, serve_printer_tcp

__all__ = [
    "CHINESE_58MM",
    "CHINESE_80MM",
    "EPSON_80MM_ETHERNET",
    "EPSON_80MM_SERIAL",
    "MAX_CONNECTIONS",
    "MAX_INTERFACE_BYTES",
    "MAX_SURPRISES",
    "BarcodeLine",
    "BlankLine",
    "Cell",
    "DataDiscarded",
    "DrawerKicked",
    "Interruption",
    "LinePrinted",
    "PrintedLine",
    "Printer",
    "PrinterEvent",
    "PrinterProfile",
    "PrinterServer",
    "QrLine",
    "RasterLine",
    "Receipt",
    "ReceiptEnded",
    "Style",
    "Surprise",
    "TextLine",
    "WentOffline",
    "WentOnline",
    "receipt_png",
    "render_receipt",
    "serve_printer_tcp",
]
