"""Whatever a signed merchant or a phone's caller sends, the gateway answers in its own words and keeps its books."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest

from protocols.wechatpay import REFUSALS
from sim.wechatpay import Switches

KNOWN = {(row.code, row.status) for row in REFUSALS}
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1.5, 10**30, "", "x" * 200, "\x00", "汽油", "😀", "\\ud800", [], [None], {}, {"a": 1},
    "2026-02-30T00:00:00+08:00", "9999-12-31T23:59:59-23:59", "https://x?y", "../..",
)  # fmt: skip


def bodies(world: Any, code: str, contract_id: str) -> dict[str, Any]:
    own = world.merchant.credentials
    native = world.prepay_body("FUZZ000001")
    del native["payer"]
    part = {
        "mchid": own.mchid,
        "attach": "a",
        "amount": {"total_amount": 100, "currency": "CNY"},
        "out_trade_no": "FUZZPART01",
        "description": "92#",
    }
    combined = {
        "combine_appid": own.appid,
        "combine_mchid": own.mchid,
        "combine_out_trade_no": "FUZZCOMB01",
        "scene_info": {"device_id": "1"},
        "sub_orders": [part],
        "combine_payer_info": {"openid": "oAnna"},
        "notify_url": "https://backend.station/v1/notify/wechatpay",
        "time_expire": "2026-09-22T00:00:00+08:00",
    }
    debit = {
        "appid": own.appid,
        "out_trade_no": "FUZZDEBIT1",
        "description": "92#",
        "transaction_notify_url": "https://backend.station/v1/notify/wechatpay",
        "contract_id": contract_id,
        "amount": {"total": 1, "currency": "CNY"},
    }
    refund = {
        "out_trade_no": "ORDER00001",
        "out_refund_no": "R1",
        "reason": "r",
        "notify_url": "https://backend.station/v1/notify/wechatpay",
        "amount": {"refund": 1, "total": 20_000, "currency": "CNY"},
    }
    abnormal = {
        "out_refund_no": "R1",
        "type": "USER_BANK_CARD",
        "bank_type": "ICBC_DEBIT",
        "bank_account": "YQ==",
        "real_name": "YQ==",
    }
    plate = {
        "plate_number": "云A88888",
        "plate_color": "BLUE",
        "start_time": "2026-09-21T22:00:00+08:00",
        "parking_name": "KM01",
    }
    entry = {
        "out_parking_no": "IN0001",
        **plate,
        "notify_url": "https://backend.station/v1/notify/wechatpay",
        "free_duration": 0,
    }
    by_plate = {
        **{name: debit[name] for name in ("appid", "description", "amount")},
        "out_trade_no": "FUZZPLATE1",
        "trade_scene": "PARKING",
        "notify_url": entry["notify_url"],
        "parking_info": {
            **plate,
            "parking_id": "5K",
            "end_time": plate["start_time"],
            "charging_duration": 0,
            "device_id": "3",
        },
    }
    trade = "/v3/pay/transactions"
    number = f"{trade}/out-trade-no/ORDER00001"
    return {
        f"{trade}/jsapi": world.prepay_body("FUZZ000002", time_expire="2026-09-22T00:00:00+08:00"),
        f"{trade}/native": native,
        f"{trade}/codepay": world.codepay_body(code, "FUZZ000003", detail={}, settle_info={}),
        f"{number}/close": {"mchid": own.mchid},
        f"{number}/reverse": {"appid": own.appid, "mchid": own.mchid},
        "/v3/papay/pay/transactions/apply": debit,
        "/v3/papay/sign/contracts/plan-id/12535/out-contract-code/KMCONTRACT1/terminate": {
            "contract_termination_remark": "x"
        },
        "/v3/vehicle/parking/parkings": entry,
        "/v3/vehicle/transactions/parking": by_plate,
        "/v3/refund/domestic/refunds": refund,
        "/v3/refund/domestic/refunds/503/apply-abnormal-refund": abnormal,
        "/v3/combine-transactions/jsapi": combined,
        "/v3/combine-transactions/native": combined,
        "/v3/combine-transactions/out-trade-no/FUZZCOMB01/close": {
            "combine_appid": own.appid,
            "sub_orders": [{"mchid": own.mchid, "out_trade_no": "FUZZPART01"}],
        },
    }


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        found += places(item, (*path, name))
    return found


def spoiled(body: Any, rng: random.Random) -> Any:
    made = copy.deepcopy(body)
    path = rng.choice(places(made))
    at = made
    for name in path[:-1]:
        at = at[name]
    if rng.random() < 0.2 and isinstance(at, dict):
        del at[path[-1]]
    else:
        at[path[-1]] = rng.choice(ODD)
    return made


@pytest.mark.parametrize("seed", range(4))
def test_odd_requests_are_refused_in_the_gateways_own_words(make_world, seed: int) -> None:
    world = make_world(switches=Switches(rate_limits=False))
    rng = random.Random(seed)

    async def story() -> None:
        await world.paid()
        contract_id = (await world.sign())["contract_id"]
        for path, body in bodies(world, await world.show_code(), contract_id).items():
            for _ in range(12):
                reply = await world.call("POST", path, spoiled(body, rng))
                if reply.status_code >= 400:
                    refused = reply.json()
                    assert (refused["code"], reply.status_code) in KNOWN, (path, refused)
                    assert refused["message"]
                else:
                    assert reply.status_code in {200, 202, 204}

    world.run(story())
    for order in world.gateway.ledger.orders:
        assert 0 <= order.refunded_fen <= order.total_fen


@pytest.mark.parametrize(
    "target",
    [
        "/v3/bill/tradebill?bill_date=0001-01-01",
        "/v3/bill/tradebill?bill_date=9999-12-31",
        "/v3/bill/tradebill?bill_date=2026-09-20&bill_date=x&tar_type=&bill_type=ALL",
        "/v3/bill/tradebill?bill_date=%00",
        "/v3/bill/fundflowbill",
        "/v3/billdownload/file?token=" + "x" * 4_000,
        "/v3/billdownload/file?%ff%fe",
        "/v3/papay/sign/contracts/plan-id/%E6%B2%B9/out-contract-code/%00",
        "/v3/combine-transactions/out-trade-no/%2e%2e",
        "/v3/pay/transactions/out-trade-no/%E6%B2%B9?mchid=1900000109",
        "/v3/pay/transactions/id/%20?mchid=1900000109&mchid=1",
        "/v3/vehicle/parking/services/find?appid=%00&openid=%00&plate_number=%00&plate_color=%00",
        "/v3/vehicle/transactions/out-trade-no/%E6%B2%B9",
        "/v3/certificates?algorithm_type=%F0%9F%98%80",
    ],
)
def test_odd_questions_too(make_world, target: str) -> None:
    world = make_world()
    reply = world.run(world.call("GET", target))
    assert (reply.json()["code"], reply.status_code) in KNOWN


def test_odd_words_to_the_phone_change_nothing(make_world) -> None:
    world = make_world()
    rng = random.Random("phone")
    good = {
        "confirm": {"prepay_id": "wx1", "pay_sign": {}},
        "dawdle": {"auth_code": "1", "delay_us": 1, "then": "confirm"},
        "code": {"then": "confirm", "delay_us": 1, "password": True},
        "contracts": {"plan_id": 1, "out_contract_code": "A", "limit_fen": 1, "day_limit_fen": 1},
        "balance": {"balance_fen": 1},
        "plates": {"plate_number": "云A88888", "plate_color": "BLUE", "limit_fen": 1, "advance": True},
        "repay": {"out_trade_no": "1"},
    }

    async def story() -> None:
        for action, body in good.items():
            for _ in range(40):
                reply = await world.at_phone(action, "o油", **spoiled(body, rng))
                assert reply.status_code in {200, 201, 202, 204, 400, 409}
        for raw in (b"\xff", b"[" * 100_000, b"{", b'{"prepay_id":"\\ud800"}'):
            for action in good:
                reply = await world.phone.post(f"/payers/o1/{action}", content=raw)
                assert reply.status_code in {200, 400, 409}

    world.run(story())
    assert not world.gateway.ledger.orders
