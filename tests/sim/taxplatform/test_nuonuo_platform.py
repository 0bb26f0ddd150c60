"""Nuonuo in virtual time: what needs hours or days, and what goes wrong. Requests are signed by code of the tests' own."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from sim.kernel import VirtualKernel
from sim.latency import LatencyProfile
from sim.taxplatform import (
    ISSUE_LATENCY,
    InvoiceBook,
    NuonuoApp,
    NuonuoPlatform,
    NuonuoSwitches,
    Seller,
    TaxBureau,
    TaxFault,
    Taxpayer,
    TaxPlatform,
)

EPOCH_US = 1_767_571_200_000_000  # 2026-01-05 08:00 in China
SECOND = 1_000_000
DAY_S = 86_400
SELLER, BUYER = "91530100MA6K00001X", "91530100MA6K00002X"
NUONUO = "nuonuo.OpeMplatform."


class World:
    def __init__(
        self, *faults: TaxFault, latency: LatencyProfile | None = None, seed: str = "nn", **switches: Any
    ) -> None:
        self.kernel = VirtualKernel(seed, epoch_us=EPOCH_US)
        self.bureau = TaxBureau(self.kernel, faults=faults)
        self.seller = Taxpayer(SELLER, "昆明某石油公司", credit_fen=10_000_000)
        self.book = InvoiceBook(
            self.bureau,
            [self.seller, Taxpayer(BUYER, "某运输公司")],
            issue_latency=latency or LatencyProfile.constant(600_000),
            red_latency=LatencyProfile.constant(12 * SECOND),
        )
        self.pushed: list[tuple[int, dict[str, Any]]] = []
        self.refuse_pushes = 0
        self.platform = NuonuoPlatform(
            self.book,
            [NuonuoApp("KEY1", "SECRET1", SELLER), NuonuoApp("KEY2", "SECRET2", BUYER)],
            push=httpx.AsyncClient(transport=httpx.MockTransport(self.take_push)),
            seal_latency=LatencyProfile.constant(200_000),
            switches=NuonuoSwitches(**switches),
        )
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.platform.app), base_url="https://sdk.nuonuo.com"
        )
        self.tokens: dict[str, str] = {}
        self.calls = 0

    def take_push(self, request: httpx.Request) -> httpx.Response:
        fields = parse_qs(request.content.decode())
        self.pushed.append((self.kernel.now_us, json.loads(fields["content"][0])))
        assert fields["operater"] == ["callback"]
        if len(self.pushed) <= self.refuse_pushes:
            return httpx.Response(500)
        return httpx.Response(200, json={"status": "0000", "message": "同步成功"})

    async def token(self, key: str = "KEY1", secret: str = "SECRET1") -> Any:
        fields = {"client_id": key, "client_secret": secret, "grant_type": "client_credentials"}
        answer = (await self.http.post("/accessToken", data=fields)).json()
        self.tokens[key] = answer.get("access_token", "")
        return answer

    async def call(
        self, method: str, body: Any, *, key: str = "KEY1", drawn: str = "12345678", **changed: str
    ) -> Any:
        self.calls += 1
        query = {
            "senid": f"{self.calls:032d}",
            "nonce": drawn,
            "timestamp": str(self.kernel.unix_us // 1_000_000),
            "appkey": key,
        }
        raw = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        text = (
            f"a=services&l=v1&p=open&k={key}&i={query['senid']}&n={query['nonce']}&t={query['timestamp']}&f="
        )
        digest = hmac.new(f"SECRET{key[-1]}".encode(), text.encode() + raw, hashlib.sha1).digest()
        headers = {
            "X-Nuonuo-Sign": base64.b64encode(digest).decode(),
            "accessToken": self.tokens.get(key, ""),
            "userTax": SELLER if key == "KEY1" else BUYER,
            "method": NUONUO + method,
        }
        for name, value in changed.items():
            (query if name in query else headers)[name.replace("_", "-")] = value
        reply = await self.http.post("/open/v1/services", params=query, content=raw, headers=headers)
        assert reply.status_code == 200
        return reply.json()

    async def issue(self, order_no: str, **changes: Any) -> Any:
        return await self.call("requestBillingNew", order(order_no, **changes))

    async def query(self, order_no: str) -> Any:
        answer = await self.call("queryInvoiceResult", {"orderNos": [order_no], "isOfferInvoiceDetail": "0"})
        assert answer["code"] == "E0000", answer
        return answer["result"][0]

    def run(self, coro: Any) -> Any:
        done = self.kernel.task(coro)
        self.kernel.run()
        return done.value


def order(order_no: str, **changes: Any) -> dict[str, Any]:
    """12.29 L at 7.81: the pump's 95.98 yuan."""
    line = {
        "goodsName": "92号车用汽油",
        "goodsCode": "1070101010100000000",
        "withTaxFlag": "1",
        "price": "7.81",
        "num": "12.29",
        "unit": "升",
        "taxRate": "0.13",
        "taxIncludedAmount": "95.98",
    }
    return {
        "order": {
            "orderNo": order_no,
            "buyerName": "某运输公司",
            "buyerTaxNum": BUYER,
            "salerTaxNum": SELLER,
            "invoiceDate": "2026-01-05 08:00:00",
            "invoiceLine": "bs",
            "specificFactor": "1",
            "invoiceDetail": [line],
            **changes,
        }
    }


