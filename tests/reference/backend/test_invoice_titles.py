"""Titles that are checked and deleted, and invoices on their way to the customer."""

from __future__ import annotations

import httpx
import msgspec
import pytest
from sqlalchemy import select

from reference.backend.gateways.port import GatewayUnknownError
from reference.backend.invoices.schema import invoice_deliveries
from reference.backend.store.schema import invoices, ledger, orders, outbox
from reference.backend.tax.settings import TaxSettings

PERSON = {"title_type": "INDIVIDUAL", "name": "张三", "taxpayer_id": None}
COMPANY = {"title_type": "ORGANIZATION", "name": "云南某运输公司", "taxpayer_id": "91530100MA6K000013"}


async def rows_of(w, table):
    return list(await w.database.run(lambda tx: tx.rows(select(table))))


async def issue_all(w):
    for _ in range(3):
        await w.run_due(later_s=400)


WRONG_TITLES = [
    ({"taxpayer_id": None}, "invoice"),
    ({"taxpayer_id": "91530100MA6K000031"}, "invoice.taxpayer_id"),  # two characters have changed places
    ({"taxpayer_id": "91530100MA6K000014"}, "invoice.taxpayer_id"),
    ({"taxpayer_id": "9153O100MA6K000013"}, "invoice.taxpayer_id"),  # the letter O
    ({"taxpayer_id": "91530100MA6K00001"}, "invoice.taxpayer_id"),
    ({"taxpayer_id": "'; DROP TABLE x;--"}, "invoice.taxpayer_id"),
    ({"name": "   "}, "invoice.name"),
    ({"name": ""}, "invoice.name"),
    ({"name": "公" * 81}, "invoice.name"),
    ({"name": "a\x00b"}, "invoice.name"),
    ({"title_type": "ALIEN"}, "invoice.title_type"),
    ({"bank_account": "6222020200112230000"}, "invoice.bank_account"),
    ({"phone": "13800138000"}, "invoice.phone"),
]


@pytest.mark.requirement("inv.titles-are-validated-and-deletable")
def test_titles_that_cannot_be_right_or_say_too_much_are_refused(play_sqlite):
    async def scene(w):
        for changed, field in WRONG_TITLES:
            refused = await w.order(invoice={**COMPANY, **changed}, status=422)
            assert refused["field"] == field, changed
        assert await rows_of(w, orders) == []

    play_sqlite(scene)


@pytest.mark.requirement("inv.titles-are-validated-and-deletable")
def test_a_title_is_deleted_on_wish_and_what_the_law_keeps_stays(play_sqlite):
    async def scene(w):
        early = await w.order(5, invoice=COMPANY)
        await w.phone("DELETE", f"/{early['order_id']}/invoice", status=204)
        assert (await w.show(early))["invoice"]["state"] == "none", "the wish is withdrawn"
        await w.call("DELETE", f"/v1/orders/{early['order_id']}/invoice", status=401)

        order = await w.paid_order(invoice=COMPANY)
        w.gateway.invoice_state = "ISSUE_ACCEPTED"
        await w.run_due()
        await w.phone("DELETE", f"/{order['order_id']}/invoice", status=204)
        (row,) = await rows_of(w, invoices)
        assert COMPANY["name"] in row.title, "the platform still needs it"
        w.gateway.invoice_state = "ISSUED"
        await issue_all(w)
        shown = await w.show(order)
        assert shown["invoice"]["state"] == "issued"
        (row,) = await rows_of(w, invoices)
        assert (row.title, row.number, row.amount_fen) == ("{}", shown["invoice"]["number"], 9600)
        for table in (invoices, orders, ledger, outbox):
            for found in await rows_of(w, table):
                for secret in (COMPANY["name"], COMPANY["taxpayer_id"]):
                    assert secret not in repr(tuple(found)), table.name
        assert await w.violations() == []

    play_sqlite(scene)


@pytest.mark.requirement("inv.titles-are-validated-and-deletable")
def test_a_customer_who_paid_cash_has_the_title_deleted_at_the_desk(play_sqlite):
    async def scene(w):
        sold = await w.site("POST", "/sales", w.sale(1), status=201)
        body = {"client_token": "c", "tender": "cash", "amount_fen": 9600, "invoice": COMPANY}
        await w.site("POST", f"/sales/{sold['sale_id']}/settle", body, status=200)
        await issue_all(w)
        (row,) = await rows_of(w, invoices)
        path = f"/v1/admin/invoices/{row.fapiao_apply_id}/title"
        await w.call("DELETE", path, status=401)
        await w.call("DELETE", "/v1/admin/invoices/FC0/title", key="admin-key-for-tests", status=404)
        for _ in range(2):
            await w.call("DELETE", path, key="admin-key-for-tests", status=204)
        (row,) = await rows_of(w, invoices)
        assert (row.title, row.state, row.amount_fen) == ("{}", "issued", 9600)
        assert COMPANY["name"] not in repr(await w.admin("invoices"))
        # A red letter afterwards needs no name.
        await w.call(
            "POST",
            path.replace("title", "reversal"),
            {"client_token": "r", "reason": "02"},
            key="admin-key-for-tests",
            status=202,
        )
        await issue_all(w)
        (row,) = await rows_of(w, invoices)
        assert row.state == "reversed"

    play_sqlite(scene)


