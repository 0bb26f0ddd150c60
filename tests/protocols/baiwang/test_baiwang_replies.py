"""What the merchant's side of Baiwang makes of replies, good and hostile, and what it sends."""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.baiwang import (
    call_query,
    issued_number,
    parse_red_add,
    read_form,
    read_reply,
    read_token,
    red_add_body,
    token_query,
)
from protocols.sansio import RemoteProtocolError

NUMBER = "26532000000000000001"


def test_replies_as_the_public_reference_has_them():
    good = {"success": True, "response": {"success": [{"serialNo": "S1", "invoiceNo": NUMBER}], "fail": []}}
    reply = read_reply(json.dumps(good).encode())
    assert reply.success
    assert issued_number(reply.response, "S1") == (NUMBER, "")
    bad = {
        "success": True,
        "response": {"success": [], "fail": [{"serialNo": "S1", "message": "成品油库存不足"}]},
    }
    assert issued_number(read_reply(json.dumps(bad).encode()).response, "S1") == ("", "成品油库存不足")
    refused = {"success": False, "errorResponse": {"code": "100001", "message": "token无效"}}
    assert read_reply(json.dumps(refused).encode()).code == "100001"
    assert read_token({"access_token": "T", "expires_in": 28_800}) == ("T", 28_800)
    form = read_form([{"confirmState": "02", "redConfirmNo": "990000000000000001", "redInvoiceNo": ""}])
    assert (form.state, form.number, form.red_number) == ("02", "990000000000000001", "")


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{}", b'{"success":false}', b'{"success":"yes"}', b"\xff", b'{"errorResponse":[]}']
)
def test_replies_that_are_none_are_refused(raw):
    with pytest.raises(RemoteProtocolError):
        read_reply(raw)


@pytest.mark.parametrize(
    "response",
    [
        None,
        [],
        {},
        {"success": 1},
        [{"serialNo": "S2", "invoiceNo": NUMBER}],
        [{"serialNo": "S1", "invoiceNo": "12"}],
    ],
)
def test_an_answer_about_another_invoice_is_no_answer(response):
    with pytest.raises(RemoteProtocolError):
        issued_number(response, "S1")


@pytest.mark.parametrize("response", [None, [], [{}, {}], {"confirmState": ""}])
def test_what_is_no_form_is_refused(response):
    with pytest.raises(RemoteProtocolError):
        read_form(response)
    with pytest.raises(RemoteProtocolError):
        read_token(response)


@given(st.binary(max_size=300))
def test_no_bytes_break_a_reader(raw):
    with contextlib.suppress(RemoteProtocolError):
        read_reply(raw)


def test_queries_name_what_the_router_wants():
    query = call_query("m", version="7.0", app_key="K", token="T", timestamp_ms=1, request_id="r")
    assert (query["signType"], query["encryptType"], query["encryptScope"], query["type"]) == (
        "MD5",
        "NONE",
        "00",
        "sync",
    )
    assert "signType" not in call_query(
        "m", version="6.0", app_key="K", token="T", timestamp_ms=1, request_id="r"
    )
    assert "sign" not in token_query(app_key="K", timestamp_ms=1, request_id="r")


def test_a_partial_red_letter_is_written_in_negative_figures_without_floats():
    body = red_add_body(
        tax_no="91530100MA6K00001X",
        serial_no="R1",
        blue_number=NUMBER,
        reason="04",
        net_fen=8494,
        tax_fen=1104,
        parts=[(0, 0, 8494, 1104)],
    )
    told = json.loads(msgspec.json.encode(body), parse_float=Decimal, parse_int=Decimal)
    assert (told["invoiceTotalPrice"], told["invoiceTotalTax"]) == (Decimal("-84.94"), Decimal("-11.04"))
    read = parse_red_add(told)
    assert (read.net_fen, read.tax_fen, read.parts) == (-8494, -1104, {0: (0, -8494, -1104)})
