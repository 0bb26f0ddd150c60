"""Payments over UnionPay: its codes, its notices, its reversals, and what its cashier's page brings back."""

from __future__ import annotations

import asyncio
import re
from types import SimpleNamespace

import httpx
import pytest

from protocols.unionpay import CODES, encode_form, encode_reply
from reference.backend.gateways.outgoing import Outgoing
from reference.backend.gateways.port import GatewayRefusedError, GatewayUnknownError
from reference.backend.gateways.unionpay import UnionPayClient
from reference.backend.identifiers import Identifiers
from sim.unionpay import GatewayFault, Signer

NOW_US = 1_767_225_600_000_000
ROUTES = ("unionpay-qr", "unionpay-jump", "unionpay-page")


async def finger(s, sheet, channel, who="zhang", status=200):
    """The payer pays in whatever way the channel has opened."""
    if channel == "unionpay-qr":
        await s.union_confirm(status, who, qr_code=sheet["qr_code"])
    elif channel == "unionpay-jump":
        await s.union_confirm(status, who, union_path=sheet["jump"]["path"], password=True, sms_code=True)
    else:
        await s.union_confirm(status, who, page=await open_page(s, sheet))


async def open_page(s, sheet):
    """The browser posts the form and sees the cashier; gives its name."""
    body = encode_form(sheet["form"]["fields"])
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    reply = await s.browser.post(sheet["form"]["url"], content=body, headers=form)
    assert reply.status_code == 302, reply.text
    page = await s.browser.get(reply.headers["Location"])
    assert page.status_code == 200, page.text
    return next(trade for trade in s.union.ledger.trades if "page" in trade.handles).handles["page"]


# Codes


def wanted(code):
    """The classes as published: 00 good; 01 to 09 unknown; 10 to 89 refused; what is odd beyond is unknown."""
    if code in {"00", "A6"}:
        return "SUCCESS"
    if code == "42":
        return "SUCCESS"  # money was taken, late: it is dealt with as money
    if code in {"12", "37", "60", "70", "74", "75", "83"} or not code.isdigit():
        return "NOTPAY"
    return "NOTPAY" if int(code) < 10 or int(code) > 89 else "PAYERROR"


@pytest.mark.requirement("pay.unionpay-classes-map-to-states")
@pytest.mark.parametrize("band", ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "A"])
def test_every_code_becomes_the_right_state(gateway_keys, band):
    platform, merchant = gateway_keys[1]
    signer = Signer(platform)
    said = {}

    def answer(request):
        fields = dict(
            said, merId=merchant.credentials.mer_id, version="5.1.0", signMethod="01", encoding="UTF-8"
        )
        return httpx.Response(200, content=encode_reply(signer.sign(fields, merchant.account, None)))

    outgoing = Outgoing(httpx.MockTransport(answer), lambda: NOW_US, Identifiers(None), 5, 4)
    client = UnionPayClient(
        merchant.credentials,
        outgoing,
        outgoing,
        url="https://u",
        acquirer_url=None,
        back_url="https://b/v1",
        clock_us=lambda: NOW_US,
    )
    payment = SimpleNamespace(
        out_trade_no="A" * 32, amount_fen=1, created_us=NOW_US, expires_us=NOW_US + 900_000_000
    )

    async def story():
        codes = [code for code in CODES if code.startswith(band)]
        assert codes or band == "2" or band == "5", "no code of this band is known"
        for code in codes:
            common = {"orderId": "A" * 32, "txnTime": "20260101080000"}
            said.clear()
            said.update(common, txnType="00", respCode="00", origRespCode=code, queryId="1" * 21, txnAmt="1")
            report = await client.query("A" * 32, NOW_US)
            assert report.state == wanted(code), code
            # The same code as the reply to a payment: accepted at most, never paid.
            said.clear()
            said.update(common, txnType="01", respCode=code)
            fate = {"SUCCESS": "accepted", "NOTPAY": "unknown", "PAYERROR": "refused"}[wanted(code)]
            try:
                await client.apply(client.trade(payment, sub_type="07"))
                got = "accepted"
            except GatewayUnknownError:
                got = "unknown"
            except GatewayRefusedError as error:
                got = "refused" if error.code == code else error.code
            assert got == ("unknown" if code == "42" else fate), code

    asyncio.run(story())


