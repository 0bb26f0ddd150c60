"""Shifts and test deliveries in the backend: one close, nothing twice, what comes late is an entry; on either store."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import pytest
from sqlalchemy import text

from reference.backend.store.schema import handovers
from reference.backend.store.sqlite import _SqliteTransaction as SqliteTransaction

from .shift_rig import HOUR, STATION_KEY, Pumps, S, nozzle_of, report, settle


@pytest.mark.requirement(
    "shift.close-balances", "shift.odd-sales-are-listed", "shift.reports-derive-from-ledger"
)
def test_a_shift_adds_up_by_nozzle_grade_and_tender(play):
    async def scene(w):
        pumps = Pumps(w)
        await pumps.hand_over(1)
        cash = await pumps.sell(1, 9_600)
        card = await pumps.sell(2, 20_000)
        await pumps.sell(2, 5_000, flags=["reconstructed"])
        await settle(w, cash["sale_id"], 9_600)
        await settle(w, card["sale_id"], 20_000, "card")
        w.now_us += HOUR // 3
        await pumps.hand_over(2, cash=9_500)
        shown = await report(w, 1)
        assert shown["attendant"] == "A1"
        assert (shown["sales"], shown["amount_fen"]) == (3, 34_600)
        assert {row["tender"]: row["amount_fen"] for row in shown["tenders"]} == {
            "cash": 9_600,
            "card": 20_000,
            "unpaid": 5_000,
        }
        assert [(g["grade"], g["amount_fen"]) for g in shown["grades"]] == [("92", 9_600), ("95", 25_000)]
        assert (shown["cash_expected_fen"], shown["cash_difference_fen"]) == (9_600, -100)
        assert shown["electronic_fen"] == 20_000
        assert [row["why"] for row in shown["odd"]] == [["reconstructed", "unpaid"]]
        assert all(
            row["difference_ml"] == row["difference_fen"] == row["missing"] == 0 for row in shown["nozzles"]
        )
        assert [(a["kind"], a["subject"]) for a in (await w.admin("alarms"))["rows"]] == [
            ("shift_cash", "KM01/1")
        ]
        # The drawer is of whoever sits at it: what is paid after the handover is the next one's money.
        late_payer = next(s for s in (await w.site("GET", "/sales", status=200))["sales"])
        await settle(w, late_payer["sale_id"], 5_000)
        await pumps.hand_over(3, cash=5_000)
        second = await report(w, 2)
        assert (second["sales"], second["cash_expected_fen"], second["cash_difference_fen"]) == (0, 5_000, 0)
        assert await report(w, 1) == shown, "a closed shift never changes"
        for n in range(1, 9):
            one, two = nozzle_of(shown, n), nozzle_of(second, n)
            assert one["end_volume_ml"] == two["start_volume_ml"]
            assert one["end_amount_fen"] == two["start_amount_fen"]
        assert await w.violations() == []

    play(scene)


@pytest.mark.requirement("shift.close-balances")
def test_litres_that_are_not_sold_show_as_a_difference(play_sqlite):
    async def scene(w):
        pumps = Pumps(w)
        await pumps.hand_over(1)
        lost = pumps.fuel(3, 7_810)
        await pumps.sell(3, 15_620)
        await pumps.hand_over(2)
        row = nozzle_of(await report(w, 1), 3)
        assert (row["difference_ml"], row["difference_fen"], row["missing"]) == (10_000, 7_810, 1)
        assert "shift_litres" in [a["kind"] for a in (await w.admin("alarms"))["rows"]]
        # It turns up: an entry of the shift in which it was metered.
        await w.site("POST", "/sales", lost, status=201)
        shown = await report(w, 1)
        assert nozzle_of(shown, 3)["difference_ml"] == 10_000
        assert [(e["kind"], e["volume_ml"]) for e in shown["corrections"]] == [("late_sale", 10_000)]
        assert await w.violations() == []

    play_sqlite(scene)


@pytest.mark.requirement("shift.crossing-delivery-in-one-shift")
def test_a_delivery_that_straddles_the_mark_belongs_to_the_shift_it_ends_in(play_sqlite):
    async def scene(w):
        pumps = Pumps(w)
        await pumps.hand_over(1)
        await pumps.sell(1)
        w.now_us += S
        mark = pumps.mark(2)
        mark["nozzles"][1] |= {"running_ml": 5_000, "running_fen": 3_905}
        straddling = pumps.fuel(2, 15_620, started_us=mark["at_us"] - 20 * S)
        await w.site("POST", "/sales", straddling, status=201)  # overtakes the handover
        await w.site("POST", "/shifts", mark, status=201)
        await pumps.hand_over(3)
        one, two = await report(w, 1), await report(w, 2)
        assert nozzle_of(one, 2)["sales"] == 0
        assert nozzle_of(one, 2)["running_ml"] == 5_000
        assert nozzle_of(two, 2)["sales"] == 1
        assert one["sales"] + two["sales"] == 2
        assert all(row["difference_ml"] == 0 for row in one["nozzles"] + two["nozzles"])
        assert one["corrections"] == two["corrections"] == []

    play_sqlite(scene)


@pytest.mark.requirement("shift.closed-shift-is-immutable", "shift.odd-sales-are-listed")
def test_what_was_metered_before_and_comes_after_is_a_dated_entry(play):
    async def scene(w):
        pumps = Pumps(w)
        await pumps.hand_over(1)
        await pumps.sell(1)
        before = dict(pumps.sequence), {n: list(t) for n, t in pumps.total.items()}
        kept = pumps.fuel(1, 7_810, flags=["offline"])  # the pump was away: it kept this one to itself
        now = dict(pumps.sequence), pumps.total
        pumps.sequence, pumps.total = before
        await pumps.hand_over(2)
        pumps.sequence, pumps.total = now
        filed = await report(w, 1)
        assert filed["sales"] == 1
        await w.site("POST", "/sales", kept, status=201)
        await w.site("POST", "/sales", kept, status=200)
        await pumps.sell(1, 3_905)
        await pumps.hand_over(3)
        one, two = await report(w, 1), await report(w, 2)
        assert {**one, "corrections": []} == filed
        (entry,) = one["corrections"]
        assert (entry["kind"], entry["sequence"], entry["volume_ml"], entry["amount_fen"]) == (
            "late_sale",
            kept["sequence"],
            10_000,
            7_810,
        )
        row = nozzle_of(two, 1)
        assert row["late_ml"] == 10_000, "the start that the second shift was given did not contain it"
        assert (row["sales"], row["volume_ml"], row["difference_ml"], row["missing"]) == (1, 5_000, 0, 0)
        assert await w.violations() == []

    play(scene)


@pytest.mark.requirement("shift.close-is-atomic")
def test_a_shift_is_closed_once(play):
    async def scene(w):
        pumps = Pumps(w)
        first = await pumps.hand_over(1)
        await pumps.sell(1)
        second = await pumps.hand_over(2)
        assert await w.site("POST", "/shifts", second, status=200, on=1) == {"new": False}
        other = await w.site("POST", "/shifts", {**second, "attendant": "Mallory"}, status=409)
        assert other["code"] == "shift_closed"
        skipped = await w.site("POST", "/shifts", pumps.mark(4), status=409)
        assert skipped["code"] == "other_shift"
        back = await w.site("POST", "/shifts", pumps.mark(3, at_us=first["at_us"]), status=409)
        assert back["code"] == "before_the_last"
        await w.site("POST", "/shifts", pumps.mark(3, at_us=w.now_us + HOUR), status=422)
        mark = pumps.mark(3)
        w.now_us += 10 * S
        answers = await asyncio.gather(*(w.site("POST", "/shifts", mark, on=on % 2) for on in range(6)))
        assert sorted(answer["new"] for answer in answers) == [False] * 5 + [True]
        listed = await w.site("GET", "/shifts", status=200)
        assert [one["shift"] for one in listed["shifts"]] == [1, 2]
        assert (listed["open"], listed["attendant"]) == (3, "A3")
        assert [one["shift"] for one in (await w.admin("shifts"))["rows"]] == [1, 2]

    play(scene, instances=2)


@pytest.mark.requirement("shift.close-is-atomic")
def test_a_close_that_breaks_off_at_any_statement_has_not_happened(play_sqlite, monkeypatch):
    async def scene(w):
        pumps = Pumps(w)
        await pumps.hand_over(1)
        sold = await pumps.sell(1)
        await settle(w, sold["sale_id"], 9_600)
        await pumps.sell(2)
        missing = pumps.fuel(2)  # so that there is an alarm to raise as well
        mark = pumps.mark(2, cash=1)
        w.now_us += 10 * S
        run, left = SqliteTransaction._run, [0]

        def breaks(tx: Any, plan: Any, values: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                raise sqlite3.OperationalError("disk I/O error")
            return run(tx, plan, values)

        monkeypatch.setattr(SqliteTransaction, "_run", breaks)
        answers = []
        while not answers or answers[-1] == 503:
            left[0] = len(answers) + 1
            response = await w.clients[0].post(
                "/v1/stations/KM01/shifts", json=mark, headers={"Authorization": f"Bearer {STATION_KEY}"}
            )
            answers.append(response.status_code)
            left[0] = 0
            known = await w.site("GET", "/shifts", status=200)
            assert len(known["shifts"]) == (answers[-1] == 201)
            assert (len((await w.admin("alarms"))["rows"]) > 0) is (answers[-1] == 201)
        assert answers[-1] == 201
        assert len(answers) > 15, "so many statements, and each broke once"
        await w.site("POST", "/shifts", mark, status=200)
        assert (await report(w, 1))["sales"] == 2
        await w.site("POST", "/sales", missing, status=201)
        assert await w.violations() == []

    play_sqlite(scene)


def test_a_sale_that_slips_in_beside_the_handover_is_found_at_the_next(play_sqlite):
    async def scene(w):
        pumps = Pumps(w)
        await pumps.hand_over(1)
        kept = pumps.fuel(1, 7_810)
        pumps.sequence[1] -= 1
        pumps.total[1] = [pumps.total[1][0] - 10_000, pumps.total[1][1] - 7_810]
        await pumps.hand_over(2)
        place = w.core.shifts.place

        async def before_the_handover(*_arguments: Any) -> tuple[int, None, None]:
            return 1, None, None  # what a transaction saw that began before the handover was written

        w.core.shifts.place = before_the_handover
        await w.site("POST", "/sales", kept, status=201)
        w.core.shifts.place = place
        pumps.sequence[1] += 1
        pumps.total[1] = [pumps.total[1][0] + 10_000, pumps.total[1][1] + 7_810]
        await pumps.hand_over(3)
        one, two = await report(w, 1), await report(w, 2)
        assert [(e["kind"], e["amount_fen"]) for e in one["corrections"]] == [("late_sale", 7_810)]
        assert (two["sales"], nozzle_of(two, 1)["late_ml"], nozzle_of(two, 1)["difference_ml"]) == (
            0,
            10_000,
            0,
        )
        assert await w.violations() == []

    play_sqlite(scene)


def test_sales_of_a_nozzle_that_was_taken_away_still_have_a_shift(play_sqlite):
    async def scene(w):
        pumps = Pumps(w)
        await pumps.hand_over(1)
        await pumps.sell(8)
        w.now_us += S
        mark = pumps.mark(2)
        mark["nozzles"] = mark["nozzles"][:-1]
        w.now_us += 10 * S
        await w.site("POST", "/shifts", mark, status=201)
        shown = await report(w, 1)
        gone = nozzle_of(shown, 8)
        assert (shown["sales"], gone["sales"], gone["end_volume_ml"], gone["offline"]) == (1, 1, None, True)
        assert gone["difference_ml"] is None

    play_sqlite(scene)


@pytest.mark.requirement("shift.closed-shift-is-immutable")
@pytest.mark.parametrize("statement", ["UPDATE handovers SET report = '{}'", "DELETE FROM handovers"])
def test_the_store_refuses_to_change_a_closed_shift(play, statement):
    async def scene(w):
        pumps = Pumps(w)
        await pumps.hand_over(1)
        await pumps.hand_over(2)
        with pytest.raises(Exception, match="a closed shift is never changed"):
            await w.database.run(lambda tx: tx.execute(text(statement)))
        assert len(await w.database.run(lambda tx: tx.rows(handovers.select()))) == 2

    play(scene)


def test_the_attendants_word_becomes_one_command(play_sqlite):
    async def scene(w):
        body = {"closes": 0, "attendant": "王丽", "cash_counted_fen": None}
        for _ in range(2):
            await w.site("POST", "/shifts/handover", body, status=202)
        (command,) = await w.commands()
        assert (command["kind"], command["shift"]) == ("handover", body)
        wrong = await w.site("POST", "/shifts/handover", {**body, "closes": 1}, status=409)
        assert wrong["code"] == "other_shift"
        await w.site("GET", "/shifts/1", status=404)

    play_sqlite(scene)


def test_a_tanker_that_is_booked_after_the_handover_is_an_entry_of_the_shift_it_came_in(play_sqlite):
    async def scene(w):
        pumps = Pumps(w)
        tank = {"tank": 1, "grade": "92", "group": 1, "capacity_ml": 30_000_000, "pumpable_ml": 1_000_000}
        tank |= {"water_limit_um": 40_000, "corrected_ml": None, "height_um": None, "water_um": 0}
        tank |= {"temperature_mdeg": None, "alarms": [], "series": "n1", "drawn_ml": 0}
        volume_ml = 5_000_000

        async def read(more: int = 0) -> None:
            nonlocal volume_ml
            w.now_us += 30 * S
            volume_ml += more
            row = {**tank, "volume_ml": volume_ml}
            await w.site("POST", "/tanks", {"at_us": w.now_us, "tanks": [row]}, status=201)

        for _ in range(6):
            await read()
        await pumps.hand_over(1)
        for _ in range(20):
            await read(250_000)
        await pumps.hand_over(2)
        for _ in range(30):
            await read()
        shown = await report(w, 1)
        assert [(e["kind"], e["grp"], e["volume_ml"]) for e in shown["corrections"]] == [
            ("delivery", 1, 5_000_000)
        ]
        (row,) = shown["tanks"]
        assert (row["start_ml"], row["end_ml"], row["received_ml"]) == (5_000_000, 10_000_000, 0)
        assert row["unexplained_ml"] == -5_000_000
        await pumps.hand_over(3)
        (after,) = (await report(w, 2))["tanks"]
        assert (after["start_ml"], after["received_ml"], after["unexplained_ml"]) == (10_000_000, 0, 0)
        assert await w.violations() == []

    play_sqlite(scene)


def test_a_totaliser_that_rolls_over_in_a_shift_is_no_difference(play_sqlite):
    async def scene(w):
        pumps = Pumps(w)
        pumps.total[1] = [99_990_000, 9_999_000]
        await pumps.hand_over(1)
        await pumps.sell(1, 15_620)
        pumps.total[1] = [pumps.total[1][0] % 100_000_000, pumps.total[1][1] % 10_000_000]
        await pumps.hand_over(2)
        row = nozzle_of(await report(w, 1), 1)
        assert (row["difference_ml"], row["difference_fen"]) == (0, 0)

    play_sqlite(scene)


def test_the_audit_sees_a_report_that_does_not_follow(play_sqlite):
    async def scene(w):
        pumps = Pumps(w)
        await pumps.hand_over(1)
        await pumps.sell(1)
        await pumps.hand_over(2)
        assert await w.violations() == []
        await w.database.run(lambda tx: tx.execute(text("UPDATE sales SET shift = NULL")))
        assert any("does not follow from the tables" in one for one in await w.violations())

    play_sqlite(scene)
