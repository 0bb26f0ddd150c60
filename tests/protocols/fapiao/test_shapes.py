from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest

from protocols.fapiao import (
    DIESEL_TAX_CODE,
    PETROL_TAX_CODE,
    Buyer,
    FapiaoState,
    FuelLine,
    IssueRequest,
    parse_issue_request,
    parse_reverse_request,
    quantity_of_ml,
    read_notice,
    read_query,
)
from protocols.sansio import RemoteProtocolError
from protocols.wechatpay import ApiError

LINE = FuelLine(
    PETROL_TAX_CODE,
    "92号车用汽油",
    "LETER",
    quantity_of_ml(12_290),
    9598,
    "昆明北站",
    "2026-01-05T08:00:00+08:00",
    "3号枪",
)
REQUEST = IssueRequest("4200000001", "F1", Buyer("INDIVIDUAL", "个人"), (LINE,), (("4200000001", 9598),))


def body() -> dict[str, Any]:
    return msgspec.json.decode(msgspec.json.encode(REQUEST.body()))  # type: ignore[no-any-return]


def test_what_the_merchant_sends_is_what_the_platform_reads() -> None:
    assert parse_issue_request(body()) == (REQUEST,)
    assert body()["fapiao_information"][0]["items"][0]["quantity"] == 1_229_000_000


def set_at(target: Any, pointer: str, value: object) -> None:
    *path, last = [int(part) if part.isdigit() else part for part in pointer.split("/")[1:]]
    for part in path:
        target = target[part]
    if value is ...:
        del target[last]
    else:
        target[last] = value


ITEM = "/fapiao_information/0/items/0"


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/fapiao_apply_id", ...),
        ("/buyer_information/type", "PERSON"),
        ("/fapiao_information/0/fapiao_id", ...),
        ("/fapiao_information/0/total_amount", 9597),
        ("/fapiao_information/0/total_amount", "9598"),
        ("/fapiao_information/0/fapiao_bill_type", "RED"),
        (f"{ITEM}/tax_code", "107010101010000000"),
        (f"{ITEM}/tax_code", "3010101020203000000"),
        (f"{ITEM}/unit", "LITER"),
        (f"{ITEM}/quantity", 12.29),
        (f"{ITEM}/quantity", 0),
        (f"{ITEM}/quantity", True),
        (f"{ITEM}/tax_rate", 13),
        (f"{ITEM}/tax_rate", 600),
        (f"{ITEM}/discount", True),
        (f"{ITEM}/refined_oil_information", ...),
        (f"{ITEM}/refined_oil_information/gun_number", ...),
        (f"{ITEM}/refined_oil_information/trade_time", "2026-01-05 08:00:00"),
        (f"{ITEM}/refined_oil_information/trade_time", "2026-02-30T08:00:00+08:00"),
        ("/transaction_information/0/pay_channel", "ALIPAY"),
    ],
)
def test_a_broken_field_is_named_by_its_json_pointer(pointer: str, value: object) -> None:
    broken = body()
    set_at(broken, pointer, value)
    with pytest.raises(ApiError) as refused:
        parse_issue_request(broken)
    assert (refused.value.status, refused.value.code) == (400, "PARAM_ERROR")
    assert refused.value.detail is not None
    assert refused.value.detail["field"] == pointer


def test_an_organisation_needs_its_taxpayer_id() -> None:
    broken = body()
    broken["buyer_information"] = {"type": "ORGANIZATION", "name": "昆明某某有限公司"}
    with pytest.raises(ApiError, match="PARAM_ERROR"):
        parse_issue_request(broken)
    broken["buyer_information"]["taxpayer_id"] = "91530100MA6K000000"
    assert parse_issue_request(broken)[0].buyer.taxpayer_id == "91530100MA6K000000"


def test_more_than_was_paid_cannot_be_invoiced() -> None:
    broken = body()
    broken["transaction_information"][0]["amount"] = 9597
    with pytest.raises(ApiError, match="INVALID_REQUEST"):
        parse_issue_request(broken)


def test_a_special_invoice_needs_a_company() -> None:
    broken = body()
    broken["fapiao_information"][0]["fapiao_bill_type"] = "VAT_FAPIAO"
    with pytest.raises(ApiError, match="专用发票"):
        parse_issue_request(broken)


def test_several_invoices_in_one_application() -> None:
    two = body()
    second = copy.deepcopy(two["fapiao_information"][0])
    second["fapiao_id"] = "F2"
    second["items"][0] |= {"tax_code": DIESEL_TAX_CODE, "unit": "TON"}
    two["fapiao_information"].append(second)
    two["transaction_information"][0]["amount"] = 2 * 9598
    assert [request.fapiao_id for request in parse_issue_request(two)] == ["F1", "F2"]
    second["fapiao_id"] = "F1"
    with pytest.raises(ApiError) as refused:
        parse_issue_request(two)
    assert refused.value.detail is not None
    assert refused.value.detail["field"] == "/fapiao_information/1/fapiao_id"


def test_names_of_buyers_stay_out_of_reprs() -> None:
    assert "王小明" not in repr(Buyer("INDIVIDUAL", "王小明", "91530100MA6K000000"))
    assert "91530100" not in repr(Buyer("INDIVIDUAL", "王小明", "91530100MA6K000000"))


@pytest.mark.parametrize("reason", [None, "", "SERVICE_SUSPENSION", 1])
def test_a_reverse_needs_a_reason_in_the_platforms_own_spelling(reason: object) -> None:
    with pytest.raises(ApiError, match="PARAM_ERROR"):
        parse_reverse_request({"reverse_reason": reason})
    assert parse_reverse_request({"reverse_reason": "SERVICE_SUSPENTION"}) == "SERVICE_SUSPENTION"


def test_a_query_reply_is_read() -> None:
    raw = msgspec.json.encode(
        {
            "total_count": 1,
            "fapiao_information": [
                {
                    "fapiao_id": "F1",
                    "status": "ISSUED",
                    "total_amount": 9600,
                    "amount": 8496,
                    "tax_amount": 1104,
                    "blue_fapiao": {
                        "fapiao_number": "26532000000000000001",
                        "fapiao_time": "2026-01-05T08:00:01+08:00",
                    },
                    "a_new_field": {},
                }
            ],
        }
    )
    (report,) = read_query(raw)
    assert (report.state, report.number, report.net_fen) == (FapiaoState.ISSUED, "26532000000000000001", 8496)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{}",
        b'{"fapiao_information":[{}]}',
        b'{"fapiao_information":[{"fapiao_id":"F","status":"DONE"}]}',
        b'{"fapiao_information":[{"fapiao_id":"F","status":"ISSUED","amount":84.96}]}',
        b'{"fapiao_information":[{"fapiao_id":"F","status":"ISSUED","blue_fapiao":{"fapiao_number":"123"}}]}',
    ],
)
def test_a_query_reply_of_another_shape_is_the_platforms_fault(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        read_query(raw)


def test_an_event_is_read() -> None:
    raw = b'{"mchid":"190","fapiao_apply_id":"42","fapiao_information":[{"fapiao_id":"F1","fapiao_status":"ISSUED"}]}'
    assert read_notice(raw).fapiaos == (("F1", FapiaoState.ISSUED),)
    with pytest.raises(RemoteProtocolError):
        read_notice(b"{}")