WorldOf = Callable[..., World]


@pytest.fixture
def world_of() -> Iterator[WorldOf]:
    made: list[World] = []

    def make(*faults: TaxFault, **options: Any) -> World:
        made.append(World(*faults, **options))
        return made[-1]

    yield make
    for world in made:
        world.kernel.close()


def test_fifty_tokens_in_thirty_days_each_good_for_a_day(world_of: WorldOf) -> None:
    world = world_of()

    async def work() -> list[str]:
        await world.token()
        assert (await world.issue("A1"))["code"] == "E0000"
        await asyncio.sleep(DAY_S)
        seen = [(await world.issue("A2"))["code"]]
        for _ in range(49):
            assert "access_token" in await world.token()
        seen.append((await world.token())["error"])
        seen.append((await world.token("KEY1", "wrong"))["error"])
        await asyncio.sleep(29 * DAY_S)
        assert (
            "access_token" in await world.token()
        )  # the first of the 50 is 30 days old now, the rest are not
        seen.append((await world.token())["error"])
        assert "access_token" in await world.token("KEY2", "SECRET2")
        return seen

    assert world.run(work()) == ["070312", "070306", "070304", "070306"]


def test_accepted_then_issued_then_sealed(world_of: WorldOf) -> None:
    world = world_of()

    async def work() -> list[str]:
        await world.token()
        await world.issue("A1")
        seen = []
        for wait_s in (0, 0.7, 0.2):
            await asyncio.sleep(wait_s)
            found = await world.query("A1")
            seen.append(
                f"{found['status']} {'pdfUrl' in found} {len(found.get('allElectronicInvoiceNumber', ''))}"
            )
        assert (found["exTaxAmount"], found["taxAmount"], found["orderAmount"]) == ("84.94", "11.04", "95.98")
        assert found["invoiceTime"] == EPOCH_US // 1000 + 600
        return seen

    assert world.run(work()) == ["20 False 0", "21 False 20", "2 True 20"]


def test_a_nonce_is_any_number_that_the_vendor_s_own_kits_draw(world_of: WorldOf) -> None:
    """``nextInt(10000, 1000000000)`` in Java and ``rand(10000, 1000000000)`` in PHP: five to ten digits."""
    world = world_of()

    async def work() -> list[str]:
        await world.token()
        drawn = ["10000", "999999999", "1000000000", "", "-1234567", "１２３４５６７８", "1" * 17]
        return [(await world.call("requestBillingNew", order(f"A{n}"), drawn=n))["code"] for n in drawn]

    assert world.run(work()) == ["E0000", "E0000", "E0000", *["070601"] * 4]


