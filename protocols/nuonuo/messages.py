"""The two requests with rules of their own: an order (requestBillingNew) and a red-letter form (saveInvoiceRedConfirm)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from protocols.fapiao.fields import Fields, plain_decimal
from protocols.fapiao.lines import LITRE, TON, InvoiceLine, LineError, figure_line
from protocols.fapiao.shapes import LITRES_PER_TON
from protocols.nuonuo.codes import NuonuoCode, NuonuoError

__all__ = ["RED_REASON_OF", "Order", "RedApplication", "parse_order", "parse_red_application"]

RED_REASON_OF: Final = MappingProxyType({"1": "02", "2": "01", "3": "03", "4": "04"})
"""``redReason`` -> the bureau's label: 1 goods returned, 2 issued wrongly, 3 service ended, 4 discount."""

OIL_FACTOR: Final = "1"
"""``specificFactor`` of a refined-oil invoice."""

_TAX_ID: Final = re.compile(r"[0-9A-Z]{15,20}")
_TAX_CODE: Final = re.compile(r"\d{19}")
_WHEN: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_MAX_LINES: Final = 100


def _refuse(name: str, problem: str) -> NuonuoError:
    return NuonuoError(NuonuoCode.CONTENT, f"{name}{problem}")


@dataclass(frozen=True, slots=True)
class Order:
    """One order for a blue invoice, as a merchant sends it (`body`) and as the platform reads it.

    Attributes:
        order_no: the merchant's number, unique for ever, at most 64.
        seller_tax_id, buyer_tax_id: taxpayer numbers; the buyer's is needed for ``bs``.
        buyer_name: printed on it.
        invoice_date: ``YYYY-MM-DD HH:MM:SS``, when the order was made.
        kind: ``pc`` digital ordinary, ``bs`` digital special.
        lines: at least one.
        clerk: who issues.
        callback_url: where the result is pushed; empty for nowhere.
        remark: free text.
    """

    order_no: str
    seller_tax_id: str
    buyer_name: str = field(repr=False)
    invoice_date: str
    lines: tuple[InvoiceLine, ...]
    buyer_tax_id: str = field(default="", repr=False)
    kind: str = "pc"
    clerk: str = ""
    callback_url: str = ""
    remark: str = ""

    def body(self, fuel_codes: Mapping[str, int] = LITRES_PER_TON) -> dict[str, Any]:
        """The JSON object to send."""
        is_oil = any(line.tax_code in fuel_codes for line in self.lines)
        order = {
            "orderNo": self.order_no,
            "salerTaxNum": self.seller_tax_id,
            "buyerName": self.buyer_name,
            "buyerTaxNum": self.buyer_tax_id,
            "invoiceDate": self.invoice_date,
            "invoiceType": "1",
            "invoiceLine": self.kind,
            "specificFactor": OIL_FACTOR if is_oil else "0",
            "clerk": self.clerk,
            "pushMode": "-1",
            "callBackUrl": self.callback_url,
            "remark": self.remark,
            "invoiceDetail": [_detail(line) for line in self.lines],
        }
        return {"order": {name: value for name, value in order.items() if value != ""}}


def _detail(line: InvoiceLine) -> dict[str, str]:
    figures = line.figures
    return {
        "goodsName": line.name,
        "goodsCode": line.tax_code,
        "withTaxFlag": "0",
        "price": plain_decimal(figures.net_price_e8, 8),
        "num": plain_decimal(figures.quantity_e8, 8),
        "unit": line.unit,
        "specType": line.specification,
        "taxRate": plain_decimal(figures.tax_rate_e4, 4, least=2),
        "taxExcludedAmount": plain_decimal(figures.net_fen, 2, least=2),
        "tax": plain_decimal(figures.tax_fen, 2, least=2),
        "taxIncludedAmount": plain_decimal(figures.gross_fen, 2, least=2),
        "invoiceLineProperty": "0",
        "favouredPolicyFlag": "0",
    }


@dataclass(frozen=True, slots=True)
class RedApplication:
    """An application for a red-letter form.

    Attributes:
        bill_id: the merchant's number; empty lets the platform make one.
        blue_number: 20 digits.
        by_seller: who applies.
        reason: the bureau's label.
        parts: for a partial red letter, line index from 0 -> (quantity_e8, net_fen, tax_fen), all negative; empty means all.
        order_no: number of the red order, or empty.
        callback_url: as in `Order`.
    """

    bill_id: str
    blue_number: str
    by_seller: bool
    reason: str
    parts: Mapping[int, tuple[int, int, int]]
    order_no: str
    callback_url: str


