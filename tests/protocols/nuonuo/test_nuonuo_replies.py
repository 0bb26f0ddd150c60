"""What the merchant's side of Nuonuo makes of replies, good and hostile, and what it sends."""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.nuonuo import (
    parse_red_application,
    read_forms,
    read_reply,
    read_results,
    read_token,
    red_application_body,
)
from protocols.sansio import RemoteProtocolError

NUMBER = "26532000000000000001"


def test_replies_as_the_vendor_writes_them():
    raw = '{"code":"E0000","describe":"开票提交成功","result":{"invoiceSerialNum":"25010508000000000001"}}'.encode()
    reply = read_reply(raw)
    assert (reply.is_ok, reply.describe, reply.result) == (
        True,
        "开票提交成功",
        {"invoiceSerialNum": "25010508000000000001"},
    )
    (found,) = read_results(
        [
            {
                "orderNo": "FC1",
                "status": "2",
                "allElectronicInvoiceNumber": NUMBER,
                "invoiceTime": 1767571201000,
            }
        ]
    )
    assert (found.order_no, found.status, found.number, found.reason) == ("FC1", "2", NUMBER, "")
    (form,) = read_forms(
        {"total": 1, "list": [{"billId": "R1", "billStatus": "07", "redInvoiceNumber": None}]}
    )
    assert (form.bill_id, form.state, form.red_number) == ("R1", "07", "")
    assert read_token(b'{"access_token":"T","expires_in":86400}') == ("T", 86_400)
    assert read_token(b'{"access_token":"T","expires_in":"86400"}') == ("T", 86_400)


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{}", b'{"code":1}', b"\xff", b'{"code":""}', b"NaN", b"[" * 10_000]
)
def test_replies_that_are_none_are_refused(raw):
    with pytest.raises(RemoteProtocolError):
        read_reply(raw)


@pytest.mark.parametrize("result", [None, "x", {}, [1], [{"allElectronicInvoiceNumber": "123"}]])
def test_results_that_are_none_are_refused(result):
    with pytest.raises(RemoteProtocolError):
        read_results(result)
    with pytest.raises(RemoteProtocolError):
        read_forms(result if isinstance(result, list) else {"list": result})


def test_a_refused_token_says_why():
    with pytest.raises(RemoteProtocolError, match="070306 获取令牌次数已达上限"):
        read_token('{"error":"070306","error_description":"获取令牌次数已达上限"}'.encode())


@given(st.binary(max_size=300))
def test_no_bytes_break_a_reader(raw):
    for read in (read_reply, read_token):
        with contextlib.suppress(RemoteProtocolError):
            read(raw)


def test_a_partial_red_letter_is_written_in_negative_figures():
    body = red_application_body(
        bill_id="R1",
        order_no="R1",
        blue_number=NUMBER,
        blue_kind="pc",
        seller_tax_id="91530100MA6K00001X",
        buyer_name="张三",
        buyer_tax_id="",
        reason="04",
        parts=[(0, 1_229_000_000, 8494, 1104)],
    )
    (detail,) = json.loads(json.dumps(body))["detail"]
    assert detail["blueDetailIndex"] == "1"
    assert [Decimal(detail[name]) for name in ("num", "taxExcludedAmount", "taxAmount")] == [
        Decimal("-12.29"),
        Decimal("-84.94"),
        Decimal("-11.04"),
    ]
    read = parse_red_application(body)
    assert (read.bill_id, read.by_seller, read.reason) == ("R1", True, "04")
    assert read.parts == {0: (-1_229_000_000, -8494, -1104)}
