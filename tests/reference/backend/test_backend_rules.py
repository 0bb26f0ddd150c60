"""Each rule that shapes the service, broken on purpose, and seen by a check that does not trust the code that broke it."""

from __future__ import annotations

import sqlite3

import asyncpg
import pytest
from sqlalchemy import text

from reference.backend import sales as sales_module
from reference.backend.gateways.port import TradeReport

TITLE = {"title_type": "INDIVIDUAL", "name": "张三", "taxpayer_id": None}


def test_an_unbroken_run_has_no_violations(play):
    async def scene(w):
        await w.paid_order(invoice=TITLE)
        await w.run_due(later_s=3)
        assert await w.violations() == []

    play(scene)


# One delivery, one ledger sale


@pytest.mark.requirement("fc-sale.one-delivery-one-ledger-sale", "fc-sale.repeated-upload-is-one-row")
def test_a_repeated_upload_is_one_sale(play):
    async def scene(w):
        sale = w.sale()
        first = await w.site("POST", "/sales", sale, status=201)
        for _ in range(3):
            assert await w.site("POST", "/sales", sale, status=200) == first
        assert len((await w.admin("ledger"))["rows"]) == 1

    play(scene)


def test_broken_a_sequence_that_is_not_looked_at_is_seen(play_sqlite, monkeypatch):
    async def scene(w):
        entered = w.core.enter

        async def without_key(tx, *, entry_key, **fields):
            return await entered(tx, entry_key=f"{entry_key}/{w.core.ids.text(6)}", **fields)

        async def never_known(tx, station, post, digest):
            sale_id = w.core.ids.make("sale")
            await w.core.sales._enter(tx, station, post, digest, sale_id, tank=1)
            return True, sale_id, "payable"

        monkeypatch.setattr(w.core, "enter", without_key)
        monkeypatch.setattr(w.core.sales, "_take", never_known)
        # The unique key of the table stands in the way of the mutant, so it has to go too.
        await w.database.run(lambda tx: tx.execute(text("DROP TABLE sales")))
        columns = ", ".join(column.name for column in sales_module.sales.columns)
        await w.database.run(lambda tx: tx.execute(text(f"CREATE TABLE sales ({columns})")))
        sale = w.sale()
        await w.site("POST", "/sales", sale, status=201)
        await w.site("POST", "/sales", sale, status=201)
        assert any("ledger sale ('KM01', 1, 1) stands 2 times" in line for line in await w.violations())

    play_sqlite(scene)


@pytest.mark.requirement("fc-sale.changed-content-is-refused")
def test_the_same_key_with_other_content_is_refused_and_alarmed(play):
    async def scene(w):
        sale = w.sale()
        await w.site("POST", "/sales", sale, status=201)
        refused = await w.site("POST", "/sales", {**sale, "amount_fen": 9601}, status=409)
        assert (refused["code"], refused["field"]) == ("sale_differs", "sequence")
        (row,) = (await w.admin("ledger"))["rows"]
        assert row["amount_fen"] == 9600
        assert [alarm["kind"] for alarm in (await w.admin("alarms"))["rows"]] == ["sale_differs"]

    play(scene)


# The ledger is append-only


@pytest.mark.requirement("fc-sale.ledger-is-append-only")
@pytest.mark.parametrize("statement", ["UPDATE ledger SET amount_fen = 1", "DELETE FROM ledger"])
def test_broken_the_ledger_refuses_to_be_changed(play, statement):
    async def scene(w):
        await w.site("POST", "/sales", w.sale(), status=201)
        with pytest.raises((asyncpg.PostgresError, sqlite3.Error), match="append-only"):
            await w.database.run(lambda tx: tx.execute(text(statement)))
        (row,) = (await w.admin("ledger"))["rows"]
        assert row["amount_fen"] == 9600

    play(scene)


def test_a_correction_is_a_new_row_that_names_the_old(play):
    async def scene(w):
        await w.site("POST", "/sales", w.sale(), status=201)
        (old,) = (await w.admin("ledger"))["rows"]
        body = {"corrects": old["entry_id"], "volume_ml": -10, "amount_fen": -8, "reason": "meter check"}
        key = "admin-key-for-tests"
        await w.call("POST", "/v1/admin/corrections", body, key=key, status=201)
        await w.call("POST", "/v1/admin/corrections", body, key=key, status=409)
        await w.call("POST", "/v1/admin/corrections", {**body, "corrects": 999}, key=key, status=404)
        first, second = (await w.admin("ledger"))["rows"]
        assert first == old
        assert (second["kind"], second["corrects"], second["amount_fen"]) == (
            "correction",
            old["entry_id"],
            -8,
        )
        assert await w.violations() == []

    play(scene)


# A time-out is unknown, never failed


@pytest.mark.requirement("pay.timeout-is-unknown-not-failed")
def test_a_lost_prepay_answer_is_asked_about_with_the_same_number(play):
    async def scene(w):
        await w.site("POST", "/sales", w.sale(), status=201)
        order = await w.order()
        w.gateway.unknown = ["prepay"]
        asked = await w.pay(order)
        assert [name for name, _ in w.gateway.calls] == ["prepay", "query", "prepay"]
        assert {key for _, key in w.gateway.calls} == {asked["out_trade_no"]}
        assert len(w.gateway.trades) == 1

    play(scene)


