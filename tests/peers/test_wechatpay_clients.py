"""Unmodified clients pay, query, close, refund, verify callbacks and log in through the CONNECT proxy, on real TLS.

The npm ones check what PyPI's wechatpayv3 does not: wechatpay-axios-plugin wants all signature headers, a known serial and a time
within five minutes on every 2xx. Neither reads HTTPS_PROXY, so Node gets an agent for the proxy (proxy_agent.cjs).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from wechatpy import WeChatClient
from wechatpy.exceptions import WeChatClientException

from protocols.rsa_keys import private_pem
from protocols.wechatpay.trust import public_pem
from sim.kernel import WallKernel
from sim.proxy import ConnectProxy, make_ca
from sim.wechatpay import (
    GatewayFault,
    GatewayProfile,
    Switches,
    WeChatPayGateway,
    generate_merchant,
    generate_platform,
)

OPENID = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"
NOTIFY_URL = "https://shop.test/notify"


class Shop:
    """Gateway, phone and the merchant's notify URL behind one proxy."""

    def __init__(self, folder: Path) -> None:
        self.platform = generate_platform(certificates=2)
        self.merchant = generate_merchant(self.platform)
        self.callbacks: asyncio.Queue[tuple[dict[str, str], str]] = asyncio.Queue()
        own = self.merchant.credentials
        assert self.platform.public is not None
        first = self.platform.certificates[0]
        self.keys = folder / "keys.json"
        self.keys.touch(mode=0o600)
        self.keys.write_text(
            json.dumps(
                {
                    "appid": own.appid,
                    "mchid": own.mchid,
                    "serial_no": own.serial_no,
                    "private_key": private_pem(own.private_key),
                    "apiv3_key": own.apiv3_key,
                    "certificate": first.certificate_pem,
                    "platform": {
                        first.serial: first.certificate_pem,
                        self.platform.public.serial: public_pem(
                            self.platform.public.private_key.public_key()
                        ),
                    },
                }
            )
        )
        self.ca = make_ca()
        self.bundle = self.ca.write_bundle(folder / "ca.pem")
        self.gateway: WeChatPayGateway
        self.client: httpx.AsyncClient
        self.proxy: ConnectProxy

    async def notified(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.callbacks.put_nowait((headers, body.decode()))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    @property
    def node(self) -> dict[str, Any]:
        """How Node is told about the proxy and its authority."""
        agent = str(Path(__file__).parent / "proxy_agent.cjs")
        return {
            "options": ("--require", agent),
            "FORECOURT_PROXY": self.proxy.url,
            "NODE_EXTRA_CA_CERTS": str(self.bundle),
        }

    async def callback(self) -> tuple[dict[str, str], str]:
        return await asyncio.wait_for(self.callbacks.get(), 20)

    async def confirm(self, prepay_id: str, pay_sign: dict[str, str] | None = None) -> httpx.Response:
        body: dict[str, Any] = {"prepay_id": prepay_id}
        if pay_sign is not None:
            body["pay_sign"] = pay_sign
        return await self.client.post(f"https://payer.sim/payers/{OPENID}/confirm", json=body)


@asynccontextmanager
async def open_shop(folder: Path, **switches: Any) -> AsyncIterator[Shop]:
    shop = Shop(folder)
    kernel = WallKernel("peers")
    shop.proxy = ConnectProxy(shop.ca, {"shop.test": shop.notified})
    await shop.proxy.start()
    shop.client = httpx.AsyncClient(
        proxy=shop.proxy.url, verify=shop.ca.client_context(), trust_env=False, timeout=20
    )
    shop.gateway = WeChatPayGateway(
        kernel,
        [shop.merchant.account],
        shop.platform,
        notify_client=shop.client,
        profile=GatewayProfile.instant(),
        switches=Switches(**switches),
    )
    await shop.proxy.add("api.mch.weixin.qq.com", shop.gateway.app)
    await shop.proxy.add("payer.sim", shop.gateway.payer_app)
    await shop.proxy.add("api.weixin.qq.com", shop.gateway.jscode_app)
    running = asyncio.create_task(kernel.run(3_600_000_000))
    try:
        yield shop
    finally:
        kernel.stop()
        await running
        await shop.client.aclose()
        await shop.proxy.stop()
        await kernel.close()


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
