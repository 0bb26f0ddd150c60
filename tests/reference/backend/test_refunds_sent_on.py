"""Refunds that bounced are sent on to another account, through the simulated gateway."""

from __future__ import annotations

import pytest

from protocols.wechatpay import encrypt_sensitive
from sim.wechatpay import GatewayFault, generate_merchant, generate_platform

from .invoice_rig import ADMIN_KEY, EPOCH_US, InvoiceRig
from .refund_rig import CARD, CASH, MERCHANTS, everything


@pytest.fixture(scope="module")
def keys():
    platform = generate_platform(valid_from_unix_s=EPOCH_US // 1_000_000 - 86_400)
    return platform, generate_merchant(platform)


def bounced():
    return GatewayFault(kind="refund-abnormal", name="bounced", limit=1)


async def in_state(rig, state, within_s=600):
    for _ in range(within_s):
        (row,) = await rig.admin("refunds")
        if row["state"] == state:
            return row
        await rig.until(1)
    raise AssertionError(f"still {row}")


def sealed(platform, **changes):
    """A card as a page encrypts it that has the platform's certificate."""
    (key,) = platform.certificates
    public = key.private_key.public_key()
    return {
        "bank_type": "ICBC_DEBIT",
        "bank_account": encrypt_sensitive(CARD, public),
        "real_name": encrypt_sensitive("张三", public),
        "serial": key.serial,
        **changes,
    }


@pytest.mark.requirement("rfd.accepted-is-not-refunded", "rfd.refunds-never-exceed-paid")
@pytest.mark.parametrize("to", ["MERCHANT_BANK_CARD", "USER_BANK_CARD"])
def test_an_abnormal_refund_is_sent_on_to_another_account(keys, to):
    async def play(rig):
        order = await rig.buy()
        refund = await rig.refund(order, 1000)
        await in_state(rig, "ABNORMAL")
        path = f"/admin/refunds/{refund['out_refund_no']}/elsewhere"
        body = MERCHANTS | {"to": to} | ({"card": sealed(keys[0])} if to == "USER_BANK_CARD" else {})
        shown = await rig.call("POST", path, body, status=202, key=ADMIN_KEY)
        assert shown["state"] == "PROCESSING"
        assert (await rig.order(order))["state"] == "REFUNDING", "accepted is not refunded"
        assert (await rig.call("POST", path, body, status=202, key=ADMIN_KEY))["state"] == "PROCESSING"
        await in_state(rig, "SUCCESS")
        done = await rig.order(order)
        assert (done["state"], done["refunded_fen"]) == ("COMPLETED", 1000)
        (record,) = rig.gateway.refunds.refunds
        assert record.channel == "OTHER_BANKCARD"
        assert record.received_account.endswith(CARD[-4:]) == (to == "USER_BANK_CARD")
        (remedy,) = await rig.admin("refund-remedies")
        assert (remedy["kind"], remedy["state"], remedy["operator"]) == (to, "accepted", "王站长")
        booked = [entry["amount_fen"] for entry in await rig.admin("ledger") if entry["kind"] == "refund"]
        assert booked == [1000]
        await rig.call("POST", path.replace("elsewhere", "cash"), CASH, status=409, key=ADMIN_KEY)
        stored = await rig.database.run(everything)
        for secret in (CARD, "张三", *(body.get("card") or {}).values()):
            assert secret not in stored, "nothing of the account is kept, not even encrypted"

    InvoiceRig(keys, gateway_faults=[bounced()]).run(play, until_s=2000)


def test_what_the_platform_refuses_leaves_the_refund_with_the_person(keys):
    async def play(rig):
        order = await rig.buy()
        refund = await rig.refund(order, 1000)
        await in_state(rig, "ABNORMAL")
        path = f"/admin/refunds/{refund['out_refund_no']}/elsewhere"
        wrong = MERCHANTS | {"to": "USER_BANK_CARD", "card": sealed(keys[0], serial="ABCDEF0123456789" * 2)}
        refused = await rig.call("POST", path, wrong, status=502, key=ADMIN_KEY)
        assert refused["code"] == "gateway_refused"
        assert (await rig.admin("refunds"))[0]["state"] == "ABNORMAL"
        assert [row["state"] for row in await rig.admin("refund-remedies")] == ["refused"]
        right = wrong | {"card": sealed(keys[0])}
        await rig.call("POST", path, right, status=202, key=ADMIN_KEY)
        await in_state(rig, "SUCCESS")
        assert [row["state"] for row in await rig.admin("refund-remedies")] == ["accepted"]
        assert [alarm["kind"] for alarm in await rig.admin("alarms")] == ["refund_abnormal"]

    InvoiceRig(keys, gateway_faults=[bounced()]).run(play, until_s=2000)


def test_a_refund_that_bounces_again_comes_back_to_the_person(keys):
    async def play(rig):
        order = await rig.buy()
        refund = await rig.refund(order, 1000)
        await in_state(rig, "ABNORMAL")
        base = f"/admin/refunds/{refund['out_refund_no']}"
        await rig.call("POST", f"{base}/elsewhere", MERCHANTS, status=202, key=ADMIN_KEY)
        await in_state(rig, "ABNORMAL")
        shown = await rig.call("POST", f"{base}/cash", CASH, status=201, key=ADMIN_KEY)
        assert shown["state"] == "CASH"
        assert (await rig.order(order))["refunded_fen"] == 1000

    twice = GatewayFault(kind="refund-abnormal", name="bounced", limit=2)
    InvoiceRig(keys, gateway_faults=[twice]).run(play, until_s=2000)
