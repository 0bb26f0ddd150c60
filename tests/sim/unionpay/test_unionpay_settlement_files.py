"""The settlement files: when they are there, for whom, what stands in them, and the differences a run plants in them."""

from __future__ import annotations

import asyncio
import base64
import io
import zipfile
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from sim.unionpay import GatewayFault, Switches, generate_merchant

# The run begins at 22:13:20 of 2026-09-21 in China; the clearing day ends at 23:00.
TO_23_S = 46 * 60 + 40
TO_9_S = TO_23_S + 10 * 3600
WIDTHS = (
    3, 11, 11, 6, 10, 19, 12, 4, 2, 21, 2, 32, 2, 6, 10, 13, 13, 4, 15, 2, 2, 6, 2, 4, 32, 1, 21, 15, 1, 15, 32, 13, 13, 8, 32, 13,
    13, 12, 2, 1, 32, 98,
)  # fmt: skip


async def ask(world: Any, settle_date: str = "0921", **more: str) -> dict[str, str]:
    fields = world.fields("76", "01", "-", channelType="-", settleDate=settle_date, fileType="00")
    http = httpx.AsyncClient(
        transport=httpx.ASGITransport(app=world.gateway.file_app), base_url="https://filedownload.95516.com"
    )
    return await world.ask("/", {**fields, **more}, client=http)


def rows(reply: dict[str, str], day: str = "260921") -> list[dict[int, str]]:
    """The file by the standard library and the cursor of the platform's demonstration code."""
    assert reply["respCode"] == "00", reply["respMsg"]
    assert reply["fileName"] == f"{reply['merId']}_20{day}.zip"
    archive = zipfile.ZipFile(io.BytesIO(zlib.decompress(base64.b64decode(reply["fileContent"]))))
    assert archive.namelist() == [f"INN{day}88ZM_{reply['merId']}"]
    read = []
    for line in archive.read(archive.namelist()[0]).splitlines():
        cells, left = {}, 0
        for number, width in enumerate(WIDTHS, 1):
            cells[number] = line[left : left + width].decode("gbk").rstrip()
            left += width + 1
        assert left == len(line) + 1
        read.append(cells)
    return read


async def a_day(world: Any) -> list[dict[str, str]]:
    """Two payments, a refund of the one and a cancel of the other, an unpaid order and a reversed payment."""
    paid = []
    for order_id, amount in (("ORDER00001", 9600), ("ORDER00002", 500)):
        await world.scanned(order_id, amount)
        await world.later()
        paid.append(await world.query(order_id, world.now()))
    await world.follow("04", "REFUND0001", 600, paid[0])
    await world.follow("31", "CANCEL0001", 500, paid[1])
    await world.back(world.trade("07", "UNPAID0001"))
    await world.scanned("REVERSED01", 700)
    await world.later()
    await world.back(world.fields("99", "06", "REVERSED01"))
    await world.later()
    return paid


def test_a_file_is_there_from_nine_the_next_morning_for_its_merchant_alone(make_world: Any) -> None:
    world = make_world(switches=Switches(file_kept_days=30))

    async def story() -> list[str]:
        await a_day(world)
        seen = [(await ask(world))["respCode"], (await ask(world, "0920"))["respCode"]]
        await asyncio.sleep(TO_9_S - 1)
        seen.append((await ask(world))["respCode"])
        await asyncio.sleep(1)
        seen += [(await ask(world))["respCode"], (await ask(world, "0922"))["respCode"]]
        seen += [(await ask(world, "0230"))["respCode"], (await ask(world, fileType="01"))["respCode"]]
        seen += [
            (await ask(world, settleDate="2126"))["respCode"],
            (await ask(world, settleDate=""))["respCode"],
        ]
        await asyncio.sleep(86_400)
        seen.append((await ask(world, "0922"))["respCode"])  # nobody paid on that day
        await asyncio.sleep(29 * 86_400)
        seen.append((await ask(world))["respCode"])
        return seen

    assert world.run(story()) == ["98", "98", "98", "00", "98", "10", "98", "10", "13", "98", "98"]


def test_an_empty_day_may_have_a_file(make_world: Any) -> None:
    world = make_world(switches=Switches(empty_day_file=True, no_file_code="34", file_ready_s=0))

    async def story() -> None:
        assert (await ask(world))["respCode"] == "34"
        await asyncio.sleep(TO_23_S + 3600)
        assert rows(await ask(world)) == []

    world.run(story())


def test_another_merchant_gets_its_own(make_world: Any, platform: Any, merchant: Any) -> None:
    other = generate_merchant(platform, mer_id="777290058110099")
    world = make_world()
    world.gateway.accounts[other.account.mer_id] = other.account

    async def story() -> None:
        await a_day(world)
        await asyncio.sleep(TO_9_S)
        world.merchant = other
        assert (await ask(world))["respCode"] == "98"
        fields = world.fields("76", "01", "-", channelType="-", settleDate="0921", fileType="00")
        fields["merId"] = merchant.account.mer_id  # signed by the other
        http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=world.gateway.file_app), base_url="https://f"
        )
        reply = await world.post("/", world.sign(fields), client=http)
        assert "respCode=11" in reply.text
        assert "fileContent" not in reply.text

    world.run(story())