def parse_order(body: Mapping[str, Any], fuel_codes: Mapping[str, int] = LITRES_PER_TON) -> Order:
    """Check and read the body of requestBillingNew.

    Raises:
        NuonuoError: E9105 with the field and the problem.
    """
    fields = Fields(body, _refuse).child("order")
    if fields.one_of("invoiceType", ("1", "2"), default="1") == "2":
        raise fields.refusal("invoiceType", "数电红票请使用快捷冲红接口")
    kind = fields.one_of("invoiceLine", ("pc", "bs"), default="pc")
    details = fields.children("invoiceDetail", _MAX_LINES)
    lines = tuple(_line(detail, fuel_codes) for detail in details)
    is_oil = fields.text("specificFactor", high=2) == OIL_FACTOR
    if is_oil != all(line.tax_code in fuel_codes for line in lines):
        raise fields.refusal("specificFactor", "与商品编码不一致：成品油发票的明细须全部为成品油")
    return Order(
        order_no=fields.text("orderNo", required=True, high=64),
        seller_tax_id=fields.text("salerTaxNum", required=True, high=20, pattern=_TAX_ID),
        buyer_name=fields.text("buyerName", required=True, high=100),
        invoice_date=fields.text("invoiceDate", required=True, high=19, pattern=_WHEN),
        lines=lines,
        buyer_tax_id=fields.text("buyerTaxNum", required=kind == "bs", high=20, pattern=_TAX_ID),
        kind=kind,
        clerk=fields.text("clerk", high=20),
        callback_url=fields.text("callBackUrl", high=256),
        remark=fields.text("remark", high=230),
    )


def _line(detail: Fields, fuel_codes: Mapping[str, int]) -> InvoiceLine:
    if detail.one_of("invoiceLineProperty", ("0", "1", "2"), default="0") != "0":
        raise detail.refusal("invoiceLineProperty", "本平台不支持折扣行，请将折扣计入金额")
    tax_code = detail.text("goodsCode", required=True, high=19, pattern=_TAX_CODE)
    unit = detail.text("unit", required=tax_code in fuel_codes, high=22)
    if tax_code in fuel_codes and unit not in {LITRE, TON}:
        raise detail.refusal("unit", "成品油的单位须为升或吨")
    rate = detail.number("taxRate", 4)
    if rate is None:
        raise detail.refusal("taxRate", "不能为空")
    try:
        figures = figure_line(
            quantity_e8=detail.number("num", 8),
            price_e8=detail.number("price", 8),
            price_has_tax=detail.one_of("withTaxFlag", ("0", "1")) == "1",
            gross_fen=detail.number("taxIncludedAmount", 2),
            net_fen=detail.number("taxExcludedAmount", 2),
            tax_fen=detail.number("tax", 2),
            tax_rate_e4=rate,
        )
    except LineError as error:
        raise detail.refusal("", str(error)) from None
    return InvoiceLine(
        tax_code,
        detail.text("goodsName", required=True, high=90),
        unit,
        figures,
        detail.text("specType", high=40),
    )


def parse_red_application(body: Mapping[str, Any]) -> RedApplication:
    """Check and read the body of saveInvoiceRedConfirm.

    Raises:
        NuonuoError: E9105 with the field and the problem.
    """
    fields = Fields(body, _refuse)
    fields.one_of("blueInvoiceLine", ("pc", "bs"))
    fields.text("sellerTaxNo", required=True, high=20, pattern=_TAX_ID)
    fields.text("buyerName", required=True, high=100)
    number = fields.text("blueElecInvoiceNumber", high=20) or fields.text("blueInvoiceNumber", high=20)
    if not number:
        raise fields.refusal("blueElecInvoiceNumber", "不能为空")
    parts: dict[int, tuple[int, int, int]] = {}
    for detail in fields.children("detail", _MAX_LINES) if body.get("detail") else ():
        index = detail.number("blueDetailIndex", 0)
        net, tax = detail.number("taxExcludedAmount", 2), detail.number("taxAmount", 2)
        if index is None or index < 1 or net is None or tax is None or index - 1 in parts:
            raise detail.refusal("", "明细序号、金额或税额不正确")
        parts[index - 1] = (detail.number("num", 8) or 0, net, tax)
    return RedApplication(
        bill_id=fields.text("billId", high=32),
        blue_number=number,
        by_seller=fields.one_of("applySource", ("0", "1")) == "0",
        reason=RED_REASON_OF[fields.one_of("redReason", tuple(RED_REASON_OF))],
        parts=parts,
        order_no=fields.text("orderNo", high=20),
        callback_url=fields.text("callbackUrl", high=225),
    )
