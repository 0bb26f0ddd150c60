from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.fapiao import (
    LITRE,
    PETROL_TAX_CODE,
    InvoiceLine,
    json_object,
    line_from_price,
)
from protocols.nuonuo import NuonuoCode, NuonuoError, Order, parse_order, parse_red_application, sign


def test_the_signature_fits_the_published_formula() -> None:
    assert (
        sign(
            "SECRET",
            app_key="KEY",
            senid="0123456789abcdef0123456789abcdef",
            nonce="12345678",
            timestamp="1700000000",
            body=b'{"order":{"orderNo":"T1"}}',
        )
        == "lU/FXh6JuqK9QTFz6UjbR4+FCNQ="
    )


def an_order(gross_fen: int = 9600, price: int = 781) -> Order:
    line = InvoiceLine(PETROL_TAX_CODE, "92号车用汽油", LITRE, line_from_price(gross_fen, price))
    return Order("T1", "91530100MA6K00001X", "个人", "2026-09-22 08:00:00", (line,))


def changed(**changes: Any) -> dict[str, Any]:
    body = an_order().body()
    line = body["order"]["invoiceDetail"][0]
    for name, value in changes.items():
        target = line if name in line else body["order"]
        target[name] = value
    return body


def test_the_issued_invoice_of_2023_goes_out_and_comes_back() -> None:
    body = an_order().body()
    (line,) = body["order"]["invoiceDetail"]
    assert (
        line["num"],
        line["price"],
        line["taxExcludedAmount"],
        line["tax"],
        line["taxIncludedAmount"],
    ) == (
        "12.29193342",
        "6.91150442",
        "84.96",
        "11.04",
        "96.00",
    )
    assert parse_order(json_object(json.dumps(body).encode())) == an_order()


@given(st.integers(1, 10_000_00), st.integers(300, 1200))
def test_what_a_merchant_builds_a_platform_reads(gross_fen: int, price: int) -> None:
    order = an_order(gross_fen, price)
    if order.lines[0].figures.quantity_e8 < 1_000:
        return
    assert parse_order(json_object(json.dumps(order.body()).encode())) == order


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"taxIncludedAmount": "96.01"}, "不等于价税合计"),
        ({"tax": "12.04", "taxIncludedAmount": "97.00"}, "税额"),
        ({"num": "12.30"}, "误差超过0.01"),
        ({"price": "7.81"}, "误差超过0.01"),
        ({"num": ""}, "数量不能为空"),
        ({"unit": "箱"}, "升或吨"),
        ({"taxRate": "abc"}, "taxRate"),
        ({"taxIncludedAmount": "1e400"}, "taxIncludedAmount"),
        ({"taxExcludedAmount": "84.961"}, "taxExcludedAmount"),
        ({"goodsCode": "107010101"}, "goodsCode"),
        ({"specificFactor": "0"}, "specificFactor"),
        ({"invoiceLine": "bs"}, "buyerTaxNum"),
        ({"orderNo": "x" * 65}, "orderNo"),
        ({"buyerName": ""}, "buyerName"),
        ({"buyerName": ["个人"]}, "buyerName"),
        ({"invoiceDate": "昨天"}, "invoiceDate"),
        ({"invoiceDetail": []}, "invoiceDetail"),
        ({"invoiceDetail": ["x"]}, "invoiceDetail[1]"),
        ({"invoiceType": "2"}, "冲红"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_field(changes: dict[str, Any], word: str) -> None:
    with pytest.raises(NuonuoError) as refused:
        parse_order(changed(**changes))
    assert refused.value.code is NuonuoCode.CONTENT
    assert word in refused.value.describe


def test_amounts_may_be_left_to_the_platform() -> None:
    body = changed(withTaxFlag="1", price="7.81")
    for name in ("taxExcludedAmount", "tax", "taxIncludedAmount"):
        del body["order"]["invoiceDetail"][0][name]
    (line,) = parse_order(body).lines
    assert (line.figures.gross_fen, line.figures.net_fen, line.figures.tax_fen) == (9600, 8496, 1104)


@pytest.mark.parametrize("raw", [b"[1]", b"{", b"\xff", b'{"a": NaN}', b"[" * 100_000, b"1" * 300_000])
def test_bodies_that_are_no_object(raw: bytes) -> None:
    with pytest.raises(ValueError, match="body"):
        json_object(raw)


def test_a_partial_red_letter_names_its_lines() -> None:
    body = {
        "blueInvoiceLine": "pc",
        "applySource": "1",
        "blueElecInvoiceNumber": "26532000000000000001",
        "sellerTaxNo": "91530100MA6K00001X",
        "buyerName": "某公司",
        "redReason": "4",
        "detail": [{"blueDetailIndex": "1", "taxExcludedAmount": "-5", "taxAmount": "-0.65", "num": "-0.72"}],
    }
    wanted = parse_red_application(body)
    assert (wanted.by_seller, wanted.reason, wanted.parts) == (False, "04", {0: (-72_000_000, -500, -65)})
    with pytest.raises(NuonuoError, match="明细序号"):
        parse_red_application({**body, "detail": [{"blueDetailIndex": "0"}]})
    with pytest.raises(NuonuoError, match="blueElecInvoiceNumber"):
        parse_red_application({**body, "blueElecInvoiceNumber": ""})
