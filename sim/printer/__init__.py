"""A receipt printer: ESC/POS in, status bytes out, receipts as cells, text and pictures, in the time real paper takes."""

from __future__ import annotations

from sim.printer.device import MAX_SURPRISES, Printer
from sim.printer.events import (
    Buzzed,
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
    PageBlock,
    Pdf417Line,
    Placed,
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
    PROFILES,
    PrinterProfile,
)
from sim.printer.receive_path import MAX_INTERFACE_BYTES
from sim.printer.render import receipt_png, render_receipt
from sim.printer.serial import PrinterPty
from sim.printer.tcp import PrinterServer, serve_printer_tcp
from sim.printer.udp import PrinterControlPort, serve_printer_udp

__all__ = [
    "CHINESE_58MM",
    "CHINESE_80MM",
    "EPSON_80MM_ETHERNET",
    "EPSON_80MM_SERIAL",
    "MAX_INTERFACE_BYTES",
    "MAX_SURPRISES",
    "PROFILES",
    "BarcodeLine",
    "BlankLine",
    "Buzzed",
    "Cell",
    "DataDiscarded",
    "DrawerKicked",
    "Interruption",
    "LinePrinted",
    "PageBlock",
    "Pdf417Line",
    "Placed",
    "PrintedLine",
    "Printer",
    "PrinterControlPort",
    "PrinterEvent",
    "PrinterProfile",
    "PrinterPty",
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
    "serve_printer_udp",
]
