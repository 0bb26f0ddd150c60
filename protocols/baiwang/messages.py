"""The two requests with rules of their own: issue an invoice (v6.0, wrapped in ``data``) and add a red form (v7.0, flat)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from protocols.baiwang.codes import BaiwangError
from protocols.fapiao.fields import Fields
from protocols.fapiao.lines import LITRE, TON, InvoiceLine, LineError, figure_line
from protocols.fapiao.red import RED_REASONS
from protocols.fapiao.shapes import DIESEL_TAX_CODE, LITRES_PER_TON, PETROL_TAX_CODE

__all__ = [
    "GOODS_PREFIXES",
    "OIL_MARKS",
    "IssueOrder",
    "RedAdd",
    "goods_name",
    "parse_issue",
    "parse_red_add",
]

GOODS_PREFIXES: Final = MappingProxyType({PETROL_TAX_CODE: "汽油", DIESEL_TAX_CODE: "柴油"})
"""Tax code -> category that the platform puts before a name as ``*汽油*``."""

OIL_MARKS: Final = MappingProxyType({"01": ("01", "08"), "02": ("01", "08")})
"""``invoiceTypeCode`` -> values of ``invoiceSpecialMark`` taken for refined oil. 08 is the tax-control era's mark, 01 the digital
list's; sources conflict on which one this platform wants, so both pass unless a switch says otherwise."""

_TAX_ID: Final = re.compile(r"[0-9A-Z]{15,20}")
_TAX_CODE: Final = re.compile(r"\d{19}")
_SERIAL: Final = re.compile(r"[0-9A-Za-z_]{1,50}")
_MAX_LINES: Final = 100


def _refuse(name: str, problem: str) -> BaiwangError:
    return BaiwangError("missing" if problem == "不能为空" else "content", f"{name}{problem}")


@dataclass(frozen=True, slots=True)
class IssueOrder:
    """One order for a blue invoice.

    Attributes:
        serial_no: the merchant's number, at most 50; a repeat is the same order.
        type_code: ``01`` digital special, ``02`` digital ordinary.
        buyer_name, buyer_tax_id: the tax number is needed for ``01``.
        lines: at least one.
        remark: free text.
    """

    serial_no: str
    type_code: str
    buyer_name: str = field(repr=False)
    buyer_tax_id: str = field(repr=False)
    lines: tuple[InvoiceLine, ...]
    remark: str = ""


@dataclass(frozen=True, slots=True)
class RedAdd:
    """A request for a red form.

    Attributes:
        serial_no: the merchant's number.
        by_seller: ``entryIdentity`` 01.
        blue_number: 20 digits.
        reason: 01 to 04.
        auto_issue: whether the red letter follows by itself.
        parts: line index from 0 -> (quantity_e8, net_fen, tax_fen), all negative; empty means all.
        net_fen, tax_fen: the sums as sent, negative.
    """

    serial_no: str
    by_seller: bool
    blue_number: str
    reason: str
    auto_issue: bool
    parts: Mapping[int, tuple[int, int, int]]
    net_fen: int
    tax_fen: int


def goods_name(line: InvoiceLine) -> str:
    """The name as printed: ``*汽油*92号汽油``."""
    prefix = GOODS_PREFIXES.get(line.tax_code)
    return f"*{prefix}*{line.name}" if prefix and not line.name.startswith("*") else line.name


