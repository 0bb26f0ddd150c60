from __future__ import annotations

import pytest

TITLE = {"title_type": "ORGANIZATION", "name": "云南某运输公司", "taxpayer_id": "91530100MA6K000013"}


@pytest.mark.requirement("pay.amounts-follow-the-pump")
def test_postpay_from_the_nozzle_to_the_invoice(play):
    async def scene(w):
        order = await w.order(invoice=TITLE)
        assert order["state"] == "CREATED"
        assert order["invoice"]["state"] == "requested"
        (authorise,) = await w.commands()
        assert (authorise["kind"], authorise["nozzle"], authorise["order_id"]) == (
            "authorise",
            1,
            order["order_id"],
        )
        await w.answer_command("authorise")
        assert (await w.show(order))["state"] == "AUTHORISED"
        live = {"nozzle": 1, "state": "FUELLING", "volume_ml": 1230, "amount_fen": 961}
        await w.site("POST", "/nozzles/live", {"at_us": w.now_us, "nozzles": [live]}, status=204)
        shown = await w.show(order)
        assert (shown["state"], shown["volume_ml"], shown["amount_fen"]) == ("FUELLING", 1230, 961)
        taken = await w.site("POST", "/sales", w.sale(order_id=order["order_id"]), status=201)
        assert taken["state"] == "locked"
        shown = await w.show(order)
        assert (shown["state"], shown["payable_fen"], shown["sale_id"]) == ("PAYABLE", 9600, taken["sale_id"])
        asked = await w.pay(order)
        assert asked["out_trade_no"] == (await w.show(order))["out_trade_no"]
        w.gateway.pay(asked["out_trade_no"])
        assert await w.notify(asked["out_trade_no"]) == 204
        shown = await w.show(order)
        assert (shown["state"], shown["paid_fen"], shown["invoice"]["state"]) == ("PAID", 9600, "issuing")
        assert [c["kind"] for c in await w.commands()] == ["settled", "print"]
        await w.run_due()
        await w.run_due(later_s=2)
        shown = await w.show(order)
        assert shown["invoice"]["state"] == "issued"
        assert len(shown["invoice"]["number"]) == 20
        assert await w.violations() == []

    play(scene)


@pytest.mark.requirement("rfd.undelivered-prepay-is-refunded")
@pytest.mark.parametrize("delivered_fen", [0, 500, 9900, 10000])
def test_prepay_gives_back_exactly_what_was_not_delivered(play, delivered_fen):
    async def scene(w):
        order = await w.order(mode="prepay", preset_fen=10_000, invoice=TITLE)
        asked = await w.pay(order)
        w.gateway.pay(asked["out_trade_no"])
        assert await w.notify(asked["out_trade_no"]) == 204
        (authorise,) = await w.commands()
        assert authorise["preset_fen"] == 10_000
        await w.answer_command("authorise")
        sale = w.sale(amount_fen=delivered_fen, order_id=order["order_id"])
        await w.site("POST", "/sales", sale, status=201)
        await w.run_due()
        await w.run_due(later_s=3)
        shown = await w.show(order)
        assert shown["state"] == ("COMPLETED" if delivered_fen else "REFUNDED")
        assert shown["paid_fen"] - shown["refunded_fen"] == delivered_fen
        assert shown["invoice"]["state"] == ("issued" if delivered_fen else "requested")
        for entry in w.gateway.invoices.values():
            assert entry["forms"][0]["fapiao_information"][0]["total_amount"] == delivered_fen
        assert await w.violations() == []

    play(scene)


@pytest.mark.requirement("rfd.overrun-is-never-charged")
def test_overrun_is_recorded_and_never_charged(play):
    async def scene(w):
        order = await w.order(mode="prepay", preset_fen=10_000)
        asked = await w.pay(order)
        w.gateway.pay(asked["out_trade_no"])
        await w.notify(asked["out_trade_no"])
        await w.answer_command("authorise")
        await w.site("POST", "/sales", w.sale(amount_fen=10_008, order_id=order["order_id"]), status=201)
        shown = await w.show(order)
        assert (shown["state"], shown["paid_fen"], shown["amount_fen"]) == ("COMPLETED", 10_000, 10_008)
        losses = [row for row in (await w.admin("ledger"))["rows"] if row["kind"] == "loss"]
        assert [row["amount_fen"] for row in losses] == [8]

    play(scene)


def test_code_scanned_after_fuelling_binds_the_sale_for_one_phone(play):
    async def scene(w):
        taken = await w.site("POST", "/sales", w.sale(), status=201)
        assert taken["state"] == "payable"
        first = await w.order()
        assert (first["state"], first["sale_id"]) == ("PAYABLE", taken["sale_id"])
        second = await w.order(who="li")
        assert (second["state"], second["sale_id"]) == ("CREATED", None)

    play(scene)


def test_a_client_token_makes_one_order(play):
    async def scene(w):
        first = await w.order(client_token="t-1")
        again = await w.order(client_token="t-1", status=200)
        assert first["order_id"] == again["order_id"]
        refused = await w.order(client_token="t-1", nozzle=2, status=409)
        assert refused["code"] == "token_reused"

    play(scene)


def test_a_nozzle_serves_one_order_at_a_time(play):
    async def scene(w):
        await w.order()
        refused = await w.order(who="li", status=409)
        assert refused["code"] == "nozzle_busy"

    play(scene)


def test_another_phones_order_is_not_there(play):
    async def scene(w):
        order = await w.order()
        await w.phone("GET", f"/{order['order_id']}", who="li", status=404)
        await w.phone("POST", f"/{order['order_id']}/cancel", who="li", status=404)

    play(scene)


