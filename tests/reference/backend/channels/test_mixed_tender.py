"""Points, coupon and balance beside a channel: they sum to the payable exactly, and share the fate of the last leg."""

from __future__ import annotations

import asyncio
import random

import pytest


async def purse(s, who="zhang"):
    me = await s.me(who)
    return me["points"], me["balance_fen"], len(me["coupons"])


@pytest.mark.requirement("pay.mixed-tender-sums-exactly", "pay.gateway-amount-equals-payable")
def test_all_four_legs_sum_to_the_payable(shop):
    async def scene(s):
        await s.grant(points=500, balance_fen=4000)
        await s.coupon("c-1", 1000)
        order = await s.order(amount_fen=9601)
        sheet = await s.pay(order, parts={"points": 300, "coupon_id": "c-1", "balance_fen": 2500})
        assert await purse(s) == (200, 1500, 0)  # held
        (trade,) = s.wechat.ledger.orders
        assert trade.total_fen == 9601 - 300 - 1000 - 2500
        await s.confirm(sheet)
        shown = await s.until(order, "PAID")
        assert shown["paid_fen"] == shown["payable_fen"] == 9601
        assert await purse(s) == (200, 1500, 0)
        entries = {
            row["entry_key"]: row["amount_fen"] for row in await s.rows("ledger") if row["kind"] == "payment"
        }
        assert sum(entries.values()) == 9601
        assert len(entries) == 4
        (receipt,) = [
            command["receipt"]
            for command in (await s.call("GET", "/v1/stations/KM01/commands"))["commands"]
            if command["kind"] == "print"
        ]
        assert (receipt["paid_fen"], receipt["tender"]) == (9601, "wechatpay+balance+coupon+points")
        assert receipt["parts"] == [
            {"tender": "balance", "units": 2500, "amount_fen": 2500},
            {"tender": "coupon", "units": 1, "amount_fen": 1000},
            {"tender": "points", "units": 300, "amount_fen": 300},
        ]

    shop().run(scene)


def test_a_receipt_without_a_gateway_names_what_paid_and_an_ordinary_one_has_no_parts(shop):
    async def scene(s):
        await s.grant(points=500, balance_fen=4000)
        await s.pay(await s.order(amount_fen=1000), parts={"points": 300, "balance_fen": 700})
        order = await s.order(amount_fen=2000, nozzle=2)
        await s.confirm(await s.pay(order))
        await s.until(order, "PAID")
        commands = (await s.call("GET", "/v1/stations/KM01/commands"))["commands"]
        receipts = [command["receipt"] for command in commands if command["kind"] == "print"]
        assert [(one["tender"], one["paid_fen"]) for one in receipts] == [
            ("balance+points", 1000),
            ("wechatpay", 2000),
        ]
        assert ["parts" in one for one in receipts] == [True, False]

    shop().run(scene)


@pytest.mark.requirement("pay.mixed-tender-sums-exactly")
def test_the_last_leg_fails_and_everything_is_released(shop):
    async def scene(s):
        orders = {}
        for nozzle, who in enumerate(("cancels", "waits", "switches", "is refused"), start=1):
            who = who.replace(" ", "-")
            await s.grant(points=500, balance_fen=4000, who=who)
            await s.coupon(f"c-{nozzle}", 1000, who)
            orders[who] = order = await s.order(who, nozzle=nozzle)
            parts = {"points": 300, "coupon_id": f"c-{nozzle}", "balance_fen": 2500}
            if who == "is-refused":
                s.pay_host.status = 403
                await s.pay(order, who=who, parts=parts, status=502)
                s.pay_host.status = None
            else:
                await s.pay(order, who=who, parts=parts)
                assert await purse(s, who) == (200, 1500, 0)
        assert await purse(s, "is-refused") == (500, 4000, 1)

        await s.call("POST", f"/v1/orders/{orders['cancels']}/cancel", {}, await s.phone("cancels"))
        assert await purse(s, "cancels") == (500, 4000, 1)

        sheet = await s.pay(orders["switches"], "unionpay-qr", who="switches", parts={"balance_fen": 100})
        assert await purse(s, "switches") == (500, 3900, 1)
        await s.union_confirm(qr_code=sheet["qr_code"])
        await s.until(orders["switches"], "PAID")
        assert (await purse(s, "switches"), s.charged()) == ((500, 3900, 1), 9500)

        await s.until(orders["waits"], "CLOSED", within_s=200, every_s=10)
        assert await purse(s, "waits") == (500, 4000, 1)
        for who in ("cancels", "waits", "is-refused"):
            assert (await s.show(orders[who]))["paid_fen"] == 0

    shop(order_ttl_s=60).run(scene)


@pytest.mark.requirement("pay.mixed-tender-sums-exactly")
def test_parts_that_are_worth_the_whole_need_no_gateway(shop):
    async def scene(s):
        await s.grant(balance_fen=20_000)
        order = await s.order(amount_fen=9601)
        assert await s.pay(order, parts={"balance_fen": 9601}) == {}
        shown = await s.show(order)
        assert (shown["state"], shown["paid_fen"]) == ("PAID", 9601)
        assert await s.rows("payments") == []
        assert (await s.pay(order, status=409))["code"] == "already_paid"
        assert await purse(s) == (0, 10_399, 0)

    shop().run(scene)


