"""A prepayment that came in twice: the second goes back whole, and only the first counts towards the fuel."""

from __future__ import annotations

import pytest


async def prepaid_twice(w, *, second_after=None):
    """Gives the order; its first number was called closed by the gateway, which took money for it all the same."""
    order = await w.order(mode="prepay", preset_fen=10_000)
    first = (await w.pay(order))["out_trade_no"]
    w.gateway.trades[first]["state"] = "CLOSED"
    await w.run_due(later_s=60)
    assert (await w.show(order))["state"] == "CREATED"
    second = (await w.pay(order))["out_trade_no"]
    assert first != second
    w.gateway.pay(second)
    assert await w.notify(second) == 204
    if second_after is not None:
        await second_after(order)
    w.gateway.trades[first]["state"] = "NOTPAY"
    w.gateway.pay(first)
    assert await w.notify(first) == 204
    return order, second, first


def given_back(w, number):
    return sum(refund["amount_fen"] for key, refund in w.gateway.refunds.items() if key.startswith(number))


@pytest.mark.requirement("rfd.undelivered-prepay-is-refunded", "rfd.refunds-never-exceed-paid")
@pytest.mark.parametrize("delivered_fen", [4_000, 10_000, 10_500, 0])
def test_only_the_first_payment_pays_for_the_fuel(play_sqlite, delivered_fen):
    async def scene(w):
        order, kept, extra = await prepaid_twice(w)
        await w.answer_command("authorise")
        sale = w.sale(amount_fen=delivered_fen, order_id=order["order_id"])
        await w.site("POST", "/sales", sale, status=201)
        for _ in range(6):
            await w.run_due(later_s=70)
        shown = await w.show(order)
        assert (given_back(w, extra), given_back(w, kept)) == (10_000, max(0, 10_000 - delivered_fen))
        assert shown["state"] == ("COMPLETED" if delivered_fen else "REFUNDED")
        assert shown["paid_fen"] - shown["refunded_fen"] == min(10_000, delivered_fen)
        losses = [row["amount_fen"] for row in (await w.admin("ledger"))["rows"] if row["kind"] == "loss"]
        assert losses == ([500] if delivered_fen > 10_000 else [])
        assert await w.violations() == []

    play_sqlite(scene)


def test_a_second_payment_and_a_cancel_give_back_each_its_own(play_sqlite):
    async def scene(w):
        order, kept, extra = await prepaid_twice(w)
        await w.answer_command("authorise", ok=False)
        for _ in range(6):
            await w.run_due(later_s=70)
        assert (given_back(w, extra), given_back(w, kept)) == (10_000, 10_000)
        shown = await w.show(order)
        assert (shown["state"], shown["paid_fen"], shown["refunded_fen"]) == ("REFUNDED", 20_000, 20_000)
        assert await w.violations() == []

    play_sqlite(scene)


@pytest.mark.parametrize("delivered_fen", [4_000, 0])
def test_a_second_payment_after_the_fuel(play_sqlite, delivered_fen):
    async def scene(w):
        async def fuel(order):
            await w.answer_command("authorise")
            sale = w.sale(amount_fen=delivered_fen, order_id=order["order_id"])
            await w.site("POST", "/sales", sale, status=201)
            await w.run_due(later_s=1)

        order, kept, extra = await prepaid_twice(w, second_after=fuel)
        for _ in range(6):
            await w.run_due(later_s=70)
        assert (given_back(w, extra), given_back(w, kept)) == (10_000, 10_000 - delivered_fen)
        shown = await w.show(order)
        assert shown["paid_fen"] - shown["refunded_fen"] == delivered_fen
        assert await w.violations() == []

    play_sqlite(scene)
