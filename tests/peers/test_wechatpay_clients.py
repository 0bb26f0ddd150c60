"""Unmodified clients pay, query, close, refund, verify callbacks and log in through the CONNECT proxy, on real TLS.

The npm ones check what PyPI's wechatpayv3 does not: wechatpay-axios-plugin wants all signature headers, a known serial and a time
within five minutes on every 2xx. Neither reads HTTPS_PROXY, so Node gets an agent for the proxy (proxy_agent.cjs).
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from wechatpy import WeChatClient
from wechatpy.exceptions import WeChatClientException

from sim.wechatpay import GatewayFault

from .wechatpay_shop import NOTIFY_URL, OPENID, Shop, open_shop


@pytest.mark.foreign
def test_wechatpay_node_v3_pays_refunds_and_verifies_callbacks(start_node, tmp_path) -> None:
    order = {
        "description": "KM01 3号枪 92#",
        "out_trade_no": "NODE000001",
        "notify_url": NOTIFY_URL,
        "amount": {"total": 20_000, "currency": "CNY"},
        "payer": {"openid": OPENID},
    }

    async def callback(shop: Shop, node: Any) -> dict[str, Any]:
        headers, body = await shop.callback()
        signed = {
            "timestamp": headers["wechatpay-timestamp"],
            "nonce": headers["wechatpay-nonce"],
            "serial": headers["wechatpay-serial"],
            "signature": headers["wechatpay-signature"],
        }
        assert await node.ask(["verifySign", {**signed, "body": body}]) is True
        assert await node.ask(["verifySign", {**signed, "body": body.replace("SUCCESS", "REFUSED")}]) is False
        sealed = json.loads(body)["resource"]
        opened: dict[str, Any] = await node.ask(
            ["decipher_gcm", sealed["ciphertext"], sealed["associated_data"], sealed["nonce"]]
        )
        return opened

    async def run() -> None:
        async with (
            open_shop(tmp_path, require_pay_sign=True) as shop,
            start_node("wechatpay-node-v3", "wechatpay_node_v3.cjs", shop.keys, **shop.node) as node,
        ):
            listed = await node.ask(["get_certificates", shop.merchant.credentials.apiv3_key])
            assert [one["serial_no"] for one in listed] == [key.serial for key in shop.platform.certificates]
            reply = await node.ask(["transactions_jsapi", order])
            assert reply["status"] == 200, reply
            pay_sign = {name: value for name, value in reply["data"].items() if name != "status"}
            prepay_id = pay_sign["package"].removeprefix("prepay_id=")
            forged = await shop.confirm(prepay_id, {**pay_sign, "timeStamp": "1"})
            assert forged.status_code == 409
            assert (await shop.confirm(prepay_id, pay_sign)).json() == {"err_msg": "requestPayment:ok"}
            paid = await callback(shop, node)
            assert (paid["out_trade_no"], paid["trade_state"]) == ("NODE000001", "SUCCESS")
            found = await node.ask(["query", {"out_trade_no": "NODE000001"}])
            assert found["data"]["transaction_id"] == paid["transaction_id"]
            refund = {
                "out_trade_no": "NODE000001",
                "out_refund_no": "NODER00001",
                "notify_url": NOTIFY_URL,
                "amount": {"refund": 8_000, "total": 20_000, "currency": "CNY"},
            }
            assert (await node.ask(["refunds", refund]))["status"] == 200
            assert (await callback(shop, node))["refund_status"] == "SUCCESS"
            assert (await node.ask(["find_refunds", "NODER00001"]))["data"]["status"] == "SUCCESS"
            await node.ask(["transactions_jsapi", {**order, "out_trade_no": "NODE000002"}])
            assert (await node.ask(["close", "NODE000002"]))["status"] == 204
            missing = await node.ask(["query", {"out_trade_no": "NOSUCHORDER"}])
            assert missing["status"] == 404
            assert "ORDER_NOT_EXIST" in missing["error"]

    asyncio.run(run())


@pytest.mark.foreign
def test_wechatpay_axios_plugin_finds_every_header_in_order_and_refuses_what_is_forged(
    start_node, tmp_path
) -> None:
    async def run() -> None:
        async with (
            open_shop(tmp_path) as shop,
            start_node("wechatpay-axios-plugin", "wechatpay_axios.cjs", shop.keys, **shop.node) as node,
        ):
            own = shop.merchant.credentials
            transactions = "v3/pay/transactions"
            order = {
                "appid": own.appid,
                "mchid": own.mchid,
                "description": "KM01 3号枪 92#",
                "out_trade_no": "AXIOS00001",
                "notify_url": NOTIFY_URL,
                "amount": {"total": 20_000},
                "payer": {"openid": OPENID},
            }
            reply = await node.ask([f"{transactions}/jsapi", "post", order])
            assert reply["status"] == 200
            await shop.confirm(reply["data"]["prepay_id"])
            query = [
                f"{transactions}/out-trade-no/AXIOS00001",
                "get",
                {"params": {"mchid": own.mchid}},
            ]
            assert (await node.ask(query))["data"]["trade_state"] == "SUCCESS"
            await node.ask([f"{transactions}/jsapi", "post", {**order, "out_trade_no": "AXIOS00002"}])
            close = [f"{transactions}/out-trade-no/AXIOS00002/close", "post", {"mchid": own.mchid}]
            assert (await node.ask(close))["status"] == 204
            assert (await node.ask(["v3/no/such/path", "get"])) == {"status": 404, "data": ""}
            refused = await node.ask([f"{transactions}/jsapi", "post", {**order, "mchid": "1"}])
            assert (refused["status"], refused["data"]["code"]) == (400, "PARAM_ERROR")
            for forgery in (
                "wrong-key",
                "probe",
                "tampered",
                "unknown-serial",
                "no-headers",
                "stale",
            ):
                shop.gateway.faults.arm(
                    GatewayFault(
                        kind="reply-signature", name=forgery, at=("query",), forgery=forgery, limit=1
                    )
                )
                answer = await node.answer(query)
                assert "error" in answer, forgery
                assert shop.gateway.faults.report()[forgery]["landed"] == 1
            assert (await node.ask(query))["data"]["trade_state"] == "SUCCESS"

    asyncio.run(run())


def test_wechatpy_logs_a_phone_in_after_it_has_got_its_access_token(tmp_path, monkeypatch) -> None:
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "https_proxy", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)

    def log_in(shop: Shop) -> None:
        own = shop.merchant.credentials
        client = WeChatClient(own.appid, own.app_secret)
        session = client.wxa.code_to_session(f"js-{OPENID}")
        assert session["openid"] == OPENID
        with pytest.raises(WeChatClientException) as again:
            client.wxa.code_to_session(f"js-{OPENID}")
        assert again.value.errcode == 40029
        with pytest.raises(WeChatClientException) as stranger:
            WeChatClient(own.appid, "wrong").wxa.code_to_session("js-x")
        assert stranger.value.errcode == 40125

    async def run() -> None:
        async with open_shop(tmp_path) as shop:
            monkeypatch.setenv("HTTPS_PROXY", shop.proxy.url)
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(shop.bundle))
            await asyncio.to_thread(log_in, shop)

    asyncio.run(run())
