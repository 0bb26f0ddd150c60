"""Sales whose volume, price and amount contradict each other: kept as told, paid by nobody until a person has looked."""

from __future__ import annotations

import pytest

ADMIN_KEY = "admin-key-for-tests"


async def release(w, sale_id, *, status=200, reason="seen at the display"):
    return await w.call(
        "POST", f"/v1/admin/sales/{sale_id}/release", {"reason": reason}, key=ADMIN_KEY, status=status
    )


@pytest.mark.requirement("fd-met.inconsistent-sale-is-quarantined")
def test_a_sale_that_contradicts_itself_waits_for_a_person(play):
    async def scene(w):
        post = w.sale(volume_ml=12_290, amount_fen=9_699)  # 12.29 L at 7.81 are 95.98 yuan
        taken = await w.site("POST", "/sales", post, status=201)
        assert taken["state"] == "quarantined"
        assert await w.site("POST", "/sales", post, status=200) == taken
        (entry,) = (await w.admin("ledger"))["rows"]
        assert (entry["volume_ml"], entry["amount_fen"]) == (12_290, 9_699), "kept as told, not put right"
        (alarm,) = (await w.admin("alarms"))["rows"]
        assert alarm["kind"] == "sale_inconsistent"
        assert "are 9598 fen, the pump told 9699; they may differ by 9" in alarm["detail"]
        settle = {"client_token": "till-1", "tender": "cash", "amount_fen": 9_699, "invoice": None}
        refused = await w.site("POST", f"/sales/{taken['sale_id']}/settle", settle, status=409)
        assert refused["code"] == "sale_quarantined"
        order = await w.order()  # the phone at that nozzle gets nothing to pay either
        assert order["state"] == "CREATED"
        listed = await w.site("GET", "/sales?state=quarantined", status=200)
        assert [sale["sale_id"] for sale in listed["sales"]] == [taken["sale_id"]]
        await release(w, taken["sale_id"])
        assert (await release(w, taken["sale_id"]))["state"] == "payable"
        assert [row["kind"] for row in (await w.admin("ledger"))["rows"]] == ["sale", "release"]
        paid = await w.site("POST", f"/sales/{taken['sale_id']}/settle", settle, status=200)
        assert paid["state"] == "cleared"
        assert await w.violations() == []

    play(scene)


def test_an_order_s_own_sale_comes_back_to_it_when_released(play):
    async def scene(w):
        order = await w.order()
        await w.answer_command("authorise")
        post = w.sale(volume_ml=12_290, amount_fen=12_000, order_id=order["order_id"])
        taken = await w.site("POST", "/sales", post, status=201)
        assert (await w.show(order))["state"] != "PAYABLE"
        await release(w, taken["sale_id"])
        shown = await w.show(order)
        assert (shown["state"], shown["amount_fen"]) == ("PAYABLE", 12_000)

    play(scene)


@pytest.mark.requirement("fd-met.pump-figures-shown-as-they-are")
@pytest.mark.parametrize("off_fen", [-9, -8, -1, 1, 8, 9])
def test_what_a_pump_s_finer_pulses_may_explain_is_sold_as_it_was_shown(play_sqlite, off_fen):
    async def scene(w):
        post = w.sale(volume_ml=12_290, amount_fen=9_598 + off_fen)
        taken = await w.site("POST", "/sales", post, status=201)
        assert taken["state"] == "payable"
        order = await w.order()
        assert (order["state"], order["volume_ml"], order["amount_fen"]) == (
            "PAYABLE",
            12_290,
            9_598 + off_fen,
        )
        asked = await w.pay(order)
        assert w.gateway.report(asked["out_trade_no"]).amount_fen == 9_598 + off_fen

    play_sqlite(scene)


def test_a_sale_that_the_site_worked_out_is_flagged_already_and_sold(play_sqlite):
    async def scene(w):
        post = w.sale(volume_ml=12_290, amount_fen=9_000, flags=["reconstructed"])
        assert (await w.site("POST", "/sales", post, status=201))["state"] == "payable"

    play_sqlite(scene)


def test_only_an_operator_releases_and_only_what_is_quarantined(play_sqlite):
    async def scene(w):
        taken = await w.site("POST", "/sales", w.sale(), status=201)
        path = f"/v1/admin/sales/{taken['sale_id']}/release"
        await w.call("POST", path, {"reason": "x"}, key="station-key-of-km01", status=401)
        await w.call("POST", path, {}, key=ADMIN_KEY, status=422)
        assert (await release(w, taken["sale_id"], status=409))["code"] == "not_quarantined"
        await release(w, "sale_nobody", status=404)

    play_sqlite(scene)
