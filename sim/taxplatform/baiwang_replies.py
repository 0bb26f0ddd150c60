"""The shapes of Baiwang's replies. Amounts are JSON numbers there; they are written from whole fen, never from floats."""

from __future__ import annotations

from typing import Final

import msgspec

from protocols.baiwang import goods_name
from protocols.fapiao import FapiaoState, InvoiceLine, plain_decimal
from protocols.wechatpay import rfc3339
from sim.taxplatform.entries import Invoice, RedForm

__all__ = ["document_reply", "failed_entry", "form_reply", "issued_entry"]

_DOCUMENTS: Final = "https://openapi.baiwang.com/format"
# Codes of this simulation: no source names the platform's.
_INVOICE_STATES: Final = {FapiaoState.REVERSED: "03", FapiaoState.REVERSE_ACCEPTED: "02"}


def _number(value: int, places: int = 2) -> msgspec.Raw:
    return msgspec.Raw(plain_decimal(value, places, least=2).encode())


def _when(unix_us: int) -> str:
    """``yyyyMMddHHmmss`` in China."""
    return "".join(c for c in rfc3339(unix_us // 1_000_000)[:19] if c.isdigit())


def _line(place: int, line: InvoiceLine) -> dict[str, object]:
    figures = line.figures
    return {
        "goodsLineNo": place,
        "goodsCode": line.tax_code,
        "goodsName": goods_name(line),
        "goodsUnit": line.unit,
        "goodsSpecification": line.specification,
        "goodsQuantity": plain_decimal(figures.quantity_e8, 8),
        "goodsPrice": plain_decimal(figures.net_price_e8, 8),
        "goodsTotalPrice": _number(figures.net_fen),
        "goodsTotalTax": _number(figures.tax_fen),
        "goodsTaxRate": _number(figures.tax_rate_e4, 4),
    }


def issued_entry(invoice: Invoice) -> dict[str, object]:
    """An issued invoice, in the reply to the order and to a query."""
    draft = invoice.draft
    entry: dict[str, object] = {
        "serialNo": draft.serial,
        "invoiceNo": invoice.number,
        "invoiceDate": _when(invoice.issued_unix_us or 0),
        "invoiceQrCode": f"01,32,,{invoice.number},{plain_decimal(draft.gross_fen, 2, least=2)}",
        "invoiceTypeCode": draft.kind,
        "invoiceType": "1" if draft.is_red else "0",
        "invoiceStatus": _INVOICE_STATES.get(invoice.state, "00"),
        "invoiceTotalPrice": _number(draft.net_fen),
        "invoiceTotalTax": _number(draft.tax_fen),
        "invoiceTotalPriceTax": _number(draft.gross_fen),
        "invoiceDetailsList": [_line(place, line) for place, line in enumerate(draft.lines, 1)],
    }
    if draft.is_red:
        entry |= {"originalInvoiceNo": draft.blue_number, "redInfoNo": draft.red_form_number}
    return entry


def failed_entry(invoice: Invoice) -> dict[str, object]:
    """An order that the tax bureau refused."""
    return {"serialNo": invoice.draft.serial, "message": invoice.reason}


def document_reply(invoice: Invoice) -> dict[str, object]:
    """Where the documents are."""
    return {
        "serialNo": invoice.draft.serial,
        "invoiceNo": invoice.number,
        **{f"{kind}Url": f"{_DOCUMENTS}/{invoice.number}.{kind}" for kind in ("pdf", "ofd", "xml")},
    }


def form_reply(form: RedForm, *, with_lines: bool = False) -> dict[str, object]:
    """A red form."""
    red = form.red
    reply: dict[str, object] = {
        "redConfirmUuid": form.uuid,
        "redConfirmNo": form.number,
        "redConfirmSerialNo": form.serial,
        "confirmState": str(form.state),
        "entryIdentity": "01" if form.by_seller else "02",
        "originalInvoiceNo": form.blue.number,
        "redInvoiceLabel": form.reason,
        "invoiceTotalPrice": _number(form.net_fen),
        "invoiceTotalTax": _number(form.tax_fen),
        "alreadyRedInvoiceFlag": "Y" if red is not None and red.number else "N",
        "redInvoiceNo": red.number if red is not None else "",
    }
    if with_lines:
        reply["electricInvoiceDetails"] = [_line(place, line) for place, line in enumerate(form.lines, 1)]
        if red is not None and red.number:
            reply["redPdfUrl"] = f"{_DOCUMENTS}/{red.number}.pdf"
    return reply
