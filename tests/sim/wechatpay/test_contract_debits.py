"""Money taken by a contract: accepted at once, decided later, refused above the limit, tried again after a failure."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from protocols.wechatpay import decode_transaction
from sim.wechatpay import GatewayFault, GatewayProfile, Switches, generate_merchant

OPENID = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"
CONTRACT = "/v3/papay/sign/contracts/plan-id/12535/out-contract-code/KMCONTRACT1"


def code_of(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["code"]


async def found(world: Any, number: str = "DEBIT00001") -> tuple[str, str]:
    shown = (await world.query(number)).json()
    return shown["trade_state"], shown["trade_state_desc"]


def test_a_debit_is_accepted_then_decided_and_announced(make_world) -> None:
    world = make_world(profile=GatewayProfile())

    async def story() -> dict[str, Any]:
        contract = await world.sign()
        reply = await world.debit(contract["contract_id"], attach="KM01/3")
        assert reply.json() == {"out_trade_no": "DEBIT00001", "amount": {"total": 20_000, "currency": "CNY"}}
        waiting = (await world.query("DEBIT00001")).json()
        assert waiting["trade_state"] == "ACCEPTED"
        assert "transaction_id" not in waiting
        return contract

    contract = world.run(story())
    paid = world.run(world.query("DEBIT00001")).json()
    assert (paid["trade_state"], paid["trade_type"], paid["payer"]) == ("SUCCESS", "PAP", {"openid": OPENID})
    (notice,) = world.shop.opened
    assert notice.event_type == "TRANSACTION.SUCCESS"
    assert decode_transaction(notice.resource).transaction_id == paid["transaction_id"]
    shown = world.run(world.call("GET", CONTRACT)).json()
    assert shown == contract
    assert (shown["contract_state"], shown["openid"]) == ("SIGNED", OPENID)
    own = world.run(world.call("GET", "/v3/papay/pay/transactions/out-trade-no/DEBIT00001?mchid=1"))
    assert own.json() == paid
    assert world.run(world.refund("R1", 5_000, "DEBIT00001")).status_code == 200


def test_the_same_debit_takes_money_once(make_world) -> None:
    world = make_world(profile=GatewayProfile())

    async def story() -> None:
        await world.at_phone("balance", balance_fen=100_000)
        contract_id = (await world.sign())["contract_id"]
        replies = await asyncio.gather(*(world.debit(contract_id) for _ in range(5)))
        assert {reply.status_code for reply in replies} == {200}
        await asyncio.sleep(60)
        assert (await world.debit(contract_id)).status_code == 200
        assert code_of(await world.debit(contract_id, total=1)) == (403, "OUT_TRADE_NO_USED")
        await asyncio.sleep(60)

    world.run(story())
    assert world.gateway.wallets.balance_fen(OPENID) == 80_000
    assert len(world.shop.opened) == 1


def test_too_little_money_fails_and_the_same_number_may_try_again(make_world) -> None:
    world = make_world()

    async def story() -> None:
        await world.at_phone("balance", balance_fen=19_999)
        contract_id = (await world.sign())["contract_id"]
        assert (await world.debit(contract_id)).status_code == 200
        await asyncio.sleep(1)
        assert await found(world) == ("PAY_FAIL", "用户账户余额不足")
        await world.at_phone("balance", balance_fen=20_000)
        assert (await world.debit(contract_id)).status_code == 200
        await asyncio.sleep(1)
        assert await found(world) == ("SUCCESS", "支付成功")

    world.run(story())
    assert [notice.event_type for notice in world.shop.opened] == ["TRANSACTION.FAIL", "TRANSACTION.SUCCESS"]
    assert decode_transaction(world.shop.opened[0].resource).trade_state == "PAY_FAIL"


def test_a_failed_debit_can_be_closed_for_good(make_world) -> None:
    world = make_world(GatewayFault(kind="debit-failed", name="bank", limit=1), profile=GatewayProfile())

    async def story() -> None:
        contract_id = (await world.sign())["contract_id"]
        await world.debit(contract_id)
        early = await world.close("DEBIT00001")
        assert code_of(early) == (403, "TRADE_ERROR")
        assert "支付中" in early.json()["message"]
        await asyncio.sleep(60)
        assert (await found(world))[0] == "PAY_FAIL"
        assert (await world.close("DEBIT00001")).status_code == 204
        assert code_of(await world.debit(contract_id)) == (400, "ORDER_CLOSED")

    world.run(story())
    assert world.gateway.faults.report()["bank"]["landed"] == 1


@pytest.mark.parametrize("how", ["refuse", "fail"])
def test_the_limits_of_a_contract(make_world, how: Any) -> None:
    world = make_world(switches=Switches(debit_over_limit=how))

    async def outcome(contract_id: str, number: str, total: int) -> str:
        reply = await world.debit(contract_id, number, total)
        if reply.status_code != 200:
            assert how == "refuse"
            assert code_of(reply) == (403, "RULE_LIMIT")
            assert code_of(await world.query(number)) == (404, "ORDER_NOT_EXIST")
            return "over"
        await asyncio.sleep(1)
        state, text = await found(world, number)
        return "over" if "限额" in text else state

    async def story() -> list[str]:
        contract_id = (await world.sign(10_000, day_limit_fen=25_000))["contract_id"]
        seen = [
            await outcome(contract_id, f"DEBIT{number:05}", fen)
            for number, fen in enumerate((10_001, 10_000, 10_000, 5_001, 5_000, 1))
        ]
        await asyncio.sleep(86_400)
        return [*seen, await outcome(contract_id, "DEBITNEXT1", 10_000)]

    assert world.run(story()) == ["over", "SUCCESS", "SUCCESS", "over", "SUCCESS", "over", "SUCCESS"]


def test_ended_contracts_take_nothing(make_world) -> None:
    world = make_world(profile=GatewayProfile())

    async def story() -> None:
        contract = await world.sign()
        await world.debit(contract["contract_id"])
        own = f"/payers/{OPENID}/contracts/{contract['contract_id']}"
        stranger = await world.phone.request("DELETE", own.replace(OPENID, "oOther"))
        assert stranger.status_code == 404
        assert (await world.phone.request("DELETE", own)).status_code == 204
        await asyncio.sleep(60)
        assert await found(world) == ("PAY_FAIL", "用户已解约")
        refused = await world.debit(contract["contract_id"], "DEBIT00002")
        assert code_of(refused) == (400, "INVALID_REQUEST")
        shown = (await world.call("GET", CONTRACT)).json()
        assert shown["contract_state"] == "TERMINATED"
        assert shown["contract_terminate_info"]["contract_termination_mode"] == "USER_TERMINATE"

    world.run(story())


def test_the_merchant_ends_a_contract(make_world) -> None:
    world = make_world()

    async def story() -> None:
        await world.sign()
        body = {"contract_termination_remark": "车辆已出售"}
        assert (await world.call("POST", f"{CONTRACT}/terminate", body)).status_code == 204
        assert (await world.call("POST", f"{CONTRACT}/terminate", body)).status_code == 204
        shown = (await world.call("GET", CONTRACT)).json()
        assert shown["contract_terminate_info"]["contract_termination_mode"] == "MERCHANT_TERMINATE"
        bad = await world.call("POST", f"{CONTRACT}/terminate", {})
        assert code_of(bad) == (400, "PARAM_ERROR")

    world.run(story())


def test_a_contract_is_with_one_merchant(make_world, platform) -> None:
    world = make_world()
    other = generate_merchant(platform, mchid="1900000333")
    world.gateway.accounts[other.account.mchid] = other.account

    async def story() -> None:
        contract = await world.sign(mchid=other.account.mchid)
        assert contract["mchid"] == other.account.mchid
        assert code_of(await world.debit(contract["contract_id"])) == (404, "RESOURCE_NOT_EXISTS")
        assert code_of(await world.call("GET", CONTRACT)) == (404, "RESOURCE_NOT_EXISTS")

    world.run(story())


def test_unknown_contracts_and_bad_debits(make_world) -> None:
    world = make_world()

    async def story() -> None:
        assert code_of(await world.debit("1")) == (404, "RESOURCE_NOT_EXISTS")
        for target in (CONTRACT, CONTRACT.replace("12535", "x"), CONTRACT.replace("12535", "9" * 40)):
            assert code_of(await world.call("GET", target)) == (404, "RESOURCE_NOT_EXISTS")
        contract_id = (await world.sign())["contract_id"]
        wrong = await world.debit(contract_id, appid="wx1")
        assert code_of(wrong) == (400, "APPID_MCHID_NOT_MATCH")
        for change, field in (
            ({"transaction_notify_url": "http://x"}, "/transaction_notify_url"),
            ({"amount": {"total": 0}}, "/amount/total"),
        ):
            reply = await world.debit(contract_id, **change)
            assert (reply.status_code, reply.json()["detail"]["field"]) == (400, field)

    world.run(story())


@pytest.mark.parametrize(
    "change",
    [
        {"plan_id": "1"},
        {"limit_fen": 0},
        {"limit_fen": True},
        {"day_limit_fen": -1},
        {"out_contract_code": "a b"},
        {"out_contract_code": 5},
        {"mchid": "1"},
        {"mchid": ["1"]},
    ],
)
def test_bad_signatures_are_told(make_world, change: dict[str, Any]) -> None:
    world = make_world()
    body = {"plan_id": 1, "out_contract_code": "A", "limit_fen": 1, **change}
    reply = world.run(world.at_phone("contracts", **body))
    assert reply.status_code == 400
    assert reply.json()["message"]


def test_a_code_is_signed_once(make_world) -> None:
    world = make_world()
    world.run(world.sign())
    body = {"plan_id": 12535, "out_contract_code": "KMCONTRACT1", "limit_fen": 1}
    assert world.run(world.at_phone("contracts", **body)).status_code == 400


def test_silence_about_failures_is_a_switch(make_world) -> None:
    world = make_world(
        GatewayFault(kind="debit-failed", name="bank"), switches=Switches(announce_failed_debits=False)
    )

    async def story() -> None:
        await world.debit((await world.sign())["contract_id"])

    world.run(story())
    assert not world.shop.seen
    assert world.run(found(world))[0] == "PAY_FAIL"
