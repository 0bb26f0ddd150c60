"""Pay codes at the pump: polled, reversed, lost on the way, paid in the gap between the last query and the reversal.

Many drivers stand at the nozzles of one station at once, each with a plan of their own.
"""

from __future__ import annotations

import asyncio
import contextlib

import httpx
import pytest

from sim.net import HttpFault
from sim.wechatpay import GatewayFault, Switches

CODEPAY = "/v3/pay/transactions/codepay"
# The platform ends an unpaid code after 45 s, as the backend does; where the backend is to be first, later.
LATER = {"switches": Switches(codepay_life_s=600)}
SITE = {"Authorization": "Bearer station-key-of-km01"}
ENDS = {("PAID", 9600), ("CLOSED", 0)}


def calls(s, end, number=""):
    return [at_us for at_us, path in s.pay_host.seen if path.endswith(end) and number in path]


async def driver(s, nozzle, *, plan=None, end=("PAID", "CLOSED"), within_s=150, later_s=60):
    """One driver, paid for by a code: what the order and the driver's purse say in the end."""
    who = f"driver{nozzle}"
    sale = await s.sale(nozzle=nozzle)
    shown = await s.scan(sale, await s.code(who, **(plan or {})), token=f"scan-{nozzle}")
    await s.until(shown["order_id"], *end, within_s=within_s, every_s=4)
    await asyncio.sleep(later_s)
    order = await s.show(shown["order_id"])
    assert (order["state"], s.charged(who)) in ENDS
    assert order["paid_fen"] == s.charged(who)
    return order


