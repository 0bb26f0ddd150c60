"""Refunds within the platform's limits: fifty a payment, one a minute, a year, so many calls a second."""

from __future__ import annotations

import itertools

import pytest
from sqlalchemy import update

from reference.backend.gateways.port import GatewayRefusedError
from reference.backend.store.schema import payments

from .refund_rig import ADMIN_KEY, alarms, ask

# Limits


@pytest.mark.requirement("rfd.refund-limits-are-honoured")
def test_partial_refunds_of_one_payment_queue_a_minute_apart(play_sqlite):
    async def scene(w):
        times = timed(w)
        order = await w.paid_order()
        for n in range(5):
            await ask(w, order, 100, f"t{n}")
        for _ in range(60):
            await w.run_due(later_s=5)
        at_us = [at_us for at_us, _ in times]
        assert len(at_us) == 5
        assert min(later - at for at, later in itertools.pairwise(at_us)) >= 60_000_000
        assert at_us[-1] - at_us[0] < 270_000_000
        assert (await w.show(order))["refunded_fen"] == 500
        assert await alarms(w) == []

    play_sqlite(scene)


@pytest.mark.requirement("rfd.refund-limits-are-honoured")
def test_the_fifty_first_partial_is_held_for_a_person_and_not_lost(play_sqlite):
    async def scene(w):
        order = await w.paid_order()
        for n in range(51):
            await ask(w, order, 100, f"t{n}")
        for _ in range(53):
            await w.run_due(later_s=61)
        assert len(w.gateway.refunds) == 50
        (held,) = [row for row in (await w.admin("refunds"))["rows"] if row["state"] != "SUCCESS"]
        assert (held["state"], held["held"], held["sent_us"]) == ("HELD", "too_many", None)
        assert await alarms(w) == ["refund_held"]
        shown = await w.show(order)
        assert (shown["state"], shown["refunded_fen"]) == ("REFUNDING", 5000)
        # What is held is owed: nobody can give it back a second time.
        assert (await ask(w, order, 4600, "more", status=409))["message"] == "4500 fen are left to give back"
        assert await w.violations() == []

    play_sqlite(scene)


@pytest.mark.requirement("rfd.refund-limits-are-honoured")
def test_after_a_year_a_refund_is_held_for_a_person(play_sqlite):
    async def scene(w):
        order = await w.paid_order()
        year_us = 365 * 86_400 * 1_000_000
        w.now_us += year_us - 60_000_000
        await ask(w, order, 100)
        await w.run_due()
        await ask(w, order, 100, "t2")
        await w.run_due(later_s=61)
        assert len(w.gateway.refunds) == 1
        states = {row["held"]: row["state"] for row in (await w.admin("refunds"))["rows"]}
        assert states == {None: "SUCCESS", "too_old": "HELD"}
        held = next(row for row in (await w.admin("refunds"))["rows"] if row["held"])
        path = f"/v1/admin/refunds/{held['out_refund_no']}/retry"
        assert (await w.call("POST", path, key=ADMIN_KEY, status=200))["state"] == "PENDING"
        await w.run_due(later_s=1)
        assert (await w.call("POST", path, key=ADMIN_KEY, status=200))["state"] == "PENDING"
        assert await alarms(w) == ["refund_held", "refund_held"]
        await w.database.run(lambda tx: tx.execute(update(payments).values(paid_us=w.now_us)))
        await w.run_due()
        (row,) = (await w.admin("orders"))["rows"]
        assert (row["state"], row["refunded_fen"]) == ("COMPLETED", 200)

    play_sqlite(scene)


def timed(w):
    """When which refund was asked for."""
    times = []
    call = w.gateway.refund

    async def refund(**fields):
        times.append((w.now_us, fields["out_refund_no"]))
        return await call(**fields)

    w.gateway.refund = refund
    return times


def most_in_a_second(times):
    at_us = sorted(at_us for at_us, _ in times)
    return max(sum(at <= other < at + 1_000_000 for other in at_us) for at in at_us)


@pytest.mark.requirement("rfd.refund-limits-are-honoured")
@pytest.mark.parametrize(("fails", "limit"), [(False, 30), (True, 6)])
def test_calls_of_a_merchant_stay_under_the_platforms_rates(play_sqlite, fails, limit):
    """With a smaller limit than the platform's 150, so that a test can exceed it with 60 orders; two instances share it."""

    async def scene(w):
        for backend in [w.backends[0], await w.add()]:
            backend.core.refunds.limits._fast.__init__(30)
        orders = [await w.paid_order(client_token=f"o{n}") for n in range(60)]
        for order in orders:
            await ask(w, order, 100)
        if fails:
            w.gateway.refuse["refund"] = GatewayRefusedError(500, "SYSTEM_ERROR", "")
            with pytest.raises(GatewayRefusedError):
                await w.core.refunds._send(await one_task(w))  # the first error is known
        times = timed(w)
        for turn in range(160):
            await w.run_due(later_s=0.05, on=turn % 2)
        assert limit // 2 <= most_in_a_second(times) <= limit
        if fails:
            w.gateway.refuse.clear()
        for _ in range(400):
            await w.run_due(later_s=1)
        assert len(w.gateway.refunds) == 60
        assert [row["state"] for row in (await w.admin("refunds"))["rows"]] == ["SUCCESS"] * 60
        assert await w.violations() == []

    play_sqlite(scene)


async def one_task(w):
    return (await w.core.outbox._claim(1))[0]


def test_broken_limits_and_forgotten_debts_are_seen(play_sqlite, monkeypatch):
    async def scene(w):
        async def at_once(tx, row):
            return None

        monkeypatch.setattr(w.core.refunds.limits, "of_payment", at_once)
        order = await w.paid_order()
        await ask(w, order, 100)
        await ask(w, order, 101, "t2")
        await w.run_due(later_s=1)
        assert [line.partition(": ")[2] for line in await w.violations()] == ["refunds were sent 0 s apart"]

        async def forget(tx, order, row):
            """Closed is closed."""

        monkeypatch.setattr(w.core.refunds, "_closed", forget)
        w.gateway.refund_state = "CLOSED"
        refund = await ask(w, order, 102, "t3")
        await w.run_due(later_s=100)
        assert [line for line in await w.violations() if "apart" not in line] == [
            f"refund {refund['out_refund_no']} was closed, and what it owed is not asked for again",
            f"order {order['order_id']} is REFUNDING, and no refund of it is under way",
        ]

    play_sqlite(scene)
