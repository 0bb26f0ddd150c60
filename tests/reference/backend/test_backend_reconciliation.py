"""The daily reconciliation: every planted difference between bill and books is found, and nothing else."""

from __future__ import annotations

import asyncio
import datetime as dt
import gzip
import hashlib
import json
from collections import Counter

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from protocols.wechatpay import BillError
from reference.backend.gateways.bills import fetch_bill
from reference.backend.gateways.port import GatewayRefusedError, GatewayUnknownError
from reference.backend.reconciliation.match import KINDS
from reference.backend.store.schema import ledger, payments, refunds

ADMIN_KEY = "admin-key-for-tests"
DAY = dt.date(2026, 1, 1)
# 2026-01-01 00:00 in Beijing; the fixtures' clock starts eight hours later.
DAY_US = 1_767_196_800_000_000
HOUR_US = 3_600_000_000

TRADE_HEAD = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,"
    "应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,"
    "手续费,费率,订单金额,申请退款金额,费率备注"
)
TRADE_END = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
FUND_HEAD = "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),资金变更提交申请人,备注,业务凭证号"
FUND_END = "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额"


# A writer of its own: what a bill looks like, from samples, without the codec that is under test.


def yuan(fen):
    return f"{fen // 100}.{fen % 100:02d}"


def clock(at_us):
    begin = dt.datetime(1970, 1, 1, 8, tzinfo=dt.UTC)
    return (begin + dt.timedelta(microseconds=at_us)).strftime("%Y-%m-%d %H:%M:%S")


class Row(dict):
    """A payment or a refund, as both sides have it: ours and theirs differ by what a test changes afterwards."""

    def trade(self):
        refund = self["subject"] == "refund"
        values = [
            clock(self["at_us"]),
            self.get("appid", "wx0000000000000001"),
            self.get("mchid", "1900000001"),
            "0",
            "",
            self["of_theirs"] if refund else self["theirs"],
            self["of"] if refund else self["number"],
            "op-zhang",
            "JSAPI",
            "REFUND" if refund else "SUCCESS",
            "OTHERS",
            self.get("currency", "CNY"),
            "0.00" if refund else yuan(self["fen"]),
            "0.00",
            self["theirs"] if refund else "0",
            self["number"] if refund else "0",
            yuan(self["fen"]) if refund else "0.00",
            "0.00",
            "ORIGINAL" if refund else "",
            self.get("state", "SUCCESS") if refund else "",
            "成品油, 92号",
            "",
            "-0.00100" if refund else "0.00600",
            "0.60%",
            "0.00" if refund else yuan(self["fen"]),
            yuan(self["fen"]) if refund else "0.00",
            "",
        ]
        return ",".join(f"`{value}" for value in values)

    def fund(self):
        refund = self["subject"] == "refund"
        name = "退款" if refund else "交易"
        values = [clock(self["at_us"]), self["theirs"], "1", name, name, "支出" if refund else "收入"]
        values += [yuan(self["fen"]), "100.00", "1900000001API", "", self["number"]]
        return ",".join(f"`{value}" for value in values)


def trade_bill(rows, *, end=None, lines=None):
    paid = sum(row["fen"] for row in rows if row["subject"] == "payment")
    back = sum(row["fen"] for row in rows if row["subject"] == "refund")
    fee = sum(600 if row["subject"] == "payment" else -100 for row in rows)
    sign, fee = ("-" if fee < 0 else ""), abs(fee)
    sums = end or (
        f"`{len(rows)},`{yuan(paid)},`{yuan(back)},`0.00,`{sign}{fee // 100_000}.{fee % 100_000:05d},`{yuan(paid)},`{yuan(back)}"
    )
    body = lines if lines is not None else [row.trade() for row in rows]
    return "\n".join([TRADE_HEAD, *body, TRADE_END, sums, ""]).encode()


def fund_bill(rows, *, more=(), sums=None):
    came = [row["fen"] for row in rows if row["subject"] == "payment"]
    went = [row["fen"] for row in rows if row["subject"] == "refund"]
    sums = sums or f"`{len(rows)},`{len(came)},`{yuan(sum(came))},`{len(went)},`{yuan(sum(went))}"
    return "\n".join([FUND_HEAD, *(row.fund() for row in rows), *more, FUND_END, sums, ""]).encode()


