"""A gateway in virtual time, a merchant that signs, and a shop that takes callbacks. Keys are made once a session."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from protocols.sansio import ProtocolError
from protocols.wechatpay import (
    MerchantCredentials,
    OpenedNotice,
    authorization_header,
    encode_json,
    open_notification,
    verify_reply,
)
from sim.kernel import Trace, VirtualKernel
from sim.wechatpay import (
    GatewayFault,
    GatewayProfile,
    Merchant,
    PlatformKeys,
    Switches,
    WeChatPayGateway,
    generate_merchant,
    generate_platform,
)

EPOCH_US = 1_790_000_000_000_000
OPENID = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"
NOTIFY_URL = "https://backend.station/v1/notify/wechatpay"


@pytest.fixture(scope="session")
def platform() -> PlatformKeys:
    return generate_platform(certificates=2, valid_from_unix_s=EPOCH_US // 1_000_000 - 86_400)


@pytest.fixture(scope="session")
def merchant(platform: PlatformKeys) -> Merchant:
    return generate_merchant(platform, valid_from_unix_s=EPOCH_US // 1_000_000 - 86_400)


@dataclass
class Shop:
    """The merchant's callback endpoint: verifies, remembers, and answers as it is told."""

    kernel: VirtualKernel
    credentials: MerchantCredentials
    answer: Callable[[int], int] = lambda _number: 204
    hang_s: float = 0.0
    seen: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    opened: list[OpenedNotice] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.seen.append((self.kernel.now_us, headers, body))
        if self.hang_s:
            await asyncio.sleep(self.hang_s)
        try:
            self.opened.append(
                open_notification(
                    self.credentials.trust,
                    headers,
                    body,
                    apiv3_key=self.credentials.apiv3_key,
                    now_s=self.kernel.unix_us // 1_000_000,
                )
            )
            status = self.answer(len(self.seen))
        except ProtocolError as error:
            self.refused.append(getattr(error, "reason", type(error).__name__))
            status = 401
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"" if status == 204 else b"{}"})


