"""Refunds that need a person: sent on, or paid in cash at the station; never both, never twice."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest
from sqlalchemy import text

from reference.backend.audit import audit
from reference.backend.gateways.port import (
    GatewayRefusedError,
    GatewayUnknownError,
    GatewayUnreachableError,
    Notice,
    RefundReport,
)
from reference.backend.reconciliation.match import Ours, _agree
from reference.backend.refunds.by_hand import RefundRemedies, SentOn

from .refund_rig import ADMIN_KEY, CARD, CASH, MERCHANTS, alarms, ask, everything
from .shift_rig import Pumps, report, settle

SEALED = base64.b64encode(bytes(range(255, -1, -1))).decode()


async def abnormal(w, amount_fen=9600):
    w.gateway.refund_state = "ABNORMAL"
    order = await w.paid_order()
    refund = await ask(w, order, amount_fen)
    await w.run_due()
    return order, refund["out_refund_no"]


class Onward:
    """A gateway's call to send a refund on, with the outcome that the test wants."""

    def __init__(self, w, outcome, core=None):
        self.w, self.outcome, self.calls = w, outcome, []
        (core or w.core).channels.elsewhere["wechatpay"] = self

    async def pay_elsewhere(self, *, refund_id, out_refund_no, card):
        self.calls.append((refund_id, out_refund_no, card))
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        self.w.gateway.refunds[out_refund_no]["state"] = self.outcome
        return self.w.gateway._refund_report(out_refund_no)


async def post(w, number, what, body, status):
    return await w.call("POST", f"/v1/admin/refunds/{number}/{what}", body, key=ADMIN_KEY, status=status)


async def cash_entries(w):
    rows = (await w.admin("ledger"))["rows"]
    return [(row["amount_fen"], json.loads(row["content"])) for row in rows if row["kind"] == "refund"]


@pytest.mark.requirement("rfd.refunds-never-exceed-paid")
def test_cash_is_on_the_ledger_once_by_whom_and_when(play):
    async def scene(w):
        await w.add()
        order, number = await abnormal(w, 9000)
        replies = await asyncio.gather(
            *(
                w.clients[n % 2].post(
                    f"/v1/admin/refunds/{number}/cash",
                    json=CASH | {"client_token": f"c{n // 3}"},
                    headers={"Authorization": f"Bearer {ADMIN_KEY}"},
                )
                for n in range(12)
            )
        )
        assert sorted(reply.status_code for reply in replies) == [200] * 2 + [201] + [409] * 9
        assert await cash_entries(w) == [(9000, {"tender": "cash", "by": "王站长"})]
        (remedy,) = (await w.admin("refund-remedies"))["rows"]
        assert (remedy["kind"], remedy["state"], remedy["asked_us"]) == ("CASH", "done", w.now_us)
        shown = await w.show(order)
        assert (shown["state"], shown["refunded_fen"]) == ("COMPLETED", 9000)
        assert (await ask(w, order, 601, "t2", status=409))["code"] == "too_much"
        w.gateway.refund_state = "SUCCESS"
        await ask(w, order, 600, "t3")
        await w.run_due(later_s=61)
        shown = await w.show(order)
        assert (shown["state"], shown["refunded_fen"]) == ("REFUNDED", 9600)
        assert await w.violations() == []

    play(scene)


@pytest.mark.requirement("rfd.refunds-never-exceed-paid")
def test_a_held_refund_paid_in_cash_is_never_sent(play_sqlite):
    async def scene(w):
        order = await w.paid_order()
        w.now_us += 366 * 86_400 * 1_000_000
        refund = await ask(w, order, 9600)
        await w.run_due()
        number = refund["out_refund_no"]
        assert (await post(w, number, "elsewhere", MERCHANTS, 409))["code"] == "not_abnormal"
        assert (await post(w, number, "cash", CASH, 201))["state"] == "CASH"
        assert (await post(w, number, "retry", None, 200))["state"] == "CASH"
        await w.run_due(later_s=100)
        assert w.gateway.refunds == {}
        (row,) = (await w.admin("orders"))["rows"]
        assert (row["order_id"], row["state"], row["refunded_fen"]) == (order["order_id"], "REFUNDED", 9600)
        assert await w.violations() == []

    play_sqlite(scene)


