"""Combined orders: one payment and one notice for several orders, closed together, refunded one by one."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from protocols.wechatpay import pay_sign
from sim.wechatpay import GatewayFault, Switches

OPENID = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"
PATH = "/v3/combine-transactions"
NUMBER = f"{PATH}/out-trade-no/COMBINE001"


def code_of(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["code"]


def body(world: Any, *fens: int, **more: Any) -> dict[str, Any]:
    own = world.merchant.credentials
    return {
        "combine_appid": own.appid,
        "combine_mchid": own.mchid,
        "combine_out_trade_no": "COMBINE001",
        "scene_info": {"device_id": "POS1:1", "payer_client_ip": "14.17.22.32"},
        "sub_orders": [
            {
                "mchid": own.mchid,
                "attach": f"part {number}",
                "amount": {"total_amount": fen, "currency": "CNY"},
                "out_trade_no": f"PART00000{number}",
                "description": "92#",
            }
            for number, fen in enumerate(fens or (20_000, 1_500), 1)
        ],
        "combine_payer_info": {"openid": OPENID},
        "notify_url": "https://backend.station/v1/notify/wechatpay",
        **more,
    }


async def prepay(world: Any, **more: Any) -> str:
    reply = await world.call("POST", f"{PATH}/jsapi", body(world, **more))
    assert reply.status_code == 200, reply.text
    prepay_id: str = reply.json()["prepay_id"]
    return prepay_id


def close_body(world: Any, *numbers: str) -> dict[str, Any]:
    own = world.merchant.credentials
    named = [{"mchid": own.mchid, "out_trade_no": number} for number in numbers]
    return {"combine_appid": own.appid, "sub_orders": named}


def test_one_payment_for_all_and_one_notice(make_world) -> None:
    world = make_world()

    async def story() -> None:
        await world.at_phone("balance", balance_fen=21_499)
        prepay_id = await prepay(world)
        before = (await world.call("GET", NUMBER)).json()
        assert {sub["trade_state"] for sub in before["sub_orders"]} == {"NOTPAY"}
        assert "transaction_id" not in before["sub_orders"][0]
        assert (await world.confirm(prepay_id)).json()["reason"] == "balance"
        assert (await world.confirm(prepay_id, openid="oOther")).json()["reason"] == "other-payer"
        await world.at_phone("balance", balance_fen=21_500)
        assert (await world.confirm(prepay_id)).json() == {"err_msg": "requestPayment:ok"}
        assert (await world.confirm(prepay_id)).json()["reason"] == "paid"

    world.run(story())
    (notice,) = world.shop.opened
    assert notice.event_type == "TRANSACTION.SUCCESS"
    told = json.loads(notice.resource)
    found = world.run(world.call("GET", NUMBER)).json()
    assert told == found
    assert found["combine_payer_info"] == {"openid": OPENID}
    one, two = found["sub_orders"]
    assert one["transaction_id"] != two["transaction_id"]
    assert two["amount"] == {
        "total_amount": 1_500,
        "currency": "CNY",
        "payer_amount": 1_500,
        "payer_currency": "CNY",
    }
    assert (two["trade_state"], two["attach"]) == ("SUCCESS", "part 2")
    assert world.gateway.wallets.balance_fen(OPENID) == 0
    single = world.run(world.query("PART000002")).json()
    assert single["transaction_id"] == two["transaction_id"]


def test_parts_are_refunded_one_by_one(make_world) -> None:
    world = make_world()

    async def story() -> None:
        await world.confirm(await prepay(world))
        assert (await world.refund("R1", 1_500, "PART000002", 1_500)).status_code == 200
        states = [sub["trade_state"] for sub in (await world.call("GET", NUMBER)).json()["sub_orders"]]
        assert states == ["SUCCESS", "REFUND"]

    world.run(story())
    assert [notice.event_type for notice in world.shop.opened] == ["TRANSACTION.SUCCESS", "REFUND.SUCCESS"]


def test_closed_together_and_only_together(make_world) -> None:
    world = make_world()

    async def story() -> None:
        prepay_id = await prepay(world)
        assert code_of(await world.close("PART000001")) == (403, "TRADE_ERROR")
        wrong = await world.call("POST", f"{NUMBER}/close", close_body(world, "PART000001"))
        assert code_of(wrong) == (400, "INVALID_REQUEST")
        whole = close_body(world, "PART000001", "PART000002")
        for _ in range(2):
            assert (await world.call("POST", f"{NUMBER}/close", whole)).status_code == 204
        assert (await world.confirm(prepay_id)).json()["reason"] == "closed"
        for number in ("PART000001", "PART000002"):
            assert (await world.query(number)).json()["trade_state"] == "CLOSED"
        again = await world.call("POST", f"{PATH}/jsapi", body(world))
        assert code_of(again) == (400, "ORDER_CLOSED")
        unknown = NUMBER.replace("001", "404")
        assert code_of(await world.call("GET", unknown)) == (404, "ORDER_NOT_EXIST")
        gone = await world.call("POST", f"{unknown}/close", whole)
        assert code_of(gone) == (404, "ORDER_NOT_EXIST")

    world.run(story())


def test_a_paid_combination_cannot_be_closed(make_world) -> None:
    world = make_world()

    async def story() -> None:
        await world.confirm(await prepay(world))
        refused = await world.call(
            "POST", f"{NUMBER}/close", {"combine_appid": world.merchant.credentials.appid}
        )
        assert code_of(refused) == (403, "TRADE_ERROR")

    world.run(story())


def test_numbers_belong_to_their_first_parameters(make_world) -> None:
    world = make_world()

    async def story() -> None:
        await world.prepay("PART000002")
        taken = await world.call("POST", f"{PATH}/jsapi", body(world))
        assert code_of(taken) == (403, "OUT_TRADE_NO_USED")
        assert code_of(await world.call("GET", NUMBER)) == (404, "ORDER_NOT_EXIST")
        free = body(world, 100)
        first = (await world.call("POST", f"{PATH}/jsapi", free)).json()["prepay_id"]
        second = (await world.call("POST", f"{PATH}/jsapi", free)).json()["prepay_id"]
        assert first != second
        other = await world.call("POST", f"{PATH}/jsapi", body(world, 101))
        assert code_of(other) == (403, "OUT_TRADE_NO_USED")
        alone = await world.call("POST", "/v3/pay/transactions/jsapi", world.prepay_body("PART000001", 100))
        assert code_of(alone) == (403, "OUT_TRADE_NO_USED")
        await world.confirm(first)
        late = await world.call("POST", f"{PATH}/jsapi", free)
        assert code_of(late) == (400, "INVALID_REQUEST")

    world.run(story())


def test_a_code_for_several_orders(make_world) -> None:
    world = make_world(switches=Switches(require_pay_sign=True))
    native = body(world)
    del native["combine_payer_info"]

    async def story() -> None:
        code_url = (await world.call("POST", f"{PATH}/native", native)).json()["code_url"]
        assert (await world.at_phone("confirm", "oAnna", code_url=code_url)).status_code == 200
        found = (await world.call("GET", NUMBER)).json()
        assert found["combine_payer_info"] == {"openid": "oAnna"}
        assert {sub["trade_type"] for sub in found["sub_orders"]} == {"NATIVE"}

    world.run(story())


def test_the_payment_call_is_signed_for_the_combination(make_world) -> None:
    world = make_world(switches=Switches(require_pay_sign=True))
    own = world.merchant.credentials

    async def story() -> None:
        prepay_id = await prepay(world)
        signed = pay_sign(
            own.private_key, app_id=own.appid, prepay_id=prepay_id, timestamp_s=1_790_000_000, nonce="n"
        )
        assert (await world.confirm(prepay_id)).json()["reason"] == "pay-sign"
        assert (await world.confirm(prepay_id, pay_sign=signed)).status_code == 200

    world.run(story())


def test_it_expires_as_a_whole_and_its_notice_can_come_early(make_world) -> None:
    early = GatewayFault(kind="callback-before-reply", name="early", at=("confirm",))
    world = make_world(early)

    async def story() -> None:
        prepay_id = await prepay(world)
        await asyncio.sleep(7_200)
        assert (await world.confirm(prepay_id)).json()["reason"] == "expired"
        fresh = await prepay(world)
        await world.confirm(fresh)
        assert world.shop.opened
        gone = await prepay(world, combine_out_trade_no="COMBINE002", sub_orders=renamed)
        await asyncio.sleep(7 * 86_400)
        assert (await world.confirm(gone)).json()["reason"] == "closed"

    renamed = [{**sub, "out_trade_no": f"X{sub['out_trade_no']}"} for sub in body(world)["sub_orders"]]
    world.run(story())
    assert len(world.shop.opened) == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"sub_orders": []}, "/sub_orders"),
        ({"sub_orders": [1]}, "/sub_orders/0"),
        ({"sub_orders": {}}, "/sub_orders"),
        ({"combine_payer_info": {}}, "/combine_payer_info/openid"),
        ({"combine_mchid": "1"}, "/combine_mchid"),
        ({"combine_out_trade_no": "a b"}, "/combine_out_trade_no"),
    ],
)
def test_bad_combinations_are_named(make_world, change: dict[str, Any], field: str) -> None:
    world = make_world()
    reply = world.run(world.call("POST", f"{PATH}/jsapi", body(world, **change)))
    assert (reply.status_code, reply.json()["detail"]["field"]) == (400, field)


def test_a_bad_part_is_named_by_its_place(make_world) -> None:
    world = make_world()
    wrong = body(world)
    wrong["sub_orders"][1]["amount"]["total_amount"] = 0
    reply = world.run(world.call("POST", f"{PATH}/jsapi", wrong))
    assert reply.json()["detail"]["field"] == "/sub_orders/1/amount/total_amount"
    many = world.run(world.call("POST", f"{PATH}/jsapi", body(world, *([1] * 51))))
    assert many.json()["detail"]["field"] == "/sub_orders"
    foreign = body(world)
    foreign["sub_orders"][0]["mchid"] = "1999999999"
    refused = world.run(world.call("POST", f"{PATH}/jsapi", foreign))
    assert code_of(refused) == (403, "NO_AUTH")
    twice = body(world)
    twice["sub_orders"][1]["out_trade_no"] = "PART000001"
    refused = world.run(world.call("POST", f"{PATH}/jsapi", twice))
    assert code_of(refused) == (403, "OUT_TRADE_NO_USED")
    assert not world.gateway.ledger.orders
