"""UnionPay's settlement file against the books: through the gateway at the declared hour, and row by row from a writer of its own."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import io
import zipfile
import zlib

import httpx
import pytest

from protocols.unionpay import SettlementFileError, encode_reply
from reference.backend.gateways.outgoing import Outgoing
from reference.backend.gateways.port import GatewayRefusedError, GatewayUnknownError
from reference.backend.gateways.unionpay import UnionPayClient
from reference.backend.identifiers import Identifiers
from sim.unionpay import GatewayFault, Signer, Switches

from .conftest import ADMIN
from .test_unionpay_channels import NOW_US, finger

DAY = dt.date(2026, 1, 1)  # the rig begins at 08:00 of it in China
HOUR_S = 3600
WIDTHS = (
    3, 11, 11, 6, 10, 19, 12, 4, 2, 21, 2, 32, 2, 6, 10, 13, 13, 4, 15, 2, 2, 6, 2, 4, 32, 1, 21, 15, 1, 15, 32, 13, 13, 8, 32, 13,
    13, 12, 2, 1, 32, 98,
)  # fmt: skip


async def paid(s, nozzle=1, amount_fen=9600):
    order = await s.order(nozzle=nozzle, amount_fen=amount_fen)
    await finger(s, await s.pay(order, "unionpay-qr"), "unionpay-qr")
    await s.until(order, "PAID", "COMPLETED")
    return order


async def given_back(s, nozzle, delivered_fen):
    """Prepaid fuel of 200 yuan of which so much was delivered: a cancel (nothing) or a refund."""
    order = await s.order_for(nozzle=nozzle, mode="prepay", preset_fen=20_000)
    await finger(s, await s.pay(order, "unionpay-qr"), "unionpay-qr")
    await s.until(order, "PAID")
    if delivered_fen:
        await s.sale(delivered_fen, nozzle, order_id=order)
    else:
        for command in (await s.call("GET", "/v1/stations/KM01/commands"))["commands"]:
            body = {"ok": False, "reason": "pump out of order"}
            await s.call("POST", f"/v1/stations/KM01/commands/{command['id']}/result", body)
    await s.until(order, "REFUNDED", "COMPLETED")


async def result(s, day=DAY, bill="unionpay"):
    """(kind, subject, number) of the differences, how many rows matched, the run."""
    shown = await s.call("GET", f"/v1/admin/reconciliations/{day}?matched=true", headers=ADMIN)
    rows = [row for row in shown["differences"] if row["bill"] == bill]
    runs = [run for run in shown["bills"] if run["bill"] == bill]
    differences = [(row["kind"], row["subject"], row["number"]) for row in rows if row["kind"] != "matched"]
    return differences, len(rows) - len(differences), runs[0] if runs else None


# Through the gateway


FAULTS = [
    GatewayFault(kind="bill-missing", name="missing", limit=1),
    GatewayFault(kind="bill-amount", name="amount", limit=1, skip=1),
    GatewayFault(kind="bill-extra", name="extra", limit=1, skip=3),
    GatewayFault(kind="bill-other-day", name="other-day", limit=1, skip=1),
]


@pytest.mark.requirement("pay.reconciliation-finds-differences")
def test_the_next_mornings_file_shows_what_the_gateway_left_out_added_or_changed(shop):
    async def scene(s):
        for nozzle in range(1, 4):
            await paid(s, nozzle)
        await given_back(s, 4, 0)
        await given_back(s, 5, 6000)
        # WeChat's payments are in no file of UnionPay.
        order = await s.order(nozzle=6)
        await s.confirm(await s.pay(order))
        await s.until(order, "PAID", "COMPLETED")
        await asyncio.sleep(27 * HOUR_S)
        differences, matched, run = await result(s)
        planted = {
            (one.kind, "refund" if one.is_refund else "payment", one.order_id)
            for one in s.union.settlements.planted
        }
        numbers = {kind: number for kind, _, number in planted}
        (refund,) = [row for row in await s.rows("refunds") if row["amount_fen"] == 14_000]
        assert sorted(differences) == sorted(
            [
                ("missing_there", "payment", numbers["bill-missing"]),
                ("amount_differs", "payment", numbers["bill-amount"]),
                ("missing_here", "refund", numbers["bill-extra"]),
                ("missing_there", "refund", refund["out_refund_no"]),
            ]
        )
        assert (matched, run["state"], len(planted)) == (4, "differs", 4)
        told = [alarm for alarm in await s.rows("alarms") if alarm["kind"].startswith("reconciliation")]
        assert [alarm["subject"] for alarm in told] == ["unionpay bill of 2026-01-01"]
        # The other bills know nothing of UnionPay.
        assert (await result(s, bill="trade"))[:2] == ([], 1)
        await asyncio.sleep(24 * HOUR_S)
        assert (await result(s, DAY + dt.timedelta(days=1)))[:2] == (
            [],
            1,
        )  # the refund that stood in the next file

    shop(union_faults=FAULTS, reconcile_at_s=10 * HOUR_S + 900).run(scene, until_s=60 * HOUR_S)


@pytest.mark.requirement("pay.reconciliation-finds-differences")
def test_what_is_paid_after_23_is_looked_for_in_the_next_days_file(shop):
    async def scene(s):
        await asyncio.sleep(15 * HOUR_S - 2)  # 22:59:58
        await paid(s, 1)
        await asyncio.sleep(60)
        await paid(s, 2)
        await asyncio.sleep(12 * HOUR_S)
        assert (await result(s))[:2] == ([], 1)
        await asyncio.sleep(24 * HOUR_S)
        assert (await result(s, DAY + dt.timedelta(days=1)))[:2] == ([], 1)
        assert [alarm for alarm in await s.alarms() if alarm.startswith("reconciliation")] == []

    shop(reconcile_at_s=10 * HOUR_S + 900).run(scene, until_s=60 * HOUR_S)


def test_a_file_that_is_late_is_asked_for_again_and_one_that_never_comes_is_missed(shop):
    """98 says both, so until noon it is "not yet"."""

    async def scene(s):
        await paid(s)
        await asyncio.sleep(26.5 * HOUR_S)  # half past ten: not there
        assert (await result(s))[2] is None
        assert (await result(s, bill="trade"))[2] is not None  # nothing else waits for it
        reply = await s.call("POST", f"/v1/admin/reconciliations/{DAY}", None, ADMIN, status=503)
        assert "no settlement file of 2026-01-01 yet" in reply["message"]
        await asyncio.sleep(1.3 * HOUR_S)  # there since 11:00
        assert (await result(s))[:2] == ([], 1)
        s.union.switches = s.union.gate.switches = Switches(no_file_code="98", file_ready_s=10**9)
        s.union.settlements._switches = s.union.switches
        await paid(s, 2)
        asked = s.union.gate.refused["98"]
        await asyncio.sleep(24.5 * HOUR_S)
        assert 10 < s.union.gate.refused["98"] - asked < 25  # every ten minutes
        day = DAY + dt.timedelta(days=1)
        ((kind, subject, _),), matched, run = await result(s, day)
        assert (kind, subject, matched, run["sha1"]) == ("missing_there", "payment", 0, None)

    shop(union={"switches": Switches(file_ready_s=11 * HOUR_S)}, reconcile_at_s=9 * HOUR_S).run(
        scene, until_s=70 * HOUR_S
    )


def test_a_file_that_is_kept_no_longer_spoils_no_result(shop):
    async def scene(s):
        await paid(s)
        await asyncio.sleep(30 * HOUR_S)
        path = f"/v1/admin/reconciliations/{DAY}"
        again = await s.call("POST", path, None, ADMIN)
        assert [run["runs"] for run in again["bills"]] == [2, 2, 2]
        await asyncio.sleep(4 * 24 * HOUR_S)
        reply = await s.call("POST", path, None, ADMIN, status=502)
        assert "was compared before and is not there any more" in reply["message"]
        assert (await result(s))[:2] == ([], 1)
        # What it would get for a day of a year ago is this year's.
        with pytest.raises(GatewayRefusedError, match="2025-01-05 cannot be asked for any more"):
            await s.backends[0].core.reconciliation.run(dt.date(2025, 1, 5), "unionpay")

    shop(union={"switches": Switches(file_kept_days=3)}, reconcile_at_s=10 * HOUR_S + 900).run(
        scene, until_s=140 * HOUR_S
    )


def test_a_day_without_unionpay_has_no_file_and_no_difference(shop):
    async def scene(s):
        await asyncio.sleep(30 * HOUR_S)
        differences, matched, run = await result(s)
        assert (differences, matched, run["state"]) == ([], 0, "matched")
        assert [alarm for alarm in await s.alarms() if alarm.startswith("reconciliation")] == []

    shop(reconcile_at_s=9 * HOUR_S).run(scene, until_s=40 * HOUR_S)


def test_a_file_that_is_not_signed_by_the_platform_is_not_believed(shop):
    fault = GatewayFault(
        kind="reply-signature", name="f", forgery="wrong-key", at=("file-transfer",), limit=3
    )

    async def scene(s):
        await paid(s)
        await asyncio.sleep(26 * HOUR_S)
        assert s.union.faults.report()["f"]["landed"] == 3
        differences, matched, run = await result(s)
        assert (differences, matched, run["runs"]) == ([], 1, 1)

    shop(union_faults=[fault], reconcile_at_s=9 * HOUR_S).run(scene, until_s=40 * HOUR_S)


def test_instances_share_the_work_and_one_that_dies_loses_none_of_it(shop):
    async def scene(s):
        await paid(s)
        await asyncio.sleep(25 * HOUR_S - 60)
        await s.kill(0)
        await s.kill(1)
        await asyncio.sleep(HOUR_S)
        assert (await result(s))[:2] == ([], 1)

    shop(instances=2, reconcile_at_s=9 * HOUR_S).run(scene, until_s=40 * HOUR_S)


# Row by row


def line(cells):
    return (
        b" ".join(cells.get(n, "").encode("gbk").ljust(width) for n, width in enumerate(WIDTHS, 1)) + b"\r\n"
    )


def cells_of(trade, **changes):
    """A row of the file, from the gateway's trade and the published table alone."""
    cells = {
        1: "S22" if trade.txn_type == "01" else "S30", 4: trade.trace_no, 5: "0101100000", 7: f"{trade.amount_fen:012d}",
        10: trade.query_id, 12: trade.order_id, 16: "C000000000000", 17: f"C{trade.amount_fen:012d}", 20: trade.txn_type, 21: "07",
        27: trade.original.query_id if trade.original else "", 28: trade.mer_id,
    }  # fmt: skip
    return cells | {int(name[1:]): value for name, value in changes.items()}