@dataclass
class World:
    """One virtual station's worth of payment."""

    kernel: VirtualKernel
    gateway: WeChatPayGateway
    shop: Shop
    merchant: Merchant
    events: list[dict[str, Any]]

    def __post_init__(self) -> None:
        transport = httpx.ASGITransport(app=self.gateway.app)
        self.http = httpx.AsyncClient(transport=transport, base_url="https://api.mch.weixin.qq.com")
        payer = httpx.ASGITransport(app=self.gateway.payer_app)
        self.phone = httpx.AsyncClient(transport=payer, base_url="https://payer.sim")
        self._rng = random.Random("merchant")

    def run(self, coro: Awaitable[Any], until_s: int | None = None) -> Any:
        """Run a coroutine to its end and then whatever it set going, or everything up to an instant."""

        async def main() -> Any:
            result = await coro
            while until_s is None and (others := asyncio.all_tasks() - {asyncio.current_task()}):
                await asyncio.wait(others)
            return result

        event = self.kernel.task(main(), "test")
        if until_s is not None:
            self.kernel.run(until_us=self.kernel.now_us + until_s * 1_000_000)
            return None
        # `kernel.run()` would go on to its next garbage collection; here time must stop where the story ends.
        with self.kernel.loop.running():
            return self.kernel.env.run(until=event)

    def header(self, method: str, target: str, body: bytes = b"", **change: Any) -> str:
        own = self.merchant.credentials
        arguments: dict[str, Any] = {
            "mchid": own.mchid,
            "serial_no": own.serial_no,
            "key": own.private_key,
            "method": method,
            "target": target,
            "body": body,
            "timestamp_s": self.kernel.unix_us // 1_000_000,
            "nonce": f"{self._rng.getrandbits(128):032X}",
        }
        return authorization_header(**{**arguments, **change})

    async def call(
        self,
        method: str,
        target: str,
        data: Any = None,
        *,
        headers: dict[str, str] | None = None,
        check: bool = True,
    ) -> httpx.Response:
        body = encode_json(data) if data is not None else b""
        sent = {
            "Authorization": self.header(method, target, body),
            "Accept": "application/json",
            "User-Agent": "forecourt-test",
            **({"Content-Type": "application/json"} if data is not None else {}),
            **(headers or {}),
        }
        reply = await self.http.request(method, target, content=body, headers=sent)
        if check and reply.status_code < 300:
            now_s = self.kernel.unix_us // 1_000_000
            verify_reply(self.merchant.credentials.trust, reply.headers, reply.content, now_s=now_s)
        return reply

    def prepay_body(self, number: str = "ORDER00001", total: int = 20_000, **more: Any) -> dict[str, Any]:
        own = self.merchant.credentials
        return {
            "appid": own.appid,
            "mchid": own.mchid,
            "description": "KM01 3号枪 92#",
            "out_trade_no": number,
            "notify_url": NOTIFY_URL,
            "amount": {"total": total, "currency": "CNY"},
            "payer": {"openid": OPENID},
            **more,
        }

    async def prepay(self, number: str = "ORDER00001", total: int = 20_000, **more: Any) -> str:
        reply = await self.call("POST", "/v3/pay/transactions/jsapi", self.prepay_body(number, total, **more))
        assert reply.status_code == 200, reply.text
        prepay_id: str = reply.json()["prepay_id"]
        return prepay_id

    async def confirm(
        self, prepay_id: str, action: str = "confirm", openid: str = OPENID, **more: Any
    ) -> httpx.Response:
        return await self.phone.post(f"/payers/{openid}/{action}", json={"prepay_id": prepay_id, **more})

    async def show_code(self, openid: str = OPENID, **plan: Any) -> str:
        reply = await self.phone.post(f"/payers/{openid}/code", json=plan)
        assert reply.status_code == 200, reply.text
        code: str = reply.json()["auth_code"]
        return code

    def codepay_body(
        self, auth_code: str, number: str = "CODE000001", total: int = 20_000, **more: Any
    ) -> dict[str, Any]:
        own = self.merchant.credentials
        return {
            "appid": own.appid,
            "mchid": own.mchid,
            "description": "KM01 3号枪 92#",
            "out_trade_no": number,
            "amount": {"total": total, "currency": "CNY"},
            "payer": {"auth_code": auth_code},
            "scene_info": {"store_info": {"id": "KM01"}},
            **more,
        }

    async def codepay(
        self, auth_code: str, number: str = "CODE000001", total: int = 20_000, **more: Any
    ) -> httpx.Response:
        body = self.codepay_body(auth_code, number, total, **more)
        return await self.call("POST", "/v3/pay/transactions/codepay", body)

    async def reverse(self, number: str = "CODE000001", **change: Any) -> httpx.Response:
        own = self.merchant.credentials
        body = {"appid": own.appid, "mchid": own.mchid, **change}
        return await self.call("POST", f"/v3/pay/transactions/out-trade-no/{number}/reverse", body)

    async def at_phone(self, action: str, openid: str = OPENID, **body: Any) -> httpx.Response:
        return await self.phone.post(f"/payers/{openid}/{action}", json=body)

    async def sign(self, limit_fen: int = 50_000, openid: str = OPENID, **more: Any) -> dict[str, Any]:
        body = {"plan_id": 12535, "out_contract_code": "KMCONTRACT1", "limit_fen": limit_fen, **more}
        reply = await self.phone.post(f"/payers/{openid}/contracts", json=body)
        assert reply.status_code == 201, reply.text
        contract: dict[str, Any] = reply.json()
        return contract

    async def debit(
        self, contract_id: str, number: str = "DEBIT00001", total: int = 20_000, **more: Any
    ) -> httpx.Response:
        body = {
            "appid": self.merchant.credentials.appid,
            "out_trade_no": number,
            "description": "KM01 3号枪 92#",
            "transaction_notify_url": NOTIFY_URL,
            "contract_id": contract_id,
            "amount": {"total": total, "currency": "CNY"},
            **more,
        }
        return await self.call("POST", "/v3/papay/pay/transactions/apply", body)

    async def query(self, number: str = "ORDER00001") -> httpx.Response:
        return await self.call(
            "GET", f"/v3/pay/transactions/out-trade-no/{number}?mchid={self.merchant.credentials.mchid}"
        )

    async def close(self, number: str = "ORDER00001") -> httpx.Response:
        body = {"mchid": self.merchant.credentials.mchid}
        return await self.call("POST", f"/v3/pay/transactions/out-trade-no/{number}/close", body)

    async def refund(
        self, refund_no: str, fen: int, number: str = "ORDER00001", total: int = 20_000, **more: Any
    ) -> httpx.Response:
        body = {
            "out_trade_no": number,
            "out_refund_no": refund_no,
            "amount": {"refund": fen, "total": total, "currency": "CNY"},
            "notify_url": NOTIFY_URL,
            **more,
        }
        return await self.call("POST", "/v3/refund/domestic/refunds", body)

    async def paid(self, number: str = "ORDER00001", total: int = 20_000) -> str:
        prepay_id = await self.prepay(number, total)
        reply = await self.confirm(prepay_id)
        assert reply.json() == {"err_msg": "requestPayment:ok"}
        return prepay_id

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["kind"] == kind]


MakeWorld = Callable[..., World]


@pytest.fixture
def make_world(platform: PlatformKeys, merchant: Merchant) -> Iterator[MakeWorld]:
    made: list[World] = []

    def make(
        *faults: GatewayFault,
        seed: str = "seed",
        profile: GatewayProfile | None = None,
        switches: Switches | None = None,
        of: Merchant = merchant,
    ) -> World:
        trace = Trace()
        events: list[dict[str, Any]] = []
        trace.listen(events.append)
        kernel = VirtualKernel(seed, epoch_us=EPOCH_US, trace=trace)
        shop = Shop(kernel, of.credentials)
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app=shop))
        gateway = WeChatPayGateway(
            kernel,
            [of.account],
            platform,
            notify_client=client,
            profile=profile or GatewayProfile.instant(),
            switches=switches,
            faults=faults,
        )
        made.append(World(kernel, gateway, shop, of, events))
        return made[-1]

    yield make
    for world in made:
        world.kernel.close()
