"""A UnionPay gateway in virtual time and a shop written from the published formula alone.

Nothing of ``protocols.unionpay`` is used here: signing, verifying, the certificate chain and the reading of replies are done
a second time, with `cryptography` and the standard library, so that a shared mistake cannot hide. Keys are made once a session.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import html.parser
import re
import urllib.parse
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256

from sim.kernel import Trace, VirtualKernel
from sim.unionpay import (
    GatewayFault,
    GatewayProfile,
    Merchant,
    PlatformMaterial,
    Switches,
    UnionPayGateway,
    generate_merchant,
    generate_platform,
)

EPOCH_US = 1_790_000_000_000_000  # 2026-09-21 22:13:20 in China: 47 minutes before the clearing day ends
BACK_URL = "https://shop.test/notice?station=KM01"
FRONT_URL = "https://shop.test/front"
HOST = "https://gateway.95516.com"


@pytest.fixture(scope="session")
def platform() -> PlatformMaterial:
    return generate_platform(signers=2, valid_from_s=EPOCH_US // 1_000_000 - 86_400)


@pytest.fixture(scope="session")
def merchant(platform: PlatformMaterial) -> Merchant:
    return generate_merchant(platform)


def signed_text(fields: dict[str, str]) -> str:
    names = sorted(name for name in fields if name != "signature" and fields[name] != "")
    return "&".join(name + "=" + fields[name] for name in names)


def double_hash(fields: dict[str, str]) -> bytes:
    return hashlib.sha256(signed_text(fields).encode("utf-8")).hexdigest().encode("ascii")


def read_reply(text: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in re.split(r"&(?=[A-Za-z0-9_]+=)", text))


class Forged(Exception):  # noqa: N818 - a verdict of the tests' own client
    pass


class Form(html.parser.HTMLParser):
    """What a browser would post from a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.action = ""
        self.inputs: dict[str, str] = {}
        self.buttons: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = given["action"]
        elif tag == "input" and given.get("type") == "hidden":
            self.inputs[given["name"]] = given["value"]
        elif tag == "button":
            self.buttons.append((given["name"], given["value"]))


@dataclass
class Checker:
    """The merchant's trust, written a second time."""

    root: x509.Certificate
    middle: x509.Certificate

    def check(self, fields: dict[str, str]) -> None:
        leaf = x509.load_pem_x509_certificate(fields["signPubKeyCert"].encode())
        for child, parent in ((leaf, self.middle), (self.middle, self.root), (self.root, self.root)):
            try:
                parent.public_key().verify(  # type: ignore[union-attr,call-arg]
                    child.signature, child.tbs_certificate_bytes, padding.PKCS1v15(), SHA256()
                )
            except InvalidSignature:
                raise Forged("chain") from None
        name = leaf.subject.rfc4514_string()
        if "@中国银联股份有限公司@" not in name:
            raise Forged("organisation")
        try:
            leaf.public_key().verify(  # type: ignore[union-attr,call-arg]
                base64.b64decode(fields.get("signature", "")),
                double_hash(fields),
                padding.PKCS1v15(),
                SHA256(),
            )
        except InvalidSignature:
            raise Forged("signature") from None


@dataclass
class Shop:
    """The merchant's back and front URLs: verifies, remembers, and answers as it is told."""

    kernel: VirtualKernel
    checker: Checker
    answer: Callable[[int], int] = lambda _number: 200
    hang_s: float = 0.0
    seen: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    forged: list[str] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        assert scope["method"] == "POST"
        fields = dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True))
        self.seen.append((self.kernel.now_us, fields))
        number = len(self.seen)
        if self.hang_s:
            await asyncio.sleep(self.hang_s)
        try:
            self.checker.check(fields)
            status = self.answer(number)
        except (Forged, KeyError) as error:
            self.forged.append(str(error))
            status = 400
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})


