"""Refunds that a gateway will never take: not asked for again and again, but left to a person, who pays them out once."""

from __future__ import annotations

import asyncio

import pytest

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
