"""The unmodified PyPI client wechatpayv3 pays, queries, refunds and verifies callbacks, on real sockets and real TLS."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from wechatpayv3 import WeChatPay, WeChatPayType
from wechatpayv3.async_ import AsyncWeChatPay
from wechatpayv3.async_ import WeChatPayType as AsyncWeChatPayType

from protocols.rsa_keys import private_pem
from protocols.wechatpay import pay_sign
from protocols.wechatpay.trust import public_pem
from sim.kernel import WallKernel
from sim.proxy import ConnectProxy, make_ca
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

OPENID = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"
NOTIFY_URL = "https://shop.test/notify"
PATIENCE_S = 30


class LiveGateway:
    """Gateway, proxy and shop on their own loop in their own thread; tests talk to them over sockets only."""

    def __init__(self, platform: PlatformKeys, merchant: Merchant, folder: Path) -> None:
        self.platform, self.merchant = platform, merchant
        self.ca = make_ca()
        self.bundle = str(self.ca.write_bundle(folder / "ca.pem"))
        self.callbacks: queue.Queue[tuple[dict[str, str], bytes]] = queue.Queue()
        self._ready: queue.Queue[BaseException | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name="live-gateway")
        self._thread.start()
        if (error := self._ready.get(timeout=PATIENCE_S)) is not None:
            raise error

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # noqa: BLE001 - handed to the test's thread
            self._ready.put(error)

    async def _main(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.kernel = WallKernel("live")
        proxy = ConnectProxy(self.ca, {"shop.test": self._shop})
        await proxy.start()
        client = httpx.AsyncClient(proxy=proxy.url, verify=self.ca.client_context(), trust_env=False)
        self.gateway = WeChatPayGateway(
            self.kernel,
            [self.merchant.account],
            self.platform,
            notify_client=client,
            profile=GatewayProfile.instant(),
            switches=Switches(require_pay_sign=True),
        )
        await proxy.add("api.mch.weixin.qq.com", self.gateway.app)
        await proxy.add("payer.sim", self.gateway.payer_app)
        self.proxy_url = proxy.url
        self._ready.put(None)
        try:
            await self.kernel.run(3_600_000_000)
        finally:
            await client.aclose()
            await proxy.stop()
            await self.kernel.close()

    async def _shop(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.callbacks.put(({name.decode(): value.decode() for name, value in scope["headers"]}, body))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def call(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Run a function on the gateway's loop and wait for it."""

        async def run() -> Any:
            return fn(*args)

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(PATIENCE_S)

    def callback(self) -> tuple[dict[str, str], bytes]:
        return self.callbacks.get(timeout=PATIENCE_S)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.kernel.stop)
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()

    def settings(self, **change: Any) -> dict[str, Any]:
        own = self.merchant.credentials
        return {
            "wechatpay_type": WeChatPayType.MINIPROG,
            "mchid": own.mchid,
            "private_key": private_pem(own.private_key),
            "cert_serial_no": own.serial_no,
            "appid": own.appid,
            "apiv3_key": own.apiv3_key,
            "notify_url": NOTIFY_URL,
            "proxy": {"https": self.proxy_url},
            "timeout": (PATIENCE_S, PATIENCE_S),
            **change,
        }

    def confirm(self, prepay_id: str) -> dict[str, Any]:
        own = self.merchant.credentials
        signed = pay_sign(
            own.private_key, app_id=own.appid, prepay_id=prepay_id, timestamp_s=1_790_000_000, nonce="n" * 32
        )
        reply = requests.post(
            f"https://payer.sim/payers/{OPENID}/confirm",
            json={"prepay_id": prepay_id, "pay_sign": signed},
            proxies={"https": self.proxy_url},
            verify=self.bundle,
            timeout=PATIENCE_S,
        )
        answer: dict[str, Any] = reply.json()
        return answer


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    platform = generate_platform(certificates=2)
    gateway = LiveGateway(platform, generate_merchant(platform), tmp_path_factory.mktemp("ca"))
    yield gateway
    gateway.stop()