def test_what_is_refused_before_it_is_read(world_of: WorldOf) -> None:
    world = world_of(timestamp_window_s=300)

    async def work() -> list[str]:
        await world.token()
        await world.token("KEY2", "SECRET2")
        body = order("A1")
        other = world.tokens["KEY2"]
        answers = [
            await world.call("requestBillingNew", body, appkey="KEY9"),
            await world.call("requestBillingNew", body, nonce="87654321"),
            await world.call("requestBillingNew", body, timestamp="abc"),
            await world.call("requestBillingNew", body, accessToken=other),
            await world.call("requestBillingNew", body, userTax=BUYER),
            await world.call("noSuchMethod", body),
            await world.call("requestBillingNew", b"[]"),
            await world.call("requestBillingNew", order("A1", salerTaxNum=BUYER)),
            await world.call("queryInvoiceResult", {"orderNos": []}),
            await world.call("queryInvoiceResult", {"orderNos": ["x"] * 51}),
            await world.call("queryInvoiceRedConfirm", {"identity": "7"}),
            await world.call("confirm", {"identity": "0", "confirmAgreement": "1"}),
            await world.call("confirm", {"identity": "0", "confirmAgreement": "1", "billId": "none"}),
        ]
        assert all(answer["describe"] for answer in answers)
        return [answer["code"] for answer in answers]

    assert world.run(work()) == [
        "070101", "070601", "070601", "070312", "E9999", "070401",
        "E9105", "E9105", "E9105", "E9105", "E9105", "E9105", "E9500",
    ]  # fmt: skip
    assert not world.book.invoices


def test_the_result_is_pushed_until_it_is_taken_and_issues_nothing_again(world_of: WorldOf) -> None:
    world = world_of()
    world.refuse_pushes = 2

    async def work() -> None:
        await world.token()
        await world.issue("A1", callBackUrl="https://shop.test/nuonuo")
        await asyncio.sleep(3600)

    world.run(work())
    assert [at_us for at_us, _ in world.pushed] == [800_000, 60_800_000, 360_800_000]
    first, *_, last = [content for _, content in world.pushed]
    assert first == last
    assert (last["c_status"], last["c_orderno"], len(last["c_fpqqlsh"])) == ("1", "A1", 20)
    assert len(world.book.numbers) == 1


def test_a_push_that_is_never_taken_ends_and_a_strange_address_harms_nobody(world_of: WorldOf) -> None:
    world = world_of(callback_waits_us=(SECOND,))
    world.refuse_pushes = 99

    async def work() -> None:
        await world.token()
        await world.issue("A1", callBackUrl="https://shop.test/nuonuo")
        await world.issue("A2", callBackUrl="http://[::bad")
        await asyncio.sleep(10)

    world.run(work())
    assert len(world.pushed) == 2
    assert len(world.book.numbers) == 2


def test_a_seal_that_fails_is_tried_again_at_most_twenty_times_a_day(world_of: WorldOf) -> None:
    world = world_of(TaxFault(kind="seal", name="seal", limit=22))

    async def work() -> list[str]:
        await world.token()
        serial = (await world.issue("A1"))["result"]["invoiceSerialNum"]
        seen = [(await world.call("reInvoice", {"fpqqlsh": serial}))["code"]]
        await asyncio.sleep(1)
        seen.append((await world.query("A1"))["status"])
        for _ in range(20):
            assert (await world.call("reInvoice", {"orderno": "A1"}))["code"] == "E0000"
            await asyncio.sleep(1)
        seen.append((await world.call("reInvoice", {"orderno": "A1"}))["code"])
        await asyncio.sleep(DAY_S)
        await world.token()
        for _ in range(2):
            await world.call("reInvoice", {"fpqqlsh": serial, "orderno": "A1"})
            await asyncio.sleep(1)
        seen.append((await world.query("A1"))["status"])
        seen.append((await world.call("reInvoice", {"orderno": "A1"}))["describe"])
        return seen

    assert world.run(work()) == ["E9999", "24", "E9613", "2", "发票已生成，无需再重试开票"]
    assert len(world.book.numbers) == 1