@pytest.mark.requirement("pay.unionpay-classes-map-to-states")
def test_what_the_classes_do_to_an_order(shop):
    """Unknown keeps the attempt and asks; refused frees the order; either way nobody pays twice."""
    faults = [
        GatewayFault(
            name=f"c{code}",
            kind="answer",
            at=("consume-qr",),
            code=code,
            after_commit=done,
            limit=1,
        )
        for code, done in [("04", True), ("10", False), ("31", False), ("64", False)]
    ]

    async def scene(s):
        order = await s.order()
        refused = await s.pay(order, "unionpay-qr", status=503)
        assert (refused["code"], (await s.show(order))["state"]) == ("payment_unknown", "PAYING")
        # The code of that one is lost for ever: it is reversed before another is made.
        for status in (502, 502, 502):
            await s.pay(order, "unionpay-qr", status=status)
            assert (await s.show(order))["state"] == "PAYABLE"
        assert [str(trade.state) for trade in s.union.ledger.trades] == ["reversed"]
        sheet = await s.pay(order, "unionpay-qr")
        await finger(s, sheet, "unionpay-qr")
        await s.until(order, "PAID")
        assert s.charged() == 9600
        assert await s.alarms() == ["prepay_refused"] * 3

    shop(union_faults=faults).run(scene)


# Notices and the way back


@pytest.mark.requirement("pay.unionpay-front-url-proves-nothing", "pay.duplicate-callbacks-have-one-effect")
def test_notices_come_many_times_and_the_way_back_decides_nothing(shop):
    duplicates = GatewayFault(kind="notice-duplicate", copies=20, delay_us=1_000_000)

    async def scene(s):
        await s.grant(points=100)
        orders = []
        for nozzle, channel in enumerate(ROUTES, start=1):
            order = await s.order(nozzle=nozzle)
            sheet = await s.pay(order, channel, parts={"points": 10})
            if channel == "unionpay-page":
                await open_page(s, sheet)
                url = sheet["form"]["fields"]["frontUrl"]
                trade = s.union.ledger.trades[-1]
                lie = encode_form(s.union.notice_fields(trade) | {"respCode": "00", "respMsg": "success"})
                for method in ("GET", "POST"):
                    back = await s.client.request(method, url, content=lie)
                    assert back.status_code == 200
            result = {"result": "ok"}
            await s.call("POST", f"/v1/orders/{order}/client-result", result, await s.phone())
            await asyncio.sleep(5)
            assert (await s.show(order))["state"] == "PAYING"
            page = s.union.ledger.trades[-1].handles.get("page")
            if page:
                await s.union_confirm(page=page)
            else:
                await finger(s, sheet, channel)
            orders.append(order)
        for order in orders:
            await s.until(order, "PAID")
        await asyncio.sleep(30)
        assert all(len(notice.attempts) >= 1 for notice in s.union.notifier.notices)
        entries = [row["entry_key"] for row in await s.rows("ledger") if row["kind"] == "payment"]
        assert len(entries) == len(set(entries)) == 6
        commands = (await s.call("GET", "/v1/stations/KM01/commands"))["commands"]
        assert sorted(command["kind"] for command in commands) == ["print"] * 3 + ["settled"] * 3
        assert (await s.me())["points"] == 70
        assert {row["channel"] for row in await s.rows("payments")} == set(ROUTES)

    shop(instances=2, union_faults=[duplicates]).run(scene)


def test_forged_notices_and_lost_ones(shop):
    """Seven forgeries change nothing; true notices that never come are made up for by queries within a minute."""
    forgeries = (
        "tampered",
        "wrong-key",
        "foreign-chain",
        "other-name",
        "no-signature",
        "single-hash",
        "old-version",
    )
    faults = [GatewayFault(name=f"forged-{f}", kind="notice-forged", forgery=f, limit=1) for f in forgeries]
    faults.append(GatewayFault(kind="notice-lost", attempts=0))

    async def scene(s):
        for nozzle in range(1, 8):
            order = await s.order(nozzle=nozzle)
            sheet = await s.pay(order, "unionpay-qr")
            await asyncio.sleep(2)
            assert (await s.show(order))["state"] == "PAYING"
            started_us = s.kernel.now_us
            await finger(s, sheet, "unionpay-qr")
            await s.until(order, "PAID")
            assert s.kernel.now_us - started_us <= 60_000_000
        landed = s.union.faults.report()
        assert all(fault["landed"] == 1 for name, fault in landed.items() if name.startswith("forged"))
        assert {row["proof"] for row in await s.rows("payments")} == {"query"}

    shop(union_faults=faults).run(scene)


# Reversals


