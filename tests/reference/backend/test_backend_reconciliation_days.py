"""The daily reconciliation day by day: midnight, repeated runs, missing and late bills, by whom and when it is run."""

from __future__ import annotations

import asyncio
import datetime as dt
import gzip
import hashlib
import json

import pytest

from protocols.wechatpay import BillError
from reference.backend.gateways.bills import fetch_bill
from reference.backend.gateways.port import GatewayRefusedError, GatewayUnknownError
from reference.backend.reconciliation.match import KINDS

from .bill_rig import (
    ADMIN_KEY,
    DAY,
    DAY_US,
    HOUR_US,
    TRADE_END,
    P,
    R,
    alarms,
    book,
    compare,
    fund_bill,
    payment,
    trade_bill,
)

# Days


def test_running_a_day_again_writes_the_same_result_in_its_place(play):
    async def scene(w):
        await book(w, [*P, *R])
        content = trade_bill([*P[1:], *R, payment("X1")])
        first, matched, _ = await compare(w, content)
        before = await w.admin(f"reconciliations/{DAY.isoformat()}")
        again, matched_again, run = await compare(w, content)
        after = await w.admin(f"reconciliations/{DAY.isoformat()}")
        assert (first, matched) == (again, matched_again)
        assert run["runs"] == 2
        assert [row | {"entry_id": 0} for row in before["differences"]] == [
            row | {"entry_id": 0} for row in after["differences"]
        ]
        assert await alarms(w) == ["reconciliation_differs"]

    play(scene)


def test_what_happens_at_midnight_is_looked_for_in_both_bills(play_sqlite):
    async def scene(w):
        second_us = 1_000_000
        midnight_us = DAY_US + 24 * HOUR_US
        before = payment("P1", at_us=midnight_us - second_us)  # by our clock; the platform's day had begun
        after = payment("P2", at_us=midnight_us + second_us)  # the platform's day had not ended
        lost = payment("P3", at_us=midnight_us - second_us)
        await book(w, [before, after, lost])
        differences, matched, _ = await compare(w, trade_bill([after]))
        assert (differences, matched) == ([], 1)
        tomorrow = DAY + dt.timedelta(days=1)
        differences, matched, _ = await compare(w, trade_bill([before]), day=tomorrow)
        assert (differences, matched) == ([("missing_there", "payment", "P3", None)], 1)
        # The day before again, later: nothing new.
        differences, matched, _ = await compare(w, trade_bill([after]))
        assert (differences, matched) == ([], 1)

    play_sqlite(scene)


def test_a_payment_in_two_days_bills_is_found(play_sqlite):
    async def scene(w):
        await book(w, [P[0]])
        await compare(w, trade_bill([P[0]]))
        differences, _, _ = await compare(w, trade_bill([P[0]]), day=DAY + dt.timedelta(days=1))
        assert differences == [("duplicated", "payment", "P0", 2)]

    play_sqlite(scene)


def test_a_day_without_a_bill_is_a_day_without_trade(play_sqlite):
    async def scene(w):
        differences, matched, run = await compare(w, None)
        assert (differences, matched, run["state"], run["sha1"]) == ([], 0, "matched", None)
        await book(w, [P[0]])
        differences, _, run = await compare(w, None)
        assert differences == [("missing_there", "payment", "P0", None)]

    play_sqlite(scene)


def test_a_file_that_is_no_bill_is_on_record_and_tried_again(play_sqlite):
    async def scene(w):
        differences, _, run = await compare(w, trade_bill(P).partition(TRADE_END.encode())[0])
        assert (differences, run["state"]) == ([], "unreadable")
        assert "cut off" in run["problem"]
        differences, _, run = await compare(w, BillError("another hash"))
        assert run["problem"] == "another hash"
        assert await alarms(w) == ["reconciliation_unreadable"]

    play_sqlite(scene)


# When


class Bills:
    """The gateway's side: bills by name and day, and what was asked for."""

    def __init__(self, w):
        self.w, self.asked, self.bills = w, [], {}
        w.gateway.bill = self.bill

    async def bill(self, bill, day):
        self.asked.append((bill, day, self.w.now_us))
        found = self.bills.get((bill, day))
        if isinstance(found, Exception):
            raise found
        return found


