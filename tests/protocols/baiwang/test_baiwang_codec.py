from __future__ import annotations

import hashlib
from typing import Any

import pytest

from protocols.baiwang import (
    BaiwangError,
    PasswordForm,
    digest_password,
    goods_name,
    parse_issue,
    parse_red_add,
    sign,
)
from protocols.fapiao import PETROL_TAX_CODE

QUERY = {
    "appKey": "1000001",
    "format": "json",
    "method": "baiwang.output.invoice.query",
    "requestId": "r-1",
    "timestamp": "1700000000000",
    "token": "TK",
    "type": "sync",
    "version": "6.0",
}
BODY = b'{"taxNo":"91500112MADFAQ9XX2","serialNo":"S1"}'


def test_the_signature_fits_the_published_formula() -> None:
    assert sign("APPSECRET", QUERY, BODY) == "BECA10AD2476C72BEE38561BBB92A6C3"


def test_blank_parameters_and_the_sign_itself_are_left_out() -> None:
    assert sign("APPSECRET", {**QUERY, "orgAuthCode": " ", "sign": "X"}, BODY) == sign(
        "APPSECRET", QUERY, BODY
    )
    assert sign("APPSECRET", {**QUERY, "type": "async"}, BODY) != sign("APPSECRET", QUERY, BODY)
    assert sign("APPSECRET", QUERY, BODY + b" ") != sign("APPSECRET", QUERY, BODY)


def test_the_two_forms_of_the_password() -> None:
    assert digest_password("pw", "salt", PasswordForm.SHA256) == hashlib.sha256(b"pwsalt").hexdigest()
    inner = hashlib.md5(b"pwsalt").hexdigest().encode()
    assert digest_password("pw", "salt", PasswordForm.SHA1_MD5) == hashlib.sha1(inner).hexdigest()


def body(**changes: Any) -> dict[str, Any]:
    line = {
        "goodsLineNo": 1,
        "invoiceLineNature": "0",
        "goodsCode": PETROL_TAX_CODE,
        "goodsName": "92号车用汽油",
        "goodsUnit": "升",
        "goodsQuantity": "12.29193342",
        "goodsPrice": "6.91150442",
        "goodsTotalPrice": "84.96",
        "goodsTotalTax": "11.04",
        "goodsTaxRate": "0.13",
    }
    line.update({name: changes.pop(name) for name in list(changes) if name in line})
    data = {
        "invoiceTypeCode": "02",
        "invoiceType": "0",
        "invoiceSpecialMark": "01",
        "priceTaxMark": "0",
        "serialNo": "S1",
        "buyerName": "个人",
        "invoiceTotalPrice": "84.96",
        "invoiceTotalTax": "11.04",
        "invoiceTotalPriceTax": "96.00",
        "invoiceDetailsList": [line],
        **changes,
    }
    return {"taxNo": "91530100MA6K00001X", "data": data}


def test_an_order_is_read() -> None:
    order = parse_issue(body())
    assert (order.serial_no, order.type_code, order.lines[0].figures.gross_fen) == ("S1", "02", 9600)
    assert goods_name(order.lines[0]) == "*汽油*92号车用汽油"


def test_prices_with_tax() -> None:
    order = parse_issue(body(priceTaxMark="1", goodsPrice="7.81", goodsTotalPrice="96.00"))
    assert order.lines[0].figures.net_fen == 8496


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"invoiceTotalPriceTax": "96.01"}, "content"),
        ({"goodsTotalTax": "11.20"}, "content"),
        ({"goodsQuantity": "12"}, "content"),
        ({"goodsTotalPrice": None}, "missing"),
        ({"invoiceTypeCode": "026"}, "type_code"),
        ({"invoiceTypeCode": "01"}, "missing"),
        ({"invoiceSpecialMark": "00"}, "content"),
        ({"serialNo": "S-1"}, "content"),
        ({"buyerName": ""}, "missing"),
        ({"invoiceType": "1"}, "content"),
        ({"goodsUnit": "桶"}, "content"),
        ({"invoiceDetailsList": {}}, "content"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], kind: str) -> None:
    with pytest.raises(BaiwangError) as refused:
        parse_issue(body(**changes))
    assert refused.value.kind == kind


def test_the_mark_of_refined_oil_is_a_table() -> None:
    assert parse_issue(body(invoiceSpecialMark="08")).serial_no == "S1"
    with pytest.raises(BaiwangError, match="invoiceSpecialMark"):
        parse_issue(body(invoiceSpecialMark="08"), oil_marks={"02": ("01",)})


def test_a_red_form_needs_its_sums() -> None:
    wanted = {
        "redConfirmSerialNo": "R1",
        "entryIdentity": "01",
        "originalInvoiceNo": "26532000000000000001",
        "redInvoiceLabel": "01",
        "invoiceTotalPrice": "-84.96",
        "invoiceTotalTax": "-11.04",
    }
    read = parse_red_add(wanted)
    assert (read.by_seller, read.auto_issue, read.net_fen, read.tax_fen) == (True, True, -8496, -1104)
    with pytest.raises(BaiwangError, match="invoiceTotalTax"):
        parse_red_add({**wanted, "invoiceTotalTax": ""})
    with pytest.raises(BaiwangError, match="redInvoiceLabel"):
        parse_red_add({**wanted, "redInvoiceLabel": "09"})
