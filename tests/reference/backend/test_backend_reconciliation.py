"""The daily reconciliation: every planted difference between bill and books is found, and nothing else."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from .bill_rig import DAY, P, R, Row, alarms, book, compare, fund_bill, payment, refund, trade_bill


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
