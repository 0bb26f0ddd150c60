"""Frictionless payment: debited when the pump has finished, within the limit, or else an ordinary unpaid order."""

from __future__ import annotations

import asyncio

import pytest

from sim.wechatpay import GatewayFault, Switches

LIMIT_FEN = 20_000


async def sign(s, who="zhang"):
    """Sign in the mini-program and let the backend see that it is so."""
    began = await s.call("POST", "/v1/me/contract", {}, await s.phone(who))
    assert began["state"] == "signing"
    body = {
        "plan_id": began["plan_id"],
        "out_contract_code": began["contract_code"],
        "limit_fen": began["limit_fen"],
    }
    reply = await s.payer.post(f"/payers/{await s.openid(who)}/contracts", json=body)
    assert reply.status_code == 201, reply.text
    assert (await s.call("GET", "/v1/me/contract", headers=await s.phone(who)))["state"] == "active"
    return reply.json()["contract_id"]


async def fuel(s, who="zhang", amount_fen=9600, nozzle=1):
    """Drive up, fuel, hang up, drive off: the phone is never looked at again."""
    order = await s.order_for(who, nozzle, auto_pay=True)
    for command in (await s.call("GET", "/v1/stations/KM01/commands"))["commands"]:
        if command["kind"] == "authorise":
            result = {"ok": True, "reason": None}
            await s.call("POST", f"/v1/stations/KM01/commands/{command['id']}/result", result)
    await s.sale(amount_fen, nozzle, order_id=order)
    return order


async def notice_of(s, order, who="zhang"):
    return (await s.call("GET", f"/v1/orders/{order}", headers=await s.phone(who))).get("notice")


@pytest.mark.requirement("pay.failed-contract-debit-becomes-unpaid")
def test_debited_when_the_pump_has_finished(shop):
    async def scene(s):
        await sign(s)
        order = await fuel(s)
        shown = await s.until(order, "PAID")
        assert (shown["paid_fen"], s.charged(), await notice_of(s, order)) == (9600, 9600, None)
        (payment,) = await s.rows("payments")
        assert (payment["channel"], payment["proof"]) == ("wechatpay-contract", "callback")
        # A sale that had ended before the phone came: the same.
        await s.sale(nozzle=2)
        order = await s.order_for(nozzle=2, auto_pay=True)
        await s.until(order, "PAID")
        assert s.charged() == 19_200

    shop().run(scene)


@pytest.mark.requirement("pay.failed-contract-debit-becomes-unpaid")
@pytest.mark.parametrize("announced", [True, False])
def test_a_debit_that_fails_leaves_an_ordinary_unpaid_order(shop, announced):
    """Balance insufficient: closed at the gateway, so that no later try can take the money; paid in another way."""

    async def scene(s):
        await sign(s)
        await s.payer.post(f"/payers/{await s.openid()}/balance", json={"balance_fen": 100})
        order = await fuel(s)
        shown = await s.until(order, "PAYABLE", within_s=30)
        await asyncio.sleep(30)
        shown = await s.show(order)
        assert (shown["state"], shown["paid_fen"]) == ("PAYABLE", 0)
        assert await notice_of(s, order) == "contract_debit_failed"
        assert "contract_debit_failed" in await s.alarms()
        (debit,) = s.wechat.ledger.orders
        assert str(debit.state) == "CLOSED"
        # The nozzle's policy sees an unpaid sale like any other: no "settled" has gone to the site.
        kinds = [
            command["kind"] for command in (await s.call("GET", "/v1/stations/KM01/commands"))["commands"]
        ]
        assert "settled" not in kinds
        await s.payer.post(f"/payers/{await s.openid()}/balance", json={"balance_fen": None})
        sheet = await s.pay(order)
        await s.confirm(sheet)
        await s.until(order, "PAID")
        assert s.charged() == 9600

    switches = Switches(announce_failed_debits=announced)
    shop(wechat={"switches": switches}, contract_limit_fen=LIMIT_FEN).run(scene)


