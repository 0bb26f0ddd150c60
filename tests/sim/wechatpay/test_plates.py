"""Payment by number plate: who opened it, what came in, and debits that the platform may advance."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from sim.wechatpay import GatewayFault, GatewayProfile

OPENID = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"
PLATE = {"plate_number": "云A88888", "plate_color": "BLUE"}
NOTIFY = "https://backend.station/v1/notify/wechatpay"
START = "2026-09-21T22:00:00+08:00"


def code_of(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["code"]


async def opened(world: Any, **more: Any) -> httpx.Response:
    return await world.at_phone("plates", **{**PLATE, "limit_fen": 50_000, **more})


async def find(world: Any, openid: str = OPENID) -> dict[str, Any]:
    own = world.merchant.credentials
    plate = f"plate_number={quote(PLATE['plate_number'])}&plate_color={PLATE['plate_color']}"
    target = f"/v3/vehicle/parking/services/find?appid={own.appid}&{plate}&openid={openid}"
    found: dict[str, Any] = (await world.call("GET", target)).json()
    return found


async def enter(world: Any, **more: Any) -> httpx.Response:
    body = {
        "out_parking_no": "IN0001",
        **PLATE,
        "notify_url": NOTIFY,
        "start_time": START,
        "parking_name": "KM01",
        "free_duration": 0,
        **more,
    }
    return await world.call("POST", "/v3/vehicle/parking/parkings", body)


async def debit(world: Any, entry_id: str, number: str = "PLATE00001", total: int = 20_000) -> httpx.Response:
    body = {
        "appid": world.merchant.credentials.appid,
        "description": "92#",
        "out_trade_no": number,
        "trade_scene": "PARKING",
        "notify_url": NOTIFY,
        "amount": {"total": total, "currency": "CNY"},
        "parking_info": {
            "parking_id": entry_id,
            **PLATE,
            "start_time": START,
            "end_time": START,
            "parking_name": "KM01",
            "charging_duration": 0,
            "device_id": "3",
        },
    }
    return await world.call("POST", "/v3/vehicle/transactions/parking", body)


async def query(world: Any, number: str = "PLATE00001") -> httpx.Response:
    return await world.call("GET", f"/v3/vehicle/transactions/out-trade-no/{number}")


def test_a_debit_by_plate(make_world) -> None:
    world = make_world(profile=GatewayProfile())

    async def story() -> None:
        assert (await find(world))["service_state"] == "OUT_SERVICE"
        assert (await opened(world)).status_code == 201
        assert (await find(world))["service_state"] == "NORMAL"
        assert (await find(world, "oOther"))["service_state"] == "OUT_SERVICE"
        came = (await enter(world)).json()
        assert came["state"] == "NORMAL"
        assert (await enter(world)).json() == came
        accepted = (await debit(world, came["id"])).json()
        assert (accepted["trade_state"], accepted["payer"]) == ("ACCEPTED", {"openid": OPENID})
        assert "transaction_id" not in accepted
        await asyncio.sleep(60)
        paid = (await query(world)).json()
        assert (paid["trade_state"], paid["amount"]["payer_total"]) == ("SUCCESS", 20_000)
        assert "user_repaid" not in paid
        assert (await debit(world, came["id"])).json() == paid
        (notice,) = world.shop.opened
        assert notice.event_type == "TRANSACTION.SUCCESS"
        assert json.loads(notice.resource) == paid
        assert (await world.refund("R1", 5_000, "PLATE00001")).status_code == 200

    world.run(story())
    assert PLATE["plate_number"] not in json.dumps(world.events, ensure_ascii=False)


def test_an_advance_is_paid_back_later(make_world) -> None:
    world = make_world()

    async def story() -> None:
        await world.at_phone("balance", balance_fen=100)
        await opened(world, advance=True)
        entry_id = (await enter(world)).json()["id"]
        await debit(world, entry_id)
        await asyncio.sleep(1)
        paid = (await query(world)).json()
        assert (paid["trade_state"], paid["bank_type"], paid["user_repaid"]) == ("SUCCESS", "BPA", "N")
        assert world.gateway.wallets.balance_fen(OPENID) == 100
        blocked = (await enter(world, out_parking_no="IN0002")).json()
        assert (blocked["state"], blocked["block_reason"]) == ("BLOCKED", "OVERDUE")
        poor = await world.at_phone("repay", out_trade_no="PLATE00001")
        assert poor.json()["reason"] == "balance"
        await world.at_phone("balance", balance_fen=20_000)
        assert (await world.at_phone("repay", out_trade_no="PLATE00001")).status_code == 204
        assert (await world.at_phone("repay", out_trade_no="PLATE00001")).json()["reason"] == "nothing-owed"
        assert world.gateway.wallets.balance_fen(OPENID) == 0
        assert (await query(world)).json()["user_repaid"] == "Y"
        assert (await enter(world, out_parking_no="IN0003")).json()["state"] == "NORMAL"

    world.run(story())
    kinds = [notice.event_type for notice in world.shop.opened]
    assert kinds == ["TRANSACTION.SUCCESS", "TRANSACTION.PAY_BACK"]


def test_without_an_advance_too_little_money_is_a_failed_debit(make_world) -> None:
    world = make_world()

    async def story() -> None:
        await world.at_phone("balance", balance_fen=100)
        await opened(world)
        await debit(world, (await enter(world)).json()["id"])
        await asyncio.sleep(1)
        failed = (await query(world)).json()
        assert (failed["trade_state"], failed["trade_state_description"]) == ("PAY_FAIL", "用户账户余额不足")

    world.run(story())
    assert world.shop.opened[0].event_type == "TRANSACTION.FAIL"


def test_paused_plates_and_limits(make_world) -> None:
    world = make_world(GatewayFault(kind="debit-failed", name="bank"))

    async def story() -> None:
        await opened(world)
        entry_id = (await enter(world)).json()["id"]
        assert code_of(await debit(world, entry_id, total=50_001)) == (403, "RULE_LIMIT")
        await opened(world, service="PAUSE")
        blocked = (await enter(world)).json()
        assert (blocked["state"], blocked["block_reason"]) == ("BLOCKED", "PAUSE")
        assert code_of(await debit(world, entry_id)) == (400, "INVALID_REQUEST")
        await opened(world)
        assert (await debit(world, entry_id)).status_code == 200
        await asyncio.sleep(1)
        assert (await query(world)).json()["trade_state"] == "PAY_FAIL"

    world.run(story())


def test_foreign_entries_and_numbers(make_world) -> None:
    world = make_world()

    async def story() -> None:
        assert code_of(await query(world)) == (404, "ORDER_NOT_EXIST")
        await world.prepay("PLATE00001")
        assert code_of(await query(world)) == (404, "ORDER_NOT_EXIST")
        assert code_of(await debit(world, "5K1")) == (404, "RESOURCE_NOT_EXISTS")
        entry_id = (await enter(world)).json()["id"]
        assert code_of(await debit(world, entry_id, "PLATE00002")) == (400, "INVALID_REQUEST")
        clash = await enter(world, start_time="2026-09-21T23:00:00+08:00")
        assert code_of(clash) == (400, "INVALID_REQUEST")
        await opened(world)
        assert code_of(await debit(world, entry_id)) == (403, "OUT_TRADE_NO_USED")
        bare = await world.call("GET", "/v3/vehicle/parking/services/find?appid=x")
        assert code_of(bare) == (400, "PARAM_ERROR")

    world.run(story())


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"plate_number": "88888"}, "/plate_number"),
        ({"plate_color": "PINK"}, "/plate_color"),
        ({"free_duration": -1}, "/free_duration"),
        ({"notify_url": "http://x"}, "/notify_url"),
    ],
)
def test_bad_entries_are_named(make_world, change: dict[str, Any], field: str) -> None:
    world = make_world()
    reply = world.run(enter(world, **change))
    assert (reply.status_code, reply.json()["detail"]["field"]) == (400, field)


@pytest.mark.parametrize(
    "change",
    [{"plate_number": 5}, {"limit_fen": 0}, {"advance": 1}, {"service": "OPEN"}, {"mchid": "1"}],
)
def test_bad_openings_are_told(make_world, change: dict[str, Any]) -> None:
    world = make_world()
    reply = world.run(opened(world, **change))
    assert reply.status_code == 400
    assert reply.json()["message"]