def test_no_cash_for_what_the_gateway_has_meanwhile_paid_or_sends_on(play_sqlite):
    async def scene(w):
        _, number = await abnormal(w)
        w.gateway.refunds[number]["state"] = "PROCESSING"  # somebody has seen to it at the platform itself
        assert (await post(w, number, "cash", CASH, 409))["code"] == "not_abnormal"
        (row,) = (await w.admin("refunds"))["rows"]
        assert row["state"] == "PROCESSING"
        assert (await post(w, number, "cash", CASH, 409))["code"] == "not_settleable"
        w.gateway.refunds[number]["state"] = "ABNORMAL"
        await w.run_due(later_s=61)
        w.gateway.refunds[number]["state"] = "SUCCESS"
        assert (await post(w, number, "cash", CASH, 409))["code"] == "not_abnormal"
        assert await cash_entries(w) == [(9600, {})]
        assert await w.violations() == []

    play_sqlite(scene)


@pytest.mark.parametrize(
    ("refuse", "unknown", "status"),
    [(None, "query_refund", 503), (GatewayRefusedError(403, "NO_AUTH", "no"), None, 502)],
)
def test_no_cash_while_the_gateway_does_not_say_how_it_stands(play_sqlite, refuse, unknown, status):
    async def scene(w):
        _, number = await abnormal(w)
        if refuse is not None:
            w.gateway.refuse["query_refund"] = refuse
        if unknown is not None:
            w.gateway.unknown.append(unknown)
        await post(w, number, "cash", CASH, status)
        assert await cash_entries(w) == []
        w.gateway.refuse.clear()
        await post(w, number, "cash", CASH, 201)

    play_sqlite(scene)


@pytest.mark.requirement("rfd.refunds-never-exceed-paid")
def test_after_an_answer_that_was_lost_no_cash_until_the_call_cannot_land_any_more(play_sqlite):
    async def scene(w):
        order, number = await abnormal(w)
        onward = Onward(w, GatewayUnknownError("no answer"))
        assert (await post(w, number, "elsewhere", MERCHANTS, 503))["code"] == "gateway_silent"
        assert (await post(w, number, "elsewhere", MERCHANTS, 202))["state"] == "PROCESSING", (
            "it is looked at"
        )
        assert len(onward.calls) == 1
        await w.run_due(later_s=61)  # the gateway knows nothing of it, so far
        assert (await w.admin("refunds"))["rows"][0]["state"] == "ABNORMAL"
        assert (await post(w, number, "cash", CASH, 409))["code"] == "too_early"
        w.now_us += 600_000_000
        await post(w, number, "cash", CASH, 201)
        assert (await post(w, number, "elsewhere", MERCHANTS | {"client_token": "s2"}, 409))[
            "code"
        ] == "not_abnormal"
        # And if it lands after all that, a person hears of it, and it is not booked.
        report = RefundReport(number, "SUCCESS", "5", 9600)
        await w.core.refunds.apply(report)
        await w.core.refunds.apply(RefundReport(number, "CLOSED", "5", 9600))
        assert await alarms(w) == ["refund_abnormal", "refund_abnormal", "refund_contradicted"]
        assert await cash_entries(w) == [(9600, {"tender": "cash", "by": "王站长"})]
        assert (await w.show(order))["refunded_fen"] == 9600
        assert await w.violations() == []

    play_sqlite(scene)


