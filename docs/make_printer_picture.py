#!/usr/bin/env python3
"""Makes the picture of docs/printer.md: a receipt, printed on the simulated printer."""

from __future__ import annotations

from pathlib import Path

from protocols.escpos import Align, ReceiptBuilder
from sim.printer import CHINESE_80MM, Printer, receipt_png


def job() -> bytes:
    """A receipt with most of what a receipt has."""
    paper = ReceiptBuilder().initialise().align(Align.CENTRE).size(2, 2).line("昆明北站加油站").size()
    paper.line("销售小票  SALES RECEIPT").feed(1).align(Align.LEFT)
    paper.columns("站号 KM01", "枪号 3").columns("2026-01-05 08:00:00", "流水号 107").rule()
    paper.columns("95# 汽油", "12.29 L × 7.81 元/L").columns("金额", "¥95.98").columns("优惠", "-¥0.00")
    paper.bold().size(1, 2).columns("实付", "¥95.98").size().bold(False)
    paper.columns("支付方式", "微信支付").columns("手机", "138****5678").rule()
    paper.align(Align.CENTRE).code128("KM01-107", height_dots=60).feed(1)
    paper.qr("https://example.invalid/invoice?o=107", module_dots=6).line("扫码开票").cut()
    return bytes(paper)


def main() -> None:
    """Print it and save the picture."""
    printer = Printer(CHINESE_80MM)
    printer.receive_data(job(), 0)
    printer.handle_timer(60_000_000)
    Path(__file__).with_name("images").joinpath("printer.png").write_bytes(receipt_png(printer.receipts[0]))


if __name__ == "__main__":
    main()
