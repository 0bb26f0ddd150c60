"""Unmodified clients use the gateway's further products: pay codes, codes to scan, combined orders, bills, abnormal refunds,
debits by contract, the public-key mode. They sign, verify and encrypt by themselves, over real TLS.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from wechatpayv3 import WeChatPay, WeChatPayType

from protocols.rsa_keys import private_pem
from protocols.wechatpay import bill_day, read_fund_bill, read_trade_bill
from protocols.wechatpay.trust import public_pem
from sim.wechatpay import GatewayFault, generate_keys

from .wechatpay_shop import NOTIFY_URL, OPENID, Shop, open_shop

AMOUNT = {"total": 20_000, "currency": "CNY"}
STORE = {"store_info": {"id": "KM01"}}
S = 1_000_000


def settings(shop: Shop, *, public_key: bool) -> dict[str, Any]:
    own, public = shop.merchant.credentials, shop.platform.public
    assert public is not None
    trust = {
        "public_key": public_pem(public.private_key.public_key()),
        "public_key_id": public.serial,
    }
    return {
        "wechatpay_type": WeChatPayType.CODEPAY,
        "mchid": own.mchid,
        "private_key": private_pem(own.private_key),
        "cert_serial_no": own.serial_no,
        "appid": own.appid,
        "apiv3_key": own.apiv3_key,
        "notify_url": NOTIFY_URL,
        "proxy": {"https": shop.proxy.url},
        "timeout": (20, 20),
        **(trust if public_key else {}),
    }


@pytest.fixture(params=[False, True], ids=["certificates", "public-key"])
def with_client(request, tmp_path, monkeypatch) -> Callable[[Any], None]:
    """Runs a story ``(shop, ask)``; ``ask`` calls a method of PyPI's wechatpayv3, in either of its two trust modes."""
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "https_proxy", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)

    def run(story: Any) -> None:
        async def main() -> None:
            async with open_shop(tmp_path) as shop:
                monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(shop.bundle))
                chosen = settings(shop, public_key=request.param)
                client = await asyncio.to_thread(lambda: WeChatPay(**chosen))

                async def ask(method: str, *arguments: Any, **named: Any) -> Any:
                    return await asyncio.to_thread(getattr(client, method), *arguments, **named)

                await story(shop, ask)

        asyncio.run(main())

    return run


def read(answer: tuple[int, Any], code: int = 200) -> dict[str, Any]:
    assert answer[0] == code, answer
    found: dict[str, Any] = json.loads(answer[1])
    return found


async def show_code(shop: Shop, **plan: Any) -> dict[str, str]:
    return {"auth_code": (await shop.at_phone("code", **plan)).json()["auth_code"]}


def test_wechatpayv3_charges_pay_codes_and_reverses_them(with_client) -> None:
    async def story(shop: Shop, ask: Any) -> None:
        paid = read(await ask("pay", "92#", "CODE000001", AMOUNT, await show_code(shop), scene_info=STORE))
        assert (paid["trade_state"], paid["trade_type"]) == ("SUCCESS", "MICROPAY")
        reversed_ = read(await ask("codepay_reverse", "CODE000001"))
        assert reversed_["out_trade_no"] == "CODE000001"
        assert read(await ask("query", out_trade_no="CODE000001"))["trade_state"] == "REVOKED"

        code = await show_code(shop, password=True)
        waiting = read(await ask("pay", "92#", "CODE000002", AMOUNT, code, scene_info=STORE), 202)
        assert waiting["trade_state"] == "USERPAYING"
        refused = read(await ask("codepay_reverse", "CODE000002"), 403)
        assert refused["code"] == "USERPAYING"
        assert (await shop.at_phone("confirm", **code)).json() == {"err_msg": "requestPayment:ok"}
        assert read(await ask("query", out_trade_no="CODE000002"))["trade_state"] == "SUCCESS"
        used = read(await ask("pay", "92#", "CODE000003", AMOUNT, code, scene_info=STORE), 400)
        assert used["code"] == "AUTH_CODE_INVALID"
        assert shop.callbacks.empty()

    with_client(story)


