"""The gateway behind the in-memory network: latency, a number with a bar, a client that gave up, a shop that died."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from protocols.wechatpay import authorization_header, encode_json, verify_reply
from sim.kernel import VirtualKernel
from sim.latency import LatencyProfile
from sim.net import Network
from sim.wechatpay import GatewayFault, GatewayProfile, Merchant, PlatformKeys, WeChatPayGateway

EPOCH_US = 1_790_000_000_000_000
S = 1_000_000
HOST = "https://api.mch.weixin.qq.com"


class Station:
    def __init__(self, platform: PlatformKeys, merchant: Merchant, *faults: GatewayFault) -> None:
        self.kernel = VirtualKernel("net", epoch_us=EPOCH_US)
        self.network = Network(self.kernel, latency=LatencyProfile.constant(10_000))
        self.own = merchant.credentials
        self.calls: list[int] = []
        self.gateway = WeChatPayGateway(
            self.kernel,
            [merchant.account],
            platform,
            notify_client=httpx.AsyncClient(transport=self.network.transport("wechatpay")),
            profile=GatewayProfile.instant(),
            faults=faults,
        )
        self.network.register("api.mch.weixin.qq.com", self.gateway.app)
        self.network.register("payer.sim", self.gateway.payer_app)
        self.network.register("shop.test", self.shop)
        self.http = httpx.AsyncClient(transport=self.network.transport("backend"), timeout=8)

    async def shop(self, scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        self.calls.append(self.kernel.now_us)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def call(self, method: str, target: str, data: Any = None) -> httpx.Response:
        body = encode_json(data) if data is not None else b""
        now_s = self.kernel.unix_us // S
        header = authorization_header(
            mchid=self.own.mchid,
            serial_no=self.own.serial_no,
            key=self.own.private_key,
            method=method,
            target=target,
            body=body,
            timestamp_s=now_s,
            nonce="n" * 32,
        )
        headers = {"Authorization": header, "Accept": "application/json", "User-Agent": "test"}
        reply = await self.http.request(method, HOST + target, content=body, headers=headers)
        if reply.status_code < 300:
            verify_reply(self.own.trust, reply.headers, reply.content, now_s=now_s)
        return reply

    async def prepay(self, number: str) -> httpx.Response:
        return await self.call(
            "POST",
            "/v3/pay/transactions/jsapi",
            {
                "appid": self.own.appid,
                "mchid": self.own.mchid,
                "description": "92#",
                "out_trade_no": number,
                "notify_url": "https://shop.test/notify",
                "amount": {"total": 100},
                "payer": {"openid": "oAnna"},
            },
        )

    async def confirm(self, prepay_id: str) -> None:
        reply = await self.http.post("https://payer.sim/payers/oAnna/confirm", json={"prepay_id": prepay_id})
        assert reply.status_code == 200, reply.text

    async def state(self, number: str) -> str:
        reply = await self.call("GET", f"/v3/pay/transactions/out-trade-no/{number}?mchid={self.own.mchid}")
        state: str = reply.json()["trade_state"]
        return state

    def run(self, coro: Any) -> Any:
        done: list[Any] = []

        async def main() -> None:
            done.append(await coro)

        self.kernel.spawn(main(), "test")
        try:
            self.kernel.run()
        finally:
            self.kernel.close()
        return done[0]


def test_a_payment_takes_the_networks_time(platform: PlatformKeys, merchant: Merchant) -> None:
    station = Station(platform, merchant)

    async def story() -> str:
        reply = await station.prepay("A|B*C_1-2")
        assert station.kernel.now_us == 20_000
        await station.confirm(reply.json()["prepay_id"])
        return await station.state("A%7CB*C_1-2")

    assert station.run(story()) == "SUCCESS"
    assert station.calls == [40_000]  # paid at 30 ms; one leg of 10 ms to the shop


def test_a_client_that_gave_up_finds_its_order_by_asking(platform: PlatformKeys, merchant: Merchant) -> None:
    fault = GatewayFault(kind="timeout", name="slow", at=("prepay",), after_commit=True, limit=1)
    station = Station(platform, merchant, fault)

    async def story() -> str:
        with pytest.raises(httpx.ReadTimeout):
            await station.prepay("ORDER00001")
        state = await station.state("ORDER00001")
        reply = await station.prepay("ORDER00001")  # the same number and parameters: safe to repeat
        await station.confirm(reply.json()["prepay_id"])
        return state

    assert station.run(story()) == "NOTPAY"
    assert len(station.gateway.ledger.orders) == 1
    assert len(station.calls) == 1


def test_a_callback_that_dies_with_the_shop_comes_again_after_15_seconds(
    platform: PlatformKeys, merchant: Merchant
) -> None:
    station = Station(platform, merchant)

    async def story() -> None:
        reply = await station.prepay("ORDER00001")
        station.network.kill("shop.test")
        await station.confirm(reply.json()["prepay_id"])
        await asyncio.sleep(10)
        station.network.restore("shop.test")

    station.run(story())
    (notice,) = station.gateway.notifier.notices
    assert [outcome for _, outcome in notice.attempts] == ["unreachable", "204"]
    assert notice.attempts[1][0] - notice.attempts[0][0] == 15 * S