# Books


def payment(number, fen=9600, at_us=DAY_US + 10 * HOUR_US):
    return Row(subject="payment", number=number, theirs=f"42{number}", fen=fen, at_us=at_us)


def refund(number, of, fen=100, at_us=DAY_US + 11 * HOUR_US):
    return Row(
        subject="refund",
        number=number,
        theirs=f"50{number}",
        of=of,
        of_theirs=f"42{of}",
        fen=fen,
        at_us=at_us,
    )


async def book(w, rows, *, state="SUCCESS", booked=True):
    """Enter them in the tables as they would stand there at the end of the day."""

    async def work(tx):
        for row in rows:
            common = {"order_id": f"ord_{row['number']}", "amount_fen": row["fen"], "state": state}
            if row["subject"] == "payment":
                await tx.insert(
                    payments,
                    common
                    | {
                        "out_trade_no": row["number"],
                        "openid": "zhang",
                        "is_open": None,
                        "transaction_id": row["theirs"] if state == "SUCCESS" else None,
                        "proof": "callback",
                        "queries": 0,
                        "expires_us": 0,
                        "created_us": row["at_us"],
                        "paid_us": row["at_us"] if state == "SUCCESS" else None,
                    },
                )
            else:
                await tx.insert(
                    refunds,
                    common
                    | {
                        "out_refund_no": row["number"],
                        "out_trade_no": row["of"],
                        "reason": row["number"],
                        "total_fen": row["fen"],
                        "attempt": 1,
                        "sent_us": row["at_us"],
                        "refund_id": row["theirs"],
                        "created_us": row["at_us"],
                        "updated_us": row["at_us"],
                    },
                )
            if booked and state == "SUCCESS":
                entry = {
                    "kind": row["subject"],
                    "entry_key": f"{row['subject']}/{row['number']}",
                    "station": "KM01",
                    "nozzle": 1,
                    "volume_ml": 0,
                    "amount_fen": row["fen"],
                    "content": "{}",
                    "instance": "test",
                    "recorded_us": row["at_us"],
                }
                await tx.insert(ledger, entry)

    await w.database.run(work)


async def compare(w, content, *, bill="trade", day=DAY):
    """Differences as (kind, subject, number, line), and how many rows matched."""
    await w.database.run(lambda tx: w.core.reconciliation.compare(tx, day, bill, content))
    shown = await w.admin(f"reconciliations/{day.isoformat()}?matched=true")
    rows = [row for row in shown["differences"] if row["bill"] == bill]
    (run,) = [run for run in shown["bills"] if run["bill"] == bill]
    differences = [
        (row["kind"], row["subject"], row["number"], row["line"]) for row in rows if row["kind"] != "matched"
    ]
    assert run["compared"] == len(rows)
    assert run["differences"] == len(differences)
    return differences, len(rows) - len(differences), run


async def alarms(w):
    return [alarm["kind"] for alarm in (await w.admin("alarms"))["rows"]]


@pytest.mark.requirement("pay.reconciliation-finds-differences")
def test_a_day_on_which_both_sides_agree(play_sqlite):
    async def scene(w):
        rows = [payment("P1"), payment("P2", 1), refund("R1", "P1")]
        await book(w, rows)
        for bill, content in (("trade", trade_bill(rows)), ("fund", fund_bill(rows))):
            differences, matched, run = await compare(w, content, bill=bill)
            assert (differences, matched, run["state"], run["runs"]) == ([], 3, "matched", 1)
            assert run["sha1"] == hashlib.sha1(content).hexdigest()
        assert await alarms(w) == []

    play_sqlite(scene)


# Differences, each of its kind; then any number of them at once.

P = [payment(f"P{n}", 1000 + n) for n in range(8)]
R = [refund(f"R{n}", f"P{n}", 100 + n) for n in range(4)]


def omit(rows, n):
    row = rows.pop(n)
    return [("missing_there", row["subject"], row["number"])]


def add(rows, n):
    row = payment(f"X{n}") if n % 2 else refund(f"X{n}", "P1")
    rows.insert(n, row)
    return [("missing_here", row["subject"], row["number"])]


