"""States, refusals and field rules: the tables themselves and what they refuse."""

from __future__ import annotations

import json
from typing import Any

import pytest

from protocols.wechatpay import (
    CLOSE_FIELDS,
    PREPAY_FIELDS,
    REFUND_FIELDS,
    REFUSALS,
    TRADE_STATE_TEXT,
    ApiError,
    Endpoint,
    IllegalMoveError,
    RefundEvent,
    RefundState,
    TradeEvent,
    TradeState,
    move_refund,
    move_trade,
    parse_body,
    refusal,
    refusal_table,
    state_tables,
    validate,
)


def prepay() -> dict[str, Any]:
    return {
        "appid": "wxd678efh567hg6787",
        "mchid": "1900007291",
        "description": "92#汽油",
        "out_trade_no": "1217752501201407033233368018",
        "notify_url": "https://backend.station/v1/notify/wechatpay",
        "amount": {"total": 100, "currency": "CNY"},
        "payer": {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"},
    }


def refund() -> dict[str, Any]:
    return {
        "transaction_id": "4200001234202301011234567890",
        "out_refund_no": "r@1|2*3-4_5",
        "amount": {"refund": 1, "total": 100, "currency": "CNY"},
    }


def test_nothing_leaves_closed_or_revoked() -> None:
    for state in (TradeState.CLOSED, TradeState.REVOKED, TradeState.PAYERROR):
        for event in TradeEvent:
            with pytest.raises(IllegalMoveError, match=str(state)):
                move_trade(state, event)
    for state in (RefundState.SUCCESS, RefundState.CLOSED):
        for event in RefundEvent:
            with pytest.raises(IllegalMoveError):
                move_refund(state, event)


def test_legal_moves() -> None:
    assert move_trade(TradeState.NOTPAY, TradeEvent.PAY) is TradeState.SUCCESS
    assert move_trade(TradeState.SUCCESS, TradeEvent.REFUND) is TradeState.REFUND
    assert move_refund(RefundState.ABNORMAL, RefundEvent.SETTLE) is RefundState.SUCCESS


def test_tables_export_as_json_and_cover_the_states() -> None:
    tables = json.loads(json.dumps(state_tables()))
    reached = {move["to"] for move in tables["trade"]} | {"NOTPAY", "USERPAYING"}
    assert reached == {str(state) for state in TradeState}
    assert set(TRADE_STATE_TEXT) == set(TradeState)
    assert len(json.loads(json.dumps(refusal_table()))) == len(REFUSALS)


def test_the_same_code_has_other_statuses_elsewhere() -> None:
    assert refusal(Endpoint.PREPAY, "MCH_NOT_EXISTS").status == 400
    assert refusal(Endpoint.REFUND, "MCH_NOT_EXISTS").status == 404
    assert len({(row.endpoint, row.code) for row in REFUSALS}) == len(REFUSALS)
    with pytest.raises(KeyError):
        refusal(Endpoint.CERTIFICATES, "ORDER_NOT_EXIST")


def test_good_requests_pass() -> None:
    validate(prepay(), PREPAY_FIELDS)
    validate(refund(), REFUND_FIELDS)
    validate({"mchid": "1"}, CLOSE_FIELDS)


def refused(body: dict[str, Any], fields: Any) -> ApiError:
    with pytest.raises(ApiError) as error:
        validate(body, fields)
    assert (error.value.status, error.value.code) == (400, "PARAM_ERROR")
    return error.value


def test_total_zero_reads_as_documented() -> None:
    error = refused({**prepay(), "amount": {"total": 0}}, PREPAY_FIELDS)
    assert error.message == "输入源“/body/amount/total”映射到数值字段“总金额”规则校验失败，值低于最小值 1"
    assert error.body()["detail"] == {
        "field": "/amount/total",
        "value": 0,
        "issue": "值低于最小值 1",
        "location": "body",
    }


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"appid": ""}, "/appid"),
        ({"description": "油" * 128}, "/description"),
        ({"out_trade_no": "12345"}, "/out_trade_no"),
        ({"out_trade_no": "1" * 33}, "/out_trade_no"),
        ({"out_trade_no": "abc 123"}, "/out_trade_no"),
        ({"out_trade_no": "订单号码一二三"}, "/out_trade_no"),
        ({"notify_url": "http://backend.station/x"}, "/notify_url"),
        ({"notify_url": "https://backend.station/x?a=1"}, "/notify_url"),
        ({"notify_url": "https://" + "x" * 250}, "/notify_url"),
        ({"amount": {"total": "100"}}, "/amount/total"),
        ({"amount": {"total": True}}, "/amount/total"),
        ({"amount": {"total": 1.5}}, "/amount/total"),
        ({"amount": {"total": 10**11}}, "/amount/total"),
        ({"amount": {"total": 1, "currency": "USD"}}, "/amount/currency"),
        ({"amount": 100}, "/amount"),
        ({"payer": {}}, "/payer/openid"),
        ({"attach": 5}, "/attach"),
        ({"support_fapiao": 1}, "/support_fapiao"),
    ],
)
def test_a_broken_prepay_names_the_field(change: dict[str, Any], pointer: str) -> None:
    detail = refused({**prepay(), **change}, PREPAY_FIELDS).detail
    assert detail is not None
    assert detail["field"] == pointer


@pytest.mark.parametrize(
    "missing", ["appid", "mchid", "description", "out_trade_no", "notify_url", "amount", "payer"]
)
def test_a_missing_field_is_named(missing: str) -> None:
    body = prepay()
    del body[missing]
    detail = refused(body, PREPAY_FIELDS).detail
    assert detail is not None
    assert detail["field"] == f"/{missing}"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{",
        b"\xff\xfe",
        b'{"a":null}',
        b'{"a":[{"b":null}]}',
        '{"description":"⛽🚗"}'.encode(),
        b'{"a":"' + b"x" * 70_000 + b'"}',
        b"[" * 60_000,
    ],
)
def test_bodies_the_platform_does_not_read(raw: bytes) -> None:
    with pytest.raises(ApiError) as error:
        parse_body(raw)
    assert error.value.code == "PARAM_ERROR"


def test_characters_of_three_bytes_are_fine() -> None:
    assert parse_body('{"description":"⛽92#"}'.encode()) == {"description": "⛽92#"}
