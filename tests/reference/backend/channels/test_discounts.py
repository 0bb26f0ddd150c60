"""What a member gets off a fill stands as lines beside the sale; the pump's price and the ledger's are the list price."""

from __future__ import annotations

import pytest

PRICE_FEN_PER_L = 781


async def price_shown(s, nozzle=1):
    station = await s.call("GET", "/v1/stations/KM01")
    return next(n["price_fen_per_l"] for n in station["nozzles"] if n["nozzle"] == nozzle)


@pytest.mark.requirement("fd-price.discounts-leave-pump-price")
def test_a_gold_members_fill_is_sold_at_the_list_price(shop):
    async def scene(s):
        before = await price_shown(s)
        await s.grant(points=500, balance_fen=0)
        await s.coupon("gold", 1000)
        order = await s.order(amount_fen=9600)
        sheet = await s.pay(order, parts={"points": 300, "coupon_id": "gold"})
        await s.confirm(sheet)
        shown = await s.until(order, "PAID")
        assert (shown["payable_fen"], shown["amount_fen"], shown["paid_fen"]) == (9600, 9600, 9600)
        (sale,) = await s.rows("sales")
        ledger = await s.rows("ledger")
        (sold,) = [row for row in ledger if row["kind"] == "sale"]
        assert sold["amount_fen"] == sale["amount_fen"] == 9600, "the pump's figure, undiscounted"
        lines = {
            row["entry_key"].rsplit("/", 1)[-1]: row["amount_fen"]
            for row in ledger
            if row["kind"] == "payment"
        }
        assert sorted(lines.values()) == [300, 1000, 8300], "each a line of its own"
        assert await price_shown(s) == before == sale["price_fen_per_l"]
        commands = (await s.call("GET", "/v1/stations/KM01/commands"))["commands"]
        assert {command["kind"] for command in commands} <= {"authorise", "settled", "print"}, (
            "no word of a price"
        )
        (receipt,) = [command["receipt"] for command in commands if command["kind"] == "print"]
        assert receipt["price_fen_per_l"] == before
        assert receipt["volume_ml"] == sale["volume_ml"]

    shop().run(scene)


@pytest.mark.requirement("clk.windows-trigger-once")
def test_a_coupon_is_worth_something_once_though_the_clock_goes_back_over_its_end(shop):
    async def scene(s):
        now_us = s.kernel.unix_us
        step = [0]
        for backend in s.backends:
            backend.core.clock_us = lambda: s.kernel.unix_us + step[0]
        await s.coupon("tonight", 1000, expires_us=now_us + 3_600_000_000)
        first = await s.order(amount_fen=9600)
        await s.confirm(await s.pay(first, parts={"coupon_id": "tonight"}))
        await s.until(first, "PAID")
        again = await s.order(nozzle=2, amount_fen=9600)
        for step_us in (2 * 3_600_000_000, 0, -3_600_000_000):
            step[0] = step_us
            assert (await s.pay(again, parts={"coupon_id": "tonight"}, status=409))[
                "code"
            ] == "coupon_unusable"
        assert [row["amount_fen"] for row in await s.rows("ledger") if "coupon" in row["entry_key"]] == [1000]

    shop().run(scene)
