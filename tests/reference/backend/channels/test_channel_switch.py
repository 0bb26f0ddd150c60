"""One order, several ways to pay it, and gateways that go away: never two attempts that could both be paid."""

from __future__ import annotations

import asyncio
import itertools
import random

import pytest

from sim.net import HttpFault

PAY = "api.mch.weixin.qq.com"


def payable_at_gateways(s):
    """Attempts that some payer could pay now."""
    w = [order for order in s.wechat.ledger.orders if str(order.state) == "NOTPAY"]
    u = [trade for trade in s.union.ledger.trades if trade.txn_type == "01" and str(trade.state) == "pending"]
    return len(w) + len(u)


@pytest.mark.requirement("pay.closed-before-new-attempt", "pay.other-channel-without-double-charge")
def test_there_and_back_again_and_one_is_payable_at_any_time(shop):
    async def scene(s):
        order = await s.order()
        sheets = []
        for channel in ("wechatpay", "unionpay-qr", "wechatpay", "unionpay-jump", "unionpay-qr"):
            sheets.append(await s.pay(order, channel))
            assert payable_at_gateways(s) == 1
            assert len({sheet["out_trade_no"] for sheet in sheets}) == len(sheets)
        again = await s.pay(order, "unionpay-qr")
        assert again == sheets[-1]
        # Only the last can be paid.
        await s.confirm(sheets[0], status=409)
        await s.confirm(sheets[2], status=409)
        await s.union_confirm(409, qr_code=sheets[1]["qr_code"])
        await s.union_confirm(409, union_path=sheets[3]["jump"]["path"], password=True, sms_code=True)
        await s.union_confirm(qr_code=sheets[4]["qr_code"])
        shown = await s.until(order, "PAID")
        assert (shown["paid_fen"], s.charged()) == (9600, 9600)
        assert [row["state"] for row in await s.rows("payments")].count("SUCCESS") == 1

    shop().run(scene)


@pytest.mark.requirement("pay.closed-before-new-attempt", "pay.other-channel-without-double-charge")
def test_paid_while_the_other_channel_is_chosen(shop):
    """The finger confirms in one cashier at about the instant at which the other is opened: one charge."""

    async def one(s, nozzle, at_s):
        who = f"driver{nozzle}"
        order = await s.order(who, nozzle=nozzle)
        sheet = await s.pay(order, who=who)

        async def finger():
            await asyncio.sleep(at_s)
            prepay = {"prepay_id": sheet["prepay_id"]}
            await s.payer.post(f"/payers/{await s.openid(who)}/confirm", json=prepay)

        async def change():
            await asyncio.sleep(0.5)
            path = f"/v1/orders/{order}/pay"
            reply = await s.client.post(path, json={"channel": "unionpay-qr"}, headers=await s.phone(who))
            assert reply.status_code in {200, 409, 503}, reply.text
            if reply.status_code == 200:
                await s.union_payer.post(f"/payers/{who}/confirm", json={"qr_code": reply.json()["qr_code"]})

        await asyncio.gather(finger(), change())
        shown = await s.until(order, "PAID", "PAYING", "PAYABLE", within_s=60)
        await asyncio.sleep(120)
        shown = await s.show(order)
        return shown["state"], shown["paid_fen"] - shown["refunded_fen"]

    async def scene(s):
        ends = await asyncio.gather(*(one(s, n, 0.2 + n * 0.08) for n in range(1, 10)))
        assert set(ends) == {("PAID", 9600)}
        assert s.charged() == 9 * 9600
        channels = {row["channel"] for row in await s.rows("payments") if row["state"] == "SUCCESS"}
        assert channels == {"wechatpay", "unionpay-qr"}

    shop().run(scene)