@pytest.mark.requirement("pay.failed-contract-debit-becomes-unpaid")
def test_nothing_above_the_limit_and_nothing_without_a_contract(shop):
    async def scene(s):
        await sign(s)
        over = await fuel(s, amount_fen=LIMIT_FEN + 1)
        exact = await fuel(s, amount_fen=LIMIT_FEN, nozzle=2)
        none = await fuel(s, "li", nozzle=3)
        await s.until(exact, "PAID")
        await asyncio.sleep(20)
        for order, who, notice in ((over, "zhang", "over_contract_limit"), (none, "li", "no_contract")):
            assert (await s.show(order))["state"] == "PAYABLE"
            assert await notice_of(s, order, who) == notice
        assert s.charged() == LIMIT_FEN
        # Ended by the member: no more debits.
        await s.call("DELETE", "/v1/me/contract", headers=await s.phone())
        ended = await fuel(s, nozzle=4)
        await asyncio.sleep(20)
        assert await notice_of(s, ended) == "no_contract"
        (contract,) = s.wechat.contracts.contracts
        assert contract.terminated_us is not None
        # Ended at WeChat, which this service does not know yet: the gateway refuses.
        contract_id = await sign(s)
        await s.payer.delete(f"/payers/{await s.openid()}/contracts/{contract_id}")
        refused = await fuel(s, nozzle=5)
        await asyncio.sleep(20)
        assert await notice_of(s, refused) == "contract_debit_failed"
        assert s.charged() == LIMIT_FEN

    shop(contract_limit_fen=LIMIT_FEN).run(scene)


@pytest.mark.requirement("pay.timeout-is-unknown-not-failed", "pay.failed-contract-debit-becomes-unpaid")
def test_a_debit_without_an_answer_and_a_kill_take_the_money_once(shop):
    lost = GatewayFault(kind="timeout", at=("debit",), after_commit=True, limit=2)

    async def scene(s):
        for who in ("zhang", "li"):
            await sign(s, who)
        first = await fuel(s)
        await asyncio.sleep(0.3)
        await s.kill()
        second = await fuel(s, "li", nozzle=2)
        for order in (first, second):
            await s.until(order, "PAID", within_s=200, every_s=3)
        assert s.charged() == 2 * 9600

    shop(wechat_faults=[lost]).run(scene)


def test_somebody_elses_contract_is_no_contract(shop):
    async def scene(s):
        began = await s.call("POST", "/v1/me/contract", {}, await s.phone("zhang"))
        body = {"plan_id": began["plan_id"], "out_contract_code": began["contract_code"], "limit_fen": 1}
        await s.payer.post(f"/payers/{await s.openid('li')}/contracts", json=body)
        assert (await s.call("GET", "/v1/me/contract", headers=await s.phone()))["state"] == "signing"

    shop().run(scene)


def test_a_contract_that_was_ended_while_the_gateway_was_asked_stays_ended(shop):
    """Two requests at once: the phone looks whether it is signed, and ends it; the older answer comes last."""

    async def scene(s):
        began = await s.call("POST", "/v1/me/contract", {}, await s.phone())
        body = {"plan_id": began["plan_id"], "out_contract_code": began["contract_code"], "limit_fen": 1}
        await s.payer.post(f"/payers/{await s.openid()}/contracts", json=body)
        gateway = s.backends[0].core.contract_gateway
        ask, go_on = gateway.contract, asyncio.Event()
        held = []

        async def slow(code):
            report = await ask(code)
            if not held:
                held.append(report)
                await go_on.wait()
            return report

        gateway.contract = slow
        headers = await s.phone()
        looking = asyncio.create_task(s.client.get("/v1/me/contract", headers=headers))
        await asyncio.sleep(5)
        await s.call("DELETE", "/v1/me/contract", headers=headers)
        go_on.set()
        assert (await looking).status_code == 404
        assert (await s.client.get("/v1/me/contract", headers=headers)).status_code == 404
        (contract,) = s.wechat.contracts.contracts
        assert (held[0].state, contract.ended_by) == ("SIGNED", "MERCHANT_TERMINATE")

    shop().run(scene)


def test_who_ends_a_contract_at_the_gateway_can_sign_again(shop):
    async def scene(s):
        for nozzle in (1, 2):
            contract_id = await sign(s)
            await s.payer.delete(f"/payers/{await s.openid()}/contracts/{contract_id}")
            order = await fuel(s, nozzle=nozzle)
            await asyncio.sleep(20)
            assert await notice_of(s, order) == "contract_debit_failed"
            assert (await s.client.get("/v1/me/contract", headers=await s.phone())).status_code == 404
        # Ended there and not tried since: ended here without asking for it twice.
        contract_id = await sign(s)
        await s.payer.delete(f"/payers/{await s.openid()}/contracts/{contract_id}")
        asked = len(s.pay_host.seen)
        await s.call("DELETE", "/v1/me/contract", headers=await s.phone())
        assert not any("/terminate" in path for _, path in s.pay_host.seen[asked:])
        await sign(s)
        order = await fuel(s, nozzle=3)
        await s.until(order, "PAID")

    shop().run(scene)