def test_it_runs_every_day_at_the_declared_hour_once_for_all_instances(make_world):
    async def scene():
        w = make_world()
        bills = Bills(w)
        # The clock starts at eight in the morning in Beijing.
        for _ in range(2):
            await w.add(reconcile_at_s=10 * 3600 + 900)
        for _ in range(30):
            await w.run_due(later_s=3600, on=0)
            await w.run_due(on=1)
        first, second = dt.date(2025, 12, 31), DAY
        assert [(bill, day) for bill, day, _ in bills.asked] == [
            (bill, day.isoformat()) for day in (first, second) for bill in ("trade", "fund")
        ]
        at_us = [DAY_US + 10 * HOUR_US + 900_000_000 + n * 24 * HOUR_US for n in range(2)]
        assert [
            asked_us - due_us < HOUR_US
            for (_, _, asked_us), due_us in zip(bills.asked[::2], at_us, strict=True)
        ]
        # A week without any instance: each day is caught up with, in order.
        await w.run_due(later_s=7 * 86_400)
        for _ in range(20):
            await w.run_due(later_s=1)
        runs = (await w.admin("reconciliations"))["rows"]
        days = [first + dt.timedelta(days=n) for n in range(len(runs) // 2)]
        assert len(days) == 9
        assert [(run["day"], run["bill"]) for run in runs] == [
            (day.isoformat(), bill) for day in days for bill in ("fund", "trade")
        ]
        await w.close()

    asyncio.run(scene())


def test_a_bill_that_is_still_being_made_is_asked_for_again(make_world):
    async def scene():
        w = make_world()
        bills = Bills(w)
        await w.add(reconcile_at_s=9 * 3600)
        day = "2025-12-31"
        bills.bills["trade", day] = GatewayRefusedError(400, "STATEMENT_CREATING", "账单正在生成")
        for _ in range(3):
            await w.run_due(later_s=3600)
        assert (await w.admin("reconciliations"))["rows"] == []
        bills.bills["trade", day] = trade_bill([])
        bills.bills["fund", day] = BillError("cut off")
        await w.run_due(later_s=3600)
        bills.bills["fund", day] = fund_bill([])
        await w.run_due(later_s=3600)
        runs = (await w.admin("reconciliations"))["rows"]
        assert [(run["bill"], run["state"], run["runs"]) for run in runs] == [
            ("fund", "matched", 2),
            ("trade", "matched", 2),
        ]
        await w.close()

    asyncio.run(scene())


@pytest.mark.parametrize(
    "trouble", [BillError("cut off"), GatewayRefusedError(400, "NO_STATEMENT_EXIST", "账单文件不存在")]
)
def test_a_bill_that_never_comes_keeps_no_later_day_from_being_compared(make_world, trouble):
    async def scene():
        w = make_world()
        bills = Bills(w)
        await w.add(reconcile_at_s=9 * 3600)
        bills.bills["trade", "2025-12-31"] = trouble
        for _ in range(3):
            for _ in range(4):
                await w.run_due(later_s=6 * 3600)
        runs = (await w.admin("reconciliations"))["rows"]
        compared = {run["day"] for run in runs if run["state"] == "matched"}
        assert {"2026-01-01", "2026-01-02"} <= compared
        assert "2025-12-31" not in {
            run["day"] for run in runs if run["bill"] == "trade" and run["state"] == "matched"
        }
        # After a month nobody asks any more, and a person is told.
        for _ in range(40):
            await w.run_due(later_s=86_400)
        assert (await alarms(w)).count("reconciliation_given_up") == 1
        asked = sum(day == "2025-12-31" for _, day, _ in bills.asked)
        await w.run_due(later_s=86_400)
        assert sum(day == "2025-12-31" for _, day, _ in bills.asked) == asked
        await w.close()

    asyncio.run(scene())


def test_without_an_hour_nothing_is_planned(play_sqlite):
    async def scene(w):
        assert (await w.admin("outbox"))["rows"] == []

    play_sqlite(scene)


def test_an_operator_runs_a_day_by_hand(play_sqlite):
    async def scene(w):
        bills = Bills(w)
        await book(w, P)
        bills.bills["trade", "2026-01-01"] = trade_bill(P[1:])
        path = "/v1/admin/reconciliations/2026-01-01"
        assert (await w.call("POST", path, key=ADMIN_KEY, status=409))["code"] == "day_not_over"
        await w.call("POST", path, status=401)
        w.now_us += 86_400_000_000
        shown = await w.call("POST", path, key=ADMIN_KEY, status=200)
        assert [row["kind"] for row in shown["differences"]].count("missing_there") == 1 + len(P)
        assert [run["state"] for run in shown["bills"]] == ["differs", "differs"]
        bills.bills["trade", "2026-01-01"] = GatewayUnknownError("no answer")
        assert (await w.call("POST", path, key=ADMIN_KEY, status=503))["code"] == "no_bill"
        bills.bills["trade", "2026-01-01"] = GatewayRefusedError(403, "NO_AUTH", "")
        assert (await w.call("POST", path, key=ADMIN_KEY, status=502))["code"] == "gateway_refused"
        for wrong in ("2026-13-01", "today", "2026-1-1"):
            await w.call("GET", f"/v1/admin/reconciliations/{wrong}", key=ADMIN_KEY, status=422)

    play_sqlite(scene)


# Fetching


def test_a_bill_is_fetched_from_the_gateways_own_host_and_checked():
    content = trade_bill(P)
    asked = []

    def get(link):
        async def answer(path, *, is_signed):
            asked.append((path, is_signed))
            return json.dumps(link).encode() if is_signed else files[path]

        return answer

    files = {"/v3/billdownload/file?token=a%2Bb": gzip.compress(content)}
    link = {
        "hash_type": "SHA1",
        "hash_value": hashlib.sha1(content).hexdigest(),
        "download_url": "https://elsewhere.example/v3/billdownload/file?token=a%2Bb",
    }
    assert asyncio.run(fetch_bill(get(link), "trade", "2026-01-01")) == content
    assert asked == [
        ("/v3/bill/tradebill?bill_date=2026-01-01&bill_type=ALL&tar_type=GZIP", True),
        ("/v3/billdownload/file?token=a%2Bb", False),
    ]
    with pytest.raises(BillError, match="SHA-1"):
        asyncio.run(fetch_bill(get(link | {"hash_value": "0" * 40}), "fund", "2026-01-01"))
    for wrong in ({"download_url": "ftp://x"}, {"hash_value": "zz"}, {"download_url": 5}):
        with pytest.raises(GatewayUnknownError, match="link to a bill"):
            asyncio.run(fetch_bill(get(link | wrong), "trade", "2026-01-01"))


def test_every_kind_has_room_in_its_column():
    assert max(map(len, KINDS)) <= 16