class Courier:
    """Refuses the first calls of a channel, then takes what it gets."""

    def __init__(self, **refusals):
        self.refusals = refusals
        self.taken = []

    async def send(self, method, url, body, headers):
        channel = url.rpartition("/")[2]
        if self.refusals.get(channel, 0):
            self.refusals[channel] -= 1
            if self.refusals[channel] % 2:
                raise GatewayUnknownError("no answer")
            return httpx.Response(550)
        self.taken.append((channel, msgspec.json.decode(body)))
        return httpx.Response(202)


TAX = TaxSettings(
    delivery_urls={channel: f"https://courier/{channel}" for channel in ("mail", "message", "wallet")},
    delivery_schedule_s=(10, 60, 300),
)


@pytest.mark.requirement("inv.delivery-retries-never-reissue")
def test_mails_that_bounce_are_sent_again_alone_and_issue_nothing(play_sqlite):
    async def scene(w):
        order = await w.paid_order(invoice=PERSON)
        path = f"/{order['order_id']}/invoice/deliveries"
        courier = Courier(mail=3)
        w.core.deliveries._outgoing = dict.fromkeys(("mail", "message", "wallet"), courier)
        await w.phone("POST", path, {"channel": "mail", "address": "zhang@example.cn"}, status=202)
        await w.phone("POST", path, {"channel": "message", "address": "13800138000"}, status=202)
        await w.phone("POST", path, {"channel": "wallet"}, status=202)
        for bad in (
            {"channel": "mail", "address": "zhang"},
            {"channel": "message", "address": "1380013800"},
            {"channel": "mail"},
        ):
            await w.phone("POST", path, bad, status=422)
        for _ in range(4):
            await w.run_due(later_s=30)
        assert sorted(channel for channel, _ in courier.taken) == ["message", "wallet"], (
            "the mail holds up no other"
        )
        (mail, *_) = [row for row in await rows_of(w, invoice_deliveries) if row.channel == "mail"]
        assert (mail.state, mail.address) == ("waiting", "zhang@example.cn")
        shown = await w.phone("GET", f"/{order['order_id']}/invoice", status=200)
        assert {one["address"] for one in shown["invoices"][0]["deliveries"]} == {"z***@example.cn", None}
        for _ in range(3):
            await w.run_due(later_s=400)
        assert len(courier.taken) == 3
        await w.phone("POST", path, {"channel": "mail", "address": "zhang@example.cn"}, status=202)  # resend
        await w.run_due(later_s=10)
        assert [body["invoice_number"] for _, body in courier.taken] == [shown["invoices"][0]["number"]] * 4
        rows = await rows_of(w, invoice_deliveries)
        assert {row.state for row in rows} == {"delivered"}
        assert {row.address for row in rows} == {None}, "an address is kept no longer than it is needed"
        assert [name for name, _ in w.gateway.calls].count("issue_invoice") == 1
        assert len(await rows_of(w, invoices)) == 1

    play_sqlite(scene, tax=TAX)


@pytest.mark.requirement("inv.delivery-retries-never-reissue")
def test_a_delivery_that_never_arrives_is_given_up_with_an_alarm_and_the_invoice_stays(play_sqlite):
    async def scene(w):
        order = await w.paid_order(invoice=PERSON)
        await issue_all(w)
        courier = Courier(mail=100)
        w.core.deliveries._outgoing["mail"] = courier
        path = f"/{order['order_id']}/invoice/deliveries"
        await w.phone("POST", path, {"channel": "mail", "address": "zhang@example.cn"}, status=202)
        for _ in range(8):
            await w.run_due(later_s=500)
        (row,) = await rows_of(w, invoice_deliveries)
        assert (row.state, row.tries, row.address) == ("failed", 4, None)
        assert [alarm["kind"] for alarm in (await w.admin("alarms"))["rows"]] == ["invoice_undelivered"]
        assert (await w.show(order))["invoice"]["state"] == "issued"

    play_sqlite(scene, tax=TAX)
