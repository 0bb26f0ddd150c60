"""Texts on the wire, codes and their classes, clearing days, and the messages of a merchant."""

from __future__ import annotations

import re
import urllib.parse
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.sansio import RemoteProtocolError
from protocols.unionpay import (
    CODES,
    ROUTES,
    SHAPES,
    CodeClass,
    Endpoint,
    Outcome,
    Route,
    auto_post_page,
    band_of,
    check_fields,
    clearing_date,
    code_table,
    decode_form,
    decode_reply,
    encode_form,
    encode_reply,
    jump_ticket,
    mask_card,
    outcome_of_reply,
    outcome_of_trade,
    response_code,
    shape_of,
    shown,
    tn_of_path,
    txn_time,
    unix_s_of_txn_time,
)

NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,20}", fullmatch=True)


@given(st.dictionaries(NAMES, st.text(max_size=50), max_size=10))
def test_forms_are_what_any_form_parser_reads(fields: dict[str, str]) -> None:
    body = encode_form(fields)
    assert dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True)) == fields
    assert decode_form(body) == fields
    assert decode_form(urllib.parse.urlencode(fields).encode()) == fields


@given(st.dictionaries(NAMES, st.text("abc银+/=- \r\n", min_size=1, max_size=30), min_size=1, max_size=10))
def test_replies_come_back_as_they_were_sent(fields: dict[str, str]) -> None:
    body = encode_reply(fields)
    # Only the line break that HTTP libraries like to add at the very end is not part of the last value.
    *_, last = fields
    wanted = {**fields, last: fields[last].rstrip("\r\n")}
    assert decode_reply(body) == wanted


@given(st.binary(max_size=200))
def test_noise_is_refused_and_never_breaks(noise: bytes) -> None:
    for decode in (decode_form, decode_reply):
        try:
            fields = decode(noise)
        except RemoteProtocolError:
            continue
        assert all(re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) for name in fields)


def test_replies_of_the_shape_the_test_gateway_sends() -> None:
    body = (
        "accessType=0&respMsg=成功[0000000]&accSplitData={a=1&b=2}&signPubKeyCert=-----BEGIN CERTIFICATE-----\r\n"
        "MIIE+/==\r\n-----END CERTIFICATE-----&signature=sE+/Q==\n"
    ).encode()
    assert decode_reply(body) == {
        "accessType": "0",
        "respMsg": "成功[0000000]",
        "accSplitData": "{a=1&b=2}",
        "signPubKeyCert": "-----BEGIN CERTIFICATE-----\r\nMIIE+/==\r\n-----END CERTIFICATE-----",
        "signature": "sE+/Q==",
    }


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"a=1&a=2", "twice"),
        (b"a={1&b=2", "no closing }"),
        (b"<html>", "not a list"),
        (b"a b=1", "not letters"),
        (b"\xff=1", "UTF-8"),
        (b"a=" + b"x" * 8193, "8193 characters"),
        (b"x" * 65_537, "65537 bytes"),
        ("&".join(f"a{n}=1" for n in range(129)).encode(), "more than 128"),
    ],
)
def test_bad_replies_are_told(body: bytes, told: str) -> None:
    with pytest.raises(RemoteProtocolError, match=told):
        decode_reply(body)


@pytest.mark.requirement("pay.unionpay-classes-map-to-states")
def test_every_code_maps_to_a_class_and_an_outcome() -> None:
    for number in range(100):
        code = f"{number:02d}"
        wanted = (
            CodeClass.SUCCESS
            if number == 0
            else CodeClass.UNIONPAY
            if number < 10
            else CodeClass.MESSAGE
            if number < 30
            else CodeClass.MERCHANT
            if number < 60
            else CodeClass.HOLDER
            if number < 90
            else CodeClass.OTHER
        )
        assert band_of(code) is wanted
        row = response_code(code)
        assert row.code_class is wanted
        if number == 0:
            assert row.outcome is Outcome.SUCCESS
        elif number < 10 or number >= 90:
            # A trade that may have happened is never called failed.
            assert row.outcome is Outcome.UNKNOWN
        elif row.outcome is not Outcome.REFUSED:
            assert (row.outcome, bool(row.note)) == (Outcome.UNKNOWN, True)
    assert outcome_of_trade("A6") is Outcome.SUCCESS
    assert outcome_of_trade("??") is Outcome.UNKNOWN
    # Money was taken: never "refused".
    assert {outcome_of_trade(code) for code in ("42", "74", "75")} == {Outcome.UNKNOWN}
    assert outcome_of_reply("00") is Outcome.ACCEPTED
    assert outcome_of_reply("64") is Outcome.REFUSED
    assert response_code("55").sources == 0
    assert all(row.sources >= 1 and row.text for row in CODES.values())
    assert [row["code"] for row in code_table()] == list(CODES)


