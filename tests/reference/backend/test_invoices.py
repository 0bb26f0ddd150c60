"""Invoices on both stores: one for a sale whatever happens at once, merged and split ones, what has none."""

from __future__ import annotations

import asyncio
import random

import pytest
from sqlalchemy import select

from reference.backend.gateways.port import InvoiceReport
from reference.backend.invoices.schema import invoice_uses
from reference.backend.store.schema import invoices
from reference.backend.tax import ExistsError

PERSON = {"title_type": "INDIVIDUAL", "name": "张三", "taxpayer_id": None}
COMPANY = {"title_type": "ORGANIZATION", "name": "云南某运输公司", "taxpayer_id": "91530100MA6K000013"}


async def rows_of(w, table):
    return list(await w.database.run(lambda tx: tx.rows(select(table))))


async def issue_all(w):
    for _ in range(3):
        await w.run_due(later_s=400)


@pytest.mark.requirement("inv.one-blue-invoice-per-sale")
def test_a_hundred_requests_at_once_and_lost_answers_make_one_invoice(play):
    async def scene(w):
        order = await w.paid_order()
        w.gateway.unknown = ["issue_invoice", "query_invoice", "issue_invoice"]

        async def ask(number):
            response = await w.clients[number % 2].post(
                f"/v1/orders/{order['order_id']}/invoice",
                json=PERSON,
                headers={"Authorization": f"Bearer {w.tokens['zhang-real']}"},
            )
            # 503 is an answer too (ask again): it made nothing.
            assert response.status_code in {200, 503}, response.text
            return response.status_code

        answers = await asyncio.gather(*(ask(number) for number in range(100)))
        assert answers.count(200) >= 90
        await asyncio.gather(*(w.run_due(on=on) for on in (0, 1)))
        await issue_all(w)
        assert len(await rows_of(w, invoices)) == 1
        (entry,) = w.gateway.invoices.values()
        assert len(entry["tries"]) == 1, "a retry has the same number"
        assert (await w.show(order))["invoice"]["state"] == "issued"
        assert await w.violations() == []

    play(scene, instances=2)


class KnowsItAlready:
    """A platform that says of every order that it exists, as after a call whose answer was lost."""

    name = "wechat"
    takes_parts = True
    tries = None

    def __init__(self):
        self.issued = []
        self.queried = []
        self.calls_until_known = 1

    async def issue(self, order):
        self.issued.append(order.serial)
        raise ExistsError(200, "E9106", "订单编号或流水号不能重复")

    async def query(self, order):
        self.queried.append(order.serial)
        if len(self.queried) <= self.calls_until_known:
            return None  # not visible to the query yet
        return InvoiceReport(order.serial, None, "ISSUED", "26532000000000000001")


@pytest.mark.requirement("inv.existing-order-leads-to-query")
def test_an_order_that_exists_is_asked_for_and_not_made_again(play_sqlite):
    async def scene(w):
        w.core.tax["wechat"] = platform = KnowsItAlready()
        order = await w.paid_order(invoice=PERSON)
        await w.run_due()
        assert (len(platform.issued), len(platform.queried)) == (1, 1), "asked at once"
        await issue_all(w)
        assert (await w.show(order))["invoice"] == {
            "state": "issued",
            "number": "26532000000000000001",
            "fapiao_apply_id": platform.issued[0],
        }
        assert set(platform.issued + platform.queried) == {platform.issued[0]}, "never another number"

    play_sqlite(scene)


@pytest.mark.requirement("inv.nothing-to-invoice-no-invoice")
def test_unpaid_cancelled_test_and_empty_sales_have_no_invoice(play_sqlite):
    async def scene(w):
        unpaid = await w.order(1, invoice=PERSON)
        await w.phone("POST", f"/{unpaid['order_id']}/invoice", PERSON, status=200)
        prepaid = await w.order(2, mode="prepay", preset_fen=10_000, invoice=PERSON)
        await w.phone("POST", f"/{prepaid['order_id']}/cancel", status=200)
        refused = await w.phone("POST", f"/{prepaid['order_id']}/invoice", PERSON, status=409)
        assert refused["code"] == "nothing_to_invoice"
        empty = await w.order(3, invoice=PERSON)
        nothing = w.sale(3, 0, volume_ml=0, order_id=empty["order_id"])
        await w.site("POST", "/sales", nothing, status=201)
        assert (await w.show(empty))["state"] == "CLOSED"
        proof = w.sale(4, flags=["test"])
        tested = await w.site("POST", "/sales", proof, status=201)
        body = {"client_token": "c1", "tender": "cash", "amount_fen": 9600, "invoice": PERSON}
        await w.site("POST", f"/sales/{tested['sale_id']}/settle", body, status=409)
        for order in (unpaid, prepaid, empty):
            wanted = {
                "client_token": "m",
                "invoices": [{"title": PERSON, "items": [{"order_id": order["order_id"]}]}],
            }
            await w.call("POST", "/v1/invoices", wanted, key=w.tokens["zhang-real"], status=409)
        await issue_all(w)
        assert await rows_of(w, invoices) == []
        assert w.gateway.invoices == {}

    play_sqlite(scene)