def test_cancel_waits_for_the_sites_word(play):
    async def scene(w):
        order = await w.order()
        await w.answer_command("authorise")
        cancelled = await w.phone("POST", f"/{order['order_id']}/cancel", status=200)
        assert cancelled["state"] == "AUTHORISED"
        await w.answer_command("cancel")
        assert (await w.show(order))["state"] == "CANCELLED"
        await w.order(who="li")  # the nozzle is free again

    play(scene)


@pytest.mark.requirement("fc-sale.cancel-after-flow-is-refused")
def test_cancel_after_fuel_flowed_is_refused(play):
    async def scene(w):
        order = await w.order()
        await w.answer_command("authorise")
        live = {"nozzle": 1, "state": "FUELLING", "volume_ml": 10, "amount_fen": 8}
        await w.site("POST", "/nozzles/live", {"at_us": w.now_us, "nozzles": [live]}, status=204)
        refused = await w.phone("POST", f"/{order['order_id']}/cancel", status=409)
        assert refused["code"] == "fuel_flowing"

    play(scene)


def test_cancelled_prepay_is_given_back_whole(play):
    async def scene(w):
        order = await w.order(mode="prepay", preset_fen=10_000)
        asked = await w.pay(order)
        w.gateway.pay(asked["out_trade_no"])
        await w.notify(asked["out_trade_no"])
        await w.phone("POST", f"/{order['order_id']}/cancel", status=200)
        await w.answer_command("cancel")
        assert (await w.show(order))["state"] == "REFUNDING"
        await w.run_due()
        shown = await w.show(order)
        assert (shown["state"], shown["refunded_fen"]) == ("REFUNDED", 10_000)
        assert await w.violations() == []

    play(scene)


def test_fuel_after_a_cancel_is_still_owed(play):
    async def scene(w):
        order = await w.order()
        await w.phone("POST", f"/{order['order_id']}/cancel", status=200)
        await w.answer_command("cancel")
        await w.site("POST", "/sales", w.sale(order_id=order["order_id"]), status=201)
        assert (await w.show(order))["state"] == "PAYABLE"

    play(scene)


@pytest.mark.requirement("fc-sale.one-owner-at-a-time")
def test_a_fill_that_a_phone_was_shown_is_its_own_even_if_the_site_forgot_the_order(play):
    async def scene(w):
        before = w.sale(nozzle=1)
        order = await w.order()
        await w.answer_command("authorise")
        live = {"nozzle": 1, "state": "FUELLING", "volume_ml": 1230, "amount_fen": 961}
        await w.site("POST", "/nozzles/live", {"at_us": w.now_us, "nozzles": [live]}, status=204)
        # A sale from before the order, late: nobody's. The one after it: the order's.
        early = {**before, "ended_us": w.now_us - 3_600_000_000, "started_us": w.now_us - 3_660_000_000}
        assert (await w.site("POST", "/sales", early, status=201))["state"] == "payable"
        assert (await w.show(order))["state"] == "FUELLING"
        taken = await w.site("POST", "/sales", w.sale(nozzle=1), status=201)
        assert taken["state"] == "locked"
        shown = await w.show(order)
        assert (shown["state"], shown["sale_id"]) == ("PAYABLE", taken["sale_id"])

    play(scene)


@pytest.mark.requirement("fc-sale.dead-owner-frees-the-sale")
def test_a_phone_that_never_pays_frees_the_sale_for_the_cashier(play):
    async def scene(w):
        await w.site("POST", "/sales", w.sale(), status=201)
        order = await w.order()
        asked = await w.pay(order)
        await w.run_due(later_s=901)
        await w.run_due(later_s=901)
        assert (await w.show(order))["state"] == "CLOSED"
        assert w.gateway.trades[asked["out_trade_no"]]["state"] == "CLOSED"
        listed = await w.site("GET", "/sales?state=payable", status=200)
        assert [sale["sale_id"] for sale in listed["sales"]] == [order["sale_id"]]

    play(scene)


def test_cashier_settles_once_and_not_what_a_phone_pays_for(play):
    async def scene(w):
        taken = await w.site("POST", "/sales", w.sale(), status=201)
        path = f"/sales/{taken['sale_id']}/settle"
        body = {"client_token": "c1", "tender": "cash", "amount_fen": 9600, "invoice": TITLE}
        assert (await w.site("POST", path, {**body, "amount_fen": 9599}, status=409))[
            "code"
        ] == "amount_differs"
        assert (await w.site("POST", path, body, status=200))["state"] == "cleared"
        assert (await w.site("POST", path, body, status=200))["tender"] == "cash"
        other = {**body, "client_token": "c2"}
        assert (await w.site("POST", path, other, status=409))["code"] == "already_settled"
        second = await w.site("POST", "/sales", w.sale(nozzle=2), status=201)
        await w.order(nozzle=2)
        body = {**body, "client_token": "c3"}
        refused = await w.site("POST", f"/sales/{second['sale_id']}/settle", body, status=409)
        assert refused["code"] == "sale_locked"
        await w.run_due()
        await w.run_due(later_s=3)
        (invoice,) = (await w.admin("invoices"))["rows"]
        assert (invoice["state"], invoice["amount_fen"]) == ("issued", 9600)
        assert await w.violations() == []

    play(scene)


def test_invoice_asked_for_after_paying(play):
    async def scene(w):
        order = await w.paid_order()
        shown = await w.phone("POST", f"/{order['order_id']}/invoice", TITLE, status=200)
        assert shown["invoice"]["state"] == "issuing"
        again = await w.phone("POST", f"/{order['order_id']}/invoice", TITLE, status=200)
        assert again["invoice"] == shown["invoice"]
        other = {**TITLE, "name": "别的公司"}
        refused = await w.phone("POST", f"/{order['order_id']}/invoice", other, status=409)
        assert refused["code"] == "invoice_exists"

    play(scene)