@dataclass
class World:
    """One merchant and its gateway."""

    kernel: VirtualKernel
    gateway: UnionPayGateway
    shop: Shop
    merchant: Merchant
    events: list[dict[str, Any]]

    def __post_init__(self) -> None:
        def client(app: Any, base: str) -> httpx.AsyncClient:
            return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=base)

        self.http = client(self.gateway.app, HOST)
        self.phone = client(self.gateway.payer_app, "https://payer.sim")
        self.acquirer = client(self.gateway.acquirer_app, "https://acquirer.sim")
        self.control = client(self.gateway.control_app, "https://control.sim")

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
        with self.kernel.loop.running():
            return self.kernel.env.run(until=event)

    def now(self) -> str:
        moment = datetime.fromtimestamp(self.kernel.unix_us // 1_000_000, UTC) + timedelta(hours=8)
        return moment.strftime("%Y%m%d%H%M%S")

    def fields(self, txn_type: str, sub_type: str, order_id: str, **more: str) -> dict[str, str]:
        own = self.merchant.credentials
        fields = {
            "version": "5.1.0",
            "encoding": "UTF-8",
            "signMethod": "01",
            "certId": own.cert_id,
            "txnType": txn_type,
            "txnSubType": sub_type,
            "bizType": "000000",
            "accessType": "0",
            "channelType": "08",
            "merId": own.mer_id,
            "orderId": order_id,
            "txnTime": self.now(),
            **more,
        }
        return {name: value for name, value in fields.items() if value != "-"}

    def sign(self, fields: dict[str, str]) -> dict[str, str]:
        key = self.merchant.credentials.private_key
        raw = key.sign(double_hash(fields), padding.PKCS1v15(), SHA256())
        return {**fields, "signature": base64.b64encode(raw).decode()}

    async def post(
        self, path: str, fields: dict[str, str], *, client: httpx.AsyncClient | None = None
    ) -> httpx.Response:
        content = urllib.parse.urlencode(fields)
        headers = {"Content-Type": "application/x-www-form-urlencoded;charset=UTF-8"}
        return await (client or self.http).post(path, content=content, headers=headers)

    async def ask(self, path: str, fields: dict[str, str], **more: Any) -> dict[str, str]:
        reply = await self.post(path, self.sign(fields), **more)
        assert reply.status_code == 200, reply.text
        answer = read_reply(reply.text)
        self.shop.checker.check(answer)
        return answer

    def trade(
        self, sub: str, order_id: str, amount: int = 9600, kind: str = "01", **more: str
    ) -> dict[str, str]:
        money = {"txnAmt": str(amount), "currencyCode": "156", "backUrl": BACK_URL}
        return self.fields(kind, sub, order_id, **{**money, **more})

    async def back(self, fields: dict[str, str]) -> dict[str, str]:
        return await self.ask("/gateway/api/backTransReq.do", fields)

    async def app(self, fields: dict[str, str]) -> dict[str, str]:
        return await self.ask("/gateway/api/appTransReq.do", fields)

    async def query(self, order_id: str, txn_time: str) -> dict[str, str]:
        fields = self.fields("00", "00", order_id, txnTime=txn_time, channelType="-")
        return await self.ask("/gateway/api/queryTrans.do", fields)

    async def phone_does(self, action: str, payer: str = "ann", **body: Any) -> httpx.Response:
        return await self.phone.post(f"/payers/{payer}/{action}", json=body)

    async def code(self, payer: str = "ann") -> str:
        qr_no: str = (await self.phone.post(f"/payers/{payer}/code")).json()["qr_no"]
        return qr_no

    async def scanned(
        self, order_id: str = "ORDER00001", amount: int = 9600, kind: str = "01"
    ) -> dict[str, str]:
        """Scan a payer's code; the reply. The payment goes on by itself."""
        return await self.back(self.trade("06", order_id, amount, kind, qrNo=await self.code()))

    async def follow(
        self, kind: str, order_id: str, amount: int, original: dict[str, str], **more: str
    ) -> dict[str, str]:
        extra = {"origQryId": original["queryId"], "currencyCode": "-", **more}
        return await self.back(self.trade("00", order_id, amount, kind, **extra))

    async def later(self, seconds: float = 0.001) -> None:
        """Let virtual time pass, so that what was set going gets done."""
        await asyncio.sleep(seconds)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["kind"] == kind]


MakeWorld = Callable[..., World]


@pytest.fixture
def make_world(platform: PlatformMaterial, merchant: Merchant) -> Iterator[MakeWorld]:
    made: list[World] = []

    def make(
        *faults: GatewayFault,
        seed: str = "seed",
        profile: GatewayProfile | None = None,
        switches: Switches | None = None,
        of: Merchant = merchant,
        platform: PlatformMaterial = platform,
    ) -> World:
        trace = Trace()
        events: list[dict[str, Any]] = []
        trace.listen(events.append)
        kernel = VirtualKernel(seed, epoch_us=EPOCH_US, trace=trace)
        checker = Checker(platform.root.certificate, platform.middle.certificate)
        shop = Shop(kernel, checker)
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app=shop))
        gateway = UnionPayGateway(
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


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world()


@pytest.fixture
def form() -> type[Form]:
    return Form
