"""Refunds: one number until the end is known, never more than was paid, seen by a person."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from sqlalchemy import text

from reference.backend.gateways.port import GatewayRefusedError, NoticeRefusedError, RefundReport

from .refund_rig import ADMIN_KEY, alarms, ask, body, prepaid, sent

# What is not delivered goes back


@pytest.mark.requirement("rfd.undelivered-prepay-is-refunded")
@pytest.mark.parametrize("delivered_fen", [0, 9900])
def test_what_was_not_delivered_goes_back_once_within_a_minute(play_sqlite, delivered_fen):
    async def scene(w):
        w.gateway.refund_state = "PROCESSING"
        order = await prepaid(w)
        sale = w.sale(amount_fen=delivered_fen, order_id=order["order_id"])
        await w.site("POST", "/sales", sale, status=201)
        await w.run_due()
        for refund in w.gateway.refunds.values():
            refund["state"] = "SUCCESS"
        for _ in range(3):
            await w.site("POST", "/sales", sale, status=200)
            await w.run_due(later_s=20)
        shown = await w.show(order)
        assert shown["refunded_fen"] == 10_000 - delivered_fen
        assert [row["amount_fen"] for row in w.gateway.refunds.values()] == [10_000 - delivered_fen] * (
            delivered_fen < 10_000
        )
        assert shown["state"] == ("COMPLETED" if delivered_fen else "REFUNDED")
        assert await w.violations() == []

    play_sqlite(scene)


# One number for one refund


@pytest.mark.requirement("rfd.refund-retry-keeps-its-number")
def test_a_failed_refund_keeps_its_number_and_a_further_one_has_its_own(play_sqlite):
    async def scene(w):
        order = await w.paid_order()
        w.gateway.refuse["refund"] = GatewayRefusedError(403, "NOT_ENOUGH", "余额不足")
        first = await ask(w, order, 1000)
        assert (first["state"], first["amount_fen"], first["total_fen"]) == ("PENDING", 1000, 9600)
        for _ in range(4):
            await w.run_due(later_s=100)
        assert len(set(sent(w))) == 1
        assert len(sent(w)) == 4
        assert await alarms(w) == ["refund_refused"]
        w.gateway.refuse.clear()
        w.gateway.unknown = ["refund"]
        for _ in range(2):
            await w.run_due(later_s=100)
        assert list(w.gateway.refunds) == [first["out_refund_no"]]
        assert await ask(w, order, 1000, status=200) == first | {
            "state": "SUCCESS",
            "refund_id": w.gateway._refund_report(first["out_refund_no"]).refund_id,
        }
        second = await ask(w, order, 1000, "t2")
        assert second["out_refund_no"] != first["out_refund_no"]
        await w.run_due(later_s=61)
        assert list(w.gateway.refunds) == [first["out_refund_no"], second["out_refund_no"]]
        shown = await w.show(order)
        assert (shown["refunded_fen"], shown["state"]) == (2000, "COMPLETED")
        assert await w.violations() == []

    play_sqlite(scene)


def test_a_token_asks_for_one_amount(play_sqlite):
    async def scene(w):
        order = await w.paid_order()
        await ask(w, order, 1000)
        refused = await ask(w, order, 1001, status=409)
        assert (refused["code"], refused["field"]) == ("token_reused", "client_token")

    play_sqlite(scene)


# Never more than was paid


@pytest.mark.requirement("rfd.refunds-never-exceed-paid")
def test_fifty_operators_at_once_give_back_no_more_than_was_paid(play):
    async def scene(w):
        await w.add()
        order = await w.paid_order()
        path = f"/v1/admin/orders/{order['order_id']}/refunds"
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        replies = await asyncio.gather(
            *(w.clients[n % 2].post(path, json=body(1000, f"t{n}"), headers=headers) for n in range(50))
        )
        counted = Counter(reply.status_code for reply in replies)
        assert counted == {201: 9, 409: 41}
        assert {reply.json()["code"] for reply in replies if reply.status_code == 409} == {"too_much"}
        for _ in range(12):
            await w.run_due(later_s=61, on=0)
            await w.run_due(on=1)
        assert sum(refund["amount_fen"] for refund in w.gateway.refunds.values()) == 9000
        assert (await w.show(order))["refunded_fen"] == 9000
        await ask(w, order, 600, "rest")
        await w.run_due(later_s=61)
        shown = await w.show(order)
        assert (shown["refunded_fen"], shown["state"]) == (9600, "REFUNDED")
        assert await w.violations() == []

    play(scene)


def test_fifty_repeats_of_one_request_are_one_refund(play):
    async def scene(w):
        await w.add()
        order = await w.paid_order()
        replies = await asyncio.gather(*(ask(w, order, 5000, status=None, on=n % 2) for n in range(50)))
        assert len({reply["out_refund_no"] for reply in replies}) == 1
        assert len((await w.admin("refunds"))["rows"]) == 1

    play(scene)


@pytest.mark.requirement("rfd.refunds-never-exceed-paid")
def test_broken_refunds_beyond_the_payment_are_seen(play_sqlite, monkeypatch):
    async def scene(w):
        order = await w.paid_order()

        async def nothing(tx, out_trade_no):
            return 0

        monkeypatch.setattr(w.core.refunds, "asked_fen", nothing)
        await ask(w, order, 9600)
        await ask(w, order, 9600, "t2")
        assert any("19200 fen refunded of 9600" in line for line in await w.violations())

    play_sqlite(scene)


# Accepted is not refunded


@pytest.mark.requirement("rfd.accepted-is-not-refunded")
def test_an_abnormal_refund_is_shown_and_escalated_and_heals(play_sqlite):
    async def scene(w):
        w.gateway.refund_state = "ABNORMAL"
        order = await w.paid_order()
        refund = await ask(w, order, 9600)
        for _ in range(3):
            await w.run_due(later_s=100)
        assert await alarms(w) == ["refund_abnormal"]
        (row,) = (await w.admin("refunds"))["rows"]
        assert row["state"] == "ABNORMAL"
        assert (await w.show(order))["state"] == "REFUNDING"
        assert (await w.show(order))["refunded_fen"] == 0
        # Somebody has seen to it at the platform; the operator asks for the news.
        w.gateway.refunds[refund["out_refund_no"]]["state"] = "SUCCESS"
        path = f"/v1/admin/refunds/{refund['out_refund_no']}/retry"
        await w.call("POST", path, key=ADMIN_KEY, status=200)
        await w.run_due()
        shown = await w.show(order)
        assert (shown["state"], shown["refunded_fen"]) == ("REFUNDED", 9600)
        assert len(w.gateway.refunds) == 1
        assert await w.violations() == []

    play_sqlite(scene)


@pytest.mark.requirement("rfd.accepted-is-not-refunded")
def test_a_closed_refund_is_asked_for_again_under_a_new_number_and_then_left_to_a_person(play_sqlite):
    async def scene(w):
        w.gateway.refund_state = "CLOSED"
        order = await prepaid(w)
        await w.site("POST", "/sales", w.sale(amount_fen=4000, order_id=order["order_id"]), status=201)
        for _ in range(6):
            await w.run_due(later_s=61)
        assert len(w.gateway.refunds) == 3
        rows = (await w.admin("refunds"))["rows"]
        assert [(row["attempt"], row["state"], row["held"]) for row in rows] == [
            (1, "CLOSED", None),
            (2, "CLOSED", None),
            (3, "CLOSED", None),
            (4, "HELD", "closed"),
        ]
        assert len({row["out_refund_no"] for row in rows}) == 4
        assert await alarms(w) == ["refund_closed"] * 3
        shown = await w.show(order)
        assert (shown["state"], shown["refunded_fen"]) == ("REFUNDING", 0)
        w.gateway.refund_state = "SUCCESS"
        await w.call("POST", f"/v1/admin/refunds/{rows[3]['out_refund_no']}/retry", key=ADMIN_KEY, status=200)
        await w.run_due(later_s=61)
        shown = await w.show(order)
        assert (shown["state"], shown["refunded_fen"]) == ("COMPLETED", 6000)
        assert await w.violations() == []

    play_sqlite(scene)


def test_what_the_gateway_says_later_and_otherwise_is_an_alarm(play_sqlite):
    async def scene(w):
        order = await w.paid_order()
        refund = await ask(w, order, 1000)
        number = refund["out_refund_no"]
        await w.run_due()
        apply = w.core.refunds.apply
        for state in ("SUCCESS", "PROCESSING", "USER_APPLIED"):
            await apply(RefundReport(number, state, "5", 1000, refund["out_trade_no"]))
        assert await alarms(w) == []
        await apply(RefundReport(number, "CLOSED", "5", 1000, refund["out_trade_no"]))
        for report in (
            RefundReport(number, "SUCCESS", "5", 999),
            RefundReport(number, "SUCCESS", "5", 1000, "another"),
            RefundReport("unknown", "SUCCESS", "5", 1000),
        ):
            with pytest.raises(NoticeRefusedError):
                await apply(report)
        assert await alarms(w) == ["refund_contradicted"] + ["refund_notice_refused"] * 3
        assert (await w.show(order))["refunded_fen"] == 1000
        assert await w.violations() == []

    play_sqlite(scene)


def test_an_order_is_over_when_all_that_it_owes_is_back(play_sqlite):
    """Paid twice while it was being refunded: the first refund that succeeds is not yet the end."""

    async def scene(w):
        w.gateway.refund_state = "PROCESSING"
        order = await w.paid_order()
        first = await ask(w, order, 1000)
        second = await ask(w, order, 8600, "t2")
        await w.run_due()
        await w.run_due(later_s=61)
        for number, state in ((first, "REFUNDING"), (second, "REFUNDED")):
            w.gateway.refunds[number["out_refund_no"]]["state"] = "SUCCESS"
            await w.core.refunds.apply(w.gateway._refund_report(number["out_refund_no"]))
            assert (await w.show(order))["state"] == state

    play_sqlite(scene)


# Points, balance, coupon


async def purse(w):
    me = await w.call("GET", "/v1/me", key=w.tokens["zhang-real"], status=200)
    return me["points"], me["balance_fen"], len(me["coupons"])


@pytest.mark.requirement("rfd.refund-reverses-by-original-rules")
def test_points_and_coupon_go_back_by_the_rules_of_the_day_of_the_sale(play):
    """Paid at 5 points a fen. By the day of the refund a fen is worth 2 points, and the coupon's kind is gone."""

    async def scene(w):
        w.core.settings = w.core.settings.model_copy(update={"points_per_fen": 5})
        await w.order(8, client_token="log-in")
        grant = {
            "client_token": "g",
            "openid": "zhang",
            "points": 6000,
            "balance_fen": 900,
            "reason": "opening",
        }
        await w.call("POST", "/v1/admin/grants", grant, key=ADMIN_KEY, status=201)
        coupon = {"coupon_id": "c-1", "openid": "zhang", "worth_fen": 500, "expires_us": w.now_us + 10**12}
        await w.call("POST", "/v1/admin/coupons", coupon, key=ADMIN_KEY, status=201)
        await w.site("POST", "/sales", w.sale(), status=201)
        order = await w.order()
        parts = {"points": 6000, "coupon_id": "c-1", "balance_fen": 900}
        body = {"channel": "wechatpay", "parts": parts}
        number = (await w.phone("POST", f"/{order['order_id']}/pay", body, status=200))["out_trade_no"]
        assert w.gateway.trades[number]["amount_fen"] == 9600 - 1200 - 500 - 900
        w.gateway.pay(number)
        await w.notify(number)
        assert await purse(w) == (0, 0, 0)
        w.core.settings = w.core.settings.model_copy(update={"points_per_fen": 2})
        # The channel's money first, then balance, then points: 10 fen of them are 50 points.
        refund = await ask(w, order, 7910)
        assert (refund["amount_fen"], refund["total_fen"]) == (7000, 7000)
        assert await purse(w) == (50, 900, 0)
        await w.run_due()
        assert (await w.show(order))["refunded_fen"] == 7910
        again = await ask(w, order, 7910, status=200)
        assert (again["state"], await purse(w)) == ("SUCCESS", (50, 900, 0))
        refused = await ask(
            w, order, 1191, "t2", status=409
        )  # the rest of the points, and a fen of the coupon
        assert (refused["code"], await purse(w)) == ("parts_indivisible", (50, 900, 0))
        rest = await ask(w, order, 1690, "t3")
        assert (rest["state"], rest["amount_fen"]) == ("SUCCESS", 1690)
        assert await ask(w, order, 1690, "t3", status=200) == rest
        assert await purse(w) == (6000, 900, 1)
        shown = await w.show(order)
        assert (shown["state"], shown["refunded_fen"]) == ("REFUNDED", 9600)
        assert (await ask(w, order, 1, "t4", status=409))["code"] == "too_much"
        assert await w.violations() == []

    play(scene)