def test_a_time_out_after_the_order_was_taken_leads_to_a_query_not_a_second_invoice(
    world_of: WorldOf,
) -> None:
    world = world_of(TaxFault(kind="reply-late", name="late", limit=1))

    async def work() -> Any:
        await world.token()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(world.issue("A1"), 5)
        codes = {(await world.issue("A1"))["code"] for _ in range(100)}
        return codes, (await world.query("A1"))["status"]

    assert world.run(work()) == ({"E9106"}, "2")
    assert len(world.book.numbers) == 1


def test_a_hundred_at_once_are_one_invoice(world_of: WorldOf) -> None:
    world = world_of()

    async def work() -> list[str]:
        await world.token()
        answers = await asyncio.gather(*(world.issue("A1") for _ in range(100)))
        return sorted(answer["code"] for answer in answers)

    assert world.run(work()) == ["E0000", *["E9106"] * 99]
    assert len(world.book.numbers) == 1


def test_the_buyer_denies_then_agrees_and_partial_amounts_are_kept(world_of: WorldOf) -> None:
    world = world_of()

    async def work() -> Any:
        await world.token()
        await world.token("KEY2", "SECRET2")
        await world.issue("A1")
        await asyncio.sleep(2)
        number = (await world.query("A1"))["allElectronicInvoiceNumber"]
        world.book.take_up(number)
        application = {
            "billId": "R1",
            "blueInvoiceLine": "bs",
            "applySource": "0",
            "blueElecInvoiceNumber": number,
            "sellerTaxNo": SELLER,
            "buyerName": "某运输公司",
            "redReason": "1",
            "detail": [
                {"blueDetailIndex": "1", "num": "-1", "taxExcludedAmount": "-6.91", "taxAmount": "-0.90"}
            ],
        }
        await world.call("saveInvoiceRedConfirm", application)
        early = await world.call("fastInvoiceRed", {"billId": "R1"})
        word = {"billId": "R1", "identity": "1"}
        own = await world.call("confirm", {"billId": "R1", "identity": "0", "confirmAgreement": "1"})
        await world.call("confirm", {**word, "confirmAgreement": "0"}, key="KEY2")
        await world.call("saveInvoiceRedConfirm", {**application, "billId": "R2"})
        await world.call("confirm", {**word, "billId": "R2", "confirmAgreement": "1"}, key="KEY2")
        await asyncio.sleep(20)
        listed = await world.call("queryInvoiceRedConfirm", {"identity": "1", "pageSize": "1"}, key="KEY2")
        both = await world.call("queryInvoiceRedConfirm", {"identity": "0"})
        revoked = await world.call("confirmInfoCancel", {"billId": "R2", "identity": "0"})
        return early["code"], own["code"], listed["result"], both["result"]["list"], revoked["code"]

    early, own, page, (denied, agreed), revoked = world.run(work())
    assert (early, own, revoked) == ("E9999", "E9999", "E9999")
    assert (page["total"], [entry["billId"] for entry in page["list"]]) == (2, ["R1"])
    assert (denied["billStatus"], denied["openStatus"], denied["redInvoiceNumber"]) == ("05", 0, None)
    assert (agreed["billStatus"], agreed["openStatus"], agreed["taxExcludedAmount"]) == ("04", 1, "-6.91")
    assert len(agreed["redInvoiceNumber"]) == 20
    assert agreed["confirmTime"].startswith("2026-01-05 08:00:0")