@pytest.mark.requirement("pay.paid-in-the-gap-ends-once")
def test_a_notice_of_a_payment_that_was_reversed_since_is_no_payment(shop):
    """The attendant gives up while the payer types the password; its notice comes half a minute after the reversal."""
    late = GatewayFault(kind="notice-late", delay_us=30_000_000)

    async def driver(s, nozzle, at_us):
        who = f"driver{nozzle}"
        sale = await s.sale(200_000, nozzle=nozzle)
        code = await s.union_code(who)
        shown = await s.scan(sale, code, token=f"scan-{nozzle}")
        started_us = s.kernel.now_us
        body = {"qr_no": code, "delay_us": at_us, "then": "confirm"}
        await s.union_payer.post(f"/payers/{who}/dawdle", json=body)
        await asyncio.sleep((started_us + 20_000_000 - s.kernel.now_us) / 1e6)
        path = f"/v1/stations/KM01/orders/{shown['order_id']}/cancel"
        await s.client.post(path, json={}, headers={"Authorization": "Bearer station-key-of-km01"})
        await s.until(shown["order_id"], "PAID", "CANCELLED", "CLOSED", within_s=200, every_s=5)
        await asyncio.sleep(800)  # all five notices
        order = await s.show(shown["order_id"])
        (trade,) = [trade for trade in s.union.ledger.trades if trade.payer == who]
        return order["state"], str(trade.state), trade.done_us is not None

    async def scene(s):
        instants = [10_000_000, *range(19_600_000, 20_400_001, 80_000), 30_000_000]
        drivers = (driver(s, n, at_us) for n, at_us in enumerate(instants, start=1))
        ends = set(await asyncio.gather(*drivers))
        # Paid before; paid in the gap and given back; never paid. Nothing else, such as paid with the money gone.
        assert ends == {
            ("PAID", "success", True),
            ("CANCELLED", "reversed", True),
            ("CANCELLED", "reversed", False),
        }

    shop(union_faults=[late]).run(scene, until_s=1500)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_money_taken_after_the_end_is_found_and_goes_where_it_belongs(shop):
    """The order had expired, the payer pays all the same, and no notice tells: a late look does."""
    late = GatewayFault(kind="charged-late")

    async def scene(s):
        still_owed, settled = await s.order(nozzle=1), await s.order(nozzle=2)
        sheets = [await s.pay(order, "unionpay-qr") for order in (still_owed, settled)]
        for order in (still_owed, settled):
            await s.until(order, "CLOSED", "PAYABLE", within_s=4000, every_s=30)
        await asyncio.sleep(1000)
        for row in await s.rows("sales"):
            if row["nozzle"] == 2:
                body = {"client_token": "c", "tender": "cash", "amount_fen": 9600}
                await s.call("POST", f"/v1/stations/KM01/sales/{row['sale_id']}/settle", body)
        for sheet in sheets:
            await finger(s, sheet, "unionpay-qr")
        await asyncio.sleep(5000)
        assert (await s.show(still_owed))["state"] == "PAID"
        assert (await s.show(settled))["state"] == "REFUNDED"
        assert s.charged() == 9600

    shop(union_faults=[late], query_schedule_s=(15, 60, 600)).run(scene, until_s=20_000)


# Giving back


def test_prepaid_fuel_that_was_not_delivered_goes_back_over_unionpay(shop):
    """All of it on the same clearing day by a cancel (31), a part of it by a refund (04)."""

    async def scene(s):
        for nozzle, delivered in ((1, 0), (2, 6000)):
            order = await s.order_for(nozzle=nozzle, mode="prepay", preset_fen=20_000)
            sheet = await s.pay(order, "unionpay-qr")
            await finger(s, sheet, "unionpay-qr")
            await s.until(order, "PAID")
            if delivered:
                await s.sale(delivered, nozzle, order_id=order)
            else:
                for command in (await s.call("GET", "/v1/stations/KM01/commands"))["commands"]:
                    body = {"ok": False, "reason": "pump out of order"}
                    await s.call("POST", f"/v1/stations/KM01/commands/{command['id']}/result", body)
            shown = await s.until(order, "REFUNDED", "COMPLETED")
            assert shown["paid_fen"] - shown["refunded_fen"] == delivered
        kinds = [trade.kind for trade in s.union.ledger.trades]
        assert kinds == ["consume-qr", "cancel", "consume-qr", "refund"]
        assert s.charged() == 6000
        refunds = [row for row in await s.rows("ledger") if row["kind"] == "refund"]
        assert [re.search("unionpay", row["content"]) is not None for row in refunds] == [True, True]

    shop().run(scene)