@pytest.mark.requirement("pay.mixed-tender-sums-exactly")
def test_money_that_comes_after_the_release(shop):
    """Cancelled at home, paid at the gateway all the same: the parts go with it if they are still there, else it goes back."""

    async def scene(s):
        await s.grant(points=500, balance_fen=2500)
        parts = {"points": 300, "balance_fen": 1000}
        kept, spent = await s.order(nozzle=1), await s.order(nozzle=2)
        sheets = [await s.pay(kept, parts=parts)]
        await s.backends[0].core.endings.give_up(kept, sheets[0]["out_trade_no"], "CANCELLED")
        assert await purse(s) == (500, 2500, 0)
        await s.confirm(sheets[0])
        shown = await s.until(kept, "PAID")
        assert (shown["paid_fen"], await purse(s)) == (9600, (200, 1500, 0))

        sheet = await s.pay(spent, parts={"points": 200, "balance_fen": 1500})
        await s.backends[0].core.endings.give_up(spent, sheet["out_trade_no"], "CANCELLED")
        await s.grant(balance_fen=-1500, token="spent")
        await s.confirm(sheet)
        shown = await s.until(spent, "REFUNDED", within_s=200)
        assert (shown["paid_fen"], shown["refunded_fen"]) == (7900, 7900)
        assert await purse(s) == (200, 0, 0)
        assert s.charged() == 9600 - 1300

    shop().run(scene)


@pytest.mark.requirement("pay.mixed-tender-sums-exactly")
def test_what_cannot_be_combined_is_refused_and_holds_nothing(shop):
    async def scene(s):
        await s.grant(points=100, balance_fen=100)
        await s.grant(points=5, who="li")
        await s.coupon("c-1", 500, min_fen=10_000)
        await s.coupon("c-2", 500, who="li")
        await s.coupon("c-3", 500, expires_us=s.kernel.unix_us)
        order = await s.order()
        for parts, status in (
            ({"points": 105}, 409),
            ({"balance_fen": 101}, 409),
            ({"points": 3}, 422),
            ({"coupon_id": "c-1"}, 409),
            ({"coupon_id": "c-2"}, 409),
            ({"coupon_id": "c-3"}, 409),
            ({"coupon_id": "none"}, 409),
            ({"balance_fen": 9601}, 422),
            ({"balance_fen": -1}, 422),
        ):
            await s.pay(order, parts=parts, status=status)
            assert (await s.show(order))["state"] == "PAYABLE"
        prepay = await s.order_for(nozzle=2, mode="prepay", preset_fen=20_000)
        assert (await s.pay(prepay, parts={"points": 10}, status=409))["code"] == "parts_refused"
        assert await purse(s) == (100, 100, 1)

    shop(points_per_fen=5).run(scene)


@pytest.mark.requirement("pay.mixed-tender-sums-exactly")
def test_one_purse_and_two_orders_at_once(shop):
    """Each takes most of the balance; whoever comes second is refused, and nothing is overdrawn."""

    async def scene(s):
        await s.grant(balance_fen=10_000)
        orders = [await s.order(nozzle=n) for n in range(1, 5)]
        bodies = [{"channel": "wechatpay", "parts": {"balance_fen": 7000}} for _ in orders]
        phone = await s.phone()
        replies = await asyncio.gather(
            *(
                s.client.post(f"/v1/orders/{order}/pay", json=body, headers=phone)
                for order, body in zip(orders, bodies, strict=True)
            )
        )
        assert sorted(reply.status_code for reply in replies) == [200, 409, 409, 409]
        assert await purse(s) == (0, 3000, 0)

    shop(instances=2).run(scene)


def orders_of_all_kinds(count):
    """Drives this many orders with drawn amounts, parts and ends through one shop."""

    async def one(s, rng, number):
        who = f"driver{number % 8}"
        nozzle = number % 40 + 1
        amount_fen = rng.randrange(100, 60_000)
        order = await s.order(who, amount_fen, nozzle)
        worth_fen, parts = 0, {}
        if rng.random() < 0.6:
            parts["points"] = rng.randrange(0, amount_fen // 4 + 1) * 2
            worth_fen += parts["points"] // 2
        if rng.random() < 0.4:
            coupon_fen = rng.randrange(1, amount_fen // 4 + 2)
            await s.coupon(f"c-{number}", coupon_fen, who)
            parts["coupon_id"] = f"c-{number}"
            worth_fen += coupon_fen
        if rng.random() < 0.6:
            parts["balance_fen"] = rng.randrange(0, amount_fen // 4 + 1)
            worth_fen += parts["balance_fen"]
        channel = rng.choice(["wechatpay", "unionpay-qr"])
        sheet = await s.pay(order, channel, who=who, parts=parts or None)
        asked = (
            s.wechat.ledger.orders[-1].total_fen
            if channel == "wechatpay"
            else s.union.ledger.trades[-1].amount_fen
        )
        assert asked == amount_fen - worth_fen
        if rng.random() < 0.25:
            await s.call("POST", f"/v1/orders/{order}/cancel", {}, await s.phone(who))
            return 0
        if channel == "wechatpay":
            await s.confirm(sheet, who)
        else:
            await s.union_confirm(qr_code=sheet["qr_code"])
        shown = await s.until(order, "PAID")
        assert shown["paid_fen"] == shown["payable_fen"] == amount_fen
        return asked

    async def scene(s):
        rng = random.Random("orders of all kinds")
        for number in range(8):
            await s.grant(points=10**8, balance_fen=10**8, who=f"driver{number}")
        asked = [await one(s, rng, number) for number in range(count)]
        assert s.charged() == sum(asked)
        assert 0 in asked

    return scene


@pytest.mark.requirement("pay.gateway-amount-equals-payable", "pay.mixed-tender-sums-exactly")
def test_mixed_orders_charge_what_is_left_of_the_pumps_amount(shop):
    shop(points_per_fen=2).run(orders_of_all_kinds(16), until_s=4_000)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.requirement("pay.gateway-amount-equals-payable", "pay.mixed-tender-sums-exactly")
def test_ten_thousand_mixed_orders(shop):
    shop(points_per_fen=2).run(orders_of_all_kinds(10_000), until_s=1_000_000)
