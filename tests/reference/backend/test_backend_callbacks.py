"""Callbacks and answers as they are on the wire: signed, encrypted, forged, replayed, early, late."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from protocols.wechatpay import build_notification, rfc3339, sign_reply
from reference.backend.gateways.port import GatewayRefusedError, GatewayUnknownError, NoticeRefusedError
from reference.backend.gateways.wechat import WeChatClient
from reference.backend.identifiers import Identifiers

NOW_US = 1_767_225_600_000_000
NOW_S = NOW_US // 1_000_000
SERIAL = "B" * 40


class Wire:
    """The far side of the HTTP client: signs what the test lets it say."""

    def __init__(self, settings, platform_key):
        self.key = platform_key
        self.status = 200
        self.body = b"{}"
        self.signed = True
        self.requests = []
        transport = httpx.MockTransport(self.answer)
        self.client = WeChatClient(settings, transport, lambda: NOW_US, Identifiers(None))

    def answer(self, request):
        self.requests.append(request)
        headers = self.headers(self.body) if self.signed else {}
        return httpx.Response(self.status, content=self.body, headers=headers)

    def headers(self, body, at_s=NOW_S):
        return sign_reply(self.key, serial=SERIAL, timestamp_s=at_s, nonce="n" * 32, body=body)


@pytest.fixture
def wire(settings, platform_key):
    return Wire(settings, platform_key)


def transaction(settings, **changes):
    return {
        "mchid": settings.merchant.mchid,
        "appid": settings.merchant.appid,
        "out_trade_no": "A" * 32,
        "transaction_id": "4200000000000000000000000001",
        "trade_state": "SUCCESS",
        "amount": {"total": 9600, "currency": "CNY"},
        **changes,
    }


def notice(settings, resource, event="TRANSACTION.SUCCESS"):
    return build_notification(
        notice_id="n" * 36,
        create_time=rfc3339(NOW_S),
        event_type=event,
        summary="支付成功",
        resource=resource,
        apiv3_key=settings.merchant.apiv3_key,
        nonce="abcdefghijkl",
        associated_data="transaction",
        original_type="transaction",
    )


def test_a_genuine_notice_is_opened(wire, settings):
    body = notice(settings, transaction(settings))
    opened = wire.client.open_notice(wire.headers(body), body)
    assert (opened.trade.state, opened.trade.amount_fen) == ("SUCCESS", 9600)


@pytest.mark.requirement("pay.forged-callback-is-refused", "pay.signature-probe-is-refused")
def test_every_forgery_is_refused(wire, settings):
    body = notice(settings, transaction(settings))
    good = wire.headers(body)
    other = json.dumps(json.loads(body)).encode()  # the same JSON, written otherwise
    forgeries = [({**good, "Wechatpay-Signature": "WECHATPAY/SIGNTEST/" + good["Wechatpay-Signature"]}, body)]
    forgeries += [({**good, "Wechatpay-Serial": "C" * 40}, body), (good, other), ({}, body)]
    forgeries += [
        ({name: text for name, text in good.items() if name != gone}, body) for gone in list(good)[:4]
    ]
    forgeries += [(good, body[:place] + b"x" + body[place + 1 :]) for place in range(0, len(body), 7)]
    refused = 0
    for headers, raw in forgeries:
        if raw == body and headers == good:
            continue
        with pytest.raises(NoticeRefusedError):
            wire.client.open_notice(headers, raw)
        refused += 1
    assert refused > 50


@pytest.mark.requirement("clk.signature-window-survives-skew")
@pytest.mark.requirement("pay.stale-or-replayed-callback-is-harmless")
@pytest.mark.parametrize("skew_s", [-301, 301])
def test_a_notice_of_another_time_is_refused(wire, settings, skew_s):
    body = notice(settings, transaction(settings))
    with pytest.raises(NoticeRefusedError, match="timestamp"):
        wire.client.open_notice(wire.headers(body, NOW_S + skew_s), body)


def test_a_signed_notice_that_lacks_a_field_is_refused(wire, settings):
    body = notice(settings, {"mchid": "1"})
    with pytest.raises(NoticeRefusedError):
        wire.client.open_notice(wire.headers(body), body)


def test_an_answer_without_a_valid_signature_is_unknown_not_failed(wire, settings):
    wire.body, wire.signed = json.dumps({"prepay_id": "wx1"}).encode(), False
    call = {
        "out_trade_no": "A" * 32,
        "amount_fen": 1,
        "openid": "o",
        "description": "d",
        "expires_us": NOW_US,
    }
    with pytest.raises(GatewayUnknownError):
        asyncio.run(wire.client.prepay(**call))
    wire.signed = True
    assert asyncio.run(wire.client.prepay(**call)) == "wx1"
    sent = json.loads(wire.requests[-1].content)
    assert sent["amount"] == {"total": 1, "currency": "CNY"}
    assert sent["notify_url"].endswith("/v1/notify/wechatpay")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (500, GatewayUnknownError),
        (429, GatewayUnknownError),
        (403, GatewayRefusedError),
        (405, GatewayRefusedError),
    ],
)
def test_statuses_are_sorted_into_unknown_and_refused(wire, status, error):
    wire.status, wire.body, wire.signed = status, b"", False
    with pytest.raises(error):
        asyncio.run(wire.client.query("A" * 32))


def test_an_unknown_order_is_none_and_a_close_is_an_empty_204(wire, settings):
    wire.status, wire.body, wire.signed = 404, b'{"code":"ORDER_NOT_EXIST","message":"-"}', False
    assert asyncio.run(wire.client.query("A" * 32)) is None
    wire.status, wire.body, wire.signed = 204, b"", True
    asyncio.run(wire.client.close("A" * 32))
    assert wire.requests[-1].url.path.endswith("/close")


# From here on through the routes, with the port's fake.


@pytest.mark.requirement("pay.callback-before-reply-is-matched")
def test_a_callback_before_the_prepay_answer_is_matched(play):
    async def scene(w):
        await w.site("POST", "/sales", w.sale(), status=201)
        order = await w.order()

        async def pay_early(number):
            w.gateway.before_prepay_reply = None
            w.gateway.pay(number)
            assert await w.notify(number) == 204

        w.gateway.before_prepay_reply = pay_early
        await w.pay(order)
        shown = await w.show(order)
        assert (shown["state"], shown["paid_fen"]) == ("PAID", 9600)
        assert await w.violations() == []

    play(scene)


@pytest.mark.requirement("pay.lost-callback-is-found-by-query")
def test_a_callback_that_never_comes_is_made_up_for_within_a_minute(play):
    async def scene(w):
        await w.site("POST", "/sales", w.sale(), status=201)
        order = await w.order()
        asked = await w.pay(order)
        w.gateway.pay(asked["out_trade_no"])
        assert w.settings.query_schedule_s[0] <= 60
        await w.run_due(later_s=w.settings.query_schedule_s[0])
        assert (await w.show(order))["state"] == "PAID"
        (payment,) = (await w.admin("payments"))["rows"]
        assert payment["proof"] == "query"

    play(scene)


@pytest.mark.requirement("pay.paid-after-close-is-not-lost", "pay.whole-retry-ladder-is-tolerated")
@pytest.mark.parametrize("settled_meanwhile", [False, True])
def test_money_after_the_close_is_taken_or_given_back(play, settled_meanwhile):
    async def scene(w):
        taken = await w.site("POST", "/sales", w.sale(), status=201)
        order = await w.order()
        asked = await w.pay(order)
        await w.phone("POST", f"/{order['order_id']}/cancel", status=200)
        assert (await w.show(order))["state"] == "CANCELLED"
        if settled_meanwhile:
            body = {"client_token": "c", "tender": "cash", "amount_fen": 9600}
            await w.site("POST", f"/sales/{taken['sale_id']}/settle", body, status=200)
        # The gateway had taken the money all the same; its last callback comes a day later.
        w.gateway.trades[asked["out_trade_no"]]["state"] = "NOTPAY"
        w.gateway.pay(asked["out_trade_no"])
        w.now_us += 86_640_000_000
        assert await w.notify(asked["out_trade_no"]) == 204
        await w.run_due()
        shown = await w.show(order)
        assert shown["state"] == ("REFUNDED" if settled_meanwhile else "PAID")
        assert await w.violations() == []

    play(scene)


@pytest.mark.requirement("pay.callback-checked-against-order")
def test_a_genuine_callback_about_another_order_is_refused_and_alarmed(play):
    async def scene(w):
        await w.site("POST", "/sales", w.sale(), status=201)
        order = await w.order()
        asked = await w.pay(order)
        w.gateway.pay(asked["out_trade_no"])
        w.gateway.trades[asked["out_trade_no"]]["amount_fen"] = 9599
        stranger = w.core.numbers.make("station-key-of-km02", "KM02/1")
        w.gateway.trades[stranger] = {"state": "SUCCESS", "amount_fen": 1, "transaction_id": "42"}
        w.gateway.trades["X" * 32] = {"state": "SUCCESS", "amount_fen": 1, "transaction_id": "43"}
        for number in (asked["out_trade_no"], stranger, "X" * 32, "a forgery"):
            assert await w.notify(number) == 401
        assert (await w.show(order))["state"] == "PAYING"
        assert len((await w.admin("alarms"))["rows"]) == 3

    play(scene)


@pytest.mark.requirement("inv.invoice-never-delays-leaving", "inv.lost-login-pauses-the-queue")
@pytest.mark.requirement("pay.callback-checked-against-order")
def test_one_transaction_pays_for_one_order_only(play):
    async def scene(w):
        first = await w.paid_order(1)
        await w.site("POST", "/sales", w.sale(2), status=201)
        second = await w.order(2)
        asked = await w.pay(second)
        number = asked["out_trade_no"]
        w.gateway.pay(number)
        w.gateway.trades[number]["transaction_id"] = w.gateway.trades[first["out_trade_no"]]["transaction_id"]
        assert await w.notify(number) in range(400, 500)
        assert (await w.show(second))["state"] == "PAYING"
        (alarm,) = (await w.admin("alarms"))["rows"]
        assert (alarm["kind"], alarm["subject"]) == ("payment_refused", number)
        assert "has paid something else already" in alarm["detail"]
        assert await w.violations() == []

    play(scene)


def test_a_tax_platform_that_refuses_delays_nothing_and_loses_nothing(play):
    async def scene(w):
        w.gateway.refuse["issue_invoice"] = GatewayRefusedError(403, "NO_AUTH", "登录已失效")
        title = {"title_type": "INDIVIDUAL", "name": "李四"}
        order = await w.paid_order(invoice=title)
        assert (order["state"], order["invoice"]["state"]) == ("PAID", "issuing")
        for _ in range(3):
            await w.run_due(later_s=70)
        assert [alarm["kind"] for alarm in (await w.admin("alarms"))["rows"]] == ["invoice_waits"]
        w.gateway.refuse.clear()
        await w.run_due(later_s=100)
        await w.run_due(later_s=100)
        assert (await w.show(order))["invoice"]["state"] == "issued"

    play(scene)


@pytest.mark.requirement("inv.one-blue-invoice-per-sale")
def test_a_failed_try_takes_a_new_number_at_most_four_times(play):
    async def scene(w):
        w.gateway.invoice_state = "ISSUE_FAILED"
        order = await w.paid_order(invoice={"title_type": "INDIVIDUAL", "name": "李四"})
        for _ in range(12):
            await w.run_due(later_s=400)
        (entry,) = w.gateway.invoices.values()
        assert len(entry["tries"]) == 4
        assert (await w.show(order))["invoice"]["state"] == "failed"

    play(scene)
