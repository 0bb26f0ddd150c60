"""Refunds: keys, sums, states, announcements."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from protocols.wechatpay import decode_refund, encrypt_sensitive
from sim.wechatpay import GatewayFault, GatewayProfile, Switches

YEAR_US = 365 * 86_400_000_000


def test_a_refund_from_processing_to_the_notification(make_world) -> None:
    world = make_world(profile=GatewayProfile())

    async def story():
        await world.paid()
        accepted = await world.refund("R1", 8_000)
        processing = await world.call("GET", "/v3/refund/domestic/refunds/R1")
        return accepted.json(), processing.json()

    accepted, processing = world.run(story())
    assert accepted["status"] == "PROCESSING"
    assert processing == accepted
    assert accepted["amount"]["refund"] == 8_000
    assert len(accepted["refund_id"]) == 29
    done = world.run(world.call("GET", "/v3/refund/domestic/refunds/R1")).json()
    assert (done["status"], done["channel"]) == ("SUCCESS", "ORIGINAL")
    assert done["success_time"].endswith("+08:00")
    assert world.run(world.query()).json()["trade_state"] == "REFUND"
    paid, refunded = sorted(world.shop.opened, key=lambda notice: notice.event_type, reverse=True)
    assert paid.event_type == "TRANSACTION.SUCCESS"
    assert refunded.event_type == "REFUND.SUCCESS"
    told = decode_refund(refunded.resource)
    assert (told.state, told.status, told.out_refund_no, told.amount.payer_refund) == (
        "SUCCESS",
        None,
        "R1",
        8_000,
    )
    assert told.refund_id == accepted["refund_id"]


def test_the_same_number_is_the_same_refund(make_world) -> None:
    world = make_world()
    world.run(world.paid())
    first = world.run(world.refund("R1", 5_000)).json()
    again = world.run(world.refund("R1", 5_000, reason="again")).json()
    assert again["refund_id"] == first["refund_id"]
    assert again["status"] == "SUCCESS"
    for other in (
        world.refund("R1", 5_001),
        world.refund("R1", 5_000, total=19_999),
        world.refund("R1", 5_000, "OTHER00001"),
    ):
        reply = world.run(other)
        assert (reply.status_code, reply.json()["code"]) == (400, "INVALID_REQUEST")
    assert world.gateway.ledger.orders[0].refunded_fen == 5_000


def test_never_more_than_was_paid(make_world) -> None:
    world = make_world(switches=Switches(refund_gap_s=0))
    world.run(world.paid())
    assert world.run(world.refund("R1", 12_000)).status_code == 200
    assert world.run(world.refund("R2", 8_001)).json()["code"] == "INVALID_REQUEST"
    assert world.run(world.refund("R3", 8_000)).status_code == 200
    reply = world.run(world.refund("R4", 1))
    assert reply.json() == {"code": "INVALID_REQUEST", "message": "订单已全额退款"}


def test_at_most_fifty_parts(make_world) -> None:
    world = make_world()
    world.run(world.paid())

    async def parts() -> list[int]:
        statuses = []
        for number in range(51):
            statuses.append((await world.refund(f"R{number}", 1)).status_code)
            await asyncio.sleep(60)
        return statuses

    assert world.run(parts()) == [200] * 50 + [400]


def test_what_cannot_be_refunded(make_world) -> None:
    world = make_world()
    world.run(world.prepay())
    assert world.run(world.refund("R1", 1)).json()["code"] == "INVALID_REQUEST"
    missing = world.run(world.refund("R1", 1, "NOSUCHORDER"))
    assert (missing.status_code, missing.json()["code"]) == (404, "RESOURCE_NOT_EXISTS")
    reply = world.run(world.call("GET", "/v3/refund/domestic/refunds/R1"))
    assert (reply.status_code, reply.json()["code"]) == (404, "RESOURCE_NOT_EXISTS")
    body = {"out_refund_no": "R1", "amount": {"refund": 1, "total": 1, "currency": "CNY"}}
    reply = world.run(world.call("POST", "/v3/refund/domestic/refunds", body))
    assert (reply.json()["code"], reply.json()["detail"]["field"]) == ("PARAM_ERROR", "/transaction_id")


def test_a_refund_by_transaction_id(make_world) -> None:
    world = make_world()
    world.run(world.paid())
    transaction_id = world.run(world.query()).json()["transaction_id"]
    body = {
        "transaction_id": transaction_id,
        "out_refund_no": "R1",
        "amount": {"refund": 100, "total": 20_000, "currency": "CNY"},
    }
    assert world.run(world.call("POST", "/v3/refund/domestic/refunds", body)).status_code == 200
    mixed = {**body, "out_refund_no": "R2", "out_trade_no": "OTHER00001"}
    assert (
        world.run(world.call("POST", "/v3/refund/domestic/refunds", mixed)).json()["code"]
        == "INVALID_REQUEST"
    )
    assert len(world.shop.opened) == 1  # no notify_url, no announcement of the refund


def test_a_year_is_the_limit(make_world) -> None:
    world = make_world()
    world.run(world.paid())
    world.kernel.run(until_us=YEAR_US)
    assert world.run(world.refund("R1", 1)).status_code == 200
    world.kernel.run(until_us=YEAR_US + 1_000_000)
    assert world.run(world.refund("R2", 1)).json()["code"] == "TRADE_OVERDUE"


def test_a_closed_refund_gives_the_money_free_again(make_world) -> None:
    world = make_world(
        GatewayFault(kind="refund-closed", name="closed", limit=1), switches=Switches(refund_gap_s=0)
    )
    world.run(world.paid())
    world.run(world.refund("R1", 20_000))
    assert world.shop.opened[-1].event_type == "REFUND.CLOSED"
    assert world.run(world.refund("R1", 20_000)).json()["status"] == "CLOSED"
    assert world.run(world.refund("R2", 20_000)).status_code == 200
    assert world.shop.opened[-1].event_type == "REFUND.SUCCESS"


def test_an_abnormal_refund_is_announced_and_settled_by_hand(make_world) -> None:
    world = make_world(GatewayFault(kind="refund-abnormal", name="bounced", limit=1))
    world.run(world.paid())
    world.run(world.refund("R1", 20_000))
    assert world.shop.opened[-1].event_type == "REFUND.ABNORMAL"
    (record,) = world.gateway.refunds.refunds

    async def settle() -> None:
        world.gateway.settle_refund(record)

    world.run(settle())
    assert world.shop.opened[-1].event_type == "REFUND.SUCCESS"


def test_the_refund_callback_can_come_before_the_reply(make_world) -> None:
    world = make_world(GatewayFault(kind="callback-before-reply", name="early", at=("refund",)))
    world.run(world.paid())

    async def story() -> tuple[str, str]:
        reply = await world.refund("R1", 1)
        return reply.json()["status"], world.shop.opened[-1].event_type

    assert world.run(story()) == ("PROCESSING", "REFUND.SUCCESS")


@pytest.mark.parametrize("amount", [{"refund": 0}, {"total": 0}, {"currency": "USD"}, {"refund": "1"}])
def test_bad_amounts_are_named(make_world, amount: dict) -> None:
    world = make_world()
    world.run(world.paid())
    good = {"refund": 1, "total": 20_000, "currency": "CNY"}
    reply = world.run(world.refund("R1", 1, amount={**good, **amount}))
    assert reply.json()["detail"]["field"] == f"/amount/{next(iter(amount))}"


def test_two_refunds_of_an_order_are_a_minute_apart(make_world) -> None:
    world = make_world()

    async def story() -> list[int]:
        await world.paid()
        await world.paid("ORDER00002")
        first = await world.refund("R1", 1)
        again = await world.refund("R1", 1)  # the same refund
        other = await world.refund("R2", 1, "ORDER00002")  # another order
        hasty = await world.refund("R3", 1)
        assert hasty.json()["code"] == "FREQUENCY_LIMITED"
        await asyncio.sleep(59.9)
        still = await world.refund("R3", 1)
        await asyncio.sleep(0.2)
        replies = [first, again, other, hasty, still, await world.refund("R3", 1)]
        return [reply.status_code for reply in replies]

    assert world.run(story()) == [200, 200, 200, 429, 429, 200]


def test_six_wrong_refunds_a_second_shut_the_door(make_world) -> None:
    world = make_world()

    async def story() -> list[int]:
        await world.paid()
        wrong = [(await world.refund(f"R{number}", 1, "NOSUCHORDER")).status_code for number in range(7)]
        right = (await world.refund("R8", 1)).status_code
        await asyncio.sleep(1)
        return [*wrong, right, (await world.refund("R8", 1)).status_code]

    assert world.run(story()) == [404] * 6 + [429, 429, 200]


def abnormal(world: Any, record: Any, **change: Any) -> Any:
    """The call that sends an abnormal refund on to a card, with its fields encrypted for the platform."""
    key = world.gateway.signer.active
    public = key.private_key.public_key()
    body = {
        "out_refund_no": record.out_refund_no,
        "type": "USER_BANK_CARD",
        "bank_type": "ICBC_DEBIT",
        "bank_account": encrypt_sensitive("6222021234567890123", public),
        "real_name": encrypt_sensitive("张三", public),
        **{name: value for name, value in change.items() if name not in {"serial", "refund_id"}},
    }
    body = {name: value for name, value in body.items() if value is not None}
    refund_id = change.get("refund_id", record.refund_id)
    target = f"/v3/refund/domestic/refunds/{refund_id}/apply-abnormal-refund"
    return world.call("POST", target, body, headers={"Wechatpay-Serial": change.get("serial", key.serial)})


def test_an_abnormal_refund_is_sent_on_to_a_card(make_world) -> None:
    world = make_world(
        GatewayFault(kind="refund-abnormal", name="bounced", limit=1), profile=GatewayProfile()
    )

    async def story() -> None:
        await world.at_phone("balance", balance_fen=20_000)
        await world.paid()
        await world.refund("R1", 8_000)
        (record,) = world.gateway.refunds.refunds
        early = await abnormal(world, record)
        assert (early.status_code, early.json()["code"]) == (400, "INVALID_REQUEST")
        await asyncio.sleep(60)
        assert world.shop.opened[-1].event_type == "REFUND.ABNORMAL"
        sent = await abnormal(world, record)
        assert (sent.status_code, sent.json()["status"]) == (200, "PROCESSING")
        assert (sent.json()["channel"], sent.json()["user_received_account"]) == (
            "OTHER_BANKCARD",
            "ICBC0123",
        )
        assert (await abnormal(world, record)).json() == sent.json()
        await asyncio.sleep(60)
        done = await world.call("GET", "/v3/refund/domestic/refunds/R1")
        assert done.json()["status"] == "SUCCESS"
        assert world.gateway.wallets.balance_fen(record.order.openid) == 0  # the card has it
        assert (await abnormal(world, record)).status_code == 200

    world.run(story())
    kinds = [notice.event_type for notice in world.shop.opened]
    assert kinds == ["TRANSACTION.SUCCESS", "REFUND.ABNORMAL", "REFUND.SUCCESS"]
    assert world.gateway.ledger.orders[0].refunded_fen == 8_000
    assert "6222021234567890123" not in json.dumps(world.events)


def test_to_the_merchants_own_account_no_card_is_needed(make_world) -> None:
    world = make_world(GatewayFault(kind="refund-abnormal", name="bounced", limit=1))

    async def story() -> None:
        await world.paid()
        await world.refund("R1", 8_000)
        await asyncio.sleep(1)
        (record,) = world.gateway.refunds.refunds
        body = {"out_refund_no": "R1", "type": "MERCHANT_BANK_CARD"}
        target = f"/v3/refund/domestic/refunds/{record.refund_id}/apply-abnormal-refund"
        assert (await world.call("POST", target, body)).json()["status"] == "PROCESSING"

    world.run(story())
    assert world.shop.opened[-1].event_type == "REFUND.SUCCESS"


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"bank_account": None}, 400, "/bank_account"),
        ({"real_name": None}, 400, "/real_name"),
        ({"bank_type": "?"}, 400, "/bank_type"),
        ({"type": "CASH"}, 400, "/type"),
        ({"bank_account": "bm90IGVuY3J5cHRlZA=="}, 400, "/bank_account"),
        ({"serial": "0" * 40}, 400, None),
        ({"refund_id": "503"}, 404, None),
        ({"out_refund_no": "R2"}, 400, None),
    ],
)
def test_bad_abnormal_refunds(make_world, change: dict[str, Any], status: int, field: str | None) -> None:
    world = make_world(GatewayFault(kind="refund-abnormal", name="bounced", limit=1))

    async def story() -> Any:
        await world.paid()
        await world.refund("R1", 8_000)
        await asyncio.sleep(1)
        (record,) = world.gateway.refunds.refunds
        return await abnormal(world, record, **change)

    reply = world.run(story())
    assert reply.status_code == status, reply.text
    assert reply.json().get("detail", {}).get("field") == field


def test_the_public_key_opens_fields_as_well(make_world, platform) -> None:
    world = make_world(GatewayFault(kind="refund-abnormal", name="bounced", limit=1))
    public = platform.public.private_key.public_key()

    async def story() -> Any:
        await world.paid()
        await world.refund("R1", 8_000)
        await asyncio.sleep(1)
        (record,) = world.gateway.refunds.refunds
        card = encrypt_sensitive("6222021234567890123", public)
        name = encrypt_sensitive("张三", public)
        return await abnormal(world, record, bank_account=card, real_name=name, serial=platform.public.serial)

    reply = world.run(story())
    assert reply.status_code == 200
    assert reply.headers["Wechatpay-Serial"] == platform.public.serial


def test_hash_and_code_are_switches(make_world) -> None:
    world = make_world(
        GatewayFault(kind="refund-abnormal", name="bounced", limit=1),
        switches=Switches(oaep_hash="SHA256", rate_limit_code="RATELIMIT_EXCEEDED"),
    )
    public = world.gateway.signer.active.private_key.public_key()

    async def story() -> list[int]:
        await world.paid()
        await world.refund("R1", 1)
        hasty = await world.refund("R2", 1)
        assert hasty.json()["code"] == "RATELIMIT_EXCEEDED"
        await asyncio.sleep(1)
        (record,) = world.gateway.refunds.refunds
        old = await abnormal(world, record)
        card = encrypt_sensitive("6222021234567890123", public, "SHA256")
        name = encrypt_sensitive("张三", public, "SHA256")
        new = await abnormal(world, record, bank_account=card, real_name=name)
        return [hasty.status_code, old.status_code, new.status_code]

    assert world.run(story()) == [429, 400, 200]