@pytest.mark.requirement("rfd.refunds-never-exceed-paid")
@pytest.mark.parametrize(
    ("outcome", "status"), [("PROCESSING", 202), (GatewayUnknownError("no answer"), 503)]
)
def test_a_late_notice_of_the_first_bounce_does_not_undo_a_refund_that_was_sent_on(
    play_sqlite, outcome, status
):
    async def scene(w):
        _, number = await abnormal(w)
        bounce = Notice("n1", "REFUND.ABNORMAL", refund=w.gateway._refund_report(number))
        Onward(w, outcome)
        await post(w, number, "elsewhere", MERCHANTS, status)
        w.gateway.refunds[number]["state"] = "PROCESSING"
        w.gateway.open_notice = lambda headers, body: bounce
        for at_the_gateway in ("PROCESSING", "ABNORMAL"):
            w.gateway.refunds[number]["state"] = at_the_gateway
            w.now_us += 1_000_000
            assert await w.notify("") == 204
            assert (await w.admin("refunds"))["rows"][0]["state"] == "PROCESSING", "the query decides"
            assert (await post(w, number, "cash", CASH, 409))["code"] == "not_settleable"
            await w.run_due()
            assert (await w.admin("refunds"))["rows"][0]["state"] == at_the_gateway
        assert await alarms(w) == ["refund_abnormal", "refund_abnormal"]
        assert await w.violations() == []

    play_sqlite(scene)


@pytest.mark.requirement("rfd.refunds-never-exceed-paid")
def test_no_cash_on_an_answer_from_before_the_refund_was_sent_on_and_bounced_again(play_sqlite):
    async def scene(w):
        _, number = await abnormal(w)
        Onward(w, "PROCESSING")
        ask_gateway = w.gateway.query_refund

        async def slow(out_refund_no):
            w.gateway.query_refund = ask_gateway
            answer = await ask_gateway(out_refund_no)
            w.now_us += 1_000_000
            await post(w, number, "elsewhere", MERCHANTS, 202)
            await w.core.refunds.apply(answer)
            assert (await w.admin("refunds"))["rows"][0]["state"] == "ABNORMAL"
            return answer

        w.gateway.query_refund = slow
        assert (await post(w, number, "cash", CASH, 409))["code"] == "not_settleable"
        assert await cash_entries(w) == []

    play_sqlite(scene)


@pytest.mark.requirement("rfd.refunds-never-exceed-paid")
@pytest.mark.parametrize(
    ("outcome", "status"),
    [(GatewayUnreachableError("no connection"), 503), (GatewayRefusedError(403, "NO_AUTH", "no"), 502)],
)
def test_a_retry_without_effect_says_nothing_of_the_call_before_it(play_sqlite, outcome, status):
    async def scene(w):
        _, number = await abnormal(w)
        onward = Onward(w, GatewayUnknownError("no answer"))
        await post(w, number, "elsewhere", MERCHANTS, 503)
        await w.run_due(later_s=61)
        onward.outcome = outcome
        for _ in range(2):
            await post(w, number, "elsewhere", MERCHANTS, status)
        assert len(onward.calls) == 3
        assert (await w.admin("refunds"))["rows"][0]["state"] == "ABNORMAL"
        assert (await post(w, number, "cash", CASH, 409))["code"] == "too_early"
        w.now_us += 600_000_010
        await post(w, number, "cash", CASH, 201)
        assert await w.violations() == []

    play_sqlite(scene)


@pytest.mark.requirement("rfd.refunds-never-exceed-paid")
def test_a_call_that_fails_late_says_nothing_of_the_one_after_it(play_sqlite):
    async def scene(w):
        _, number = await abnormal(w)
        onward = Onward(w, GatewayUnreachableError("no connection"))
        at_once = onward.pay_elsewhere

        async def slow(**asked):
            onward.pay_elsewhere = at_once
            await w.run_due(
                later_s=61
            )  # meanwhile the gateway says that it is still abnormal, so somebody asks again
            onward.outcome = GatewayUnknownError("no answer")
            await post(w, number, "elsewhere", MERCHANTS, 503)
            raise GatewayUnreachableError("no connection")

        onward.pay_elsewhere = slow
        assert (await post(w, number, "elsewhere", MERCHANTS, 503))["code"] == "gateway_silent"
        (remedy,) = (await w.admin("refund-remedies"))["rows"]
        assert remedy["state"] == "asked", "the second call may have had its effect"
        assert (await w.admin("refunds"))["rows"][0]["state"] == "PROCESSING"
        await w.run_due(later_s=61)
        assert (await post(w, number, "cash", CASH, 409))["code"] == "too_early"
        assert await w.violations() == []

    play_sqlite(scene)


