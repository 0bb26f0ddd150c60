"""Each way to pay, once, from the sale to PAID, in virtual time against the simulated gateways."""

from __future__ import annotations

import pytest


def test_wechats_cashier(shop):
    async def scene(s):
        order = await s.order()
        sheet = await s.pay(order)
        await s.confirm(sheet)
        shown = await s.until(order, "PAID")
        assert shown["paid_fen"] == 9600

    shop().run(scene)


def test_a_code_at_the_pump_without_a_password(shop):
    async def scene(s):
        sale = await s.sale()
        shown = await s.scan(sale, await s.code())
        assert (shown["state"], shown["paid_fen"]) == ("PAID", 9600)
        (payment,) = await s.rows("payments")
        assert (payment["channel"], payment["proof"]) == ("wechatpay-code", "reply")

    shop().run(scene)


@pytest.mark.parametrize("route", ["unionpay-qr", "unionpay-jump"])
def test_quickpass(shop, route):
    async def scene(s):
        order = await s.order()
        sheet = await s.pay(order, route)
        if route == "unionpay-qr":
            await s.union_confirm(qr_code=sheet["qr_code"])
        else:
            await s.union_confirm(union_path=sheet["jump"]["path"], password=True, sms_code=True)
        shown = await s.until(order, "PAID")
        (payment,) = await s.rows("payments")
        assert (payment["channel"], payment["proof"], shown["paid_fen"]) == (route, "callback", 9600)

    shop().run(scene)


def test_a_unionpay_code_at_the_pump(shop):
    async def scene(s):
        sale = await s.sale()
        shown = await s.scan(sale, await s.union_code())
        await s.until(shown["order_id"], "PAID")

    shop().run(scene)
