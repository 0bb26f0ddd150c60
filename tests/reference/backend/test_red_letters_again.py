"""Red letters that ended without success: everybody can see it, the refund goes on, and there is one way to ask again."""

from __future__ import annotations

import pytest

from sim.wechatpay import generate_merchant, generate_platform

from .invoice_rig import ADMIN_KEY, COMPANY, EPOCH_US, HOUR_S, InvoiceRig

SLOW = (pytest.mark.slow, pytest.mark.timeout(120))


@pytest.fixture(scope="module")
def keys():
    platform = generate_platform(valid_from_unix_s=EPOCH_US // 1_000_000 - 86_400)
    return platform, generate_merchant(platform)


async def letters(rig):
    return [(row["state"], row["amount_fen"]) for row in await rig.admin("red-letters")]


async def come_to(rig, wanted, within_s=3 * HOUR_S):
    """Wait until the states of all red letters, oldest first, are these."""
    step_s, waited_s = 1.0, 0.0
    while [state for state, _ in await letters(rig)] != wanted:
        assert waited_s < within_s, f"still {await letters(rig)}"
        await rig.until(step_s)
        waited_s, step_s = waited_s + step_s, min(300.0, step_s * 1.5)
    return (await rig.admin("red-letters"))[-1]


async def answer(rig, how):
    """The buyer does something about the only form that waits."""
    (form,) = [form for form in rig.book.forms.values() if form.state.is_waiting]
    getattr(rig.book, how)(form, by_seller=False)


async def retry(rig, red_id, status=202):
    return await rig.call("POST", f"/admin/red-letters/{red_id}/retry", status=status, key=ADMIN_KEY)


async def taken_up(rig):
    """An invoiced order whose buyer has used the invoice, so that the buyer has to agree."""
    order = await rig.buy(COMPANY)
    blue = await rig.invoiced(order)
    rig.book.take_up(blue["number"])
    return order, blue


@pytest.mark.requirement("rfd.refund-of-invoiced-sale-goes-red", "inv.red-letter-states-are-followed")
@pytest.mark.parametrize("end", ["denied", pytest.param("expired", marks=SLOW)])
def test_a_partial_refund_whose_red_letter_fails_is_not_held_back_and_asked_again_once(keys, end):
    async def play(rig):
        order, blue = await taken_up(rig)
        await rig.refund(order, 1000)
        await come_to(rig, ["confirming"])
        if end == "denied":
            await answer(rig, "deny")
        letter = await come_to(rig, [end], within_s=75 * HOUR_S)
        done = await rig.order(order)
        assert (done["state"], done["refunded_fen"]) == ("COMPLETED", 1000), "the refund is not held back"
        alarm = next(alarm for alarm in await rig.admin("alarms") if alarm["kind"] == "red_letter_ended")
        assert f"/v1/admin/red-letters/{letter['red_id']}/retry" in alarm["detail"]
        for _ in range(3):
            shown = await retry(rig, letter["red_id"])
        assert [one["state"] for one in shown["red_letters"]] == [end, "asked"]
        await come_to(rig, [end, "confirming"])
        await retry(rig, letter["red_id"])
        await answer(rig, "confirm")
        last = await come_to(rig, [end, "issued"])
        await retry(rig, letter["red_id"])
        assert "issued" in (await retry(rig, last["red_id"], status=409))["message"]
        assert rig.platform_reds() == [(last["number"], 1000)]
        found = await rig.invoice(order)
        assert (found["state"], found["number"], found["red_fen"]) == ("issued", blue["number"], 1000)

    InvoiceRig(keys, "nuonuo").run(play, until_s=85 * HOUR_S)


@pytest.mark.requirement("rfd.refund-of-invoiced-sale-goes-red", "inv.amounts-are-consistent")
def test_a_later_refund_takes_back_what_was_denied_and_then_there_is_nothing_to_ask_for(keys):
    async def play(rig):
        order, _ = await taken_up(rig)
        await rig.refund(order, 1000)
        await come_to(rig, ["confirming"])
        await answer(rig, "deny")
        letter = await come_to(rig, ["denied"])
        await rig.refund(order, 500)
        assert await letters(rig) == [("denied", 1000), ("asked", 1500)]
        assert "on its way" in (await retry(rig, letter["red_id"], status=409))["message"]
        await come_to(rig, ["denied", "confirming"])
        await answer(rig, "deny")
        second = await come_to(rig, ["denied", "denied"])
        await retry(rig, letter["red_id"])  # whichever of them is asked for again, it is for all that is due
        assert (await retry(rig, second["red_id"], status=409))["code"] == "red_letter"
        assert await letters(rig) == [("denied", 1000), ("denied", 1500), ("asked", 1500)]
        await come_to(rig, ["denied", "denied", "confirming"])
        await answer(rig, "confirm")
        await come_to(rig, ["denied", "denied", "issued"])
        assert (await rig.invoice(order))["red_fen"] == 1500

    InvoiceRig(keys, "nuonuo").run(play, until_s=10 * HOUR_S)


@pytest.mark.requirement("inv.red-letter-states-are-followed", "inv.one-blue-invoice-per-sale")
def test_a_wrong_title_that_was_denied_is_asked_for_again_without_what_went_back(keys):
    async def play(rig):
        order, _ = await taken_up(rig)
        await rig.refund(order, 1000)
        await come_to(rig, ["confirming"])
        await answer(rig, "deny")
        await come_to(rig, ["denied"])
        title = {"title": {"title_type": "INDIVIDUAL", "name": "李四", "taxpayer_id": None}}
        await rig.call("POST", f"/orders/{order}/invoice/correction", title, status=202)
        await come_to(rig, ["denied", "confirming"])
        await answer(rig, "deny")
        letter = await come_to(rig, ["denied", "denied"])
        await retry(rig, letter["red_id"])
        await come_to(rig, ["denied", "denied", "confirming"])
        await answer(rig, "deny")
        letter = await come_to(rig, ["denied"] * 3)
        await retry(rig, letter["red_id"])
        await come_to(rig, ["denied"] * 3 + ["confirming"])
        await answer(rig, "confirm")
        await come_to(rig, ["denied"] * 3 + ["issued"])
        new = await rig.invoiced(order)
        assert (new["amount_fen"], new["volume_ml"]) == (8598, 12_290)
        assert [amount for _, amount in rig.platform_reds()] == [9598]

    InvoiceRig(keys, "nuonuo").run(play, until_s=20 * HOUR_S)


def test_the_desks_own_letter_is_asked_for_again_and_others_are_refused(keys):
    async def play(rig):
        order, blue = await taken_up(rig)
        path = f"/admin/invoices/{blue['fapiao_apply_id']}/reversal"
        await rig.call("POST", path, {"client_token": "a", "reason": "03"}, status=202, key=ADMIN_KEY)
        await come_to(rig, ["confirming"])
        await answer(rig, "deny")
        letter = await come_to(rig, ["denied"])
        await retry(rig, letter["red_id"])
        await come_to(rig, ["denied", "confirming"])
        await answer(rig, "confirm")
        last = await come_to(rig, ["denied", "issued"])
        assert (last["reason"], last["amount_fen"]) == ("03", 9598)
        assert (await rig.invoice(order))["state"] == "reversed"
        assert (await retry(rig, "RNONE", status=404))["code"] == "unknown_red_letter"
        url = f"/admin/red-letters/{letter['red_id']}/retry"
        await rig.call("POST", url, status=401)

    InvoiceRig(keys, "nuonuo").run(play, until_s=10 * HOUR_S)


@pytest.mark.requirement("rfd.refund-of-invoiced-sale-goes-red", "inv.merged-invoices-use-each-fen-once")
def test_a_merged_invoice_is_asked_for_again_line_by_line(keys):
    async def play(rig):
        orders = [await rig.buy(None) for _ in range(2)]
        items = [{"order_id": order} for order in orders]
        body = {"client_token": "m", "invoices": [{"title": COMPANY, "items": items}]}
        await rig.call("POST", "/invoices", body, status=201)
        blue = await rig.invoiced(orders[0])
        rig.book.take_up(blue["number"])
        await rig.refund(orders[1], 700)
        await come_to(rig, ["confirming"])
        await answer(rig, "deny")
        letter = await come_to(rig, ["denied"])
        await retry(rig, letter["red_id"])
        await come_to(rig, ["denied", "confirming"])
        await answer(rig, "confirm")
        await come_to(rig, ["denied", "issued"])
        assert [line["red_fen"] for line in (await rig.invoice(orders[0]))["lines"]] == [
            700 * (line["order_id"] == orders[1]) for line in blue["lines"]
        ]

    InvoiceRig(keys, "nuonuo").run(play, until_s=10 * HOUR_S)