def test_the_same_token_sends_on_again_what_certainly_had_no_effect(play_sqlite):
    async def scene(w):
        order, number = await abnormal(w)
        onward = Onward(w, GatewayUnreachableError("no connection"))
        await post(w, number, "elsewhere", MERCHANTS, 503)
        onward.outcome = "SUCCESS"
        assert (await post(w, number, "cash", MERCHANTS | {"to": "x"}, 422))["field"] == "to"
        assert (await post(w, number, "cash", CASH | {"client_token": "s1"}, 409))["code"] == "token_reused"
        assert (await post(w, number, "elsewhere", MERCHANTS, 202))["state"] == "SUCCESS"
        assert (await post(w, number, "elsewhere", MERCHANTS, 202))["state"] == "SUCCESS"
        assert len(onward.calls) == 2
        assert (await w.show(order))["state"] == "REFUNDED"
        await w.run_due(later_s=100)
        assert await w.violations() == []

    play_sqlite(scene)


@pytest.mark.requirement("rfd.refunds-never-exceed-paid")
def test_cash_and_sending_on_at_once_are_one_of_them(play):
    async def scene(w):
        await w.add()
        order, number = await abnormal(w)
        onwards = [Onward(w, "SUCCESS", backend.core) for backend in w.backends]
        wishes = [("cash", CASH), ("elsewhere", MERCHANTS)] * 4
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        replies = await asyncio.gather(
            *(
                w.clients[n % 4 // 2].post(
                    f"/v1/admin/refunds/{number}/{what}",
                    json=wish | {"client_token": f"{what}-{n}"},
                    headers=headers,
                )
                for n, (what, wish) in enumerate(wishes)
            )
        )
        assert sum(reply.is_success for reply in replies) == 1
        assert {reply.status_code for reply in replies} <= {201, 202, 409}
        (refund,) = (await w.admin("refunds"))["rows"]
        sent_on = sum(len(onward.calls) for onward in onwards)
        assert (sent_on, refund["state"]) in {(0, "CASH"), (1, "SUCCESS")}
        assert len(await cash_entries(w)) == 1
        assert (await w.show(order))["refunded_fen"] == 9600
        assert await w.violations() == []

    play(scene)


@pytest.mark.parametrize("had_its_effect", [True, False])
def test_an_instance_that_dies_in_the_call_leaves_somebody_to_look(play_sqlite, had_its_effect):
    async def scene(w):
        order, number = await abnormal(w)
        Onward(w, asyncio.CancelledError())
        with pytest.raises(asyncio.CancelledError):
            await RefundRemedies(w.core).send_on(number, SentOn(**MERCHANTS))
        if had_its_effect:
            w.gateway.refunds[number]["state"] = "SUCCESS"
        await w.run_due(later_s=61)
        (refund,) = (await w.admin("refunds"))["rows"]
        assert refund["state"] == ("SUCCESS" if had_its_effect else "ABNORMAL")
        refused = await post(w, number, "cash", CASH, 409)
        assert refused["code"] == ("not_settleable" if had_its_effect else "too_early")
        assert (await w.show(order))["refunded_fen"] == 9600 * had_its_effect
        assert await w.violations() == []

    play_sqlite(scene)


def test_a_gateway_that_cannot_send_on_says_so(play_sqlite):
    async def scene(w):
        _, number = await abnormal(w)
        w.core.channels.elsewhere.clear()
        assert (await post(w, number, "elsewhere", MERCHANTS, 409))["code"] == "not_offered"
        for what, body in (("elsewhere", MERCHANTS), ("cash", CASH)):
            await post(w, "none", what, body, 404)
            await w.call(
                "POST", f"/v1/admin/refunds/{number}/{what}", body, key="station-key-of-km01", status=401
            )

    play_sqlite(scene)


