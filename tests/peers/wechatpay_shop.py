"""A gateway, its payers' phones and a merchant's notify URL behind one CONNECT proxy with real TLS, for unmodified clients."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from protocols.rsa_keys import private_pem
from protocols.wechatpay.trust import public_pem
from sim.kernel import WallKernel
from sim.proxy import CertificateAuthority, ConnectProxy, make_ca
from sim.wechatpay import (
    GatewayProfile,
    Merchant,
    PlatformKeys,
    Switches,
    WeChatPayGateway,
    generate_merchant,
    generate_platform,
)

OPENID = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"
NOTIFY_URL = "https://shop.test/notify"


@functools.cache
def _keys() -> tuple[PlatformKeys, Merchant, CertificateAuthority]:
    """Made once for all shops: eight RSA keys are a second of work."""
    platform = generate_platform(certificates=2)
    return platform, generate_merchant(platform), make_ca()


class Shop:
    """Gateway, phone and the merchant's notify URL behind one proxy."""

    def __init__(self, folder: Path) -> None:
        self.platform, self.merchant, self.ca = _keys()
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

    async def at_phone(self, action: str, **body: Any) -> httpx.Response:
        return await self.client.post(f"https://payer.sim/payers/{OPENID}/{action}", json=body)

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