def alter_amount(rows, n):
    rows[n] = Row(rows[n] | {"fen": rows[n]["fen"] + 1})
    return [("amount_differs", rows[n]["subject"], rows[n]["number"])]


def alter_number(rows, n):
    rows[n] = Row(rows[n] | {"theirs": "4299"})
    return [("number_differs", rows[n]["subject"], rows[n]["number"])]


def repeat(rows, n):
    rows.append(rows[n])
    return [("duplicated", rows[n]["subject"], rows[n]["number"])]


def other_merchant(rows, n):
    rows[n] = Row(rows[n] | {"mchid": "1900000002"})
    return [("foreign", rows[n]["subject"], rows[n]["number"])]


def other_currency(rows, n):
    rows[n] = Row(rows[n] | {"currency": "USD"})
    return [("foreign", rows[n]["subject"], rows[n]["number"])]


def other_state(rows, n):
    if rows[n]["subject"] == "payment":
        return alter_amount(rows, n)
    rows[n] = Row(rows[n] | {"state": "ABNORMAL"})
    return [("state_differs", "refund", rows[n]["number"])]


ALTERATIONS = [omit, add, alter_amount, alter_number, repeat, other_merchant, other_currency, other_state]


@pytest.mark.requirement("pay.reconciliation-finds-differences")
def test_any_set_of_planted_differences_is_found_and_nothing_else(make_world):
    w = make_world()

    @hypothesis_settings(
        max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(
        st.lists(
            st.tuples(st.integers(0, 11), st.sampled_from(ALTERATIONS)),
            max_size=8,
            unique_by=lambda one: one[0],
        ),
        st.randoms(use_true_random=False),
    )
    def check(runner, planted, chance):
        rows = [*P, *R]
        expected = []
        # From the end, so that what is put in or taken out does not move what is still to be altered.
        for n, alter in sorted(planted, key=lambda one: -one[0]):
            expected += alter(rows, n)
        shuffled = rows[:]
        chance.shuffle(shuffled)
        differences, matched, run = runner.run(compare(w, trade_bill(shuffled)))
        assert Counter(one[:3] for one in differences) == Counter(expected)
        assert run["state"] == ("differs" if expected else "matched")
        touched = {(subject, number) for kind, subject, number in expected if kind != "duplicated"}
        assert matched == sum((row["subject"], row["number"]) not in touched for row in [*P, *R])
        for _, subject, number, line in differences:
            if line is not None:
                there = shuffled[line - 2]
                assert (there["subject"], there["number"]) == (subject, number)

    with asyncio.Runner() as runner:
        runner.run(w.add())
        runner.run(book(w, [*P, *R]))
        check(runner)
        runner.run(w.close())


@pytest.mark.requirement("pay.reconciliation-finds-differences")
def test_any_planted_differences_of_the_fund_bill_are_found_and_nothing_else(make_world):
    w = make_world()

    def wrong_number(rows, n):
        row = rows[n]
        rows[n] = Row(row | {"theirs": "4299"})
        return [("missing_here", "fund", "4299"), ("missing_there", row["subject"], row["number"])]

    def unknown(rows, n):
        row = payment(f"X{n}")
        rows.insert(n, row)
        return [("missing_here", "fund", row["theirs"])]

    @hypothesis_settings(
        max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(
        st.lists(
            st.tuples(
                st.integers(0, 11), st.sampled_from([omit, unknown, alter_amount, wrong_number, repeat])
            ),
            max_size=6,
            unique_by=lambda one: one[0],
        )
    )
    def check(runner, planted):
        rows = [*P, *R]
        expected = []
        for n, alter in sorted(planted, key=lambda one: -one[0]):
            expected += alter(rows, n)
        differences, _, _ = runner.run(compare(w, fund_bill(rows), bill="fund"))
        assert Counter(one[:3] for one in differences) == Counter(expected)

    with asyncio.Runner() as runner:
        runner.run(w.add())
        runner.run(book(w, [*P, *R]))
        check(runner)
        runner.run(w.close())


@pytest.mark.requirement("pay.reconciliation-finds-differences")
def test_what_stands_differently_in_our_own_books_is_found(play_sqlite):
    async def scene(w):
        await book(w, [P[0]], booked=False)
        await book(w, [P[1]], state="CLOSED")
        await book(w, [P[2]])
        await book(w, [R[0]], state="PROCESSING")
        await book(w, [R[2]], state="CLOSED")
        differences, matched, _ = await compare(w, trade_bill([*P[:3], R[0], R[2]]))
        assert differences == [
            ("ledger_differs", "payment", "P0", 2),
            ("state_differs", "payment", "P1", 3),
            ("state_differs", "refund", "R0", 5),
            ("state_differs", "refund", "R2", 6),
        ]
        assert matched == 1
        assert await alarms(w) == ["reconciliation_differs"]
        # What a question may settle is asked: the gateway is the one who knows.
        tasks = {row["topic"]: row["subject"] for row in (await w.admin("outbox"))["rows"]}
        assert tasks == {"payment.recheck": "P1", "refund.look": "R2"}

    play_sqlite(scene)


@pytest.mark.requirement("pay.paid-after-close-is-not-lost", "pay.reconciliation-finds-differences")
def test_a_payment_that_only_the_bill_tells_of_is_taken(play_sqlite):
    """No callback, no answer to any query, closed here: the bill brings it to light the next morning."""

    async def scene(w):
        await w.site("POST", "/sales", w.sale(), status=201)
        order = await w.order()
        number = (await w.pay(order))["out_trade_no"]
        w.gateway.trades[number]["state"] = "CLOSED"
        await w.run_due(later_s=20)
        assert (await w.show(order))["state"] == "PAYABLE"
        w.gateway.trades[number]["state"] = "NOTPAY"
        report = w.gateway.pay(number)
        row = payment(number, 9600)
        row["theirs"] = report.transaction_id
        differences, _, _ = await compare(w, trade_bill([row]))
        assert differences == [("state_differs", "payment", number, 2)]
        await w.run_due()
        assert (await w.show(order))["state"] == "PAID"
        differences, matched, run = await compare(w, trade_bill([row]))
        assert (differences, matched, run["runs"]) == ([], 1, 2)
        assert await w.violations() == []

    play_sqlite(scene)


def test_rows_that_cannot_be_read_are_listed_with_line_and_field(play_sqlite):
    async def scene(w):
        await book(w, P[:3])
        lines = [row.trade() for row in P[:3]]
        lines[1] = lines[1].replace("`10.01", "`10.1", 1)
        differences, matched, run = await compare(w, trade_bill(P[:3], lines=lines))
        assert differences == [("unreadable", "bill", "", 3), ("missing_there", "payment", "P1", None)]
        assert (matched, run["state"]) == (2, "differs")
        shown = await w.admin(f"reconciliations/{DAY.isoformat()}")
        assert shown["differences"][0]["detail"].startswith("应结订单金额: '10.1' is not an amount in yuan")

    play_sqlite(scene)


def test_totals_that_the_rows_do_not_make_are_found(play_sqlite):
    async def scene(w):
        await book(w, P[:1])
        end = "`2,`10.00,`0.00,`0.00,`0.00600,`10.00,`0.00"
        differences, _, _ = await compare(w, trade_bill(P[:1], end=end))
        assert differences == [("totals_differ", "bill", "", None)]
        differences, _, _ = await compare(w, fund_bill(P[:1], sums="`1,`1,`10.01,`0,`0.00"), bill="fund")
        assert differences == [("totals_differ", "bill", "", None)]
        detail = (await w.admin(f"reconciliations/{DAY.isoformat()}"))["differences"][0]["detail"]
        assert detail == "count 2, its rows make 1"

    play_sqlite(scene)


def test_fees_belong_to_what_they_were_taken_for(play_sqlite):
    async def scene(w):
        await book(w, [P[0]])
        fee = "`2026-01-01 18:00:00,`{},`2,`交易,`扣除交易手续费,`支出,`0.06,`99.94,`x,`,`P0"
        more = [fee.format("42P0"), fee.format("42nobody")]
        differences, matched, _ = await compare(
            w, fund_bill(P[:1], more=more, sums="`3,`1,`10.00,`2,`0.12"), bill="fund"
        )
        assert differences == [("missing_here", "fund", "42nobody", 4)]
        assert matched == 2

    play_sqlite(scene)


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