def test_what_stands_in_a_file(world: Any) -> None:
    async def story() -> None:
        paid = await a_day(world)
        await asyncio.sleep(TO_23_S)
        late = await world.scanned("ORDER00003", 300)
        await world.later()
        await asyncio.sleep(TO_9_S)
        asked = await ask(world, reqReserved="mine")
        assert (asked["reqReserved"], asked["settleDate"], asked["fileType"]) == ("mine", "0921", "00")
        first, second, refund, cancel = rows(asked)
        shown = [(row[12], row[1], row[20], row[7]) for row in (first, second, refund, cancel)]
        assert shown == [
            ("ORDER00001", "S22", "01", "000000009600"),
            ("ORDER00002", "S22", "01", "000000000500"),
            ("REFUND0001", "S30", "04", "000000000600"),
            ("CANCEL0001", "S30", "31", "000000000500"),
        ]
        assert (first[16], first[17], refund[16], refund[17]) == (
            "D000000000058",
            "C000000009542",
            "C000000000000",
            "D000000000600",
        )
        assert [first[10], second[10]] == [one["queryId"] for one in paid] == [refund[27], cancel[27]]
        assert (first[4], first[5], first[6]) == (paid[0]["traceNo"], paid[0]["traceTime"], paid[0]["accNo"])
        assert (refund[14], refund[15], refund[41]) == (first[4], first[5], "ORDER00001")
        assert {row[28] for row in (first, second, refund, cancel)} == {asked["merId"]}
        await asyncio.sleep(86_400)
        (next_day,) = rows(await ask(world, "0922"), "260922")
        assert (next_day[12], next_day[10]) == ("ORDER00003", late["queryId"])
        assert rows(await ask(world)) == [first, second, refund, cancel]

    world.run(story())


def test_a_settle_date_without_its_year_is_the_last_such_day(make_world: Any) -> None:
    world = make_world(switches=Switches(file_kept_days=400))

    async def story() -> None:
        await a_day(world)
        await asyncio.sleep(364 * 86_400)
        assert len(rows(await ask(world))) == 4
        await asyncio.sleep(2 * 86_400)  # now it is the next year's
        assert (await ask(world))["respCode"] == "98"

    world.run(story())
    book = world.gateway.settlements
    leap_us = 1_709_200_000_000_000  # 2024-02-29 17:46 in China
    assert str(book.day_of("0229", leap_us)) == "2024-02-29"
    assert str(book.day_of("0229", leap_us - 86_400_000_000)) == "2020-02-29"
    assert book.day_of("0431", leap_us) is None


Break = Callable[[Any], Awaitable[Any]]


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("bill-missing", ["ORDER00002", "REFUND0001", "CANCEL0001"]),
        ("bill-extra", ["ORDER00001", "FOREIGN", "ORDER00002", "REFUND0001", "CANCEL0001"]),
        ("bill-amount", ["ORDER00001", "ORDER00002", "REFUND0001", "CANCEL0001"]),
        ("bill-other-day", ["ORDER00001", "ORDER00002", "CANCEL0001"]),
    ],
)
def test_a_difference_is_planted_once_and_told(make_world: Any, kind: str, wanted: list[str]) -> None:
    world = make_world(GatewayFault(kind=kind, name="f", limit=1))

    async def story() -> None:
        paid = await a_day(world)
        await asyncio.sleep(TO_9_S + 86_400)
        for _ in range(2):
            found = rows(await ask(world))
            assert [
                row[12][:10].rstrip("0123456789") if row[12].startswith("FOREIGN") else row[12]
                for row in found
            ] == wanted
        (planted,) = world.gateway.settlements.planted
        assert (planted.kind, str(planted.day)) == (kind, "2026-09-21")
        assert planted.is_refund is (kind == "bill-other-day")
        assert world.gateway.faults.report()["f"]["landed"] == 1
        assert sum(row[7] == "000000009601" for row in found) == (kind == "bill-amount")
        if kind == "bill-extra":
            assert found[1][10] not in {one["queryId"] for one in paid}
            assert planted.order_id == found[1][12]
        if kind == "bill-other-day":
            assert [row[12] for row in rows(await ask(world, "0922"), "260922")] == ["REFUND0001"]
        else:
            assert (await ask(world, "0922"))["respCode"] == "98"

    world.run(story())


@pytest.mark.parametrize(
    ("kind", "more"), [("answer", {"code": "06"}), ("reply-late", {}), ("reply-lost", {})]
)
def test_the_faults_of_other_requests_strike_it_too(make_world: Any, kind: str, more: dict[str, Any]) -> None:
    world = make_world(
        GatewayFault(kind=kind, name="f", at=("file-transfer",), limit=1, delay_us=2_000_000, **more)
    )

    async def story() -> None:
        await a_day(world)
        await asyncio.sleep(TO_9_S)
        if kind == "answer":
            assert (await ask(world))["respCode"] == "06"
        elif kind == "reply-lost":
            with pytest.raises(AssertionError):
                await ask(world)
        assert len(rows(await ask(world))) == 4

    world.run(story())
    assert world.gateway.faults.report()["f"]["landed"] == 1


def test_only_its_own_address_gives_files(world: Any) -> None:
    async def story() -> None:
        fields = world.fields("76", "01", "-", channelType="-", settleDate="0921", fileType="00")
        assert (await world.back(fields))["respCode"] == "10"
        http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=world.gateway.file_app), base_url="https://f"
        )
        assert (await http.get("/")).status_code == 405
        assert (await http.post("/x")).status_code == 404
        consume = world.trade("06", "ORDER00001", qrNo=await world.code())
        reply = await world.ask("/", consume, client=http)
        assert reply["respCode"] == "10"

    world.run(story())


@pytest.mark.parametrize(
    "bad", [{"file_ready_s": -1}, {"fee_per_10_000": 1_001}, {"file_kept_days": 0}, {"no_file_code": "00"}]
)
def test_impossible_switches_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        Switches(**bad)
