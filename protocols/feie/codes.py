"""Names and numbers of Feie's open API.

Sources: the vendor's demo code (names, replies and the three texts of a printer's state); refusals -3 and 1001 as logged
by open clients that talk to the real platform (``FeiePrinterTest`` of the gruul shop, a restaurant's ``feie.ts``).
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final

__all__ = [
    "CONTENT_MOST_BYTES",
    "PRINTERS_AT_ONCE",
    "TIMES_MOST",
    "Api",
    "PrinterState",
    "Ret",
    "printer_state",
]

CONTENT_MOST_BYTES: Final = 5000
"""Of one order; counted here in UTF-8, as sent."""

TIMES_MOST: Final = 10
"""Copies of one order."""

PRINTERS_AT_ONCE: Final = 100
"""Lines of one ``printerContent``."""


class Api(StrEnum):
    """Values of ``apiname``."""

    ADD = "Open_printerAddlist"
    DELETE = "Open_printerDelList"
    EDIT = "Open_printerEdit"
    INFO = "Open_printerInfo"
    PRINT = "Open_printMsg"
    PRINT_LABEL = "Open_printLabelMsg"
    CLEAR_QUEUE = "Open_delPrinterSqs"
    ORDER_STATE = "Open_queryOrderState"
    ORDERS_BY_DATE = "Open_queryOrderInfoByDate"
    PRINTER_STATUS = "Open_queryPrinterStatus"


class Ret(IntEnum):
    """Values of ``ret``. Beside 0 the platform publishes no table; these are the ones that were seen."""

    OK = 0
    PARAMETER = -2
    SIGNATURE = -3
    NUMBER = 1001
    NOT_YOURS = 1002


class PrinterState(StrEnum):
    """What ``Open_queryPrinterStatus`` says, word for word."""

    OFFLINE = "离线"
    READY = "在线，工作状态正常"
    FAULT = "在线，工作状态不正常"


def printer_state(text: str) -> PrinterState | None:
    """Read a state, with or without a full stop behind it; None for any other text.

    "正常" is a part of "不正常": whoever searches for the word takes a printer without paper for one that works.
    """
    text = text.strip().rstrip("。.")
    return next((state for state in PrinterState if text == state.value), None)