async def ten_paid_orders(w):
    found = []
    for _ in range(10):
        w.now_us += 1_000_000
        found.append(await w.paid_order())
    return found


async def merge(w, body, status=201):
    return await w.call("POST", "/v1/invoices", body, key=w.tokens["zhang-real"], status=status)


@pytest.mark.requirement("inv.merged-invoices-use-each-fen-once")
def test_ten_sales_merged_into_one_invoice(play_sqlite):
    async def scene(w):
        paid = await ten_paid_orders(w)
        body = {
            "client_token": "merge",
            "invoices": [{"title": COMPANY, "items": [{"order_id": order["order_id"]} for order in paid]}],
        }
        made = await merge(w, body)
        again = await merge(w, body, status=200)
        assert [one["fapiao_apply_id"] for one in again["invoices"]] == [
            made["invoices"][0]["fapiao_apply_id"]
        ]
        other = {**body, "invoices": [{"title": PERSON, "items": body["invoices"][0]["items"]}]}
        assert (await merge(w, other, status=409))["code"] == "token_reused"
        assert (await merge(w, {**body, "client_token": "second"}, status=409))["code"] == "already_invoiced"
        for order in paid[:2]:
            refused = await w.phone("POST", f"/{order['order_id']}/invoice", PERSON, status=409)
            assert refused["code"] == "invoice_exists"
        await issue_all(w)
        (form,) = next(iter(w.gateway.invoices.values()))["forms"]
        (fapiao,) = form["fapiao_information"]
        assert fapiao["total_amount"] == sum(order["paid_fen"] for order in paid) == 96_000
        assert sum(item["quantity"] for item in fapiao["items"]) == 100_000 * sum(
            order["volume_ml"] for order in paid
        )
        for order in paid:
            assert (await w.show(order))["invoice"]["state"] == "issued"
        assert await w.violations() == []

    play_sqlite(scene)


@pytest.mark.requirement("inv.merged-invoices-use-each-fen-once")
def test_one_sale_split_over_three_titles_and_merged_with_another(play_sqlite):
    async def scene(w):
        first, second = await w.paid_order(), await w.paid_order(2)
        one, two = first["order_id"], second["order_id"]
        body = {
            "client_token": "split",
            "invoices": [
                {"title": COMPANY, "items": [{"order_id": one, "amount_fen": 3333}]},
                {"title": PERSON, "items": [{"order_id": two}, {"order_id": one, "amount_fen": 3333}]},
                {"title": {**PERSON, "name": "李四"}, "items": [{"order_id": one}]},
            ],
        }
        made = (await merge(w, body))["invoices"]
        assert [found["amount_fen"] for found in made] == [3333, 12_933, 2934]
        uses = sorted(
            (use.from_fen, use.amount_fen, use.volume_ml)
            for use in await rows_of(w, invoice_uses)
            if use.order_id == one
        )
        assert [use[:2] for use in uses] == [(0, 3333), (3333, 3333), (6666, 2934)]
        assert sum(use[2] for use in uses) == first["volume_ml"], "and the litres add up to the pump's"
        greedy = {
            "client_token": "more",
            "invoices": [{"title": PERSON, "items": [{"order_id": one, "amount_fen": 1}]}],
        }
        assert (await merge(w, greedy, status=409))["code"] == "already_invoiced"
        await issue_all(w)
        listed = await w.phone("GET", f"/{one}/invoice", status=200)
        assert [found["state"] for found in listed["invoices"]] == ["issued"] * 3
        assert await w.violations() == []

    play_sqlite(scene)


@pytest.mark.requirement("inv.merged-invoices-use-each-fen-once")
def test_all_of_a_request_or_nothing_and_only_ones_own_orders(play_sqlite):
    async def scene(w):
        mine, other = await w.paid_order(), await w.paid_order(2)
        stranger = (await w.order(3, who="li"))["order_id"]
        for bad in (
            [{"order_id": stranger}],
            [{"order_id": "ord_nobodys"}],
            [{"order_id": mine["order_id"], "amount_fen": 9601}],
        ):
            body = {
                "client_token": "b",
                "invoices": [
                    {"title": PERSON, "items": [{"order_id": other["order_id"]}]},
                    {"title": PERSON, "items": bad},
                ],
            }
            await merge(w, body, status=404 if "amount_fen" not in bad[0] else 409)
        assert await rows_of(w, invoices) == []
        assert await rows_of(w, invoice_uses) == []

    play_sqlite(scene)