def test_wechatpayv3_makes_codes_to_scan_and_combined_orders(with_client) -> None:
    async def story(shop: Shop, ask: Any) -> None:
        own = shop.merchant.credentials
        native = {"pay_type": WeChatPayType.NATIVE}
        code_url = read(await ask("pay", "92#", "NATIVE0001", AMOUNT, **native))["code_url"]
        await shop.at_phone("confirm", code_url=code_url)
        assert read(await ask("query", out_trade_no="NATIVE0001"))["trade_type"] == "NATIVE"
        told = await ask("callback", *await shop.callback())
        assert told["resource"]["out_trade_no"] == "NATIVE0001"

        parts = [
            {
                "mchid": own.mchid,
                "attach": "KM01",
                "amount": {"total_amount": fen, "currency": "CNY"},
                "out_trade_no": f"PART00000{number}",
                "description": "92#",
            }
            for number, fen in enumerate((20_000, 1_500), 1)
        ]
        kind = {"pay_type": WeChatPayType.MINIPROG, "combine_payer_info": {"openid": OPENID}}
        prepay_id = read(await ask("combine_pay", "COMBINE001", parts, **kind))["prepay_id"]
        await shop.confirm(prepay_id)
        found = read(await ask("combine_query", "COMBINE001"))
        assert {sub["trade_state"] for sub in found["sub_orders"]} == {"SUCCESS"}
        told = await ask("callback", *await shop.callback())
        assert told["resource"] == found
        others = [{**part, "out_trade_no": f"X{part['out_trade_no']}"} for part in parts]
        await ask("combine_pay", "COMBINE002", others, **kind)
        named = [{"mchid": own.mchid, "out_trade_no": part["out_trade_no"]} for part in others]
        code, _ = await ask("combine_close", "COMBINE002", named)
        assert code == 204

    with_client(story)


def test_wechatpayv3_fetches_bills(with_client) -> None:
    async def story(shop: Shop, ask: Any) -> None:
        await ask("pay", "92#", "CODE000001", AMOUNT, await show_code(shop), scene_info=STORE)
        (order,) = shop.gateway.ledger.orders
        order.created_us = order.success_us = order.created_us - 2 * 86_400 * S
        day = bill_day(order.created_us).isoformat()
        for method, read_bill in (("trade_bill", read_trade_bill), ("fundflow_bill", read_fund_bill)):
            linked = read(await ask(method, day))
            code, file = await ask("download_bill", linked["download_url"])
            assert code == 200
            content = gzip.decompress(file)
            assert hashlib.sha1(content).hexdigest() == linked["hash_value"]
            bill = read_bill(content)
            assert bill.bad == ()
            assert bill.rows[0][1].at_unix_s == order.success_us // S
        missing = read(await ask("trade_bill", bill_day(order.created_us - 86_400 * S).isoformat()), 400)
        assert missing["code"] == "NO_STATEMENT_EXIST"

    with_client(story)


# Choosing a certificate to encrypt with, the client reads a property that is deprecated.
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_wechatpayv3_sends_an_abnormal_refund_on_to_a_card(with_client) -> None:
    async def story(shop: Shop, ask: Any) -> None:
        fault = GatewayFault(kind="refund-abnormal", name="bounced", limit=1)
        shop.gateway.faults.arm(fault)
        await ask("pay", "92#", "CODE000001", AMOUNT, await show_code(shop), scene_info=STORE)
        money = {"refund": 8_000, "total": 20_000, "currency": "CNY"}
        refund_id = read(await ask("refund", "R1", money, out_trade_no="CODE000001"))["refund_id"]
        await shop.callback()
        assert read(await ask("query_refund", "R1"))["status"] == "ABNORMAL"
        sent = read(
            await ask(
                "abnormal_refund",
                refund_id,
                "R1",
                "USER_BANK_CARD",
                bank_type="ICBC_DEBIT",
                bank_account="6222021234567890123",
                real_name="张三",
            )
        )
        assert (sent["status"], sent["user_received_account"]) == ("PROCESSING", "ICBC0123")
        await shop.callback()
        assert read(await ask("query_refund", "R1"))["status"] == "SUCCESS"

    with_client(story)


