"""The daily bills: when they are there, what stands in them, and the differences a run plants in them."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from decimal import Decimal
from typing import Any

import httpx
import pytest

from protocols.wechatpay import read_fund_bill, read_trade_bill, unpack_bill
from sim.wechatpay import GatewayFault, Switches, generate_merchant

TRADE = "/v3/bill/tradebill"
FUND = "/v3/bill/fundflowbill"
HOST = "https://api.mch.weixin.qq.com"
DAY = "2026-09-21"  # the run begins at 22:13:20 of this day in China
NEXT = "2026-09-22"
UNTIL_10_S = 36_000 + 86_400 - (22 * 3600 + 13 * 60 + 20)


def code_of(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["code"]


async def ask(world: Any, path: str = TRADE, day: str = DAY, **query: str) -> httpx.Response:
    more = "".join(f"&{name}={value}" for name, value in query.items())
    return await world.call("GET", f"{path}?bill_date={day}{more}")


async def download(world: Any, linked: httpx.Response) -> bytes:
    assert linked.status_code == 200, linked.text
    url = linked.json()["download_url"]
    reply = await world.call("GET", url.removeprefix(HOST), check=False)
    assert reply.status_code == 200, reply.text
    assert not [name for name in reply.headers if name.startswith("wechatpay-")]
    return reply.content


async def bill(world: Any, path: str = TRADE, day: str = DAY, **query: str) -> tuple[list[dict], dict]:
    """A bill read as its field page describes it: split at commas, backticks off, columns by title."""
    text = (await download(world, await ask(world, path, day, **query))).decode("utf-8-sig")
    table = [[cell.removeprefix("`") for cell in line.split(",")] for line in text.splitlines()]
    assert {len(row) for row in table[:-2]} == {len(table[0])}
    details = [dict(zip(table[0], row, strict=True)) for row in table[1:-2]]
    return details, dict(zip(table[-2], table[-1], strict=True))


def sums(rows: list[dict], title: str) -> Decimal:
    return sum((Decimal(row[title]) for row in rows), Decimal(0))


async def a_day(world: Any) -> None:
    """Three payments and a refund of each kind on the first day."""
    await world.paid("ORDER00001", 20_000)
    await world.paid("ORDER00002", 101)
    await world.codepay(await world.show_code(), "CODE000001", 990)
    await world.refund("R1", 8_000)
    await world.reverse("CODE000001")


def test_a_bill_of_yesterday_is_there_from_ten_o_clock(make_world) -> None:
    world = make_world()

    async def story() -> list[tuple[int, str] | int]:
        await a_day(world)
        seen: list[tuple[int, str] | int] = [code_of(await ask(world)), code_of(await ask(world, day=NEXT))]
        await asyncio.sleep(UNTIL_10_S - 2)
        seen.append(code_of(await ask(world)))
        await asyncio.sleep(2)
        seen.append((await ask(world)).status_code)
        seen.append(code_of(await ask(world, day="2026-09-20")))
        await asyncio.sleep(92 * 86_400)
        seen.append(code_of(await ask(world)))
        return seen

    assert world.run(story()) == [
        (400, "INVALID_REQUEST"),
        (400, "INVALID_REQUEST"),
        (400, "STATEMENT_CREATING"),
        200,
        (400, "NO_STATEMENT_EXIST"),
        (400, "INVALID_REQUEST"),
    ]


def test_what_stands_in_a_trade_bill(make_world) -> None:
    world = make_world()

    async def story() -> None:
        await a_day(world)
        await world.prepay("UNPAID0001")
        await asyncio.sleep(7_200)  # past midnight
        await world.paid("ORDER00003", 5_000)
        await asyncio.sleep(UNTIL_10_S)
        rows, totals = await bill(world)
        assert [(row["商户订单号"], row["交易状态"]) for row in rows] == [
            ("ORDER00001", "SUCCESS"),
            ("ORDER00002", "SUCCESS"),
            ("CODE000001", "SUCCESS"),
            ("CODE000001", "REVOKED"),
            ("ORDER00001", "REFUND"),
        ]
        paid, _, code, revoked, refund = rows
        assert (paid["订单金额"], paid["应结订单金额"], paid["手续费"]) == ("200.00", "200.00", "1.20000")
        assert (paid["交易类型"], code["交易类型"], paid["特约商户号"]) == ("JSAPI", "MICROPAY", "0")
        assert (refund["商户退款单号"], refund["申请退款金额"], refund["退款状态"]) == (
            "R1",
            "80.00",
            "SUCCESS",
        )
        assert (refund["订单金额"], refund["手续费"]) == ("0.00", "-0.48000")
        assert revoked["退款金额"] == "9.90"
        assert totals["总交易单数"] == "5"
        for title, total in (
            ("订单金额", "订单总金额"),
            ("申请退款金额", "申请退款总金额"),
            ("手续费", "手续费总金额"),
            ("退款金额", "退款总金额"),
        ):
            assert sums(rows, title) == Decimal(totals[total])
        await asyncio.sleep(86_400)
        later, _ = await bill(world, day=NEXT)
        assert [row["商户订单号"] for row in later] == ["ORDER00003"]

    world.run(story())


def test_each_type_has_its_own_columns(make_world) -> None:
    world = make_world()

    async def story() -> None:
        await a_day(world)
        await asyncio.sleep(UNTIL_10_S)
        everything, _ = await bill(world, bill_type="ALL")
        paid, totals = await bill(world, bill_type="SUCCESS")
        back, _ = await bill(world, bill_type="REFUND")
        assert len(everything) == len(paid) + len(back) == 5
        assert "商户退款单号" not in paid[0]
        assert "申请退款金额" not in paid[0]
        assert (back[1]["退款申请时间"], back[1]["退款成功时间"]) == (f"{DAY} 22:13:20",) * 2
        assert totals["订单总金额"] == "210.91"

    world.run(story())


def test_packed_and_plain_files_hold_the_same_and_fit_their_hash(make_world) -> None:
    world, other = make_world(), make_world(switches=Switches(bill_hash="file"))

    async def story(of: Any) -> tuple[dict, bytes, dict, bytes]:
        await a_day(of)
        await asyncio.sleep(UNTIL_10_S)
        plain, packed = await ask(of), await ask(of, tar_type="GZIP")
        return plain.json(), await download(of, plain), packed.json(), await download(of, packed)

    plain, content, packed, file = world.run(story(world))
    assert gzip.decompress(file) == content
    assert plain["hash_type"] == "SHA1"
    assert plain["hash_value"] == packed["hash_value"] == hashlib.sha1(content).hexdigest()
    assert read_trade_bill(unpack_bill(file, sha1=packed["hash_value"], gzipped=True)).bad == ()
    _, _, packed, file = other.run(story(other))
    assert packed["hash_value"] == hashlib.sha1(file).hexdigest()


def test_the_fund_bill_is_the_account(make_world) -> None:
    world = make_world()

    async def story() -> None:
        await a_day(world)
        await asyncio.sleep(UNTIL_10_S)
        rows, totals = await bill(world, FUND)
        moved = [(row["业务类型"], row["收支类型"], row["收支金额(元)"]) for row in rows]
        assert moved == [
            ("交易", "收入", "200.00"),
            ("扣除交易手续费", "支出", "1.20"),
            ("交易", "收入", "1.01"),
            ("扣除交易手续费", "支出", "0.01"),
            ("交易", "收入", "9.90"),
            ("扣除交易手续费", "支出", "0.06"),
            ("退款", "支出", "9.84"),
            ("退款", "支出", "79.52"),
        ]
        assert rows[-1]["账户结余(元)"] == "120.28"
        assert (totals["收入笔数"], totals["收入金额"], totals["支出金额"]) == ("3", "210.91", "90.63")
        read = read_fund_bill(await download(world, await ask(world, FUND)))
        assert read.totals is not None
        assert read.totals.income_fen - read.totals.outgo_fen == 12_028
        await asyncio.sleep(1)
        for account in ("OPERATION", "FEES"):
            assert code_of(await ask(world, FUND, account_type=account)) == (400, "NO_STATEMENT_EXIST")

    world.run(story())


def test_a_refund_keeps_the_state_it_had_when_the_bill_was_made(make_world) -> None:
    faults = [
        GatewayFault(kind="refund-abnormal", name="bounced", limit=1),
        GatewayFault(kind="refund-closed", name="closed", limit=1),
    ]
    world = make_world(*faults)

    async def story() -> None:
        for number in range(2):
            await world.paid(f"ORDER{number:05}")
            await world.refund(f"R{number}", 100, f"ORDER{number:05}")
            await asyncio.sleep(1)
        await asyncio.sleep(UNTIL_10_S)
        record = world.gateway.refunds.refunds[1]
        world.gateway.settle_refund(record)
        rows, _ = await bill(world, bill_type="REFUND")
        assert {row["商户退款单号"]: row["退款状态"] for row in rows} == {"R0": "FAIL", "R1": "CHANGE"}
        account, _ = await bill(world, FUND)
        assert account[-1]["业务类型"] == "退款"

    world.run(story())


def test_a_link_lives_five_minutes_and_belongs_to_who_asked(make_world, platform) -> None:
    world = make_world()
    stranger = generate_merchant(platform, mchid="1900000333")
    world.gateway.accounts[stranger.account.mchid] = stranger.account

    async def story() -> None:
        await a_day(world)
        await asyncio.sleep(UNTIL_10_S)
        linked = await ask(world)
        target = linked.json()["download_url"].removeprefix(HOST)
        own = stranger.credentials
        header = world.header("GET", target, mchid=own.mchid, serial_no=own.serial_no, key=own.private_key)
        refused = await world.call("GET", target, headers={"Authorization": header})
        assert code_of(refused) == (403, "NO_AUTH")
        unsigned = await world.call("GET", target, headers={"Authorization": ""})
        assert unsigned.status_code == 401
        await asyncio.sleep(299)
        await download(world, linked)
        await asyncio.sleep(1)
        assert code_of(await world.call("GET", target)) == (400, "INVALID_REQUEST")
        gone = await world.call("GET", "/v3/billdownload/file")
        assert code_of(gone) == (400, "INVALID_REQUEST")

    world.run(story())


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (TRADE, {"day": "20260921"}),
        (TRADE, {"day": "2026-09-31"}),
        (TRADE, {"day": ""}),
        (TRADE, {"bill_type": "RECHARGE"}),
        (TRADE, {"tar_type": "ZIP"}),
        (FUND, {"account_type": "basic"}),
    ],
)
def test_bad_questions(make_world, path: str, query: dict[str, str]) -> None:
    world = make_world()
    assert code_of(world.run(ask(world, path, **query))) == (400, "PARAM_ERROR")


def test_three_fund_bills_a_second(make_world) -> None:
    world = make_world()

    async def story() -> list[int]:
        await a_day(world)
        await asyncio.sleep(UNTIL_10_S)
        return [(await ask(world, FUND)).status_code for _ in range(4)]

    assert world.run(story()) == [200, 200, 200, 429]


def test_planted_differences(make_world) -> None:
    faults = [
        GatewayFault(kind="bill-missing", name="missing", limit=1),
        GatewayFault(kind="bill-other-day", name="day", limit=1),
        GatewayFault(kind="bill-amount", name="fen", limit=1),
        GatewayFault(kind="bill-extra", name="extra", limit=1),
    ]
    world = make_world(*faults)

    async def story() -> None:
        for number in range(1, 5):
            await world.paid(f"ORDER{number:05}", 1_000)
        await world.refund("R1", 100, "ORDER00001", 1_000)
        await asyncio.sleep(UNTIL_10_S)
        rows, totals = await bill(world)
        assert [(row["商户订单号"][:7], row["订单金额"]) for row in rows] == [
            ("ORDER00", "10.01"),
            ("FOREIGN", "10.00"),
            ("ORDER00", "10.00"),
            ("ORDER00", "10.00"),
        ]
        assert [row["商户订单号"][-1] for row in rows if row["商户订单号"][0] == "O"] == ["2", "3", "4"]
        assert Decimal(totals["订单总金额"]) == sums(rows, "订单金额")
        again, _ = await bill(world)
        assert again == rows
        assert code_of(await ask(world, day=NEXT)) == (400, "INVALID_REQUEST")
        await asyncio.sleep(86_400)
        later, _ = await bill(world, day=NEXT)
        assert [(row["商户退款单号"], row["交易状态"]) for row in later] == [("R1", "REFUND")]

    world.run(story())
    assert {name: row["landed"] for name, row in world.gateway.faults.report().items()} == {
        "missing": 1,
        "day": 1,
        "fen": 1,
        "extra": 1,
    }


def test_free_text_cannot_break_a_row(make_world) -> None:
    world = make_world()

    async def story() -> None:
        await world.confirm(await world.prepay(attach="a,b\n`c,`d"))
        await asyncio.sleep(UNTIL_10_S)
        (row,), _ = await bill(world)
        assert row["商户数据包"].startswith("a\\ b\\n")

    world.run(story())