@pytest.mark.requirement("inv.merged-invoices-use-each-fen-once", "inv.one-blue-invoice-per-sale")
def test_requests_that_want_the_same_fen_at_once_share_them(play):
    """Twenty requests for 1,000 fen each of 9,600, on two instances at once: nine get them."""

    async def scene(w):
        order = (await w.paid_order())["order_id"]

        async def ask(number):
            body = {
                "client_token": f"t{number}",
                "invoices": [{"title": PERSON, "items": [{"order_id": order, "amount_fen": 1000}]}],
            }
            response = await w.clients[number % 2].post(
                "/v1/invoices", json=body, headers={"Authorization": f"Bearer {w.tokens['zhang-real']}"}
            )
            return response.status_code

        answers = await asyncio.gather(*(ask(number) for number in range(20)))
        assert answers.count(201) == 9, answers
        assert await w.violations() == []

    play(scene, instances=2)


@pytest.mark.requirement("inv.one-blue-invoice-per-sale", "rfd.refund-of-invoiced-sale-goes-red")
def test_kills_at_any_point_of_a_red_letter_leave_one_letter_and_one_new_invoice(play_sqlite):
    """Each call's answer gets lost once; the tasks are taken up by the other instance."""

    async def scene(w):
        order = await w.paid_order(invoice=PERSON)
        await issue_all(w)
        body = {"client_token": "r", "amount_fen": 600, "operator": "o", "reason": "r"}
        w.gateway.unknown = ["reverse_invoice", "query_invoice", "refund", "issue_invoice", "query_invoice"]
        await w.call(
            "POST",
            f"/v1/admin/orders/{order['order_id']}/refunds",
            body,
            key="admin-key-for-tests",
            status=201,
        )
        for turn in range(8):
            await w.run_due(later_s=100, on=turn % 2)
        listed = (await w.phone("GET", f"/{order['order_id']}/invoice", status=200))["invoices"]
        assert [(one["state"], one["amount_fen"]) for one in listed] == [("reversed", 9600), ("issued", 9000)]
        assert [name for name, _ in w.gateway.calls].count("reverse_invoice") == 1, (
            "its answer was lost, and asked for"
        )
        assert len(w.gateway.invoices) == 2
        assert await w.violations() == []

    play_sqlite(scene, instances=2)


def test_what_the_audit_says_of_tables_that_are_wrong(play_sqlite):
    async def scene(w):
        order = await w.paid_order(invoice=PERSON)
        await issue_all(w)
        assert await w.violations() == []
        spoilt = {
            "is not the sum of its lines": invoices.update().values(amount_fen=1),
            "is issued without a 20-digit number": invoices.update().values(number=None),
            "taken back": invoices.update().values(red_fen=5),
            "is invoiced beyond": invoice_uses.update().values(amount_fen=99_999),
            "and line 0 is free": invoice_uses.update().values(held_from=None),
            "is in two valid invoices": invoice_uses.update().values(held_from=7),
        }
        for words, change in spoilt.items():

            async def work(tx, change=change):
                before = [dict(row._asdict()) for row in await tx.rows(select(change.table))]
                await tx.execute(change)
                return before

            before = await w.database.run(work)
            found = await w.violations()
            assert any(words in sentence for sentence in found), (words, found)

            async def heal(tx, before=before, table=change.table):
                await tx.execute(table.delete())
                for row in before:
                    await tx.insert(table, row)

            await w.database.run(heal)
        assert await w.violations() == []
        assert (await w.show(order))["invoice"]["state"] == "issued"

    play_sqlite(scene)


def test_random_merges_and_splits_never_use_a_fen_twice(play_sqlite):
    async def scene(w):
        rng = random.Random("fen")
        paid = [(await w.paid_order(1 + number % 4))["order_id"] for number in range(4)]
        for number in range(14):
            items = [
                {"order_id": order, "amount_fen": rng.choice([None, rng.randint(1, 3000)])}
                for order in rng.sample(paid, rng.randint(1, 3))
            ]
            body = {"client_token": f"t{number}", "invoices": [{"title": PERSON, "items": items}]}
            response = await w.clients[0].post(
                "/v1/invoices", json=body, headers={"Authorization": f"Bearer {w.tokens['zhang-real']}"}
            )
            assert response.status_code in {201, 409}
            if rng.random() < 0.3:
                w.gateway.invoice_state = rng.choice(["ISSUED", "ISSUE_FAILED"])
                await issue_all(w)
            assert await w.violations() == []
        assert len(await rows_of(w, invoices)) > 5

    play_sqlite(scene, invoice_tries=1)