@pytest.mark.parametrize(
    ("china", "day"),
    [
        ("20260921225959", "20260921"),
        ("20260921230000", "20260922"),
        ("20260922000000", "20260922"),
        ("20261231230000", "20270101"),
        ("20280228230000", "20280229"),
    ],
)
def test_clearing_days_begin_at_23(china: str, day: str) -> None:
    unix_s = unix_s_of_txn_time(china)
    assert unix_s is not None
    assert txn_time(unix_s) == china
    assert clearing_date(unix_s) == day


@given(st.integers(946_684_800, 4_102_444_800))
def test_txn_time_is_china_time(unix_s: int) -> None:
    text = txn_time(unix_s)
    wall = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=unix_s, hours=8)
    assert text == wall.strftime("%Y%m%d%H%M%S")
    assert unix_s_of_txn_time(text) == unix_s


@pytest.mark.parametrize("text", ["", "2026", "20260230000000", "20260101250000", "x" * 14])
def test_there_is_no_such_time(text: str) -> None:
    assert unix_s_of_txn_time(text) is None


def test_each_url_takes_its_transactions() -> None:
    assert shape_of({"txnType": "01", "txnSubType": "06"}, Endpoint.FRONT) is None
    assert shape_of({"txnType": "00", "txnSubType": "00"}, Endpoint.BACK) is None
    assert shape_of({}, Endpoint.BACK) is None
    names = [shape.name for shape in SHAPES]
    assert len(set(names)) == len(names)
    query = shape_of({"txnType": "00", "txnSubType": "00"}, Endpoint.QUERY)
    assert query is not None
    fault = check_fields({}, query)
    assert fault is not None
    assert (fault.code, fault.field) == ("13", "version")


@pytest.mark.parametrize(
    ("number", "masked"),
    [
        ("6216261000000000018", "621626*********0018"),
        ("6216261000000018", "621626******0018"),
        ("621626*********0018", "621626*********0018"),
        ("cDg4jpD9tKxlI4si91lom+/==", "cDg4jpD9tKxlI4si91lom+/=="),
        ("", ""),
    ],
)
def test_cards_are_masked(number: str, masked: str) -> None:
    assert mask_card(number) == masked


def test_what_a_log_may_show() -> None:
    fields = {
        "orderId": "20260101120000123456",
        "accNo": "6216261000000000018",
        "payCardNo": "6216261000000000018",
        "customerInfo": "e30=",
        "signature": "x",
        "signPubKeyCert": "y",
    }
    assert shown(fields) == {
        "orderId": "20260101120000123456",
        "accNo": "621626*********0018",
        "payCardNo": "621626*********0018",
    }


def test_pages_post_what_they_were_given() -> None:
    class Page(HTMLParser):
        found: dict[str, str | None]
        action = ""

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            given_attributes = dict(attrs)
            if tag == "form":
                self.action = given_attributes["action"] or ""
            elif given_attributes.get("type") == "hidden":
                self.found[str(given_attributes["name"])] = given_attributes["value"]

    fields = {"respMsg": '"><script>alert(1)</script>', "frontUrl": "https://a.test/?a=1&b='2'"}
    page = Page()
    page.found = {}
    text = auto_post_page("https://a.test/?x=1&y=2", fields)
    page.feed(text)
    assert (page.action, page.found) == ("https://a.test/?x=1&y=2", fields)
    assert text.count("<script>") == 1
    with pytest.raises(ValueError, match="http"):
        auto_post_page("javascript:alert(1)", {})


def test_three_routes() -> None:
    assert [row.route for row in ROUTES] == list(Route)
    # The cheapest needs nothing of UnionPay.
    assert ROUTES[0].calls == ()
    fields = {"union_app_id": "wx1", "union_path": "pages/pay/index?tn=123", "pay_info": "p"}
    ticket = jump_ticket(fields)
    assert ticket.arguments() == {
        "appId": "wx1",
        "path": "pages/pay/index?tn=123",
        "extraData": {"pay_info": "p"},
    }
    assert tn_of_path(ticket.path) == "123"
    assert tn_of_path("pages/pay/index") is None
    with pytest.raises(RemoteProtocolError, match="pay_info"):
        jump_ticket({**fields, "pay_info": ""})