@pytest.mark.requirement("shift.close-balances")
def test_cash_that_was_paid_out_is_missing_in_the_drawer_by_so_much(play_sqlite):
    async def scene(w):
        pumps = Pumps(w)
        await pumps.hand_over(1)
        sold = await pumps.sell(2, 5_000)
        await settle(w, sold["sale_id"], 5_000)
        await pumps.sell(1, 9_600)
        w.gateway.refund_state = "ABNORMAL"
        order = await w.order(1)
        asked = await w.pay(order)
        w.gateway.pay(asked["out_trade_no"])
        await w.notify(asked["out_trade_no"])
        refund = await ask(w, order, 1000)
        await w.run_due()
        await post(w, refund["out_refund_no"], "cash", CASH, 201)
        await pumps.hand_over(2, cash=4_000)
        shown = await report(w, 1)
        assert (shown["cash_expected_fen"], shown["cash_difference_fen"], shown["electronic_fen"]) == (
            4_000,
            0,
            9_600,
        )

    play_sqlite(scene)


# Card numbers


CLEAR = [
    ({"bank_account": CARD}, "bank_account"),
    ({"bank_account": CARD.ljust(344, "0")}, "bank_account"),
    ({"bank_account": base64.b64encode(CARD.encode().ljust(256)).decode()}, "bank_account"),
    ({"bank_account": base64.b64encode(bytes(200)).decode().ljust(344, "=")}, "bank_account"),
    ({"real_name": "张三"}, "real_name"),
    ({"bank_type": CARD}, "bank_type"),
    ({"serial": CARD}, "serial"),
    ({"serial": f"PUB_KEY_ID_{CARD}"}, "serial"),
    ({"note": CARD}, "note"),
]


def test_a_card_number_in_clear_is_refused_before_anything_is_done(play_sqlite):
    async def scene(w):
        _, number = await abnormal(w)
        onward = Onward(w, "PROCESSING")
        good = {"bank_type": "ICBC_DEBIT", "bank_account": SEALED, "real_name": SEALED, "serial": "AB" * 20}
        for changes, field in CLEAR:
            body = MERCHANTS | {"to": "USER_BANK_CARD", "card": good | changes}
            refused = await post(w, number, "elsewhere", body, 422)
            assert refused["field"] == f"card.{field}", changes
            assert CARD not in json.dumps(refused)
        for wrong in (MERCHANTS | {"card": good}, MERCHANTS | {"to": "USER_BANK_CARD"}):
            await post(w, number, "elsewhere", wrong, 422)
        await post(w, number, "cash", CASH | {"reason": CARD}, 422)
        assert onward.calls == []
        assert CARD not in await w.database.run(everything)
        await post(w, number, "elsewhere", MERCHANTS | {"to": "USER_BANK_CARD", "card": good}, 202)
        assert onward.calls[0][2].bank_account == SEALED

    play_sqlite(scene)


# Those who look at it


def test_broken_cash_that_is_not_booked_is_seen(play_sqlite):
    async def scene(w):
        order, number = await abnormal(w)
        statement = text("UPDATE refunds SET state = 'CASH' WHERE out_refund_no = :number")
        await w.database.run(lambda tx: tx.execute(statement, {"number": number}))
        found = await w.violations()
        assert f"order {order['order_id']}: 0 fen refunded, 9600 confirmed" in found
        assert f"refund {number} is CASH, and 0 payments in cash are on record for it" in found
        assert await w.database.run(audit) == found

    play_sqlite(scene)


def test_the_bill_may_say_that_the_platform_gave_nothing():
    ours = Ours("refund", "r1", "5", 100, "CASH", 100, "p1")
    assert [state for state in ("SUCCESS", "PROCESSING", "CHANGE", "FAIL") if _agree(ours, state)] == [
        "PROCESSING",
        "CHANGE",
        "FAIL",
    ]