@pytest.mark.requirement("pay.timeout-is-unknown-not-failed")
def test_an_unknown_outcome_keeps_its_number_for_the_next_try(play):
    async def scene(w):
        await w.site("POST", "/sales", w.sale(), status=201)
        order = await w.order()
        w.gateway.unknown = ["prepay", "prepay"]
        refused = await w.pay(order, status=503)
        assert refused["code"] == "payment_unknown"
        shown = await w.show(order)
        assert shown["state"] == "PAYING"
        asked = await w.pay(order)
        assert asked["out_trade_no"] == shown["out_trade_no"]
        assert len(w.gateway.trades) == 1

    play(scene)


def test_broken_a_timeout_taken_for_a_failure_charges_twice_and_is_seen(play_sqlite, monkeypatch):
    async def scene(w):
        await w.site("POST", "/sales", w.sale(), status=201)
        order = await w.order()
        attempts = w.core.attempts
        begin = attempts._begin

        async def with_a_new_number(tx, openid, order_id, wish):
            row = await w.core.orders.lock(tx, order_id)
            if row.state == "PAYING":  # the mutant: give up the unknown one, take another number
                await tx.execute(text("UPDATE payments SET state = 'CLOSED', is_open = NULL"))
                await tx.execute(text("UPDATE orders SET state = 'PAYABLE'"))
            return await begin(tx, openid, order_id, wish)

        monkeypatch.setattr(attempts, "_begin", with_a_new_number)
        w.gateway.unknown = ["prepay", "prepay"]
        await w.pay(order, status=503)
        await w.pay(order)
        first, second = w.gateway.trades
        for number in (first, second):
            w.gateway.pay(number)
            await w.notify(number)
        kinds = [alarm["kind"] for alarm in (await w.admin("alarms"))["rows"]]
        assert "paid_twice" in kinds
        # And the safety net holds: the second payment is given back, once.
        await w.run_due()
        shown = await w.show(order)
        assert (shown["state"], shown["paid_fen"], shown["refunded_fen"]) == ("PAID", 19200, 9600)

    play_sqlite(scene)


@pytest.mark.requirement("rfd.refund-retry-keeps-its-number")
def test_a_refund_with_a_lost_answer_is_one_refund(play):
    async def scene(w):
        order = await w.order(mode="prepay", preset_fen=10_000)
        asked = await w.pay(order)
        w.gateway.pay(asked["out_trade_no"])
        await w.notify(asked["out_trade_no"])
        await w.answer_command("authorise")
        w.gateway.unknown = ["refund", "query_refund", "query_refund"]
        await w.site("POST", "/sales", w.sale(amount_fen=4000, order_id=order["order_id"]), status=201)
        for _ in range(5):
            await w.run_due(later_s=10)
        assert len(w.gateway.refunds) == 1
        assert [name for name, _ in w.gateway.calls].count("refund") == 1
        assert (await w.show(order))["refunded_fen"] == 6000
        assert await w.violations() == []

    play(scene)


@pytest.mark.requirement("rfd.accepted-is-not-refunded")
def test_an_accepted_refund_is_not_yet_a_refund(play):
    async def scene(w):
        w.gateway.refund_state = "PROCESSING"
        order = await w.order(mode="prepay", preset_fen=10_000)
        asked = await w.pay(order)
        w.gateway.pay(asked["out_trade_no"])
        await w.notify(asked["out_trade_no"])
        await w.answer_command("authorise", ok=False)
        await w.run_due()
        shown = await w.show(order)
        assert (shown["state"], shown["refunded_fen"]) == ("REFUNDING", 0)
        for refund in w.gateway.refunds.values():
            refund["state"] = "SUCCESS"
        await w.run_due(later_s=61)
        shown = await w.show(order)
        assert (shown["state"], shown["refunded_fen"]) == ("REFUNDED", 10_000)

    play(scene)


@pytest.mark.requirement("inv.one-blue-invoice-per-sale", "inv.answered-while-issuing")
def test_a_lost_invoice_answer_is_one_invoice_with_one_number(play):
    async def scene(w):
        w.gateway.unknown = ["issue_invoice", "query_invoice"]
        order = await w.paid_order(invoice=TITLE)
        for _ in range(4):
            await w.run_due(later_s=4)
        (entry,) = w.gateway.invoices.values()
        assert len(entry["tries"]) == 1
        assert (await w.show(order))["invoice"]["state"] == "issued"

    play(scene)


# The phone proves nothing


@pytest.mark.requirement("pay.client-ok-proves-nothing")
def test_the_phones_ok_makes_the_backend_ask_and_nothing_else(play):
    async def scene(w):
        await w.site("POST", "/sales", w.sale(), status=201)
        order = await w.order()
        asked = await w.pay(order)
        path = f"/{order['order_id']}/client-result"
        assert (await w.phone("POST", path, {"result": "ok"}, status=200))["state"] == "PAYING"
        await w.run_due()
        assert w.gateway.calls[-1] == ("query", asked["out_trade_no"])
        assert (await w.show(order))["state"] == "PAYING"
        w.gateway.pay(asked["out_trade_no"])
        await w.phone("POST", path, {"result": "cancel"}, status=200)
        await w.run_due()
        assert (await w.show(order))["state"] == "PAID"

    play(scene)