@pytest.mark.requirement("rfd.refund-reverses-by-original-rules")
def test_an_order_that_parts_have_paid_goes_back_without_a_gateway(play_sqlite):
    async def scene(w):
        await w.order(8, client_token="log-in")
        grant = {"client_token": "g", "openid": "zhang", "balance_fen": 10_000, "reason": "opening"}
        await w.call("POST", "/v1/admin/grants", grant, key=ADMIN_KEY, status=201)
        await w.site("POST", "/sales", w.sale(), status=201)
        order = await w.order(invoice={"title_type": "INDIVIDUAL", "name": "张三", "taxpayer_id": None})
        body = {"channel": "wechatpay", "parts": {"balance_fen": 9600}}
        await w.phone("POST", f"/{order['order_id']}/pay", body, status=200)
        for _ in range(3):
            await w.run_due(later_s=3)
        assert (await w.show(order))["invoice"]["state"] == "issued"
        refund = await ask(w, order, 600)
        assert (refund["state"], refund["amount_fen"], await purse(w)) == ("SUCCESS", 600, (0, 1000, 0))
        assert await ask(w, order, 600, status=200) == refund
        assert (await ask(w, order, 9001, "t2", status=409))["code"] == "too_much"
        await ask(w, order, 9000, "t3")
        for _ in range(3):
            await w.run_due(later_s=600)
        shown = await w.show(order)
        assert (shown["state"], shown["refunded_fen"]) == ("REFUNDED", 9600)
        assert await purse(w) == (0, 10_000, 0)
        assert (w.gateway.trades, w.gateway.refunds) == ({}, {})
        assert await w.violations() == []

    play_sqlite(scene)


