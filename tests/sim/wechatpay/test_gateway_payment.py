"""An order's life over HTTP in virtual time: prepay, pay, query, close, and what is refused on the way."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from protocols.wechatpay import decode_transaction, pay_sign
from sim.wechatpay import GatewayProfile, Switches

MCHID = "1900000109"


def test_a_payment_from_prepay_to_callback(make_world) -> None:
    world = make_world(profile=GatewayProfile())

    async def story() -> tuple[httpx.Response, httpx.Response]:
        prepay_id = await world.prepay(attach="KM01/3")
        before = await world.query()
        reply = await world.confirm(prepay_id)
        assert reply.json() == {"err_msg": "requestPayment:ok"}
        return before, await world.query()

    before, after = world.run(story())
    unpaid = before.json()
    assert unpaid["trade_state"] == "NOTPAY"
    assert not {"transaction_id", "success_time", "bank_type", "trade_type", "payer"} & set(unpaid)
    paid = after.json()
    assert paid["trade_state"] == "SUCCESS"
    assert paid["amount"] == {
        "total": 20_000,
        "currency": "CNY",
        "payer_total": 20_000,
        "payer_currency": "CNY",
    }
    assert len(paid["transaction_id"]) == 28
    (notice,) = world.shop.opened
    assert notice.event_type == "TRANSACTION.SUCCESS"
    assert len(notice.envelope.id) == 36
    told = decode_transaction(notice.resource)
    assert (told.out_trade_no, told.transaction_id, told.attach) == (
        "ORDER00001",
        paid["transaction_id"],
        "KM01/3",
    )
    assert [event["state"] for event in world.of("wechatpay.order")] == ["NOTPAY", "SUCCESS"]
    by_id = world.run(world.call("GET", f"/v3/pay/transactions/id/{paid['transaction_id']}?mchid={MCHID}"))
    assert by_id.json() == paid


def test_every_reply_has_all_its_headers(make_world) -> None:
    world = make_world()
    world.run(world.prepay())
    reply = world.run(world.query())
    for name in ("Nonce", "Signature", "Timestamp", "Serial", "Signature-Type"):
        assert reply.headers[f"Wechatpay-{name}"]
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
    assert reply.headers["Content-Language"] == "zh-CN"
    assert reply.headers["Cache-Control"] == "no-cache, must-revalidate"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Keep-Alive"] == "timeout=8"
    assert reply.headers["Request-ID"]


def test_close_answers_204_signed_and_kills_the_number(make_world) -> None:
    world = make_world()
    prepay_id = world.run(world.prepay())
    closed = world.run(world.close())
    assert (closed.status_code, closed.content) == (204, b"")
    assert closed.headers["Wechatpay-Signature"]
    assert world.run(world.query()).json()["trade_state"] == "CLOSED"
    refused = world.run(world.confirm(prepay_id))
    assert (refused.status_code, refused.json()["reason"]) == (409, "closed")
    again = world.run(world.call("POST", "/v3/pay/transactions/jsapi", world.prepay_body()))
    assert (again.status_code, again.json()["code"]) == (400, "ORDER_CLOSED")
    assert world.run(world.close()).status_code == 204


def test_closing_twice_can_be_refused(make_world) -> None:
    world = make_world(switches=Switches(close_closed="refuse"))
    world.run(world.prepay())
    world.run(world.close())
    again = world.run(world.close())
    assert (again.status_code, again.json()["code"]) == (400, "ORDER_CLOSED")


def test_a_paid_order_cannot_be_closed(make_world) -> None:
    world = make_world()
    world.run(world.paid())
    refused = world.run(world.close())
    assert (refused.status_code, refused.json()["code"]) == (403, "TRADE_ERROR")
    assert world.run(world.query()).json()["trade_state"] == "SUCCESS"


def test_the_same_number_with_the_same_parameters_gives_a_new_prepay_id(make_world) -> None:
    world = make_world()
    first = world.run(world.prepay())
    second = world.run(world.prepay())
    assert first != second
    third = world.run(world.prepay(time_expire="2026-09-22T00:00:00+08:00"))
    assert world.run(world.confirm(first)).status_code == 200
    for prepay_id in (second, third):
        assert world.run(world.confirm(prepay_id)).json()["reason"] == "paid"
    paid_again = world.run(world.call("POST", "/v3/pay/transactions/jsapi", world.prepay_body()))
    assert (paid_again.status_code, paid_again.json()["code"]) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize(("switch", "status"), [("OUT_TRADE_NO_USED", 403), ("INVALID_REQUEST", 400)])
def test_the_same_number_with_other_parameters_is_refused(make_world, switch: str, status: int) -> None:
    world = make_world(switches=Switches(reused_number=switch))
    world.run(world.prepay())
    for change in ({"amount": {"total": 1}}, {"description": "x"}, {"attach": "x"}):
        reply = world.run(world.call("POST", "/v3/pay/transactions/jsapi", {**world.prepay_body(), **change}))
        assert (reply.status_code, reply.json()["code"]) == (status, switch)


def test_unknown_orders_and_foreign_numbers(make_world) -> None:
    world = make_world()
    assert world.run(world.query("NOSUCHORDER")).json()["code"] == "ORDER_NOT_EXIST"
    reply = world.run(world.call("GET", f"/v3/pay/transactions/id/42000?mchid={MCHID}"))
    assert (reply.status_code, reply.json()["code"]) == (404, "ORDER_NOT_EXIST")
    reply = world.run(world.close("NOSUCHORDER"))
    assert (reply.status_code, reply.json()["code"]) == (404, "ORDER_NOT_EXIST")


def test_the_merchant_number_must_be_the_signers(make_world) -> None:
    world = make_world()
    calls: list[tuple[str, str, Any]] = [
        ("POST", "/v3/pay/transactions/jsapi", {**world.prepay_body(), "mchid": "1"}),
        ("POST", "/v3/pay/transactions/out-trade-no/ORDER00001/close", {"mchid": "1"}),
        ("GET", "/v3/pay/transactions/out-trade-no/ORDER00001?mchid=1", None),
        ("GET", "/v3/pay/transactions/out-trade-no/ORDER00001", None),
    ]
    for method, target, data in calls:
        reply = world.run(world.call(method, target, data))
        assert (reply.status_code, reply.json()["code"]) == (400, "PARAM_ERROR")
        assert reply.json()["detail"]["field"] == "/mchid"
    reply = world.run(
        world.call("POST", "/v3/pay/transactions/jsapi", {**world.prepay_body(), "appid": "wxother"})
    )
    assert (reply.status_code, reply.json()["code"]) == (400, "APPID_MCHID_NOT_MATCH")


def test_a_bad_parameter_is_named_and_the_refusal_unsigned(make_world) -> None:
    world = make_world()
    reply = world.run(world.call("POST", "/v3/pay/transactions/jsapi", world.prepay_body(total=0)))
    assert reply.status_code == 400
    assert reply.json()["detail"]["field"] == "/amount/total"
    assert not [name for name in reply.headers if name.startswith("wechatpay-")]
    assert reply.headers["Request-ID"]


def test_business_refusals_are_signed_when_the_switch_says_so(make_world) -> None:
    world = make_world(switches=Switches(sign_business_errors=True))
    reply = world.run(world.query("NOSUCHORDER"))
    assert reply.status_code == 404
    assert reply.headers["Wechatpay-Signature"]


def test_an_unpaid_order_expires(make_world) -> None:
    world = make_world()
    soon = world.run(world.prepay("SHORT00001", time_expire="2026-09-21T22:15:00+08:00"))
    world.run(world.prepay("LONG000001"))
    world.kernel.run(until_us=7_200_000_000)
    assert world.run(world.confirm(soon)).json()["reason"] == "closed"
    assert world.run(world.query("SHORT00001")).json()["trade_state"] == "CLOSED"
    assert world.run(world.query("LONG000001")).json()["trade_state"] == "NOTPAY"
    world.kernel.run(until_us=7 * 86_400_000_000)
    assert world.run(world.query("LONG000001")).json()["trade_state"] == "CLOSED"


def test_a_prepay_id_lives_two_hours(make_world) -> None:
    world = make_world()
    old = world.run(world.prepay())
    world.kernel.run(until_us=7_199_999_999)
    fresh = world.run(world.prepay())
    world.kernel.run(until_us=7_200_000_001)
    assert world.run(world.confirm(old)).json()["reason"] == "expired"
    assert world.run(world.confirm(fresh)).status_code == 200


@pytest.mark.parametrize(
    "text",
    ["2026-09-21T00:00:00+08:00", "2027-09-21T00:00:00+08:00", "2026-09-22T00:00:00", "soon", "9" * 60],
)
def test_impossible_expiry_is_a_parameter_error(make_world, text: str) -> None:
    world = make_world()
    reply = world.run(world.call("POST", "/v3/pay/transactions/jsapi", world.prepay_body(time_expire=text)))
    assert (reply.status_code, reply.json()["code"]) == (400, "PARAM_ERROR")


def test_payers_cancel_dawdle_and_cannot_pay_for_others(make_world) -> None:
    world = make_world()
    prepay_id = world.run(world.prepay())
    cancelled = world.run(world.confirm(prepay_id, "cancel"))
    assert cancelled.json() == {"err_msg": "requestPayment:fail cancel"}
    assert world.run(world.confirm(prepay_id, openid="oSomeoneElse")).json()["reason"] == "other-payer"
    assert world.run(world.confirm("wx404")).json()["reason"] == "unknown-prepay-id"
    start_us = world.kernel.now_us
    waiting = world.run(world.confirm(prepay_id, "dawdle", delay_us=40_000_000, then="confirm"))
    assert waiting.status_code == 202
    assert world.run(world.query()).json()["trade_state"] == "SUCCESS"
    assert world.shop.seen[0][0] == start_us + 40_000_000


def test_an_order_closed_while_the_payer_dawdles_is_never_paid(make_world) -> None:
    world = make_world()

    async def story() -> None:
        prepay_id = await world.prepay()
        await world.confirm(prepay_id, "dawdle", delay_us=5_000_000, then="confirm")
        assert (await world.close()).status_code == 204

    world.run(story())
    assert world.run(world.query()).json()["trade_state"] == "CLOSED"
    assert world.of("wechatpay.payer")[-1]["reason"] == "closed"
    assert not world.shop.seen


@pytest.mark.parametrize(
    ("action", "body", "status"),
    [
        ("steal", b'{"prepay_id":"x"}', 404),
        ("confirm", b"not json", 400),
        ("confirm", b"[]", 400),
        ("confirm", b"{}", 400),
        ("confirm", b'{"prepay_id":5}', 400),
    ],
)
def test_bad_requests_to_the_phone(make_world, action: str, body: bytes, status: int) -> None:
    world = make_world()
    reply = world.run(world.phone.post(f"/payers/o1/{action}", content=body))
    assert reply.status_code == status
    assert reply.json()["message"]


@pytest.mark.parametrize("more", [{"delay_us": -1}, {"delay_us": "5"}, {"delay_us": True}, {"then": "run"}])
def test_bad_dawdles(make_world, more: dict[str, Any]) -> None:
    world = make_world()
    prepay_id = world.run(world.prepay())
    assert world.run(world.confirm(prepay_id, "dawdle", **more)).status_code == 400


def test_the_phone_checks_the_pay_sign(make_world) -> None:
    world = make_world(switches=Switches(require_pay_sign=True))
    prepay_id = world.run(world.prepay())
    own = world.merchant.credentials
    good = pay_sign(
        own.private_key, app_id=own.appid, prepay_id=prepay_id, timestamp_s=1_790_000_000, nonce="n"
    )
    for bad in (
        None,
        "x",
        {},
        {**good, "appId": "wxother"},
        {**good, "package": "prepay_id=wx1"},
        {**good, "timeStamp": "1790000001"},
        {**good, "nonceStr": 5},
    ):
        assert world.run(world.confirm(prepay_id, pay_sign=bad)).json()["reason"] == "pay-sign"
    assert world.run(world.confirm(prepay_id, pay_sign=good)).status_code == 200


def test_access_tokens_for_clients_that_ask_for_one_first(make_world) -> None:
    world = make_world()
    own = world.merchant.credentials
    transport = httpx.ASGITransport(app=world.gateway.jscode_app)
    weixin = httpx.AsyncClient(transport=transport, base_url="https://api.weixin.qq.com")
    good = {"grant_type": "client_credential", "appid": own.appid, "secret": own.app_secret}

    async def story() -> list[dict[str, Any]]:
        return [
            (await weixin.get("/cgi-bin/token", params=good | change)).json()
            for change in (
                {},
                {"grant_type": "x"},
                {"appid": ""},
                {"secret": ""},
                {"appid": "wxother"},
                {"secret": "x"},
            )
        ]

    token, *refusals = world.run(story())
    assert token["expires_in"] == 7200
    assert len(token["access_token"]) > 100
    assert [refusal["errcode"] for refusal in refusals] == [40002, 41002, 41004, 40013, 40125]


def test_login_by_js_code(make_world) -> None:
    world = make_world(switches=Switches(require_login=True))
    own = world.merchant.credentials
    transport = httpx.ASGITransport(app=world.gateway.jscode_app)
    weixin = httpx.AsyncClient(transport=transport, base_url="https://api.weixin.qq.com")

    async def login(**change: str) -> dict[str, Any]:
        params = {"appid": own.appid, "secret": own.app_secret, "js_code": "js-oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"}
        params |= {"grant_type": "authorization_code", **change}
        reply = await weixin.get("/sns/jscode2session", params=params)
        assert reply.status_code == 200
        return json.loads(reply.content)

    async def story() -> None:
        refused = await world.call("POST", "/v3/pay/transactions/jsapi", world.prepay_body())
        assert refused.json()["detail"]["field"] == "/payer/openid"
        session = await login()
        assert session["openid"] == "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"
        assert "errcode" not in session
        await world.prepay()
        assert (await login())["errcode"] == 40029
        assert (await login(js_code="js-oUpF8uMuAJO_M2pxb1Q9zNjWeS6o.2"))["openid"] == session["openid"]
        for change, errcode in [
            ({"js_code": "x"}, 40029),
            ({"js_code": ""}, 41008),
            ({"appid": ""}, 41002),
            ({"appid": "wxother"}, 40013),
            ({"secret": ""}, 41004),
            ({"secret": "x"}, 40125),
        ]:
            answer = await login(**change)
            assert answer["errcode"] == errcode
            assert ", rid: " in answer["errmsg"]
        answers = [await login(js_code=f"js-oBusy.{number}") for number in range(101)]
        assert [answer.get("errcode") for answer in answers] == [None] * 100 + [45011]

    world.run(story())
    assert len(world.gateway.ledger.orders) == 1