def test_wechatpayv3_takes_money_by_number_plate(with_client) -> None:
    async def story(shop: Shop, ask: Any) -> None:
        plate = {"plate_number": "云A88888", "plate_color": "BLUE"}
        await shop.at_phone("plates", **plate, limit_fen=50_000)
        since = {"start_time": "2026-09-21T22:00:00+08:00", "parking_name": "KM01"}
        came = read(await ask("parking_enter", "IN0001", **plate, **since, free_duration=1))
        assert came["state"] == "NORMAL"
        times = {**since, "end_time": since["start_time"], "charging_duration": 1, "device_id": "3"}
        accepted = read(await ask("parking_order", "92#", "PLATE00001", 20_000, came["id"], **plate, **times))
        assert accepted["trade_state"] == "ACCEPTED"
        told = await ask("callback", *await shop.callback())
        assert told["event_type"] == "TRANSACTION.SUCCESS"
        assert read(await ask("parking_order_query", "PLATE00001")) == told["resource"]
        # It signs the plate as it is and sends it percent-encoded, which the live gateway refuses as well.
        refused = read(await ask("parking_service_find", *plate.values(), OPENID), 401)
        assert refused["code"] == "SIGN_ERROR"

    with_client(story)


def test_wechatpayv3_lives_through_a_rotation_under_load(tmp_path, monkeypatch) -> None:
    """A certificate that no client has seen begins to sign while four of them ask without a pause."""
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "https_proxy", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)

    def ask(client: WeChatPay, times: int) -> list[str]:
        found = [client.query(out_trade_no="CODE000001") for _ in range(times)]
        return [json.loads(text)["trade_state"] for code, text in found if code == 200]

    async def run() -> None:
        async with open_shop(tmp_path) as shop:
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(shop.bundle))
            signer = shop.gateway.signer
            chosen = settings(shop, public_key=False)
            clients = [await asyncio.to_thread(lambda: WeChatPay(**chosen)) for _ in range(4)]
            paid = {"payer": await show_code(shop), "scene_info": STORE}
            await asyncio.to_thread(clients[0].pay, "92#", "CODE000001", AMOUNT, **paid)
            fresh = await asyncio.to_thread(generate_keys, "platform/fresh")
            asking = [asyncio.to_thread(ask, client, 12) for client in clients]
            load = asyncio.gather(*asking)
            signer.add(fresh)
            await shop.at_phone("code")  # a while
            signer.rotate(fresh.serial)
            assert await load == [["SUCCESS"] * 12] * 4
            signer.retire(shop.platform.certificates[0].serial)
            last = [await asyncio.to_thread(ask, client, 1) for client in clients]
            assert last == [["SUCCESS"]] * 4

    asyncio.run(run())


