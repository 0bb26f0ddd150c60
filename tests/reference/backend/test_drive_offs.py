"""A driver who leaves without paying: flagged in time, told at the handover, owed for ever."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from reference.backend.store.schema import alarms

from .shift_rig import Pumps, report, settle

MINUTE = 60_000_000


async def flags(w):
    return {s["sale_id"]: s["drive_off"] for s in (await w.site("GET", "/sales", status=200))["sales"]}


@pytest.mark.requirement("fc-sale.drive-off-is-flagged")
def test_an_unpaid_sale_is_flagged_in_time_and_reconciled_at_the_handover(play):
    async def scene(w):
        pumps = Pumps(w)
        await pumps.hand_over(1)
        gone = (await pumps.sell(1, 9_600))["sale_id"]
        paid = await pumps.sell(2, 20_000)
        await settle(w, paid["sale_id"], 20_000)
        w.now_us += 28 * MINUTE
        assert await flags(w) == {gone: False}, "28 minutes: somebody may stand at the till"
        w.now_us += 2 * MINUTE
        late = (await pumps.sell(3, 5_000))["sale_id"]
        assert await flags(w) == {gone: True, late: False}
        await pumps.hand_over(2)
        shown = await report(w, 1)
        assert (shown["drive_offs"], shown["drive_off_fen"], shown["drive_off_after_us"]) == (
            1,
            9_600,
            30 * MINUTE,
        )
        assert {row["sale_id"]: row["why"] for row in shown["odd"]} == {
            gone: ["unpaid", "drive_off"],
            late: ["unpaid"],
        }
        assert all(n["difference_fen"] == 0 for n in shown["nozzles"]), "the fuel was sold all the same"
        told = [(a["kind"], a["subject"]) for a in (await w.admin("alarms"))["rows"]]
        assert told == [("drive_off", gone)]
        # The young one grew old in the next shift: told then, once.
        w.now_us += 40 * MINUTE
        await pumps.hand_over(3)
        await pumps.hand_over(4)
        told = [(a["kind"], a["subject"]) for a in (await w.admin("alarms"))["rows"]]
        assert told == [("drive_off", gone), ("drive_off", late)]
        assert await report(w, 1) == shown
        # Nothing is deleted: they come back, and pay.
        assert {s["sale_id"] for s in (await w.admin("sales"))["rows"]} >= {gone, late}
        await settle(w, gone, 9_600)
        assert await flags(w) == {late: True}
        await pumps.hand_over(5)
        taken = (await report(w, 4))["taken"]
        assert taken == [{"tender": "cash", "entries": 1, "amount_fen": 9_600}]
        kinds = [(e["kind"], e["sale_id"]) for e in (await w.admin("ledger"))["rows"] if e["sale_id"] == gone]
        assert kinds == [("sale", gone), ("settlement", gone)]
        assert await w.violations() == []

    play(scene)


@pytest.mark.requirement("fc-sale.drive-off-is-flagged")
def test_a_phone_that_ordered_and_drove_away_leaves_a_drive_off(play_sqlite):
    async def scene(w):
        pumps = Pumps(w)
        await w.declare()
        await pumps.hand_over(1)
        order = await w.order(1)
        await w.answer_command("authorise")
        sale = await pumps.sell(1, 9_600, order_id=order["order_id"])
        assert (await w.show(order))["state"] == "PAYABLE"
        await w.run_due(later_s=901)
        assert (await w.show(order))["state"] == "CLOSED"
        w.now_us += 30 * MINUTE
        assert await flags(w) == {sale["sale_id"]: True}
        await pumps.hand_over(2)
        assert (await report(w, 1))["drive_offs"] == 1
        assert await w.violations() == []

    play_sqlite(scene)


def test_a_rule_that_changes_does_not_change_what_was_filed(play_sqlite):
    async def scene(w):
        pumps = Pumps(w)
        await pumps.hand_over(1)
        await pumps.sell(1)
        w.now_us += 20 * MINUTE
        await pumps.hand_over(2)
        assert (await report(w, 1))["drive_offs"] == 0
        w.core.settings = w.core.settings.model_copy(update={"drive_off_s": 600})
        assert await w.violations() == [], "rebuilt by the rule of its day"

    play_sqlite(scene)


@pytest.mark.requirement("fc-sale.drive-off-is-flagged")
def test_a_drive_off_that_becomes_known_late_is_told_at_the_next_handover_once(play):
    async def scene(w):
        pumps = Pumps(w)
        await pumps.hand_over(1)
        held_back = pumps.fuel(1)
        w.now_us += 40 * MINUTE
        await pumps.hand_over(2)
        gone = (await w.site("POST", "/sales", held_back, status=201))["sale_id"]
        more = [(await pumps.sell(2, 100))["sale_id"] for _ in range(201)]
        w.now_us += 40 * MINUTE
        told = []
        for number, count in ((3, 200), (4, 202), (5, 202)):
            await pumps.hand_over(number)
            told = [
                row.subject
                for row in await w.database.run(
                    lambda tx: tx.rows(select(alarms).where(alarms.c.kind == "drive_off"), {})
                )
            ]
            assert len(told) == len(set(told)) == count
            assert told[0] == gone, "the oldest first"
        assert set(told) == {gone, *more}

    play(scene)


@pytest.mark.requirement("fc-sale.drive-off-is-flagged")
def test_a_long_list_of_what_is_odd_leaves_out_no_drive_off(play_sqlite):
    async def scene(w):
        pumps = Pumps(w)
        await pumps.hand_over(1)
        for _ in range(199):
            odd = await pumps.sell(1, 100, flags=["reconstructed"])
            await settle(w, odd["sale_id"], 100)
        gone = {(await pumps.sell(2, 100))["sale_id"] for _ in range(3)}
        w.now_us += 40 * MINUTE
        await pumps.hand_over(2)
        shown = await report(w, 1)
        assert shown["drive_offs"] == 3
        assert len(shown["odd"]) == 200
        assert {row["sale_id"] for row in shown["odd"][:3]} == gone
        assert all(row["why"] == ["unpaid", "drive_off"] for row in shown["odd"][:3])
        # More than the list is long: told all the same.
        for _ in range(201):
            await pumps.sell(3, 100)
        w.now_us += 40 * MINUTE
        await pumps.hand_over(3)
        shown = await report(w, 2)
        assert shown["drive_offs"] == len(shown["odd"]) == 201
        assert await w.violations() == []

    play_sqlite(scene)