# At the desk


def test_who_asked_and_why_is_on_record(play_sqlite):
    async def scene(w):
        order = await w.paid_order()
        refund = await ask(w, order, 1000)
        (row,) = (await w.admin("refund-requests"))["rows"]
        assert {name: row[name] for name in ("operator", "note", "amount_fen", "asked_us", "order_id")} == {
            "operator": "王站长",
            "note": "meter stuck",
            "amount_fen": 1000,
            "asked_us": w.now_us,
            "order_id": order["order_id"],
        }
        assert row["out_refund_no"] == refund["out_refund_no"]

    play_sqlite(scene)


WRONG = [
    ({"amount_fen": 0}, "amount_fen"),
    ({"amount_fen": -5}, "amount_fen"),
    ({"amount_fen": "5"}, "amount_fen"),
    ({"reason": ""}, "reason"),
    ({"operator": "a\x00b"}, "operator"),
    ({"client_token": "no spaces"}, "client_token"),
    ({"more": 1}, "more"),
]


def test_a_request_that_is_malformed_is_refused(play_sqlite):
    async def scene(w):
        order = await w.paid_order()
        path = f"/v1/admin/orders/{order['order_id']}/refunds"
        for changes, field in WRONG:
            refused = await w.call("POST", path, body(100) | changes, key=ADMIN_KEY, status=422)
            assert field in refused["field"]
        await w.call("POST", path, body(100), key="station-key-of-km01", status=401)
        assert (await w.admin("refunds"))["rows"] == []

    play_sqlite(scene)