@pytest.mark.requirement("pay.pay-code-polling-and-reverse")
def test_the_password_comes_after_a_while(shop):
    async def scene(s):
        waits_s = (1, 10, 29, 31, 44, 46)
        plans = [{"password": True, "then": "confirm", "delay_us": wait * 1_000_000} for wait in waits_s]
        orders = await asyncio.gather(*(driver(s, n, plan=plan) for n, plan in enumerate(plans, start=1)))
        assert [order["state"] for order in orders] == ["PAID"] * 5 + ["CLOSED"]
        for nozzle, (wait_s, order) in enumerate(zip(waits_s, orders, strict=True), start=1):
            trade = s.trade_of(f"driver{nozzle}")
            created_us = trade.created_us - s.kernel.epoch_us
            asked = [at_us - created_us for at_us in calls(s, trade.out_trade_no)]
            polls = asked if order["state"] == "PAID" else asked[:-1]  # the last one confirms the reversal
            gaps = [later - sooner for sooner, later in zip([0, *polls], polls, strict=False)]
            assert all(3_000_000 < gap < 5_500_000 for gap in gaps), gaps
            assert len(polls) == min(-(-wait_s // 5), 9)
            assert len(calls(s, f"{trade.out_trade_no}/reverse")) <= (order["state"] == "CLOSED")
        states = {row["nozzle"]: row["state"] for row in await s.rows("sales")}
        assert states == {1: "cleared", 2: "cleared", 3: "cleared", 4: "cleared", 5: "cleared", 6: "payable"}

    shop().run(scene)


@pytest.mark.requirement("pay.pay-code-polling-and-reverse", "pay.paid-in-the-gap-ends-once")
def test_paid_at_each_instant_around_the_last_query_and_the_reversal(shop):
    async def scene(s):
        instants = range(44_800_000, 45_650_001, 50_000)
        plans = [{"password": True, "then": "confirm", "delay_us": at_us} for at_us in instants]
        plans += [{"password": True}, {"password": True, "then": "cancel", "delay_us": 8_000_000}]
        orders = await asyncio.gather(*(driver(s, n, plan=plan) for n, plan in enumerate(plans, start=1)))
        seen = set()
        for nozzle, order in enumerate(orders, start=1):
            trade = s.trade_of(f"driver{nozzle}")
            seen.add((order["state"], trade.success_us is not None, str(trade.state)))
            for at_us in calls(s, f"{trade.out_trade_no}/reverse"):
                assert 40e6 < at_us - (trade.created_us - s.kernel.epoch_us) < 50e6
        # Before it, in the gap (paid, and given back), after it, and never: each was met, and nothing else.
        assert seen == {
            ("PAID", True, "SUCCESS"),
            ("CLOSED", True, "REVOKED"),
            ("CLOSED", False, "REVOKED"),
            ("CLOSED", False, "PAYERROR"),
        }
        free = next(row for row in await s.rows("sales") if row["state"] == "payable")
        body = {"client_token": "c", "tender": "cash", "amount_fen": 9600}
        await s.call("POST", f"/v1/stations/KM01/sales/{free['sale_id']}/settle", body)

    shop(wechat=LATER).run(scene)


@pytest.mark.requirement("pay.refused-reverse-is-retried", "pay.paid-in-the-gap-ends-once")
def test_a_reversal_refused_while_the_payer_types_is_tried_until_the_end(shop):
    """Refused three times for the first, who pays meanwhile and gets it back, and for the second, who never does."""
    refusals = [
        GatewayFault(name=f"typing-{n}", kind="refuse", at=("reverse",), code="USERPAYING", limit=3)
        for n in (1, 2)
    ]

    async def scene(s):
        first = driver(s, 1, plan={"password": True, "then": "confirm", "delay_us": 52_000_000})
        second = driver(s, 2, plan={"password": True})
        orders = await asyncio.gather(first, second)
        assert [order["state"] for order in orders] == ["CLOSED", "CLOSED"]
        assert s.trade_of("driver1").success_us is not None
        assert [str(s.trade_of(f"driver{n}").state) for n in (1, 2)] == ["REVOKED", "REVOKED"]
        assert len(calls(s, "/reverse")) == 6 + 2

    shop(wechat=LATER, wechat_faults=refusals).run(scene)


@pytest.mark.requirement("pay.paid-in-the-gap-ends-once")
def test_a_lost_reversal_that_gave_the_money_back_is_no_payment(shop):
    """The reversal is done and its answer lost: whatever a query said before, the money is not there."""
    lost = HttpFault(kind="reply_lost", host="api.mch.weixin.qq.com", path="*/reverse", limit=40)

    async def scene(s):
        instants = [*range(44_900_000, 45_400_001, 50_000), 47_000_000, 52_000_000]
        plans = [{"password": True, "then": "confirm", "delay_us": at_us} for at_us in instants]
        orders = await asyncio.gather(*(driver(s, n, plan=plan) for n, plan in enumerate(plans, start=1)))
        gone = [
            order
            for n, order in enumerate(orders, start=1)
            if s.trade_of(f"driver{n}").success_us is not None and order["state"] == "CLOSED"
        ]
        assert gone, "nobody paid in the gap"

    shop(wechat=LATER, http_faults=[lost]).run(scene)


@pytest.mark.requirement("pay.timeout-is-unknown-not-failed")
def test_a_charge_without_an_answer_is_unknown(shop):
    """One whose money was taken, one whose charge never arrived; both are asked about, neither is charged again."""
    faults = [
        GatewayFault(name="taken", kind="timeout", at=("codepay",), after_commit=True, limit=1),
        GatewayFault(name="never", kind="timeout", at=("codepay",), after_commit=False, limit=1),
    ]

    async def scene(s):
        taken = await driver(s, 1, later_s=0)
        never = await driver(s, 2)
        assert (taken["state"], never["state"]) == ("PAID", "CLOSED")
        assert len(calls(s, CODEPAY)) == 2

    shop(wechat_faults=faults).run(scene)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_kill_at_any_instant_leaves_one_end(shop):
    async def scene(s):
        ends = []

        async def one(nozzle, at_us):
            who = f"driver{nozzle}"
            sale = await s.sale(nozzle=nozzle)
            await s.phone(who)
            await asyncio.sleep(nozzle * 0.1)  # so that the kills find them in different places
            code = await s.code(who, password=True, then="confirm", delay_us=at_us)
            body = {"client_token": f"scan-{nozzle}", "auth_code": code}
            path = f"/v1/stations/KM01/sales/{sale}/pay-code"
            with contextlib.suppress(httpx.TransportError):
                await s.client.post(path, json=body, headers=SITE)
            await asyncio.sleep(1)
            (order,) = [row for row in await s.rows("orders") if row["nozzle"] == nozzle]
            end = await s.until(order["order_id"], "PAID", "CLOSED", within_s=180, every_s=4)
            await asyncio.sleep(30)
            assert (end["state"], s.charged(who)) in ENDS
            ends.append(end["state"])

        async def murders():
            for wait_s in (1.13, 7.3, 37.0, 0.31, 0.2):
                await asyncio.sleep(wait_s)
                await s.kill()

        drivers = [one(n, 43_200_000 + n * 200_000) for n in range(1, 13)]
        await asyncio.gather(murders(), *drivers)
        assert set(ends) == {"PAID", "CLOSED"}

    shop(wechat=LATER).run(scene)


@pytest.mark.requirement("pay.closed-before-new-attempt")
def test_the_attendant_and_the_phone_at_one_sale(shop):
    """A phone's prepay order is closed at the gateway before the code is charged; a scan repeated is one payment."""

    async def scene(s):
        order = await s.order()
        sheet = await s.pay(order)
        (row,) = await s.rows("sales")
        shown = await s.scan(row["sale_id"], await s.code("li"))
        assert (shown["order_id"], shown["state"]) == (order, "PAID")
        (closed_us,) = calls(s, "/close")
        assert closed_us < calls(s, CODEPAY)[0]
        await s.confirm(sheet, status=409)
        assert s.charged() == 9600

        sale = await s.sale(nozzle=2)
        code = await s.code("wang", password=True, then="confirm", delay_us=8_000_000)
        scans = await asyncio.gather(*(s.scan(sale, code) for _ in range(3)))
        assert len({order["order_id"] for order in scans}) == 1
        await s.until(scans[0]["order_id"], "PAID")
        assert (await s.scan(sale, code))["state"] == "PAID"
        assert len(calls(s, CODEPAY)) == 2
        await s.scan(sale, await s.code(), token="scan-2", status=409)
        await s.scan(await s.sale(nozzle=3), await s.code(), status=409)
        dump = "\n".join(s.database._raw.iterdump())
        assert code not in dump

    shop().run(scene)


def test_codes_that_are_refused_and_payments_given_up(shop):
    async def scene(s):
        sale = await s.sale()
        await s.scan(sale, "1" * 18, status=502)
        await s.scan(sale, "9" * 18, token="scan-2", status=422)
        assert (await s.scan(sale, await s.code(), token="scan-3"))["state"] == "PAID"

        # Within 15 s of the charge the platform refuses to reverse; what the attendant gave up goes on by itself.
        sale = await s.sale(nozzle=2)
        code = await s.code("li", password=True, then="confirm", delay_us=70_000_000)
        shown = await s.scan(sale, code, token="scan-4")
        path = f"/v1/stations/KM01/orders/{shown['order_id']}/cancel"
        assert (await s.call("POST", path, {}, status=503))["code"] == "payment_unknown"
        started_us = s.kernel.now_us
        await s.until(shown["order_id"], "CLOSED", within_s=60)
        assert s.kernel.now_us - started_us < 25_000_000
        await asyncio.sleep(60)
        assert s.charged() == 9600

        # Nothing was sent at all: the sale is free at once.
        s.network.kill("api.mch.weixin.qq.com")
        sale = await s.sale(nozzle=3)
        assert (await s.scan(sale, await s.code(), token="scan-5", status=503))["code"] == "payment_unknown"
        assert [row["state"] for row in await s.rows("sales") if row["nozzle"] == 3] == ["payable"]

    shop(wechat=LATER).run(scene)