@pytest.mark.requirement("pay.other-channel-without-double-charge", "pay.timeout-is-unknown-not-failed")
@pytest.mark.parametrize("how", ["errors", "silence", "gone"])
def test_wechat_is_down_and_the_order_is_paid_over_unionpay(shop, how):
    """Down before the phone asks, or after its sheet is open; down so that it is unknown, or so that nothing was sent."""

    async def scene(s):
        fresh, open_ = await s.order(nozzle=1), await s.order(nozzle=2)
        sheet = await s.pay(open_)
        if how == "gone":
            s.network.kill(PAY)
        else:
            s.pay_host.status = 500 if how == "errors" else 0
        assert (await s.pay(fresh, status=503))["code"] == "payment_unknown"
        # An attempt that may exist keeps its place while WeChat cannot be asked.
        refused = await s.pay(open_, "unionpay-qr", status=503)
        assert "wechatpay" in refused["message"]
        assert payable_at_gateways(s) == 1
        if how == "gone":
            # Nothing of this one ever left: the way is free at once.
            sheets = {fresh: await s.pay(fresh, "unionpay-qr")}
            s.network.restore(PAY)
        else:
            assert (await s.pay(fresh, "unionpay-qr", status=503))["code"] == "payment_unknown"
            s.pay_host.status = None
            await asyncio.sleep(6)
            sheets = {fresh: await s.pay(fresh, "unionpay-qr")}
        sheets[open_] = await s.pay(open_, "unionpay-qr")
        assert payable_at_gateways(s) == 2
        await s.confirm(sheet, status=409)
        for order, union in sheets.items():
            await s.union_confirm(qr_code=union["qr_code"])
            await s.until(order, "PAID")
        await asyncio.sleep(60)
        assert s.charged() == 2 * 9600

    shop().run(scene)


@pytest.mark.requirement("pay.back-off-without-new-orders")
def test_half_a_minute_of_errors_is_met_with_patience(shop):
    """Phones go on asking; the gateway is asked at most four times a second, unevenly, and no order gets a second number."""

    async def scene(s):
        orders = [await s.order(f"driver{n}", nozzle=n) for n in range(1, 9)]
        s.pay_host.status = 500
        s.pay_host.seen.clear()
        start_us = s.kernel.now_us
        numbers = {}

        async def phone(n, order):
            rng = random.Random(f"phone{n}")
            while True:
                path = f"/v1/orders/{order}/pay"
                reply = await s.client.post(
                    path, json={"channel": "wechatpay"}, headers=await s.phone(f"driver{n}")
                )
                number = (await s.show(order))["out_trade_no"]
                assert numbers.setdefault(order, number) == number
                if reply.status_code == 200:
                    return reply.json()
                assert reply.status_code == 503
                await asyncio.sleep(rng.uniform(0.5, 1.5))

        async def heal():
            await asyncio.sleep(15)
            s.pay_host.status = 429
            await asyncio.sleep(15)
            s.pay_host.status = None

        drivers = (phone(n, order) for n, order in enumerate(orders, start=1))
        sheets = (await asyncio.gather(heal(), *drivers))[1:]
        healed_us = start_us + 30_000_000
        during = [at_us for at_us, _ in s.pay_host.seen if at_us < healed_us]
        # The first calls come together, before anybody can know of the trouble.
        settled = [at_us for at_us in during if at_us > start_us + 2_000_000]
        for at_us in settled:
            window = [other for other in settled if at_us <= other < at_us + 1_000_000]
            assert len(window) <= s.settings.busy_qps
        gaps = [later - sooner for sooner, later in itertools.pairwise(settled)]
        assert len(settled) >= 5
        assert len(set(gaps)) > len(gaps) / 2, "the calls march in step"
        assert s.kernel.now_us - healed_us < 12_000_000
        assert len(s.wechat.ledger.orders) == 8
        for n, sheet in enumerate(sheets, start=1):
            await s.confirm(sheet, f"driver{n}")
        for order in orders:
            await s.until(order, "PAID")

    shop().run(scene)


@pytest.mark.requirement("pay.timeout-is-unknown-not-failed")
def test_a_unionpay_code_whose_answer_is_lost_is_reversed_before_another_is_made(shop):
    lost = HttpFault(kind="reply_lost", host="gateway.95516.com", path="*/backTransReq.do", limit=1)

    async def scene(s):
        order = await s.order()
        await s.pay(order, "unionpay-qr", status=503)
        sheet = await s.pay(order, "unionpay-qr")
        assert [str(trade.state) for trade in s.union.ledger.trades] == ["reversed", "pending"]
        await s.union_confirm(qr_code=sheet["qr_code"])
        await s.until(order, "PAID")
        assert s.charged() == 9600

    shop(http_faults=[lost]).run(scene)


def test_channels_that_are_switched_off_are_refused(shop):
    async def scene(s):
        order = await s.order()
        refused = await s.pay(order, "unionpay-qr", status=409)
        assert refused["code"] == "channel_unavailable"
        assert (await s.show(order))["state"] == "PAYABLE"
        (row,) = await s.rows("sales")
        assert (await s.scan(row["sale_id"], await s.code(), status=409))["code"] == "channel_unavailable"

    shop(channels=("wechatpay",)).run(scene)