@pytest.fixture(autouse=True)
def surroundings(live: LiveGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two settings a real installation would make; nothing of the client is patched."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", live.bundle)
    monkeypatch.setenv("SSL_CERT_FILE", live.bundle)
    for name in (
        "NO_PROXY",
        "no_proxy",
        "ALL_PROXY",
        "all_proxy",
        "HTTP_PROXY",
        "http_proxy",
        "CURL_CA_BUNDLE",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def client(live: LiveGateway) -> WeChatPay:
    return WeChatPay(**live.settings())


def pay(client: WeChatPay, number: str) -> str:
    code, message = client.pay(
        "KM01 3号枪 92#", number, {"total": 20_000, "currency": "CNY"}, {"openid": OPENID}
    )
    assert code == 200, message
    prepay_id: str = json.loads(message)["prepay_id"]
    return prepay_id


def query(client: WeChatPay, number: str) -> dict[str, Any]:
    code, message = client.query(out_trade_no=number)
    assert code == 200, message
    found: dict[str, Any] = json.loads(message)
    return found


def test_pay_query_callback_refund(live: LiveGateway, client: WeChatPay) -> None:
    prepay_id = pay(client, "LIVE000001")
    assert query(client, "LIVE000001")["trade_state"] == "NOTPAY"
    assert live.confirm(prepay_id) == {"err_msg": "requestPayment:ok"}
    told = client.callback(*live.callback())
    assert told["event_type"] == "TRANSACTION.SUCCESS"
    assert told["resource"]["out_trade_no"] == "LIVE000001"
    found = query(client, "LIVE000001")
    assert found["trade_state"] == "SUCCESS"
    assert found["transaction_id"] == told["resource"]["transaction_id"]
    code, _ = client.query(transaction_id=found["transaction_id"])
    assert code == 200
    code, message = client.refund(
        "LIVER00001", {"refund": 8_000, "total": 20_000, "currency": "CNY"}, out_trade_no="LIVE000001"
    )
    assert code == 200, message
    refunded = client.callback(*live.callback())
    assert refunded["event_type"] == "REFUND.SUCCESS"
    assert refunded["resource"]["refund_status"] == "SUCCESS"
    code, message = client.query_refund("LIVER00001")
    assert code == 200
    assert '"status":"SUCCESS"' in message
    assert query(client, "LIVE000001")["trade_state"] == "REFUND"


def test_close_is_a_signed_204(client: WeChatPay) -> None:
    pay(client, "LIVE000002")
    code, _ = client.close("LIVE000002")
    assert code == 204
    assert query(client, "LIVE000002")["trade_state"] == "CLOSED"


def test_it_downloads_the_platform_certificates(live: LiveGateway, client: WeChatPay) -> None:
    serials = {f"{certificate.serial_number:X}" for certificate in client._core._certificates}
    assert serials == {key.serial for key in live.platform.certificates}


def test_business_refusals_pass_through_unsigned(client: WeChatPay) -> None:
    code, message = client.query(out_trade_no="NOSUCHORDER")
    assert code == 404
    assert "ORDER_NOT_EXIST" in message


def test_a_number_with_a_bar_shows_the_clients_own_defect(client: WeChatPay) -> None:
    # It signs `|` and then sends `%7C`; the live gateway answers 401 as well.
    pay(client, "LIVE|00003")
    code, message = client.query(out_trade_no="LIVE|00003")
    assert code == 401
    assert "签名错误" in message


@pytest.mark.parametrize(
    "forgery", ["wrong-key", "probe", "tampered", "unknown-serial", "no-type", "no-headers"]
)
def test_it_refuses_a_forged_reply(live: LiveGateway, client: WeChatPay, forgery: str) -> None:
    pay(client, f"FORGED-{forgery}")
    fault = GatewayFault(
        kind="reply-signature", name=f"live-{forgery}", at=("query",), forgery=forgery, limit=1
    )
    live.call(live.gateway.faults.arm, fault)
    with pytest.raises(Exception, match=r"failed to verify|does not support"):
        client.query(out_trade_no=f"FORGED-{forgery}")
    assert live.gateway.faults.report()[f"live-{forgery}"]["landed"] == 1
    assert query(client, f"FORGED-{forgery}")["trade_state"] == "NOTPAY"


def test_it_refuses_a_changed_callback_and_a_wrong_key(live: LiveGateway, client: WeChatPay) -> None:
    live.confirm(pay(client, "LIVE000004"))
    headers, body = live.callback()
    assert client.callback(headers, body)
    assert client.callback(headers, body.replace(b"TRANSACTION.SUCCESS", b"TRANSACTION.REFUSED")) is None
    at = body.index(b'"ciphertext":"') + 20
    assert client.callback(headers, body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]) is None
    other = WeChatPay(
        **live.settings(
            apiv3_key="x" * 32,
            public_key=public_pem(live.platform.public.private_key.public_key()),
            public_key_id=live.platform.public.serial,
        )
    )
    other._core._certificates = client._core._certificates
    assert other.callback(headers, body) is None


def test_the_public_key_mode(live: LiveGateway) -> None:
    assert live.platform.public is not None
    client = WeChatPay(
        **live.settings(
            public_key=public_pem(live.platform.public.private_key.public_key()),
            public_key_id=live.platform.public.serial,
        )
    )
    pay(client, "LIVE000005")
    assert query(client, "LIVE000005")["trade_state"] == "NOTPAY"


def test_a_rotation_under_way(live: LiveGateway, client: WeChatPay) -> None:
    first, second = (key.serial for key in live.platform.certificates)
    live.call(live.gateway.rotate, second)
    try:
        pay(client, "LIVE000006")
    finally:
        live.call(live.gateway.rotate, first)


def test_the_asynchronous_client(live: LiveGateway) -> None:
    async def story() -> tuple[int, int, str]:
        async with AsyncWeChatPay(
            **live.settings(proxy=live.proxy_url, wechatpay_type=AsyncWeChatPayType.MINIPROG)
        ) as client:
            amount = {"total": 5_000, "currency": "CNY"}
            paid = await client.pay("KM01", "LIVE000007", amount, {"openid": OPENID})
            closed = await client.close("LIVE000007")
            found = await client.query(out_trade_no="LIVE000007")
            return paid[0], closed[0], found[1]

    paid, closed, found = asyncio.run(story())
    assert (paid, closed) == (200, 204)
    assert '"trade_state":"CLOSED"' in found


def test_a_wrong_merchant_key_is_turned_away(live: LiveGateway) -> None:
    stranger = generate_platform(certificates=1, public_key=False).certificates[0].private_key
    with pytest.raises(Exception, match="No wechatpay platform certificate"):
        WeChatPay(**live.settings(private_key=private_pem(stranger)))
