from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from protocols.fapiao import (
    ISSUE_PATH,
    PETROL_TAX_CODE,
    Buyer,
    FapiaoState,
    FuelLine,
    IssueRequest,
    quantity_of_ml,
    read_notice,
    read_query,
)
from protocols.wechatpay import (
    OpenedNotice,
    SignatureRefusedError,
    authorization_header,
    encode_json,
    open_notification,
    verify_reply,
)
from sim.kernel import VirtualKernel
from sim.latency import LatencyProfile
from sim.taxplatform import Seller, TaxPlatform, tax_platform_behind
from sim.wechatpay import Merchant, WeChatPayGateway, generate_merchant, generate_platform

EPOCH_US = 1_790_000_000_000_000
VALID_FROM_S = EPOCH_US // 1_000_000 - 86_400
QUERY = "/v3/new-tax-control-fapiao/fapiao-applications/A1"


class Merchants:
    """A merchant that signs and verifies for real, and its callback endpoint."""

    def __init__(self) -> None:
        platform = generate_platform(valid_from_unix_s=VALID_FROM_S)
        self.merchant: Merchant = generate_merchant(platform, valid_from_unix_s=VALID_FROM_S)
        self.own = self.merchant.credentials
        self.kernel = VirtualKernel("tax", epoch_us=EPOCH_US)
        self.notices: list[tuple[int, OpenedNotice]] = []
        self.requests: list[httpx.Request] = []
        self.refuse_first = 0
        self._seen = 0
        self._rng = random.Random("merchant")
        gateway = WeChatPayGateway(
            self.kernel,
            [self.merchant.account],
            platform,
            notify_client=httpx.AsyncClient(transport=httpx.MockTransport(self.callback)),
        )
        self.gateway = gateway
        seller = Seller(
            self.own.mchid, "昆明某石油公司", "91530100MA6K000000", "https://backend.station/v1/notify/fapiao"
        )
        self.tax: TaxPlatform = tax_platform_behind(
            gateway,
            [seller],
            latency=LatencyProfile.constant(600_000),
            accept_latency=LatencyProfile.constant(50_000),
        )
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(gateway.app), base_url="https://api.mch.weixin.qq.com"
        )

    @property
    def now_s(self) -> int:
        return self.kernel.unix_us // 1_000_000

    def callback(self, request: httpx.Request) -> httpx.Response:
        assert request.url == "https://backend.station/v1/notify/fapiao"
        self._seen += 1
        self.requests.append(request)
        if self._seen <= self.refuse_first:
            return httpx.Response(500, json={"code": "FAIL", "message": "not now"})
        opened = open_notification(
            self.own.trust, request.headers, request.content, apiv3_key=self.own.apiv3_key, now_s=self.now_s
        )
        self.notices.append((self.kernel.now_us, opened))
        return httpx.Response(204)

    async def call(
        self, method: str, target: str, body: bytes = b"", wrong: dict[str, Any] | None = None
    ) -> httpx.Response:
        signed: dict[str, Any] = {
            "mchid": self.own.mchid,
            "serial_no": self.own.serial_no,
            "key": self.own.private_key,
            "method": method,
            "target": target,
            "body": body,
            "timestamp_s": self.now_s,
            "nonce": f"{self._rng.getrandbits(128):032X}",
        }
        headers = {
            "Authorization": authorization_header(**(signed | (wrong or {}))),
            "Accept": "application/json",
            "User-Agent": "test",
        }
        return await self.http.request(method, target, content=body, headers=headers)

    def run(self, coro: Any) -> Any:
        done = self.kernel.task(coro)
        self.kernel.run()
        return done.value


@pytest.fixture(scope="module")
def issue() -> bytes:
    line = FuelLine(
        PETROL_TAX_CODE,
        "汽油",
        "LETER",
        quantity_of_ml(12_290),
        9598,
        "昆明北站",
        "2026-09-22T08:00:00+08:00",
        "3号枪",
    )
    return encode_json(IssueRequest("A1", "F1", Buyer("INDIVIDUAL", "个人"), (line,)).body())


@pytest.fixture
def world() -> Iterator[Merchants]:
    world = Merchants()
    yield world
    world.kernel.close()


def test_the_whole_way_with_real_signatures_and_sealed_events(world: Merchants, issue: bytes) -> None:
    async def merchant() -> Any:
        accepted = await world.call("POST", ISSUE_PATH, issue)
        verify_reply(world.own.trust, accepted.headers, accepted.content, now_s=world.now_s)
        answered_us = world.kernel.now_us
        await asyncio.sleep(1)
        reply = await world.call("GET", QUERY)
        verify_reply(world.own.trust, reply.headers, reply.content, now_s=world.now_s)
        return accepted.status_code, answered_us, read_query(reply.content)

    status, answered_us, (report,) = world.run(merchant())
    assert (status, answered_us) == (202, 50_000)
    assert (report.state, len(report.number)) == (FapiaoState.ISSUED, 20)
    ((at_us, notice),) = world.notices
    assert at_us == 650_000
    assert notice.event_type == "FAPIAO.ISSUED"
    assert read_notice(notice.resource).fapiaos == (("F1", FapiaoState.ISSUED),)
    assert notice.envelope.resource.original_type is None


def test_a_merchant_that_says_no_is_told_again_by_the_ladder(world: Merchants, issue: bytes) -> None:
    world.refuse_first = 3
    world.run(world.call("POST", ISSUE_PATH, issue))
    assert [at_us for at_us, _ in world.notices] == [650_000 + (15 + 15 + 30) * 1_000_000]


@pytest.mark.parametrize(
    "wrong",
    [
        {"body": b"{}"},
        {"target": ISSUE_PATH + "?x=1"},
        {"timestamp_s": EPOCH_US // 1_000_000 - 301},
        {"mchid": "1999999999"},
        {"serial_no": "00" * 20},
    ],
)
def test_what_is_not_signed_right_never_reaches_the_tax_platform(
    world: Merchants, issue: bytes, wrong: dict[str, Any]
) -> None:
    reply = world.run(world.call("POST", ISSUE_PATH, issue, wrong))
    assert (reply.status_code, reply.json()["code"]) == (401, "SIGN_ERROR")
    assert not world.tax.applications


def test_an_event_changed_by_one_byte_is_refused_by_the_merchant(world: Merchants, issue: bytes) -> None:
    world.run(world.call("POST", ISSUE_PATH, issue))
    (request,) = world.requests
    tampered = request.content.replace(b"FAPIAO.ISSUED", b"FAPIAO.ISSUEX")
    assert tampered != request.content
    with pytest.raises(SignatureRefusedError):
        open_notification(
            world.own.trust, request.headers, tampered, apiv3_key=world.own.apiv3_key, now_s=world.now_s
        )


def test_a_seller_needs_an_account_at_the_gateway(world: Merchants) -> None:
    with pytest.raises(ValueError, match="no merchant 1"):
        tax_platform_behind(world.gateway, [Seller("1", "x", "y", "https://z")])
