"""Baiwang in virtual time. The client is written from the published formula alone and shares no code with the platform."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from protocols.baiwang import PasswordForm
from sim.kernel import VirtualKernel
from sim.latency import LatencyProfile
from sim.taxplatform import (
    BaiwangApp,
    BaiwangPlatform,
    BaiwangSwitches,
    InvoiceBook,
    TaxBureau,
    TaxFault,
    Taxpayer,
)

EPOCH_US = 1_767_571_200_000_000  # 2026-01-05 08:00 in China
SECOND = 1_000_000
SELLER, BUYER = "91530100MA6K00001X", "91530100MA6K00002X"
V7 = {
    "baiwang.output.redinvoice.add",
    "baiwang.output.redinvoice.operate",
    "baiwang.output.redinvoice.formlist",
    "baiwang.output.redinvoice.issued",
}


class Client:
    """An independent client of the router, one user of one taxpayer."""

    def __init__(self, world: World, key: str, secret: str, tax_no: str) -> None:
        self.world = world
        self.key, self.secret, self.tax_no = key, secret, tax_no
        self.token = ""
        self.calls = 0

    async def log_in(self, *, digest: str | None = None, **wrong: str) -> Any:
        query = {
            "method": "baiwang.oauth.token",
            "grant_type": "password",
            "client_id": self.key,
            "version": "7.0",
            "timestamp": self.now_ms,
            "encryptType": "NONE",
            "encryptScope": "00",
        }
        body = {
            "password": digest or hashlib.sha256(b"pa55-" + self.key.encode() + b"salt").hexdigest(),
            "username": "clerk",
            "client_secret": self.secret,
        }
        reply = await self.world.http.post("/router/rest", params=query, json={**body, **wrong})
        answer = reply.json()
        if answer["success"]:
            self.token = answer["response"]["access_token"]
        return answer

    @property
    def now_ms(self) -> str:
        return str(self.world.kernel.unix_us // 1000)

    async def call(self, method: str, body: dict[str, Any], **tampered: str) -> Any:
        self.calls += 1
        query = {
            "method": method,
            "version": "7.0" if method in V7 else "6.0",
            "appKey": self.key,
            "format": "json",
            "timestamp": self.now_ms,
            "token": self.token,
            "type": "sync",
            "requestId": f"r{self.calls}",
        }
        if method in V7:
            query |= {"signType": "MD5", "encryptType": "NONE", "encryptScope": "00"}
        raw = json.dumps({"taxNo": self.tax_no, **body}, ensure_ascii=False, separators=(",", ":"))
        text = self.secret
        for name in sorted(query):
            if query[name]:
                text += name + query[name]
        text += raw + self.secret
        query["sign"] = hashlib.md5(text.encode()).hexdigest().upper()
        reply = await self.world.http.post(
            "/router/rest",
            params={**query, **tampered},
            content=raw.encode(),
            headers={"Content-Type": "application/json; charset=utf-8"},
        )
        assert reply.status_code == 200
        answer = reply.json(parse_float=str)
        assert answer["requestId"] == query["requestId"]
        return answer

    async def issue(self, serial: str, **changes: Any) -> Any:
        return await self.call("baiwang.output.invoice.issue", {"data": invoice(serial, **changes)})

    async def query(self, serial: str) -> Any:
        return await self.call("baiwang.output.invoice.query", {"serialNo": serial})


class World:
    def __init__(self, *faults: TaxFault, latency: LatencyProfile | None = None, **switches: Any) -> None:
        self.kernel = VirtualKernel("baiwang", epoch_us=EPOCH_US)
        self.bureau = TaxBureau(self.kernel, faults=faults)
        self.seller = Taxpayer(SELLER, "昆明某石油公司")
        self.book = InvoiceBook(
            self.bureau,
            [self.seller, Taxpayer(BUYER, "某运输公司")],
            issue_latency=latency or LatencyProfile.constant(600_000),
            red_latency=LatencyProfile.constant(12 * SECOND),
        )
        self.platform = BaiwangPlatform(
            self.book,
            [
                BaiwangApp("1000001", "S1", SELLER, "clerk", "pa55-1000001", "salt"),
                BaiwangApp("1000002", "S2", BUYER, "clerk", "pa55-1000002", "salt"),
            ],
            switches=BaiwangSwitches(**switches),
        )
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.platform.app), base_url="https://openapi.baiwang.com"
        )
        self.client = Client(self, "1000001", "S1", SELLER)
        self.buyer = Client(self, "1000002", "S2", BUYER)

    def run(self, coro: Any) -> Any:
        done = self.kernel.task(coro)
        self.kernel.run()
        return done.value


def invoice(serial: str, **changes: Any) -> dict[str, Any]:
    """An issued invoice of 2023-08-10."""
    line = {
        "goodsLineNo": 1,
        "invoiceLineNature": "0",
        "goodsCode": "1070101010100000000",
        "goodsName": "92号车用汽油",
        "goodsUnit": "升",
        "goodsQuantity": "12.29193342",
        "goodsPrice": "6.91150442",
        "goodsTotalPrice": 84.96,
        "goodsTotalTax": 11.04,
        "goodsTaxRate": 0.13,
    }
    return {
        "invoiceTypeCode": "02",
        "invoiceType": "0",
        "invoiceSpecialMark": "01",
        "priceTaxMark": "0",
        "serialNo": serial,
        "buyerName": "某运输公司",
        "buyerTaxNo": BUYER,
        "invoiceTotalPrice": 84.96,
        "invoiceTotalTax": 11.04,
        "invoiceTotalPriceTax": 96.0,
        "invoiceDetailsList": [line],
        **changes,
    }


def red_form(blue_no: str, serial: str = "R1", **changes: Any) -> dict[str, Any]:
    return {
        "redConfirmSerialNo": serial,
        "entryIdentity": "01",
        "sellerTaxNo": SELLER,
        "buyerTaxName": "某运输公司",
        "originalInvoiceNo": blue_no,
        "originInvoiceTotalPrice": 84.96,
        "invoiceTotalPrice": -84.96,
        "invoiceTotalTax": -11.04,
        "redInvoiceLabel": "01",
        "autoIssueSwitch": "Y",
        **changes,
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


def code(answer: Any) -> str:
    assert answer["success"] is False, answer
    found: str = answer["errorResponse"]["code"]
    return found


def test_issue_query_and_documents(world_of: WorldOf) -> None:
    world = world_of()

    async def work(client: Client) -> Any:
        await client.log_in()
        answer = await client.issue("S1")
        return (
            answer,
            await client.issue("S1"),
            await client.query("S1"),
            await client.call("baiwang.output.format.create", {"data": {"serialNo": "S1"}}),
        )

    issued, again, found, documents = world.run(work(world.client))
    ((entry,), fail) = issued["response"]["success"], issued["response"]["fail"]
    assert fail == []
    assert (len(entry["invoiceNo"]), entry["invoiceDate"]) == (20, "20260105080000")
    assert entry["invoiceDetailsList"][0]["goodsName"] == "*汽油*92号车用汽油"
    assert (entry["invoiceTotalPrice"], entry["invoiceTotalTax"]) == ("84.96", "11.04")
    assert code(again) == "20050"
    assert found["response"][0]["invoiceNo"] == entry["invoiceNo"]
    assert documents["response"]["pdfUrl"].endswith(f"{entry['invoiceNo']}.pdf")
    assert len(world.book.numbers) == 1


def test_tokens_signatures_and_passwords(world_of: WorldOf) -> None:
    world = world_of()

    async def work(client: Client) -> list[str]:
        codes = [code(await client.issue("S1"))]  # no token yet
        codes.append(code(await client.log_in(digest="0" * 64)))
        codes.append(code(await client.log_in(client_secret="x")))
        old = hashlib.sha1(hashlib.md5(b"pa55-1000001salt").hexdigest().encode()).hexdigest()
        assert (await client.log_in(digest=old))["response"]["expires_in"] == 8 * 3600
        for tampered in ({"type": "async"}, {"sign": "0" * 32}, {"extra": "1"}):
            answer = await client.call("baiwang.output.invoice.issue", {"data": invoice("S1")}, **tampered)
            codes.append(code(answer))  # one after the other
        codes.append(code(await client.call("baiwang.output.no.such", {})))
        client.tax_no = BUYER
        codes.append(code(await client.query("S1")))
        client.tax_no = SELLER
        await asyncio.sleep(8 * 3600)
        codes.append(code(await client.query("S1")))
        return codes

    assert world.run(work(world.client)) == [
        "100001",
        "100003",
        "100003",
        "100007",
        "100007",
        "100007",
        "100005",
        "70001",
        "100002",
    ]
    assert not world.book.invoices


def test_the_switches_where_sources_conflict(world_of: WorldOf) -> None:
    old = hashlib.sha1(hashlib.md5(b"pa55-1000001salt").hexdigest().encode()).hexdigest()
    world = world_of(
        passwords=(PasswordForm.SHA256,),
        oil_marks={"02": ("08",)},
        duplicate="same",
        new_token_ends_old=True,
    )

    async def work(client: Client) -> Any:
        refused = [code(await client.log_in(digest=old))]
        await client.log_in()
        first = client.token
        await client.log_in()
        refused.append(code(await client.issue("S1")))
        answers = await asyncio.gather(*(client.issue("S1", invoiceSpecialMark="08") for _ in range(5)))
        refused.append(code(await client.issue("S1", invoiceSpecialMark="08", remarks="other")))
        client.token = first
        refused.append(code(await client.query("S1")))
        return refused, {answer["response"]["success"][0]["invoiceNo"] for answer in answers}

    refused, numbers = world.run(work(world.client))
    assert refused == ["100003", "70001", "20050", "100001"]
    assert len(numbers) == 1


def test_while_the_login_is_lost_the_call_says_pending_and_the_query_tells_later(world_of: WorldOf) -> None:
    world = world_of(TaxFault(kind="login-lost", name="out", at_us=0, for_us=60 * SECOND))

    async def work(client: Client) -> Any:
        await client.log_in()
        first = await client.issue("S1")
        asked_us = world.kernel.now_us
        second = await client.query("S1")
        await asyncio.sleep(60)
        return first, asked_us, second, await client.query("S1")

    first, asked_us, second, third = world.run(work(world.client))
    assert (code(first), asked_us) == ("20052", 10 * SECOND)
    assert code(second) == "20052"
    assert len(third["response"][0]["invoiceNo"]) == 20
    assert len(world.book.numbers) == 1


def test_a_reply_that_comes_too_late_has_done_its_work(world_of: WorldOf) -> None:
    world = world_of(TaxFault(kind="reply-late", name="late", limit=1))

    async def work(client: Client) -> Any:
        await client.log_in()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.issue("S1"), 5)
        return await client.query("S1"), await client.issue("S1")

    found, again = world.run(work(world.client))
    assert len(found["response"][0]["invoiceNo"]) == 20
    assert code(again) == "20050"
    assert len(world.book.numbers) == 1


def test_what_the_bureau_refuses_stands_under_fail_and_may_be_sent_again(world_of: WorldOf) -> None:
    world = world_of(TaxFault(kind="quota", name="dry", limit=1))

    async def work(client: Client) -> Any:
        await client.log_in()
        refused = await client.issue("S1")
        return refused, await client.query("S1"), await client.issue("S1")

    refused, found, again = world.run(work(world.client))
    assert refused["response"] == {
        "success": [],
        "fail": [{"serialNo": "S1", "message": "成品油库存不足"}],
    }
    assert code(found) == "20053"
    assert len(again["response"]["success"]) == 1


def test_red_forms_between_seller_and_buyer(world_of: WorldOf) -> None:
    world = world_of()

    async def work(client: Client, buyer: Client) -> Any:
        await client.log_in()
        await buyer.log_in()
        number = (await client.issue("S1"))["response"]["success"][0]["invoiceNo"]
        world.book.take_up(number)
        add, operate = "baiwang.output.redinvoice.add", "baiwang.output.redinvoice.operate"
        assert code(await client.call(add, red_form(number, invoiceTotalTax=-11.05))) == "70001"
        (form,) = (await client.call(add, red_form(number)))["response"]
        assert (form["confirmState"], form["alreadyRedInvoiceFlag"]) == ("02", "N")
        assert code(await client.call(add, red_form(number))) == "20050"
        assert code(await client.call(add, red_form(number, "R2"))) == "70035"
        key = {"sellerTaxNo": SELLER, "redConfirmUuid": form["redConfirmUuid"], "redConfirmNo": ""}
        assert code(await client.call(operate, {**key, "confirmType": "01"})) == "70035"
        listed = await buyer.call(
            "baiwang.output.redinvoice.formlist", {"buySelSelector": "1", "pageNo": 1, "pageSize": 50}
        )
        assert [entry["redConfirmNo"] for entry in listed["response"]["list"]] == [form["redConfirmNo"]]
        (agreed,) = (await buyer.call(operate, {**key, "confirmType": "01"}))["response"]
        assert agreed["confirmState"] == "04"
        await asyncio.sleep(15)
        return number, (await client.call("baiwang.output.redinvoice.redforminfo", key))["response"]

    number, info = world.run(work(world.client, world.buyer))
    assert (info["alreadyRedInvoiceFlag"], info["originalInvoiceNo"]) == ("Y", number)
    assert info["electricInvoiceDetails"][0]["goodsTotalPrice"] == "-84.96"
    assert world.book.numbers[number].red_numbers == [info["redInvoiceNo"]]


def test_a_revoked_form_is_08_and_one_without_auto_issue_waits_for_its_call(world_of: WorldOf) -> None:
    world = world_of()

    async def work(client: Client) -> Any:
        await client.log_in()
        number = (await client.issue("S1"))["response"]["success"][0]["invoiceNo"]
        add = "baiwang.output.redinvoice.add"
        (first,) = (await client.call(add, red_form(number, autoIssueSwitch="N")))["response"]
        revoke = {"redConfirmNo": first["redConfirmNo"], "confirmType": "03"}
        (revoked,) = (await client.call("baiwang.output.redinvoice.operate", revoke))["response"]
        (second,) = (await client.call(add, red_form(number, "R2", autoIssueSwitch="N")))["response"]
        key = {"redConfirmUuid": second["redConfirmUuid"]}
        for _ in range(3):
            await client.call("baiwang.output.redinvoice.issued", key)
            await asyncio.sleep(15)
        return first, revoked, await client.call("baiwang.output.redinvoice.issued", key)

    first, revoked, last = world.run(work(world.client))
    assert (first["confirmState"], revoked["confirmState"]) == ("01", "08")
    assert last["response"]["alreadyRedInvoiceFlag"] == "Y"
    assert len(world.book.numbers) == 2


def test_equal_seeds_give_equal_traces(world_of: WorldOf) -> None:
    async def work(client: Client) -> None:
        await client.log_in()
        await asyncio.gather(*(client.issue(f"S{place}") for place in range(20)))

    worlds = [
        world_of(
            TaxFault(kind="quota", name="dry", probability=0.3),
            latency=LatencyProfile.lognormal(600_000, 1_800_000),
        )
        for _ in range(2)
    ]
    for world in worlds:
        world.run(work(world.client))
    assert worlds[0].kernel.trace.hexdigest() == worlds[1].kernel.trace.hexdigest()
    assert 0 < len(worlds[0].book.numbers) < 20
