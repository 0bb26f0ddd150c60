"""Refunds that a gateway will never take: not asked for again and again, but left to a person, who pays them out once."""

from __future__ import annotations

import asyncio

import pytest

from reference.backend.gateways.port import GatewayRefusedError
from reference.backend.gateways.unionpay import UnionPayClient
from sim import unionpay, wechatpay

ADMIN = {"Authorization": "Bearer admin-key-for-tests"}
WORDS = {"operator": "王站长", "reason": "customer's card is gone"}
DAY_S = 86_400


async def given_back(s, order):
    """Ask for everything, wait an hour; the refund that is left."""
    body = {"client_token": "back", "amount_fen": 9600, **WORDS}
    await s.call("POST", f"/v1/admin/orders/{order}/refunds", body, ADMIN, 201)
    await asyncio.sleep(3600)
    assert (await s.show(order))["state"] == "REFUNDING"
    first, last = sorted(await s.rows("refunds"), key=lambda row: row["attempt"])
    assert (first["state"], last["state"], last["attempt"]) == ("CLOSED", "HELD", 2)
    assert await s.alarms() == ["refund_closed"]
    return last


async def paid_out(s, order, refund):
    path = f"/v1/admin/refunds/{refund['out_refund_no']}/cash"
    await s.call("POST", path, {"client_token": "till", **WORDS}, ADMIN, 201)
    await asyncio.sleep(3600)
    shown = await s.show(order)
    assert (shown["state"], shown["refunded_fen"]) == ("REFUNDED", 9600)


@pytest.mark.requirement("rfd.accepted-is-not-refunded")
@pytest.mark.parametrize("has_account_again", [False, True])
def test_a_payer_whose_account_cannot_take_money(shop, has_account_again):
    closed = wechatpay.GatewayFault(kind="refuse", at=("refund",), code="USER_ACCOUNT_ABNORMAL", limit=1)

    async def scene(s):
        order = await s.order()
        await s.confirm(await s.pay(order))
        await s.until(order, "PAID")
        refund = await given_back(s, order)
        assert refund["held"] == "account"
        assert sum(path == "/v3/refund/domestic/refunds" for _, path in s.pay_host.seen) == 1
        if has_account_again:
            await s.call("POST", f"/v1/admin/refunds/{refund['out_refund_no']}/retry", {}, ADMIN)
            await s.until(order, "REFUNDED", within_s=600)
            assert s.charged() == 0
        else:
            await paid_out(s, order, refund)
            assert s.charged() == 9600  # the other 9,600 came out of the till

    shop(wechat_faults=[closed]).run(scene, until_s=4 * 3600)


@pytest.mark.requirement("rfd.accepted-is-not-refunded")
def test_unionpays_time_for_refunds_is_over(shop):
    async def scene(s):
        order = await s.order()
        await s.union_confirm(qr_code=(await s.pay(order, "unionpay-qr"))["qr_code"])
        await s.until(order, "PAID")
        await asyncio.sleep(DAY_S + 1)
        refund = await given_back(s, order)
        assert refund["held"] == "too_old"
        await paid_out(s, order, refund)
        assert s.charged() == 9600

    shop(union={"switches": unionpay.Switches(refund_days=1)}).run(scene, until_s=2 * DAY_S)


def refusing_questions(monkeypatch):
    """The first question about a refund is refused with what a refund is refused with for good."""
    ask, left = UnionPayClient.query_refund, [1]

    async def query(self, *about):
        if left:
            left.pop()
            raise GatewayRefusedError(200, "39", "交易不在受理时间范围内")
        return await ask(self, *about)

    monkeypatch.setattr(UnionPayClient, "query_refund", query)


@pytest.mark.requirement("rfd.refunds-never-exceed-paid")
@pytest.mark.parametrize(
    "fault",
    [
        unionpay.GatewayFault(
            kind="reply-lost", at=("refund", "cancel"), limit=1
        ),  # booked, and we do not know
        unionpay.GatewayFault(
            kind="notice-late", delay_us=400_000_000_000, limit=50
        ),  # accepted, and we know
    ],
)
def test_a_question_that_is_refused_says_nothing_of_the_refund(shop, monkeypatch, fault):
    refusing_questions(monkeypatch)

    async def scene(s):
        order = await s.order()
        await s.union_confirm(qr_code=(await s.pay(order, "unionpay-qr"))["qr_code"])
        await s.until(order, "PAID")
        body = {"client_token": "back", "amount_fen": 9600, **WORDS}
        await s.call("POST", f"/v1/admin/orders/{order}/refunds", body, ADMIN, 201)
        await s.until(order, "REFUNDED", within_s=DAY_S)
        (refund,) = await s.rows("refunds")
        assert (refund["state"], refund["held"]) == ("SUCCESS", None)
        assert s.charged() == 0

    shop(union_faults=[fault]).run(scene, until_s=2 * DAY_S)