def parse_issue(
    body: Mapping[str, Any],
    *,
    fuel_codes: Mapping[str, int] = LITRES_PER_TON,
    oil_marks: Mapping[str, tuple[str, ...]] = OIL_MARKS,
) -> IssueOrder:
    """Check and read the body of ``baiwang.output.invoice.issue``.

    Raises:
        BaiwangError: ``missing``, ``type_code`` or ``content``, with the field and the problem.
    """
    fields = Fields(body, _refuse).child("data")
    if fields.one_of("invoiceType", ("0", "1"), default="0") == "1":
        raise fields.refusal("invoiceType", "：数电红票请使用红字确认单")
    type_code = fields.text("invoiceTypeCode", required=True, high=3)
    if type_code not in ("01", "02"):
        raise BaiwangError("type_code", "invoiceTypeCode不正确")
    has_tax = fields.one_of("priceTaxMark", ("0", "1"), default="0") == "1"
    details = fields.children("invoiceDetailsList", _MAX_LINES)
    lines = tuple(_line(detail, has_tax, fuel_codes) for detail in details)
    is_oil = fields.text("invoiceSpecialMark", high=2) in oil_marks.get(type_code, ())
    if is_oil != all(line.tax_code in fuel_codes for line in lines):
        raise fields.refusal("invoiceSpecialMark", "与商品编码不一致")
    sums = (
        ("invoiceTotalPrice", sum(line.figures.net_fen for line in lines)),
        ("invoiceTotalTax", sum(line.figures.tax_fen for line in lines)),
        ("invoiceTotalPriceTax", sum(line.figures.gross_fen for line in lines)),
    )
    for name, total in sums:
        said = fields.number(name, 2)
        if said is not None and said != total:
            raise fields.refusal(name, "与明细合计不一致")
    return IssueOrder(
        serial_no=fields.text("serialNo", required=True, high=50, pattern=_SERIAL),
        type_code=type_code,
        buyer_name=fields.text("buyerName", required=True, high=100),
        buyer_tax_id=fields.text("buyerTaxNo", required=type_code == "01", high=20, pattern=_TAX_ID),
        lines=lines,
        remark=fields.text("remarks", high=230),
    )


def _line(detail: Fields, has_tax: bool, fuel_codes: Mapping[str, int]) -> InvoiceLine:
    if detail.one_of("invoiceLineNature", ("0", "1", "2"), default="0") != "0":
        raise detail.refusal("invoiceLineNature", "：不支持折扣行，请将折扣计入金额")
    tax_code = detail.text("goodsCode", required=True, high=19, pattern=_TAX_CODE)
    unit = detail.text("goodsUnit", required=tax_code in fuel_codes, high=22)
    if tax_code in fuel_codes and unit not in (LITRE, TON):
        raise detail.refusal("goodsUnit", "：成品油的单位须为升或吨")
    rate = detail.number("goodsTaxRate", 4)
    amount = detail.number("goodsTotalPrice", 2)
    if rate is None or amount is None:
        raise detail.refusal("goodsTaxRate" if rate is None else "goodsTotalPrice", "不能为空")
    try:
        figures = figure_line(
            quantity_e8=detail.number("goodsQuantity", 8),
            price_e8=detail.number("goodsPrice", 8),
            price_has_tax=has_tax,
            gross_fen=amount if has_tax else None,
            net_fen=None if has_tax else amount,
            tax_fen=detail.number("goodsTotalTax", 2),
            tax_rate_e4=rate,
        )
    except LineError as error:
        raise detail.refusal("", str(error)) from None
    name = detail.text("goodsName", required=True, high=90)
    return InvoiceLine(tax_code, name, unit, figures, detail.text("goodsSpecification", high=40))


def parse_red_add(body: Mapping[str, Any]) -> RedAdd:
    """Check and read the body of ``baiwang.output.redinvoice.add``.

    Raises:
        BaiwangError: ``missing`` or ``content``, with the field and the problem.
    """
    fields = Fields(body, _refuse)
    parts: dict[int, tuple[int, int, int]] = {}
    name = "redConfirmDetailReqEntityList"
    for detail in fields.children(name, _MAX_LINES) if body.get(name) else ():
        index = detail.number("originalInvoiceDetailNo", 0)
        net, tax = detail.number("goodsTotalPrice", 2), detail.number("goodsTotalTax", 2)
        if index is None or index < 1 or net is None or tax is None or index - 1 in parts:
            raise detail.refusal("", "明细序号、金额或税额不正确")
        parts[index - 1] = (detail.number("goodsQuantity", 8) or 0, net, tax)
    net_fen, tax_fen = fields.number("invoiceTotalPrice", 2), fields.number("invoiceTotalTax", 2)
    if net_fen is None or tax_fen is None:
        raise fields.refusal("invoiceTotalPrice" if net_fen is None else "invoiceTotalTax", "不能为空")
    return RedAdd(
        serial_no=fields.text("redConfirmSerialNo", required=True, high=50),
        by_seller=fields.one_of("entryIdentity", ("01", "02")) == "01",
        blue_number=fields.text("originalInvoiceNo", required=True, high=20),
        reason=fields.one_of("redInvoiceLabel", tuple(RED_REASONS)),
        auto_issue=fields.one_of("autoIssueSwitch", ("Y", "N"), default="Y") == "Y",
        parts=parts,
        net_fen=net_fen,
        tax_fen=tax_fen,
    )