@pytest.mark.requirement("pay.reconciliation-finds-differences")
def test_each_row_is_on_both_sides_or_in_the_list(shop):
    async def scene(s):
        for nozzle in range(1, 7):
            await paid(s, nozzle, 1_000 * nozzle)
        await given_back(s, 7, 6000)
        unpaid = await s.order(nozzle=8)
        await s.pay(unpaid, "unionpay-qr")
        wechat = await s.order(nozzle=9)
        await s.confirm(await s.pay(wechat))
        *payments, refunded, refund, open_ = s.union.ledger.trades
        (wechat_order,) = s.wechat.ledger.orders
        (refund_row,) = await s.rows("refunds")
        core = s.backends[0].core

        async def compare(*lines):
            findings = await s.database.run(
                lambda tx: core.reconciliation.compare(tx, DAY, "unionpay", b"".join(lines))
            )
            assert findings
            return await result(s)

        whole = [line(cells_of(trade)) for trade in (*payments, refunded, refund)]
        assert (await compare(*whole))[:2] == ([], 8)
        # In another order, and a second time: the same.
        differences, matched, run = await compare(*reversed(whole))
        assert (differences, matched, run["runs"]) == ([], 8, 2)

        p = [trade.order_id for trade in payments]
        odd = line(cells_of(payments[0], c10="9" * 21, c12="NOBODYS1"))
        cases = {
            ("missing_there", "payment", p[0]): whole[1:],
            ("missing_there", "refund", refund_row["out_refund_no"]): whole[:-1],
            ("missing_here", "payment", "NOBODYS1"): [*whole, odd],
            ("duplicated", "payment", p[0]): [whole[0], *whole],
            ("amount_differs", "payment", p[1]): [
                *whole[:1], line(cells_of(payments[1], c7="000000002001")), *whole[2:]
            ],
            ("number_differs", "payment", p[2]): [
                *whole[:2], line(cells_of(payments[2], c10="1" * 21)), *whole[3:]
            ],
            ("amount_differs", "refund", refund_row["out_refund_no"]): [
                *whole[:-1], line(cells_of(refund, c7="000000014001"))
            ],
            ("state_differs", "payment", open_.order_id): [*whole, line(cells_of(open_))],
            # A payment over another gateway does not become UnionPay's by its number.
            ("missing_here", "payment", wechat_order.out_trade_no): [
                *whole, line(cells_of(payments[0], c10="2" * 21, c12=wechat_order.out_trade_no))
            ],
            ("missing_here", "refund", "NOBODYS2"): [*whole, line(cells_of(refund, c12="NOBODYS2", c10="3" * 21))],
            ("missing_here", "fund", "NOBODYS3"): [
                *whole, line(cells_of(payments[0], c12="NOBODYS3", c10="4" * 21, c20="03"))
            ],
            ("unreadable", "bill", ""): [*whole, b"x" * 500 + b"\n"],
        }  # fmt: skip
        for difference, lines in cases.items():
            differences, matched, run = await compare(*lines)
            assert differences == [difference], difference
            assert run["compared"] == matched + 1
        foreign = [*whole[:5], line(cells_of(payments[5], c28="777290058110049")), *whole[6:]]
        assert (await compare(*foreign))[0] == [("foreign", "payment", p[5])]
        # A refund of one payment in the name of another's is not that refund.
        moved = [*whole[:-1], line(cells_of(refund, c27=payments[0].query_id))]
        assert {kind for kind, _, _ in (await compare(*moved))[0]} == {"missing_here", "missing_there"}
        assert len((await compare())[0]) == 8

    shop().run(scene, until_s=3000)


