"""The fuel receipt in Feie's markup: the same rows as on a wired printer, and the same mark on a copy."""

from __future__ import annotations

from protocols.escpos import ReceiptContent, receipt_sections, text_columns
from protocols.escpos.receipt import PAID_LABEL
from protocols.feie.codes import CONTENT_MOST_BYTES
from protocols.feie.markup import MarkupBuilder

__all__ = ["receipt_markup"]


def receipt_markup(content: ReceiptContent, reprint: int = 0, *, width_columns: int = 32) -> str:
    """The content of one order.

    Args:
        content: what to print.
        reprint: 0 for the original; n >= 1 prints ``补打 REPRINT n`` at top and bottom.
        width_columns: 32 on 58 mm paper, 48 on 80 mm.

    Raises:
        ValueError: ``reprint`` below 0, or more than the platform takes.
    """
    if reprint < 0:
        raise ValueError(f"reprint counts from 0, not {reprint}")
    out = MarkupBuilder(width_columns)
    fits_double = text_columns(content.station_name) * 2 <= width_columns
    out.line(content.station_name, "CB" if fits_double else "C").line("加油小票", "C")
    mark = f"*** 补打 REPRINT {reprint} ***"
    if reprint:
        out.line(mark, "C")
    for section in receipt_sections(content):
        out.rule()
        for label, value in section:
            out.columns(label, value, "BOLD" if label == PAID_LABEL else "")
    if content.qr_text:
        out.qr(content.qr_text).line("扫码开具电子发票", "C")
    if content.footer:
        out.line(content.footer, "C")
    if reprint:
        out.line(mark, "C")
    markup = str(out.cut())
    if len(markup.encode()) > CONTENT_MOST_BYTES:
        raise ValueError(
            f"the receipt has {len(markup.encode())} bytes, the platform takes {CONTENT_MOST_BYTES}"
        )
    return markup