def test_broken_believing_the_phone_is_seen(play_sqlite, monkeypatch):
    async def scene(w):
        await w.site("POST", "/sales", w.sale(), status=201)
        order = await w.order()
        asked = await w.pay(order)

        async def believe(openid, order_id):
            async def work(tx):
                row = await w.core.orders.lock(tx, order_id)
                await w.core.orders.move(tx, row, "PAID", paid_fen=row.payable_fen)

            await w.database.run(work)

        monkeypatch.setattr(w.core.attempts, "ask_now", believe)
        await w.phone("POST", f"/{order['order_id']}/client-result", {"result": "ok"}, status=200)
        found = await w.violations()
        assert f"order {order['order_id']}: 9600 fen paid, 0 proved" in found
        assert w.gateway.trades[asked["out_trade_no"]]["state"] == "NOTPAY"

    play_sqlite(scene)


# What follows a commit stands in the commit


def test_broken_follow_ups_outside_the_transaction_are_seen(play_sqlite, monkeypatch):
    async def scene(w):
        async def later(tx, *arguments, **fields):
            """The mutant would do it after the commit; then the process is killed."""

        monkeypatch.setattr(w.core.invoices, "ask", later)
        monkeypatch.setattr(w.core.commands, "put", later)
        order = await w.paid_order(invoice=TITLE)
        found = await w.violations()
        assert f"order {order['order_id']} wanted an invoice and has none" in found
        assert f"order {order['order_id']} has 0 settled commands" in found
        assert f"order {order['order_id']} has 0 print commands" in found

    play_sqlite(scene)


def test_a_crash_inside_the_transaction_leaves_nothing_half_done(play, monkeypatch):
    async def scene(w):
        await w.site("POST", "/sales", w.sale(), status=201)
        order = await w.order(invoice=TITLE)
        asked = await w.pay(order)
        w.gateway.pay(asked["out_trade_no"])

        class KilledError(Exception):
            pass

        async def die(*arguments, **fields):
            raise KilledError

        with monkeypatch.context() as patch:
            patch.setattr(w.core.sales, "finish", die)  # the last step of the commit
            with pytest.raises(KilledError):
                await w.core.payments.apply(w.gateway.report(asked["out_trade_no"]), "callback")
        shown = await w.show(order)
        assert (shown["state"], shown["paid_fen"], shown["invoice"]["state"]) == ("PAYING", 0, "requested")
        assert await w.violations() == []
        assert await w.notify(asked["out_trade_no"]) == 204  # the gateway tries again
        assert (await w.show(order))["state"] == "PAID"
        assert await w.violations() == []

    play(scene)


# The pump's figures stand


def test_broken_recomputed_figures_are_seen(play_sqlite, monkeypatch):
    async def scene(w):
        entered = w.core.enter

        async def recompute(tx, *, amount_fen, volume_ml=0, **fields):
            if fields["kind"] == "sale":
                amount_fen = volume_ml * 781 // 1000
            return await entered(tx, amount_fen=amount_fen, volume_ml=volume_ml, **fields)

        monkeypatch.setattr(w.core, "enter", recompute)
        await w.site("POST", "/sales", w.sale(amount_fen=9603), status=201)
        assert any("differs from what the pump said" in line for line in await w.violations())

    play_sqlite(scene)


# One effect


def test_broken_applying_every_callback_is_seen(play_sqlite, monkeypatch):
    async def scene(w):
        await w.site("POST", "/sales", w.sale(), status=201)
        order = await w.order(invoice=TITLE)
        asked = await w.pay(order)
        report = w.gateway.pay(asked["out_trade_no"])
        monkeypatch.setattr(w.core.payments, "is_applied", lambda payment: False)
        await w.core.payments.apply(report, "callback")
        await w.core.payments.apply(report, "callback")
        assert f"order {order['order_id']}: 19200 fen paid, 9600 proved" in await w.violations()

    play_sqlite(scene)


def test_broken_a_payment_of_another_amount_is_refused_when_checked(play, monkeypatch):
    async def scene(w):
        await w.site("POST", "/sales", w.sale(), status=201)
        order = await w.order()
        asked = await w.pay(order)
        good = w.gateway.pay(asked["out_trade_no"])
        for changes in ({"amount_fen": 9599}, {"mchid": "1900000002"}, {"appid": "wx2"}, {"currency": "USD"}):
            fields = {name: getattr(good, name) for name in TradeReport.__slots__} | changes
            with pytest.raises(Exception, match=r"paid|names"):
                await w.core.payments.apply(TradeReport(**fields), "callback")
        assert (await w.show(order))["state"] == "PAYING"
        kinds = [alarm["kind"] for alarm in (await w.admin("alarms"))["rows"]]
        assert kinds == ["payment_refused"] * 4

    play(scene)
