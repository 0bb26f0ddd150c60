"""Orders that nobody pays: whatever happened meanwhile, the sale is free again in the end. (Found by the money machine.)"""

from __future__ import annotations

import pytest
from sqlalchemy import text


@pytest.mark.requirement("fc-sale.dead-owner-frees-the-sale")
def test_fuel_after_a_cancel_that_nobody_pays_is_free_for_the_cashier(play_sqlite):
    async def scene(w):
        order = await w.order()
        await w.phone("POST", f"/{order['order_id']}/cancel", status=200)
        await w.answer_command("cancel")
        await w.run_due(later_s=1000)  # the order's own expiry finds it over
        taken = await w.site("POST", "/sales", w.sale(order_id=order["order_id"]), status=201)
        assert (await w.show(order))["state"] == "PAYABLE"
        for _ in range(3):
            await w.run_due(later_s=901)
        assert (await w.show(order))["state"] == "CLOSED"
        listed = await w.site("GET", "/sales?state=payable", status=200)
        assert [sale["sale_id"] for sale in listed["sales"]] == [taken["sale_id"]]
        assert await w.violations() == []

    play_sqlite(scene)


@pytest.mark.requirement("fc-sale.dead-owner-frees-the-sale")
def test_an_attempt_that_ends_by_itself_while_its_order_expires_does_not_keep_the_sale(play):
    async def scene(w):
        await w.site("POST", "/sales", w.sale(), status=201)
        order = await w.order()
        number = (await w.pay(order))["out_trade_no"]
        query = w.gateway.query

        called = []

        async def meanwhile(out_trade_no):
            """The attempt's own task gets its answer first: the gateway has closed it, so the order can be paid again."""
            w.gateway.query = query
            called.append(out_trade_no)
            w.gateway.trades[number]["state"] = "CLOSED"
            await w.core.endings.give_up(order["order_id"], number, None)
            return await query(out_trade_no)

        w.now_us += 901_000_000
        # Of the two tasks that are due now, the expiry asks first.
        await w.database.run(
            lambda tx: tx.execute(
                text("UPDATE outbox SET due_us = 0 WHERE topic = 'order.expire' AND done_us IS NULL")
            )
        )
        w.gateway.query = meanwhile
        await w.run_due()
        assert called == [number]
        for _ in range(4):
            await w.run_due(later_s=901)
        assert (await w.show(order))["state"] == "CLOSED"
        assert await w.violations() == []

    play(scene)
