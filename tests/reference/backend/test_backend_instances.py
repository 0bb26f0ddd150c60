"""Several instances over one store: one effect, no lost wake-up, no lost task."""

from __future__ import annotations

import asyncio
import time

import pytest

TITLE = {"title_type": "INDIVIDUAL", "name": "张三", "taxpayer_id": None}


@pytest.mark.requirement("pay.duplicate-callbacks-have-one-effect")
def test_duplicate_callbacks_at_once_on_two_instances_have_one_effect(play):
    async def scene(w):
        await w.site("POST", "/sales", w.sale(), status=201)
        order = await w.order(invoice=TITLE)
        asked = await w.pay(order)
        w.gateway.pay(asked["out_trade_no"])
        answers = await asyncio.gather(*(w.notify(asked["out_trade_no"], on=n % 2) for n in range(24)))
        assert answers == [204] * 24
        shown = await w.show(order)
        assert (shown["state"], shown["paid_fen"]) == ("PAID", 9600)
        kinds = [row["kind"] for row in (await w.admin("ledger"))["rows"]]
        assert kinds == ["sale", "payment"]
        assert [c["kind"] for c in await w.commands()].count("print") == 1
        assert len((await w.admin("invoices"))["rows"]) == 1
        assert await w.violations() == []

    play(scene, instances=2)


@pytest.mark.requirement("fc-sale.repeated-upload-is-one-row")
def test_one_sale_uploaded_at_once_to_two_instances_is_one_row(play):
    async def scene(w):
        sales = [w.sale(nozzle) for nozzle in range(1, 9)]
        uploads = [w.site("POST", "/sales", sale, on=n % 2) for sale in sales for n in range(6)]
        answers = await asyncio.gather(*uploads)
        assert len({answer["sale_id"] for answer in answers}) == 8
        assert len((await w.admin("ledger"))["rows"]) == 8
        assert await w.violations() == []

    play(scene, instances=2)


@pytest.mark.requirement("pay.two-payers-one-sale")
def test_two_phones_at_one_sale_never_both_pay(play):
    async def scene(w):
        await w.site("POST", "/sales", w.sale(), status=201)
        orders = await asyncio.gather(
            *(w.phone("POST", "", _order(who, n), who=who, on=n) for n, who in enumerate(("zhang", "li")))
        )
        owners = [order for order in orders if order.get("sale_id")]
        assert len(owners) == 1

    play(scene, instances=2)


def _order(who, n):
    return {"client_token": f"{who}-{n}", "station": "KM01", "nozzle": 1, "mode": "postpay"}


def test_the_same_order_token_at_once_is_one_order(play):
    async def scene(w):
        answers = await asyncio.gather(
            *(w.phone("POST", "", _order("zhang", 0), on=n % 2) for n in range(10))
        )
        assert len({order["order_id"] for order in answers}) == 1

    play(scene, instances=2)


def test_tasks_of_one_outbox_run_once_in_all(play):
    async def scene(w):
        for nozzle in range(1, 9):
            await w.paid_order(nozzle, invoice=TITLE)
        ran = await asyncio.gather(w.run_due(on=0), w.run_due(on=1))
        assert sum(ran) >= 8
        issued = [key for name, key in w.gateway.calls if name == "issue_invoice"]
        assert len(issued) == len(set(issued)) == 8

    play(scene, instances=2)


def test_a_killed_workers_task_is_taken_up_by_the_other_after_the_lease(play):
    async def scene(w):
        await w.paid_order(invoice=TITLE)
        claimed = await w.backends[0].core.outbox._claim(
            10
        )  # and then nothing more is heard of this instance
        assert [task.topic for task in claimed] == ["invoice.issue"]
        assert await w.run_due(on=1) == 0
        assert (
            await w.run_due(on=1, later_s=16) == 2
        )  # the invoice, and the query of the payment, long settled
        (entry,) = w.gateway.invoices.values()
        assert len(entry["tries"]) == 1

    play(scene, instances=2)


def test_a_command_written_by_one_instance_ends_the_poll_at_the_other(play):
    async def scene(w):
        loop = asyncio.get_running_loop()
        began = loop.time()
        poll = asyncio.create_task(w.site("GET", "/commands?after=0&wait_ms=20000", on=1, status=200))
        await asyncio.sleep(0)
        await w.order()
        found = await poll
        assert [command["kind"] for command in found["commands"]] == ["authorise"]
        assert loop.time() - began < 5

    play(scene, instances=2)


def test_live_readings_reach_the_phones_of_the_other_instance(play):
    async def scene(w):
        order = await w.order()
        await w.answer_command("authorise")
        live = {"nozzle": 1, "state": "FUELLING", "volume_ml": 2000, "amount_fen": 1562}
        with w.database.hub.subscribe("live/KM01/1"):
            await w.site("POST", "/nozzles/live", {"at_us": w.now_us, "nozzles": [live]}, status=204, on=0)
            shown = await w.phone("GET", f"/{order['order_id']}", on=1, status=200)
        assert (shown["state"], shown["volume_ml"]) == ("FUELLING", 2000)

    play(scene, instances=2)


def test_commands_are_numbered_without_gaps_in_commit_order(play_postgres):
    async def scene(w):
        orders = [w.order(nozzle, who=f"p{nozzle}", client_token=f"t{nozzle}") for nozzle in range(1, 9)]
        await asyncio.gather(*orders)
        assert [command["id"] for command in await w.commands()] == list(range(1, 9))

    play_postgres(scene, instances=2)


def test_messages_cross_between_two_processes_worth_of_hubs(play_postgres):
    async def scene(w):
        from reference.backend import PostgresDatabase

        other = PostgresDatabase(w.database._url.render_as_string(hide_password=False))
        await other.start()
        try:
            began = time.monotonic()
            with other.hub.subscribe("order/x", "live/KM01/1") as news:
                heard = {}
                while len(heard) < 2 and time.monotonic() - began < 10:
                    w.database.hub.publish("order/x", {"n": 1})
                    w.database.hub.publish("live/KM01/1", [1, "FUELLING", 10, 8, 1, 1], lazy=True)
                    news_now = await news.wait(0.5)
                    # None is the hub's "look up again" after it has connected.
                    heard |= {topic: body for topic, body in news_now.items() if body is not None}
            assert heard == {"order/x": {"n": 1}, "live/KM01/1": [1, "FUELLING", 10, 8, 1, 1]}
        finally:
            await other.stop()

    play_postgres(scene)


def test_a_store_that_is_away_is_said_so_and_comes_back(play_postgres):
    async def scene(w):
        from sqlalchemy import text

        await w.site("POST", "/sales", w.sale(), status=201)

        async def cut(tx):
            await tx.rows(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )

        await w.database.run(cut)
        # Every pooled connection is dead: the transaction had not begun, so it is simply run again.
        answers = [await w.site("POST", "/sales", w.sale()) for _ in range(3)]
        assert all("sale_id" in answer for answer in answers)

    play_postgres(scene)