def test_only_a_paid_order_whose_fuel_is_delivered_can_be_refunded_by_hand(play_sqlite):
    async def scene(w):
        await w.site("POST", "/sales", w.sale(nozzle=2), status=201)
        unpaid = await w.order(nozzle=2)
        assert (await ask(w, unpaid, 100, status=409))["code"] == "not_refundable"
        running = await prepaid(w)
        assert (await ask(w, running, 100, status=409))["code"] == "not_refundable"
        assert (await ask(w, {"order_id": "ord_none"}, 100, status=404))["code"] == "unknown_order"
        await w.call("POST", "/v1/admin/refunds/none/retry", key=ADMIN_KEY, status=404)

    play_sqlite(scene)


# The seams


def test_those_who_follow_refunds_are_told_in_the_same_transaction(play_sqlite):
    async def scene(w):
        told = []

        async def asked(tx, order, refund):
            told.append(("asked", order.state, refund.amount_fen))

        async def done(tx, order, refund):
            told.append(("done", order.state, order.refunded_fen))

        until_us = w.now_us + 300_000_000

        async def gate(tx, order, refund):
            return until_us if w.now_us < until_us else None

        refunds = w.core.refunds
        refunds.asked.append(asked)
        refunds.done.append(done)
        refunds.gates.append(gate)
        order = await w.paid_order()
        await ask(w, order, 9600)
        await w.run_due(later_s=299)
        assert sent(w) == []
        await w.run_due(later_s=1)
        assert told == [("asked", "REFUNDING", 9600), ("done", "REFUNDED", 9600)]

        async def fails(tx, order, refund):
            raise RuntimeError("the follower cannot")

        refunds.asked.append(fails)
        other = await w.paid_order(nozzle=2)
        with pytest.raises(RuntimeError):
            await ask(w, other, 9600)
        assert (await w.show(other))["state"] == "PAID"
        assert len((await w.admin("refunds"))["rows"]) == 1

    play_sqlite(scene)


def test_broken_a_refund_without_a_task_is_seen(play_sqlite):
    async def scene(w):
        order = await w.paid_order()
        refund = await ask(w, order, 9600)
        await w.database.run(lambda tx: tx.execute(text("DELETE FROM outbox WHERE topic = 'refund.send'")))
        assert f"refund {refund['out_refund_no']} has no task" in await w.violations()

    play_sqlite(scene)