@pytest.mark.foreign
def test_wechatpay_axios_plugin_debits_charges_and_reads_bills(start_node, tmp_path) -> None:
    async def run() -> None:
        async with (
            open_shop(tmp_path) as shop,
            start_node("wechatpay-axios-plugin", "wechatpay_axios.cjs", shop.keys, **shop.node) as node,
        ):
            own = shop.merchant.credentials
            base = {"appid": own.appid, "description": "92#", "amount": AMOUNT}
            charge = {**base, "mchid": own.mchid, "scene_info": STORE}
            code = {**charge, "out_trade_no": "CODE000001", "payer": await show_code(shop, password=True)}
            reply = await node.ask(["v3/pay/transactions/codepay", "post", code])
            assert (reply["status"], reply["data"]["trade_state"]) == (202, "USERPAYING")
            await shop.at_phone("confirm", **code["payer"])
            undo = "v3/pay/transactions/out-trade-no/CODE000001/reverse"
            reply = await node.ask([undo, "post", {"appid": own.appid, "mchid": own.mchid}])
            assert reply["status"] == 200

            signed = {"plan_id": 1, "out_contract_code": "KM1", "limit_fen": 20_000}
            contract_id = (await shop.at_phone("contracts", **signed)).json()["contract_id"]
            debit = {
                **base,
                "out_trade_no": "DEBIT00001",
                "transaction_notify_url": NOTIFY_URL,
                "contract_id": contract_id,
            }
            reply = await node.ask(["v3/papay/pay/transactions/apply", "post", debit])
            assert reply["data"] == {"out_trade_no": "DEBIT00001", "amount": AMOUNT}
            _, body = await shop.callback()
            assert json.loads(body)["event_type"] == "TRANSACTION.SUCCESS"
            query = [
                "v3/pay/transactions/out-trade-no/DEBIT00001",
                "get",
                {"params": {"mchid": own.mchid}},
            ]
            assert (await node.ask(query))["data"]["trade_state"] == "SUCCESS"
            over = {**debit, "out_trade_no": "DEBIT00002", "amount": {"total": 20_001}}
            reply = await node.ask(["v3/papay/pay/transactions/apply", "post", over])
            assert (reply["status"], reply["data"]["code"]) == (403, "RULE_LIMIT")

            order = shop.gateway.ledger.orders[1]
            order.created_us = order.success_us = order.created_us - 2 * 86_400 * S
            day = bill_day(order.created_us).isoformat()
            linked = await node.ask(["v3/bill/tradebill", "get", {"params": {"bill_date": day}}])
            token = linked["data"]["download_url"].partition("token=")[2]
            file = await node.ask(["v3/billdownload/file", "get", {"params": {"token": token}}])
            bill = read_trade_bill(file["data"].encode())
            assert [row.out_trade_no for _, row in bill.rows] == ["DEBIT00001"]

    asyncio.run(run())


@pytest.mark.foreign
def test_wechatpay_node_v3_makes_native_and_combined_orders_and_fetches_bills(start_node, tmp_path) -> None:
    async def run() -> None:
        async with (
            open_shop(tmp_path) as shop,
            start_node("wechatpay-node-v3", "wechatpay_node_v3.cjs", shop.keys, **shop.node) as node,
        ):
            own = shop.merchant.credentials
            order = {"description": "92#", "notify_url": NOTIFY_URL, "amount": AMOUNT}
            reply = await node.ask(["transactions_native", {**order, "out_trade_no": "NATIVE0001"}])
            await shop.at_phone("confirm", code_url=reply["data"]["code_url"])
            found = await node.ask(["query", {"out_trade_no": "NATIVE0001"}])
            assert found["data"]["trade_type"] == "NATIVE"
            part = {
                "mchid": own.mchid,
                "attach": "KM01",
                "amount": {"total_amount": 100, "currency": "CNY"},
                "out_trade_no": "PART000001",
                "description": "92#",
            }
            combined = {
                "combine_out_trade_no": "COMBINE001",
                "combine_mchid": own.mchid,
                "combine_payer_info": {"openid": OPENID},
                "notify_url": NOTIFY_URL,
                "sub_orders": [part],
            }
            reply = await node.ask(["combine_transactions_jsapi", combined])
            assert reply["status"] == 200, reply
            found = await node.ask(["combine_query", "COMBINE001"])
            assert found["data"]["sub_orders"][0]["trade_state"] == "NOTPAY"
            named = [{"mchid": own.mchid, "out_trade_no": "PART000001"}]
            assert (await node.ask(["combine_close", "COMBINE001", named]))["status"] == 204
            native = shop.gateway.ledger.orders[0]
            native.created_us = native.success_us = native.created_us - 2 * 86_400 * S
            day = bill_day(native.created_us).isoformat()
            for method in ("tradebill", "fundflowbill"):
                linked = await node.ask([method, {"bill_date": day}])
                assert linked["data"]["hash_type"] == "SHA1"
                file = await node.ask(["downloadBill", linked["data"]["download_url"]])
                assert file["status"] == 200

    asyncio.run(run())