def test_the_session_and_the_credit_line_can_be_asked_for(world_of: WorldOf) -> None:
    world = world_of(
        TaxFault(kind="face-check", name="face", at_us=10 * SECOND, for_us=10 * SECOND),
        TaxFault(kind="login-lost", name="out", at_us=30 * SECOND, for_us=10 * SECOND),
    )

    async def work() -> Any:
        await world.token()
        seen = []
        for _ in range(4):
            asked = [await world.call("getCertificationStatus", {"queryType": kind}) for kind in ("2", "1")]
            seen.append("".join(answer["result"]["certificationStatus"] for answer in asked))
            await asyncio.sleep(11)
        await world.issue("A1")
        await asyncio.sleep(2)
        delivered = await world.call("deliveryInvoice", {"invoiceNum": next(iter(world.book.numbers))})
        return seen, (await world.call("getCreditLine", {}))["result"], delivered["code"]

    seen, credit, delivered = world.run(work())
    assert seen == ["11", "12", "11", "01"]
    assert credit == {"availableCreditLine": "99904.02"}
    assert (delivered, len(world.book.numbers)) == ("E0000", 1)


def test_a_lost_login_holds_the_payment_platforms_invoices_too(world_of: WorldOf) -> None:
    world = world_of(TaxFault(kind="login-lost", name="out"))
    seller = Seller("1900000001", "昆明某石油公司", SELLER, "https://shop.test/n")
    options: dict[str, Any] = {
        "verify_request": lambda *_: "1900000001",
        "sign_reply": lambda *_: {},
        "announce": lambda *_, **__: None,
    }
    wechat = TaxPlatform(world.kernel, [seller], bureau=world.bureau, **options)
    assert wechat.fault_report() is not None
    with pytest.raises(ValueError, match="give them to the bureau"):
        TaxPlatform(world.kernel, [seller], bureau=world.bureau, faults=[TaxFault(kind="stall")], **options)
    oil = {"station": "昆明北站", "trade_time": "2026-01-05T08:00:00+08:00", "gun_number": "3号枪"}
    item = {
        "tax_code": "1070101010100000000",
        "goods_name": "汽油",
        "unit": "LETER",
        "quantity": 1_229_000_000,
        "total_amount": 9598,
        "tax_rate": 1300,
        "refined_oil_information": oil,
    }
    body = {
        "fapiao_apply_id": "W1",
        "buyer_information": {"type": "INDIVIDUAL", "name": "个人"},
        "fapiao_information": [{"fapiao_id": "F1", "total_amount": 9598, "items": [item]}],
    }

    async def work() -> None:
        await world.token()
        await world.issue("A1")
        wechat.issue("1900000001", json.dumps(body).encode())
        await asyncio.sleep(60)
        assert world.bureau.fault_report()["out"]["held"] == 2
        world.bureau.disarm("out")
        await asyncio.sleep(5)

    world.run(work())
    ours = next(iter(world.book.numbers))
    theirs = wechat.find("1900000001", "W1").fapiaos["F1"].number
    assert (len(theirs), ours == theirs) == (20, False)


def test_under_the_reference_profile_99_of_100_are_issued_within_three_seconds(world_of: WorldOf) -> None:
    world = world_of(latency=ISSUE_LATENCY)

    async def work() -> None:
        await world.token()
        for place in range(400):
            await world.issue(f"A{place}")

    world.run(work())
    waits = sorted(
        invoice.ended_us - invoice.accepted_us
        for invoice in world.book.invoices.values()
        if invoice.ended_us is not None
    )
    assert len(waits) == 400
    assert waits[395] + 200_000 <= 3_000_000  # the sealing step included
    assert 500_000 < waits[200] < 700_000


def test_equal_seeds_give_equal_traces(world_of: WorldOf) -> None:
    async def work(world: World) -> None:
        await world.token()
        for place in range(10):
            await world.issue(f"A{place}")

    worlds = [world_of(latency=ISSUE_LATENCY, seed=seed) for seed in ("a", "a", "b")]
    for world in worlds:
        world.run(work(world))
    first, second, third = (world.kernel.trace.hexdigest() for world in worlds)
    assert first == second != third
