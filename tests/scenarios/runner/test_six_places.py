"""One delivery, one figure: what the display showed stands on the wire, the phone, the paper, the invoice and in the ledger."""

from __future__ import annotations

import pytest

from scenarios.loader import load
from scenarios.runner.virtual import run_once


@pytest.mark.requirement("fd-met.six-places-one-figure")
def test_display_wire_phone_receipt_invoice_and_ledger_show_the_same():
    record = run_once(load("smoke").scenario, "six", skip_idle_polls=True).record
    wire = {sale.key: sale for sale in record.journal}
    ledger = {sale.key: sale for sale in record.ledger if sale.corrects is None}
    receipts = {receipt.sale_id: receipt for receipt in record.receipts if receipt.complete}
    orders = {order.sale_id: order for order in record.orders if order.sale_id is not None}
    invoices = {invoice.sale_id: invoice for invoice in record.invoices if invoice.state == "issued"}
    shown = {seen.key: seen for seen in record.live}  # the last of each delivery
    everywhere = 0
    for pump in record.deliveries:
        sale = ledger[pump.key]
        figures = {
            "display": (pump.volume_ml, pump.amount_fen),
            "wire": (wire[pump.key].volume_ml, wire[pump.key].amount_fen),
            "ledger": (sale.volume_ml, sale.amount_fen),
        }
        if pump.key in shown:
            figures["phone, live"] = (shown[pump.key].volume_ml, shown[pump.key].amount_fen)
        if sale.sale_id in receipts:
            paper = receipts[sale.sale_id]
            figures["receipt"] = (paper.volume_ml, paper.amount_fen)
        if sale.sale_id in orders:
            figures["phone, to pay"] = (pump.volume_ml, orders[sale.sale_id].payable_fen)
        if sale.sale_id in invoices:
            figures["invoice"] = (pump.volume_ml, invoices[sale.sale_id].amount_fen)
        assert set(figures.values()) == {figures["display"]}, figures
        everywhere += len(figures) == 7
    assert everywhere > 2
