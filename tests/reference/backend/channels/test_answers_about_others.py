"""Answers of a gateway that are signed and fresh, and about something else than was asked: they decide nothing."""

from __future__ import annotations

import asyncio

import pytest


class Parrot:
    """In front of a gateway: keeps the answers to some calls and can give the last of them again, to whatever is asked next."""

    def __init__(self, app, part):
        self.app, self.part = app, part
        self.kept = []
        self.again = False

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or self.part not in scope["path"] or scope["path"].endswith("/close"):
            await self.app(scope, receive, send)
            return
        if self.again:
            await receive()
            for message in self.kept[-1]:
                await send(message)
            return
        said = []

        async def keep(message):
            said.append(message)
            await send(message)

        await self.app(scope, receive, keep)
        self.kept.append(said)


@pytest.mark.requirement("pay.timeout-is-unknown-not-failed")
def test_the_end_of_another_order_ends_no_order(shop):
    """A query's answer "closed", a minute old at most, is played back to the query of an open order."""

    async def scene(s):
        parrot = s.pay_host.app = Parrot(s.wechat.app, "/out-trade-no/")
        ended, open_ = await s.order(nozzle=1), await s.order(nozzle=2)
        number = (await s.pay(ended))["out_trade_no"]
        sheet = await s.pay(open_)
        await s.call("POST", f"/v1/orders/{ended}/cancel", {}, await s.phone())
        assert (await s.show(ended))["state"] == "CANCELLED"
        report = await s.backends[0].core.gateway.query(number)
        assert (report.out_trade_no, report.state) == (number, "CLOSED")
        parrot.again = True
        cancel = await s.client.post(f"/v1/orders/{open_}/cancel", json={}, headers=await s.phone())
        assert (cancel.status_code, cancel.json()["code"]) == (503, "payment_unknown")
        await asyncio.sleep(90)
        assert (await s.show(open_))["state"] == "PAYING"
        parrot.again = False
        await s.confirm(sheet)
        await s.until(open_, "PAID")

    shop().run(scene)


def test_the_code_of_another_order_is_shown_to_nobody(shop):
    async def scene(s):
        parrot = s.union_host.app = Parrot(s.union.app, "/backTransReq.do")
        first = await s.pay(await s.order(nozzle=1), "unionpay-qr")
        parrot.again = True
        order = await s.order("li", nozzle=2)
        refused = await s.pay(order, "unionpay-qr", who="li", status=503)
        assert refused["code"] == "payment_unknown"
        parrot.again = False
        await asyncio.sleep(60)  # by then the request, which the gateway never saw, cannot come any more
        second = await s.pay(order, "wechatpay", who="li")
        assert second["out_trade_no"] != first["out_trade_no"]

    shop().run(scene)
