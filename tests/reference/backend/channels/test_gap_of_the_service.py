"""The whole service is away while a hundred people pay: what they paid is theirs within a minute, and everything is there once."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from sim.wechatpay import GatewayFault

PAYERS = 100
S = 1_000_000


async def paying(s, count=PAYERS):
    """So many orders with an open payment: (order, payer, sheet)."""
    found = []
    for number in range(count):
        who = f"payer{number}"
        order = await s.order(who, nozzle=number % 40 + 1)
        found.append((order, who, await s.pay(order, who=who)))
    return found


async def gone(s, seconds):
    """Every instance dies, and after so many seconds one begins anew."""
    for backend in s.backends:
        backend.kill()
    s._turns.apps.clear()
    s.network.kill("backend.station")
    await asyncio.sleep(seconds)
    await s.add().start()
    s.network.restore("backend.station", s._turns)


@pytest.mark.requirement("ha.missed-callbacks-are-applied")
@pytest.mark.parametrize(
    ("more", "proof"),
    [
        pytest.param({"query_schedule_s": (60, 3600)}, "callback", id="they-come-again"),
        pytest.param(
            {"wechat_faults": [GatewayFault(kind="callback-lost", attempts=0)]}, "query", id="none-ever-comes"
        ),
    ],
)
def test_callbacks_that_nobody_heard_are_applied_within_a_minute(shop, more, proof):
    async def scene(s):
        sheets = await paying(s)
        away = asyncio.ensure_future(gone(s, 12))
        await asyncio.sleep(0.5)
        paid_us = {}

        async def confirm(order, who, sheet):
            await s.confirm(sheet, who)
            paid_us[order] = s.kernel.now_us

        await asyncio.gather(*(confirm(*one) for one in sheets))
        assert s.network.is_down("backend.station"), "all of them paid into the gap"
        await away
        seen_us = {}
        while len(seen_us) < PAYERS and s.kernel.now_us < max(paid_us.values()) + 90 * S:
            await asyncio.sleep(1)
            for row in await s.rows("orders"):
                if row["state"] == "PAID":
                    seen_us.setdefault(row["order_id"], s.kernel.now_us)
        assert len(seen_us) == PAYERS
        assert max(seen_us[order] - paid_us[order] for order in paid_us) <= 60 * S
        assert s.charged() == PAYERS * 9600
        assert len([row for row in await s.rows("ledger") if row["kind"] == "payment"]) == PAYERS
        assert {proof} == {row["proof"] for row in await s.rows("payments")}

    shop(instances=2, **more).run(scene)


@pytest.mark.requirement("ha.no-duplicate-after-failover")
def test_everybody_repeats_everything_after_the_gap_and_each_thing_is_there_once(shop):
    async def scene(s):
        sheets = await paying(s, 30)
        sales = {row["sale_id"]: row for row in await s.rows("sales")}
        orders = {row["order_id"] for row in await s.rows("orders")}
        for _, who, sheet in sheets[:20]:
            await s.confirm(sheet, who)
        await gone(s, 5)

        async def again(order, who):
            """A phone that had no answer: it orders, pays, and reports once more, thrice."""
            headers = await s.phone(who)
            for _ in range(3):
                await s.client.request(
                    "POST", f"/v1/orders/{order}/pay", json={"channel": "wechatpay"}, headers=headers
                )
                await s.call("POST", f"/v1/orders/{order}/client-result", {"result": "ok"}, headers)
            return

        await asyncio.gather(*(again(order, who) for order, who, _ in sheets))
        await asyncio.sleep(40)
        for _, who, sheet in sheets[20:]:
            await s.confirm(sheet, who)
        for order, _, _ in sheets:
            await s.until(order, "PAID")
        assert {row["sale_id"] for row in await s.rows("sales")} == set(sales)
        assert {row["order_id"] for row in await s.rows("orders")} == orders
        payments = Counter(row["order_id"] for row in await s.rows("payments") if row["state"] == "SUCCESS")
        assert payments == dict.fromkeys(orders, 1)
        entries = Counter(row["entry_key"] for row in await s.rows("ledger"))
        assert set(entries.values()) == {1}
        assert s.charged() == 30 * 9600
        commands = (await s.call("GET", "/v1/stations/KM01/commands"))["commands"]
        settled = Counter(c["order_id"] for c in commands if c["kind"] == "settled")
        assert settled == dict.fromkeys(orders, 1), "each receipt once"

    shop(instances=2).run(scene)
