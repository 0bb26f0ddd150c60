"""The tables of channels, members and contracts on SQLite and PostgreSQL, with a gateway whose every answer is decided."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from reference.backend.channels.contract import ContractChannel
from reference.backend.channels.wechat import CodeChannel
from reference.backend.gateways.port import (
    ContractReport,
    GatewayRefusedError,
    GatewayUnreachableError,
    TradeReport,
)

ADMIN = "admin-key-for-tests"
CODE = "130000000000000000"
PARTS = {"points": 300, "coupon_id": "c-1", "balance_fen": 2500}


class Fake:
    """Pay codes and contracts beside the common fake."""

    def __init__(self, gateway: Any) -> None:
        self.gateway = gateway
        self.reversals: list[str] = []

    def _put(self, number: str, amount_fen: int, state: str) -> TradeReport:
        trade = self.gateway.trades.setdefault(number, {"state": state, "amount_fen": amount_fen})
        if state == "SUCCESS":
            trade["transaction_id"] = f"42{len(self.gateway.trades):026d}"
        return self.gateway.report(number)

    async def pay_code(
        self, *, out_trade_no: str, amount_fen: int, auth_code: str, **more: Any
    ) -> TradeReport:
        return self._put(out_trade_no, amount_fen, "SUCCESS" if auth_code == CODE else "USERPAYING")

    async def reverse(self, out_trade_no: str) -> None:
        self.reversals.append(out_trade_no)
        if len(self.reversals) < 3:
            raise GatewayRefusedError(400, "USERPAYING", "-")
        self.gateway.trades[out_trade_no]["state"] = "REVOKED"

    async def contract(self, contract_code: str) -> ContractReport | None:
        return ContractReport(f"c{contract_code[:30]}", "SIGNED", "zhang")

    async def end_contract(self, contract_code: str) -> None:
        del contract_code

    async def debit(self, *, out_trade_no: str, amount_fen: int, **more: Any) -> None:
        self._put(out_trade_no, amount_fen, "PAY_FAIL")


async def member(w):
    """Zhang with points, balance and a coupon; every instance with pay codes and contracts."""
    fake = Fake(w.gateway)
    closed = w.gateway.close

    async def close(number):
        if w.gateway.trades[number]["state"] == "PAY_FAIL":
            w.gateway.trades[number]["state"] = "NOTPAY"
        await closed(number)

    w.gateway.close = close
    for backend in w.backends:
        core = backend.core
        core.contract_gateway = fake
        core.settings = core.settings.model_copy(
            update={"channels": ("wechatpay", "wechatpay-code", "wechatpay-contract"), "contract_plan_id": 1}
        )
        core.channels.add(CodeChannel(core, fake), ContractChannel(core, fake))
    await w.order(8, client_token="log-in")
    grant = {"client_token": "g", "openid": "zhang", "points": 500, "balance_fen": 4000, "reason": "opening"}
    assert await w.call("POST", "/v1/admin/grants", grant, key=ADMIN, status=201) == {}
    await w.call("POST", "/v1/admin/grants", grant, key=ADMIN, status=200)
    coupon = {"coupon_id": "c-1", "openid": "zhang", "worth_fen": 1000, "expires_us": w.now_us + 10**12}
    await w.call("POST", "/v1/admin/coupons", coupon, key=ADMIN, status=201)
    await w.call("POST", "/v1/admin/coupons", coupon, key=ADMIN, status=409)
    return fake


async def purse(w):
    me = await w.call("GET", "/v1/me", key=w.tokens["zhang-real"], status=200)
    return me["points"], me["balance_fen"], len(me["coupons"])


async def pay(w, order, parts, status=200, on=0):
    body = {"channel": "wechatpay", "parts": parts}
    return await w.phone("POST", f"/{order['order_id']}/pay", body, status=status, on=on)


@pytest.mark.requirement("pay.mixed-tender-sums-exactly")
def test_parts_are_held_taken_released_and_given_back(play):
    async def scene(w):
        await member(w)
        sale = await w.site("POST", "/sales", w.sale(), status=201)
        order = await w.order(client_token="order")
        asked = await pay(w, order, PARTS)
        assert (await purse(w), w.gateway.trades[asked["out_trade_no"]]["amount_fen"]) == (
            (200, 1500, 0),
            5800,
        )
        await w.phone("POST", f"/{order['order_id']}/cancel", status=200)
        assert await purse(w) == (500, 4000, 1)
        assert await w.violations() == []
        # Late money takes them again.
        w.gateway.trades[asked["out_trade_no"]]["state"] = "NOTPAY"
        w.gateway.pay(asked["out_trade_no"])
        answers = await asyncio.gather(*(w.notify(asked["out_trade_no"], on=n % 2) for n in range(8)))
        assert answers == [204] * 8
        assert ((await w.show(order))["paid_fen"], await purse(w)) == (9600, (200, 1500, 0))
        assert await w.violations() == []
        # Given back: each to where it came from.
        core = w.core

        async def give_back(tx):
            row = await core.orders.lock(tx, order["order_id"])
            await core.refunds.give_back(tx, row, 9600, "a person decided so")

        # A paid order of this mode is not given back by itself; the way there is the one for money after the end.
        await w.database.run(give_back)
        await w.run_due()
        shown = await w.show(order)
        assert (shown["state"], shown["refunded_fen"], await purse(w)) == ("REFUNDED", 9600, (500, 4000, 1))
        assert [refund["amount_fen"] for refund in w.gateway.refunds.values()] == [5800]
        found = [line for line in await w.violations() if "command" not in line]
        assert found == []
        assert sale["state"] == "payable"

    play(scene, instances=2)


def test_one_account_and_many_orders_at_once(play):
    """Ten orders, two instances, money for three: three get it, nothing is overdrawn."""

    async def scene(w):
        await member(w)
        orders = []
        for nozzle in range(1, 8):
            await w.site("POST", "/sales", w.sale(nozzle), status=201)
            orders.append(await w.order(nozzle, client_token=f"order-{nozzle}"))
        tries = (
            w.phone(
                "POST",
                f"/{order['order_id']}/pay",
                {"channel": "wechatpay", "parts": {"balance_fen": 1300}},
                on=n % 2,
            )
            for n, order in enumerate(orders)
        )
        answers = await asyncio.gather(*tries)
        assert sum("prepay_id" in answer for answer in answers) == 3
        assert await purse(w) == (500, 100, 1)
        assert await w.violations() == []

    play(scene, instances=2)


def test_pay_codes_and_contracts(play):
    async def scene(w):
        fake = await member(w)
        sale = await w.site("POST", "/sales", w.sale(1), status=201)
        body = {"client_token": "s-1", "auth_code": CODE}
        paid = await w.site("POST", f"/sales/{sale['sale_id']}/pay-code", body, status=200)
        assert paid["state"] == "PAID"
        # This one is typed at and never paid: reversed after 45 s, twice refused.
        sale = await w.site("POST", "/sales", w.sale(2), status=201)
        body = {"client_token": "s-2", "auth_code": "13" + "1" * 16}
        asked = await w.site("POST", f"/sales/{sale['sale_id']}/pay-code", body, status=200)
        assert asked["state"] == "PAYING"
        for _ in range(14):
            await w.run_due(later_s=5)
        assert len(fake.reversals) == 3
        shown = await w.site("GET", f"/orders/{asked['order_id']}", status=200)
        assert shown["state"] == "CLOSED"
        assert await w.violations() == []
        # A contract, and a debit that fails.
        key = w.tokens["zhang-real"]
        assert (await w.call("POST", "/v1/me/contract", key=key, status=200))["state"] == "active"
        await w.site("POST", "/sales", w.sale(3), status=201)
        order = await w.order(3, auto_pay=True, client_token="auto")
        await w.run_due()
        assert (await w.show(order))["state"] == "PAYING"
        await w.run_due(later_s=20)
        shown = await w.show(order)
        assert (shown["state"], shown["notice"]) == ("PAYABLE", "contract_debit_failed")
        await w.call("DELETE", "/v1/me/contract", key=key, status=204)
        await w.call("GET", "/v1/me/contract", key=key, status=404)
        await w.call("POST", "/v1/me/contract", key=key, status=200)  # a new one after the old
        assert await w.violations() == []

    play(scene)


def test_the_entries_of_an_account_cannot_be_changed(play):
    async def scene(w):
        await member(w)
        for statement in ("UPDATE member_entries SET points = 9", "DELETE FROM member_entries"):
            with pytest.raises(Exception, match="append-only"):
                await _run(w, statement)

    play(scene)


async def _run(w, statement):
    from sqlalchemy import text

    await w.database.run(lambda tx: tx.execute(text(statement)))


def test_an_ordinary_payment_costs_no_more_statements_than_before(shop):
    """49 from the sale to PAID, whatever other channels there are."""

    async def scene(s):
        await s.order(nozzle=2)
        statements: list[str] = []
        s.database._raw.set_trace_callback(statements.append)
        await s.sale()
        order = await s.order_for()
        sheet = await s.pay(order)
        await s.confirm(sheet)
        await asyncio.sleep(40)
        s.database._raw.set_trace_callback(None)
        assert len(statements) <= 49
        assert (await s.show(order))["state"] == "PAID"

    shop().run(scene)


@pytest.mark.requirement("pay.closed-before-new-attempt")
def test_an_attempt_of_which_one_try_may_have_arrived_is_closed_at_its_gateway(play):
    """Two taps: the first never leaves the house and is told so last; the second arrives. The attempt exists."""

    async def scene(w):
        await member(w)
        sale = await w.site("POST", "/sales", w.sale(1), status=201)
        order = await w.order(client_token="two-taps")
        arrived = asyncio.Event()
        prepay = w.gateway.prepay
        tries = iter((1, 2))

        async def either(**call):
            if next(tries) == 1:
                await arrived.wait()
                w.gateway.prepay = gone
                raise GatewayUnreachableError("no connection")
            sheet = await prepay(**call)
            arrived.set()
            return sheet

        async def gone(**call):
            raise GatewayUnreachableError("no connection")

        w.gateway.prepay = either
        path = f"/{order['order_id']}/pay"
        taps = await asyncio.gather(*(w.phone("POST", path, {"channel": "wechatpay"}) for _ in range(2)))
        assert sorted("prepay_id" in tap for tap in taps) == [False, True]
        (number,) = w.gateway.trades
        body = {"client_token": "s-1", "auth_code": CODE}
        paid = await w.site("POST", f"/sales/{sale['sale_id']}/pay-code", body, status=200)
        assert (paid["state"], w.gateway.trades[number]["state"]) == ("PAID", "CLOSED")

        # And when both never left, nothing is in the way of another channel.
        sale = await w.site("POST", "/sales", w.sale(2), status=201)
        order = await w.order(2, client_token="gone")
        w.gateway.prepay = gone
        for _ in range(2):
            await w.phone("POST", f"/{order['order_id']}/pay", {"channel": "wechatpay"}, status=503)
        body = {"client_token": "s-2", "auth_code": CODE}
        paid = await w.site("POST", f"/sales/{sale['sale_id']}/pay-code", body, status=200)
        assert (paid["order_id"], paid["state"]) == (order["order_id"], "PAID")
        assert await w.violations() == []

    play(scene)