# The answer


def test_only_an_answer_to_this_request_is_taken(gateway_keys):
    platform, merchant = gateway_keys[1]
    own, signer = merchant.credentials, Signer(platform)
    said = {}

    def packed(name):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr(name, b"")
        return base64.b64encode(zlib.compress(out.getvalue())).decode()

    good = {
        "respCode": "00", "merId": own.mer_id, "txnTime": "20260101080000", "settleDate": "1231", "fileType": "00",
        "fileContent": packed(f"INN25123188ZM_{own.mer_id}"),
    }  # fmt: skip

    def answer(request):
        asked = dict(httpx.QueryParams(request.content.decode()))
        assert (asked["txnType"], asked["settleDate"], asked["fileType"]) == ("76", "1231", "00")
        assert "orderId" not in asked
        fields = {name: value for name, value in said.items() if value is not None}
        return httpx.Response(200, content=encode_reply(signer.sign(fields, merchant.account, None)))

    outgoing = Outgoing(httpx.MockTransport(answer), lambda: NOW_US, Identifiers(None), 5, 4)
    client = UnionPayClient(
        own,
        outgoing,
        outgoing,
        url="https://u",
        acquirer_url=None,
        back_url="https://b",
        clock_us=lambda: NOW_US,
    )

    async def ask(**more):
        said.clear()
        said.update({**good, **more})
        return await client.settlement_file(dt.date(2025, 12, 31))

    async def scene():
        assert await ask() == b""
        assert await ask(settleDate=None, fileType=None) == b""  # that they come back is one source's word
        assert await ask(respCode="98", fileContent=None) is None
        for code in ("10", "31"):
            with pytest.raises(GatewayRefusedError):
                await ask(respCode=code)
        for more in (
            {"txnTime": "20250101080000"},  # last year's answer, signed as well
            {"txnTime": None},
            {"settleDate": "1230"},
            {"respCode": "98", "txnTime": "20250101080000"},
            {"respCode": "03"},
            {"respCode": "99"},
            {"merId": "777290058110049"},
        ):
            with pytest.raises(GatewayUnknownError):
                await ask(**more)
        for content in (
            None,
            "",
            "x",
            packed(f"INN24123188ZM_{own.mer_id}"),
            packed("INN25123188ZM_777290058110049"),
        ):
            with pytest.raises(SettlementFileError):
                await ask(fileContent=content)

    asyncio.run(scene())
