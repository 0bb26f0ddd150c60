"""Pay codes at the pump, their password box and reversal; codes to scan."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from sim.wechatpay import GatewayFault, GatewayProfile, Switches

OPENID = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"
CODEPAY = "/v3/pay/transactions/codepay"
PATH = "/v3/pay/transactions"


def code_of(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["code"]


async def state(world: Any, number: str = "CODE000001") -> str:
    found: str = (await world.query(number)).json()["trade_state"]
    return found


def test_a_code_pays_at_once_and_nothing_is_announced(make_world) -> None:
    world = make_world(profile=GatewayProfile())

    async def story() -> tuple[httpx.Response, httpx.Response]:
        reply = await world.codepay(await world.show_code(), attach="KM01/3")
        return reply, await world.query("CODE000001")

    paid, found = world.run(story())
    assert paid.status_code == 200
    shown = paid.json()
    assert (shown["trade_state"], shown["trade_type"]) == ("SUCCESS", "MICROPAY")
    assert shown["payer"] == {"openid": OPENID}
    assert shown["amount"]["payer_total"] == 20_000
    assert found.json() == shown
    world.kernel.run(until_us=world.kernel.now_us + 86_400_000_000)
    assert not world.shop.seen
    assert not world.gateway.notifier.notices


def test_a_code_has_18_digits_and_works_once_for_a_minute(make_world) -> None:
    world = make_world()

    async def story() -> None:
        code = await world.show_code()
        assert len(code) == 18
        assert code.isdigit()
        assert 10 <= int(code[:2]) <= 15
        assert (await world.codepay(code, "ONE0000001")).status_code == 200
        assert code_of(await world.codepay(code, "TWO0000001")) == (400, "AUTH_CODE_INVALID")
        late = await world.show_code()
        await asyncio.sleep(60)
        assert code_of(await world.codepay(late, "TWO0000001")) == (400, "AUTHCODEEXPIRE")
        for wrong in ("130000000000000000", "160000000000000000", "13000000000000000", "x" * 18):
            refused = await world.codepay(wrong, "TWO0000001")
            assert code_of(refused) == (400, "AUTH_CODE_INVALID")
        assert "10/11/12/13/14/15" in refused.json()["message"]
        assert code_of(await world.query("TWO0000001")) == (404, "ORDER_NOT_EXIST")
        # Nothing of a refused code clings to the number.
        assert (await world.codepay(await world.show_code(), "TWO0000001")).status_code == 200

    world.run(story())


@pytest.mark.parametrize("total", [100_000, 100_001])
def test_above_a_thousand_yuan_the_payer_types_the_password(make_world, total: int) -> None:
    world = make_world()

    async def story() -> httpx.Response:
        code = await world.show_code(then="confirm", delay_us=8_000_000)
        reply = await world.codepay(code, total=total)
        if reply.status_code == 202:
            assert await state(world) == "USERPAYING"
            await asyncio.sleep(7)
            assert await state(world) == "USERPAYING"
            await asyncio.sleep(1.001)
        assert await state(world) == "SUCCESS"
        return reply

    reply = world.run(story())
    assert reply.status_code == (202 if total > 100_000 else 200)
    assert reply.json()["trade_state"] == ("USERPAYING" if total > 100_000 else "SUCCESS")
    assert reply.headers["Wechatpay-Signature"]
    assert ("transaction_id" in reply.json()) == (total <= 100_000)


def test_the_eleventh_payment_of_a_day_wants_the_password(make_world) -> None:
    world = make_world()

    async def story() -> list[int]:
        statuses = []
        for number in range(11):
            reply = await world.codepay(await world.show_code(), f"MANY{number:06}")
            statuses.append(reply.status_code)
        await asyncio.sleep(86_400)
        statuses.append((await world.codepay(await world.show_code(), "TOMORROW01")).status_code)
        return statuses

    assert world.run(story()) == [200] * 10 + [202, 200]


def test_risk_control_asks_by_fault_and_by_phone(make_world) -> None:
    world = make_world(GatewayFault(kind="password-asked", name="risk", limit=1))

    async def story() -> None:
        code = await world.show_code()
        assert (await world.codepay(code)).status_code == 202
        assert (await world.codepay(code)).status_code == 202  # asked again: the same order, no second box
        assert (await world.at_phone("confirm", auth_code=code)).json() == {"err_msg": "requestPayment:ok"}
        assert (await world.codepay(code)).json()["trade_state"] == "SUCCESS"
        own = await world.show_code(password=True)
        assert (await world.codepay(own, "CODE000002")).status_code == 202

    world.run(story())
    assert world.gateway.faults.report() == {"risk": {"met": 1, "landed": 1}}


def test_a_shut_box_is_a_failed_payment(make_world) -> None:
    world = make_world()

    async def story() -> None:
        code = await world.show_code(password=True)
        await world.codepay(code)
        assert (await world.at_phone("cancel", auth_code=code)).json() == {
            "err_msg": "requestPayment:fail cancel"
        }
        found = (await world.query("CODE000001")).json()
        assert (found["trade_state"], found["trade_state_desc"]) == ("PAYERROR", "用户没有输入支付密码")
        assert (await world.at_phone("confirm", auth_code=code)).json()["reason"] == "closed"
        assert code_of(await world.codepay(code)) == (403, "TRADE_ERROR")
        assert (await world.reverse()).status_code == 200
        assert await state(world) == "PAYERROR"

    world.run(story())


def test_an_unanswered_box_is_shut_after_45_seconds(make_world) -> None:
    world = make_world()

    async def story() -> None:
        code = await world.show_code(password=True, then="confirm", delay_us=45_000_000)
        await world.codepay(code)
        await asyncio.sleep(44.9)
        assert await state(world) == "USERPAYING"
        await asyncio.sleep(0.2)
        assert await state(world) == "REVOKED"
        assert code_of(await world.codepay(code)) == (400, "ORDERREVERSED")

    world.run(story())
    assert world.of("wechatpay.payer")[-1]["reason"] == "closed"


def test_the_phone_answers_only_for_its_own_open_box(make_world) -> None:
    world = make_world()

    async def story() -> None:
        code = await world.show_code(password=True)
        assert (await world.at_phone("confirm", auth_code="1")).json()["reason"] == "unknown-code"
        assert (await world.at_phone("confirm", auth_code=code)).json()["reason"] == "not-asked"
        await world.codepay(code)
        other = await world.at_phone("confirm", "oOther", auth_code=code)
        assert other.json()["reason"] == "other-payer"
        await world.at_phone("confirm", auth_code=code)
        assert (await world.at_phone("confirm", auth_code=code)).json()["reason"] == "paid"
        assert (await world.at_phone("cancel", auth_code=code)).json()["reason"] == "paid"

    world.run(story())
    assert not world.shop.seen


def test_an_empty_wallet(make_world) -> None:
    world = make_world()

    async def story() -> None:
        await world.at_phone("balance", balance_fen=19_999)
        code = await world.show_code()
        assert code_of(await world.codepay(code)) == (403, "NOTENOUGH")
        assert await state(world) == "PAYERROR"
        await world.at_phone("balance", balance_fen=20_000)
        box = await world.show_code(password=True)
        await world.codepay(box, "CODE000002")
        await world.codepay(await world.show_code(), "CODE000003", 1)
        assert (await world.at_phone("confirm", auth_code=box)).json()["reason"] == "balance"
        assert await state(world, "CODE000002") == "PAYERROR"
        assert (await world.reverse("CODE000003")).status_code == 200
        assert world.gateway.wallets.balance_fen(OPENID) == 20_000
        prepay_id = await world.prepay(total=20_001)
        assert (await world.confirm(prepay_id)).json()["reason"] == "balance"
        await world.at_phone("balance", balance_fen=None)
        assert (await world.confirm(prepay_id)).status_code == 200

    world.run(story())


def test_reversing_while_the_payer_types_is_refused_for_15_seconds(make_world) -> None:
    world = make_world()

    async def story() -> None:
        code = await world.show_code(password=True)
        await world.codepay(code)
        await asyncio.sleep(14.9)
        refused = await world.reverse()
        assert code_of(refused) == (403, "USERPAYING")
        assert refused.json()["message"] == "正在支付中不能发起撤销"
        assert await state(world) == "USERPAYING"
        await asyncio.sleep(0.2)
        done = await world.reverse()
        own = world.merchant.credentials
        assert done.json() == {"appid": own.appid, "mchid": own.mchid, "out_trade_no": "CODE000001"}
        assert await state(world) == "REVOKED"
        assert (await world.at_phone("confirm", auth_code=code)).json()["reason"] == "closed"
        assert (await world.reverse()).status_code == 200

    world.run(story())


@pytest.mark.parametrize(
    ("how", "early", "late"), [("always", 403, 403), ("accept", 200, 200), ("early", 403, 200)]
)
def test_when_an_open_box_may_be_reversed_is_a_switch(make_world, how: Any, early: int, late: int) -> None:
    world = make_world(switches=Switches(reverse_userpaying=how))

    async def story() -> list[int]:
        await world.codepay(await world.show_code(password=True))
        first = await world.reverse()
        await asyncio.sleep(15)
        return [first.status_code, (await world.reverse()).status_code]

    assert world.run(story()) == [early, late]


def test_reversing_a_paid_order_gives_the_money_back_within_7_days(make_world) -> None:
    world = make_world()

    async def story() -> None:
        await world.at_phone("balance", balance_fen=50_000)
        for number in ("CODE000001", "CODE000002", "CODE000003"):
            await world.codepay(await world.show_code(), number, 10_000)
        assert (await world.reverse()).status_code == 200
        assert await state(world) == "REVOKED"
        assert world.gateway.wallets.balance_fen(OPENID) == 30_000
        assert (await world.reverse()).status_code == 200
        assert world.gateway.wallets.balance_fen(OPENID) == 30_000
        assert code_of(await world.refund("R1", 1, "CODE000001", 10_000)) == (400, "INVALID_REQUEST")
        assert (await world.refund("R2", 1, "CODE000002", 10_000)).status_code == 200
        assert code_of(await world.reverse("CODE000002")) == (400, "INVALID_REQUEST")
        await asyncio.sleep(7 * 86_400 + 1)
        assert code_of(await world.reverse("CODE000003")) == (403, "REVERSE_EXPIRE")

    world.run(story())


def test_what_cannot_be_reversed_or_closed(make_world) -> None:
    world = make_world()

    async def story() -> None:
        assert code_of(await world.reverse("NOSUCHORDER")) == (404, "ORDER_NOT_EXIST")
        await world.prepay()
        assert code_of(await world.reverse("ORDER00001")) == (403, "TRADE_ERROR")
        await world.codepay(await world.show_code(password=True))
        assert code_of(await world.close("CODE000001")) == (403, "TRADE_ERROR")
        assert code_of(await world.reverse(appid="wx1")) == (400, "APPID_MCHID_NOT_MATCH")
        assert code_of(await world.reverse(mchid="1")) == (400, "PARAM_ERROR")

    world.run(story())


def test_a_charge_that_was_not_answered_is_found_by_asking(make_world) -> None:
    hold = GatewayFault(kind="timeout", name="hold", at=("codepay",), after_commit=True, limit=1)
    lost = GatewayFault(kind="timeout", name="lost", at=("codepay",), after_commit=False, limit=1)
    world = make_world(hold, lost)

    async def story() -> None:
        one = asyncio.create_task(world.codepay(await world.show_code()))
        await asyncio.sleep(5)
        assert await state(world) == "SUCCESS"
        await one
        two = asyncio.create_task(world.codepay(await world.show_code(), "CODE000002"))
        await asyncio.sleep(5)
        assert code_of(await world.query("CODE000002")) == (404, "ORDER_NOT_EXIST")
        assert (await two).status_code == 500

    world.run(story())


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"scene_info": {"store_info": {}}}, "/scene_info/store_info/id"),
        ({"scene_info": {}}, "/scene_info/store_info"),
        ({"payer": {}}, "/payer/auth_code"),
        ({"amount": {"total": 0}}, "/amount/total"),
        ({"mchid": "1"}, "/mchid"),
    ],
)
def test_bad_charges_are_named(make_world, change: dict[str, Any], field: str) -> None:
    world = make_world()

    async def story() -> httpx.Response:
        return await world.codepay(await world.show_code(), **change)

    reply = world.run(story())
    assert (reply.status_code, reply.json()["detail"]["field"]) == (400, field)
    assert not world.gateway.ledger.orders


def test_the_number_belongs_to_its_first_parameters(make_world) -> None:
    world = make_world()

    async def story() -> None:
        await world.codepay(await world.show_code())
        assert code_of(await world.codepay(await world.show_code())) == (403, "OUT_TRADE_NO_USED")
        await world.prepay()
        clash = await world.codepay(await world.show_code(), "ORDER00001")
        assert code_of(clash) == (403, "OUT_TRADE_NO_USED")

    world.run(story())


def test_the_names_of_the_codes_are_a_switch(make_world) -> None:
    world = make_world(switches=Switches(codepay_codes={"AUTH_CODE_INVALID": "INVALID_REQUEST"}))
    assert code_of(world.run(world.codepay("1"))) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("code", {"then": "run"}),
        ("code", {"password": 1}),
        ("code", {"delay_us": 0.5}),
        ("balance", {"balance_fen": -1}),
        ("balance", {"balance_fen": True}),
    ],
)
def test_bad_requests_to_the_phone_are_told(make_world, action: str, body: dict[str, Any]) -> None:
    world = make_world()
    reply = world.run(world.at_phone(action, **body))
    assert reply.status_code == 400
    assert reply.json()["message"]


def test_codes_are_repeatable_and_leave_other_draws_alone(make_world) -> None:
    def numbers(codes: int) -> tuple[list[str], str]:
        world = make_world()

        async def story() -> tuple[list[str], str]:
            shown = [await world.show_code() for _ in range(codes)]
            return shown, await world.prepay()

        return world.run(story())

    (one, prepay_one), (two, prepay_two), (_, without) = numbers(2), numbers(2), numbers(0)
    assert one == two
    assert prepay_one == prepay_two == without


def native_body(world: Any, **more: Any) -> dict[str, Any]:
    body = world.prepay_body("NATIVE0001", **more)
    del body["payer"]
    return body


def test_a_code_to_scan_is_paid_by_anybody_once(make_world) -> None:
    world = make_world(switches=Switches(require_pay_sign=True))

    async def story() -> None:
        reply = await world.call("POST", f"{PATH}/native", native_body(world))
        code_url = reply.json()["code_url"]
        assert code_url.startswith("weixin://wxpay/bizpayurl?pr=")
        again = (await world.call("POST", f"{PATH}/native", native_body(world))).json()["code_url"]
        assert again != code_url
        assert (await world.query("NATIVE0001")).json()["trade_state"] == "NOTPAY"
        assert (await world.at_phone("cancel", "oBert", code_url=code_url)).status_code == 200
        assert (await world.at_phone("confirm", "oAnna", code_url=again)).status_code == 200
        late = await world.at_phone("confirm", "oBert", code_url=code_url)
        assert late.json()["reason"] in {"paid", "other-payer"}
        unknown = await world.at_phone("confirm", code_url="weixin://x")
        assert unknown.json()["reason"] == "unknown-prepay-id"

    world.run(story())
    (notice,) = world.shop.opened
    assert notice.event_type == "TRANSACTION.SUCCESS"
    found = world.run(world.query("NATIVE0001")).json()
    assert (found["trade_type"], found["payer"]["openid"]) == ("NATIVE", "oAnna")


def test_a_code_to_scan_dies_by_close_and_by_age(make_world) -> None:
    world = make_world()

    async def story() -> None:
        code_url = (await world.call("POST", f"{PATH}/native", native_body(world))).json()["code_url"]
        await asyncio.sleep(7_200)
        assert (await world.at_phone("confirm", code_url=code_url)).json()["reason"] == "expired"
        fresh = (await world.call("POST", f"{PATH}/native", native_body(world))).json()["code_url"]
        assert (await world.close("NATIVE0001")).status_code == 204
        assert (await world.at_phone("confirm", code_url=fresh)).json()["reason"] == "closed"
        refused = await world.call("POST", f"{PATH}/native", native_body(world))
        assert code_of(refused) == (400, "ORDER_CLOSED")

    world.run(story())


@pytest.mark.parametrize(
    ("then", "ends"), [("confirm", "SUCCESS"), ("cancel", "PAYERROR"), ("nothing", "REVOKED")]
)
def test_a_payer_dawdles_at_the_box(make_world, then: str, ends: str) -> None:
    world = make_world()

    async def story() -> None:
        code = await world.show_code(password=True)
        await world.codepay(code)
        waits = await world.at_phone("dawdle", auth_code=code, delay_us=30_000_000, then=then)
        assert waits.status_code == 202
        await asyncio.sleep(29)
        assert await state(world) == "USERPAYING"
        await asyncio.sleep(17)
        assert await state(world) == ends

    world.run(story())
