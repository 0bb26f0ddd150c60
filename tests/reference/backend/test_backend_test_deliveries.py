"""Test deliveries in a shift: flagged by the pump or marked by an attendant, nobody's sale, and back in the tank."""

from __future__ import annotations

import pytest

from .shift_rig import Pumps, S, nozzle_of, report, settle


@pytest.mark.requirement("fd-met.test-deliveries-are-flagged")
def test_a_flagged_test_delivery_is_nobodys_sale(play):
    async def scene(w):
        pumps = Pumps(w)
        await pumps.hand_over(1)
        await pumps.sell(1)
        told = await pumps.sell(1, 15_620, flags=["test"])
        assert told["state"] == "test"
        await settle(w, told["sale_id"], 15_620, status=409)
        assert told["sale_id"] not in [
            s["sale_id"] for s in (await w.site("GET", "/sales", status=200))["sales"]
        ]
        order = await w.order(1)  # finds the ordinary sale, not the newer test
        assert order["amount_fen"] == 9_600
        await pumps.hand_over(2)
        shown = await report(w, 1)
        assert (shown["sales"], shown["amount_fen"], shown["tests"], shown["tests_ml"]) == (
            1,
            9_600,
            1,
            20_000,
        )
        row = nozzle_of(shown, 1)
        assert (row["tests_ml"], row["difference_ml"], row["difference_fen"]) == (20_000, 0, 0)
        assert [row["why"] for row in shown["odd"]] == [["unpaid"], ["test"]]
        entries = (await w.admin("ledger"))["rows"]
        assert sum(e["amount_fen"] for e in entries if e["kind"] in {"sale", "correction", "return"}) == 9_600
        (returned,) = [e for e in (await w.admin("stock-book"))["rows"] if e["kind"] == "return"]
        assert (returned["grp"], returned["volume_ml"]) == (1, 20_000)
        book = await w.site("GET", "/stock/book", status=200)
        assert book["sold"] == [{"tank": 1, "volume_ml": 12_290, "sales": 1}]
        assert not [c for c in await w.commands() if c["kind"] == "print"]
        assert await w.violations() == []

    play(scene)


@pytest.mark.requirement("fd-met.test-deliveries-are-flagged")
def test_an_attendant_marks_what_the_pump_did_not(play_sqlite):
    async def scene(w):
        pumps = Pumps(w)
        await pumps.hand_over(1)
        early, late, paid = [await pumps.sell(3, 15_620) for _ in range(3)]
        path = f"/sales/{early['sale_id']}/return"
        for _ in range(2):
            assert (await w.site("POST", path, {"client_token": "t1"}, status=200))["state"] == "test"
        await w.site("POST", path, {"client_token": "other"}, status=409)
        await settle(w, paid["sale_id"], 15_620)
        refused = await w.site("POST", f"/sales/{paid['sale_id']}/return", {"client_token": "t2"}, status=409)
        assert refused["code"] == "already_settled"
        await pumps.hand_over(2, cash=15_620)
        filed = await report(w, 1)
        assert (filed["tests"], filed["sales"]) == (1, 2)
        # The shift is closed: the second one is an entry beside its report.
        await w.site("POST", f"/sales/{late['sale_id']}/return", {"client_token": "t3"}, status=200)
        shown = await report(w, 1)
        assert {**shown, "corrections": []} == filed
        assert [(e["kind"], e["volume_ml"], e["amount_fen"]) for e in shown["corrections"]] == [
            ("return", -20_000, -15_620)
        ]
        assert await w.violations() == []

    play_sqlite(scene)


def test_an_order_that_was_fuelling_at_a_test_delivery_owes_nothing(play_sqlite):
    async def scene(w):
        pumps = Pumps(w)
        order = await w.order(5)
        await w.answer_command("authorise")
        told = await pumps.sell(5, 15_620, flags=["test"], order_id=order["order_id"])
        assert told["state"] == "test"
        assert (await w.show(order))["state"] == "CLOSED"
        assert "test_for_order" in [a["kind"] for a in (await w.admin("alarms"))["rows"]]
        assert await w.violations() == []
        assert (await w.order(5, who="li"))["state"] == "CREATED", "the nozzle is free again"

    play_sqlite(scene)


@pytest.mark.parametrize("marked", ["pump", "attendant"])
def test_a_tanks_account_knows_what_came_back(play_sqlite, marked):
    async def scene(w):
        pumps = Pumps(w)
        tank = {"tank": 1, "grade": "92", "group": 1, "capacity_ml": 30_000_000, "pumpable_ml": 1_000_000}
        tank |= {"water_limit_um": 40_000, "corrected_ml": None, "height_um": None, "water_um": 0}
        tank |= {"temperature_mdeg": None, "alarms": [], "series": "n1"}
        volume_ml, drawn_ml = 15_000_000, 0

        async def read() -> None:
            w.now_us += 30 * S
            row = {**tank, "volume_ml": volume_ml, "drawn_ml": drawn_ml}
            await w.site("POST", "/tanks", {"at_us": w.now_us, "tanks": [row]}, status=201)

        await read()
        await pumps.hand_over(1)
        for number in range(5):
            drawn_ml += 20_000  # drawn and, before the next reading, poured back
            await read()
            flags = ["test"] if marked == "pump" else []
            told = await pumps.sell(1, 15_620, flags=flags)
            if marked == "attendant":
                path = f"/sales/{told['sale_id']}/return"
                await w.site("POST", path, {"client_token": f"t{number}"}, status=200)
            await read()
        (account,) = (await w.site("GET", "/stock/book", status=200))["accounts"]
        assert (account["variance_ml"], account["drawn_ml"]) == (0, 0)
        await pumps.hand_over(2)
        (row,) = (await report(w, 1))["tanks"]
        assert (row["returned_ml"], row["sold_ml"], row["unexplained_ml"]) == (100_000, 0, 0)

    play_sqlite(scene)
