"""Red letters in virtual time, against the simulated platforms: refunds, wrong titles, buyers who do not agree, 72 hours."""

from __future__ import annotations

import asyncio
import random

import pytest

from protocols.fapiao import RedFormState
from reference.backend.invoices.orders import LOAD, blue_order
from reference.backend.tax import RedOrder, RedPart
from sim.taxplatform import TaxFault
from sim.wechatpay import generate_merchant, generate_platform

from .invoice_rig import ADMIN_KEY, COMPANY, EPOCH_US, HOUR_S, PERSON, SECOND, InvoiceRig

SLOW = (pytest.mark.slow, pytest.mark.timeout(120))


def first(*values):
    """The first in each run of the tests, the others in the long one."""
    return [values[0], *(pytest.param(value, marks=SLOW) for value in values[1:])]


@pytest.fixture(scope="module")
def keys():
    platform = generate_platform(valid_from_unix_s=EPOCH_US // 1_000_000 - 86_400)
    return platform, generate_merchant(platform)


async def settled(rig, order, state, *, within_s=90):
    """Wait until the invoice's only red letter is in a state."""
    end_us, step_s = rig.kernel.now_us + round(within_s * SECOND), 0.5
    while True:
        found = await rig.invoices(order)
        (letter,) = found[0]["red_letters"]
        if letter["state"] == state:
            return found[0], letter
        assert rig.kernel.now_us < end_us, f"still {letter} after {within_s} s"
        await rig.until(step_s)
        step_s = min(600.0, step_s * 1.5)


@pytest.mark.requirement("rfd.refund-of-invoiced-sale-goes-red", "inv.red-letter-has-no-three-second-limit")
@pytest.mark.parametrize("platform", first("nuonuo", "wechat", "baiwang"))
def test_a_full_refund_takes_the_invoice_back_in_its_own_time(keys, platform):
    async def play(rig):
        order = await rig.buy(COMPANY)
        blue = await rig.invoiced(order)
        asked_us = rig.kernel.now_us
        refund = await rig.refund(order, 9598)
        assert rig.kernel.now_us - asked_us < SECOND, "nobody waits for the letter"
        (letter,) = await rig.admin("red-letters")
        assert (letter["cause"], letter["amount_fen"]) == (refund["out_refund_no"], 9598)
        seen = set()
        while (found := (await rig.invoices(order))[0])["state"] != "reversed":
            seen.add((found["state"], found["red_letters"][0]["state"]))
            await rig.until(1)
        assert ("reversing", "issuing") in seen, "the customer sees how far it is"
        assert 10 * SECOND <= rig.kernel.now_us - asked_us < 30 * SECOND
        (done,) = found["red_letters"]
        assert rig.platform_reds() == [(done["number"], 9598)]
        assert done["number"] not in {None, blue["number"]}
        assert (await rig.order(order))["invoice"]["state"] == "reversed"
        assert len(await rig.invoices(order)) == 1, "nothing is invoiced anew"
        await rig.until(30)
        assert (await rig.order(order))["state"] == "REFUNDED"

    InvoiceRig(keys, platform).run(play)


@pytest.mark.requirement("rfd.refund-of-invoiced-sale-goes-red", "inv.amounts-are-consistent")
@pytest.mark.parametrize("platform", first("nuonuo", "baiwang"))
def test_partial_refunds_make_partial_red_letters_that_add_up(keys, platform):
    async def play(rig):
        order = await rig.buy()
        await rig.invoiced(order)
        refunds = (1, 333, 4000, 5264)
        for number, amount_fen in enumerate(refunds, 1):
            await rig.refund(order, amount_fen)
            while sum(red["state"] == "issued" for red in (await rig.invoice(order))["red_letters"]) < number:
                await rig.until(5)
        found = await rig.invoice(order)
        assert (found["state"], found["red_fen"]) == ("reversed", 9598)
        assert sorted(amount for _, amount in rig.platform_reds()) == sorted(refunds)
        drafts = [invoice.draft for invoice in rig.book.numbers.values()]
        (blue,) = [draft for draft in drafts if not draft.is_red]
        reds = [draft for draft in drafts if draft.is_red]
        assert -sum(red.net_fen for red in reds) == blue.net_fen
        assert -sum(red.tax_fen for red in reds) == blue.tax_fen
        quantities = [red.lines[0].figures.quantity_e8 for red in reds]
        assert -sum(quantities) == blue.lines[0].figures.quantity_e8, "the last one takes the litres"

    InvoiceRig(keys, platform).run(play)


@pytest.mark.requirement("rfd.refund-of-invoiced-sale-goes-red", "inv.fuel-quantity-equals-sale")
def test_where_only_whole_invoices_go_back_a_new_one_over_the_rest_follows(keys):
    async def play(rig):
        order = await rig.buy(COMPANY)
        await rig.invoiced(order)
        await rig.refund(order, 1000)
        await rig.refund(order, 98)  # while the first is on its way: still one letter
        await settled(rig, order, "issued")
        new = await rig.invoiced(order)
        assert (new["amount_fen"], new["volume_ml"]) == (8500, 12_290)
        assert [amount for _, _, amount in rig.platform_blues()] == [9598, 8500]
        assert [amount for _, amount in rig.platform_reds()] == [9598]
        assert (await rig.order(order))["invoice"]["number"] == new["number"]

    InvoiceRig(keys, "wechat").run(play)


@pytest.mark.requirement("inv.repeated-red-letter-is-one")
@pytest.mark.parametrize("platform", first("baiwang", "wechat", "nuonuo"))
def test_a_red_letter_asked_for_five_times_is_one(keys, platform):
    async def play(rig):
        order = await rig.buy()
        blue = await rig.invoiced(order)
        path = f"/admin/invoices/{blue['fapiao_apply_id']}/reversal"
        body = {"client_token": "once", "reason": "02"}
        for _ in range(5):
            await rig.call("POST", path, body, status=202, key=ADMIN_KEY)
        other = {"client_token": "twice", "reason": "02"}
        refused = await rig.call("POST", path, other, status=409, key=ADMIN_KEY)
        assert refused["code"] == "red_letter"
        _, letter = await settled(rig, order, "issued")
        # The call itself, repeated with our number after a lost answer or a kill, gives the letter that there is.
        core = rig.backends[0].core
        rows = await core.db.single(LOAD, {"wanted": blue["fapiao_apply_id"]})
        parts = (RedPart(0, 12_290, blue["net_fen"], blue["tax_fen"]),)
        red = RedOrder(letter["red_id"], blue_order(rig.settings.tax, rows), "02", parts, is_whole=True)
        for _ in range(5):
            assert (await core.tax[platform].enter_red(red)).number == letter["number"]
        assert rig.platform_reds() == [(letter["number"], 9598)]

    InvoiceRig(keys, platform).run(play)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.requirement("inv.repeated-red-letter-is-one")
@pytest.mark.parametrize("platform", first("nuonuo", "baiwang"))
def test_a_red_letter_that_somebody_else_entered_is_the_one(keys, platform):
    """The station's accountant reversed it in the bureau's own pages before the refund was made here."""

    async def play(rig):
        order = await rig.buy()
        blue = await rig.invoiced(order)
        rig.book.apply_red(
            rig.book.numbers[blue["number"]], platform=platform, serial="BY-HAND", by_seller=True, reason="01"
        )
        await rig.refund(order, 9598)
        _, letter = await settled(rig, order, "issued")
        assert rig.platform_reds() == [(letter["number"], 9598)]

    InvoiceRig(keys, platform).run(play)


@pytest.mark.requirement("inv.red-letter-states-are-followed")
@pytest.mark.parametrize("platform", first("baiwang", "nuonuo"))
@pytest.mark.parametrize(
    ("answer", "end", "form_state"),
    [
        pytest.param("confirm", "issued", RedFormState.CONFIRMED, marks=SLOW),
        ("deny", "denied", RedFormState.DENIED_BY_BUYER),
        (None, "expired", RedFormState.EXPIRED),
    ],
)
def test_a_buyer_who_has_used_the_invoice_has_72_hours_to_agree(keys, platform, answer, end, form_state):
    async def play(rig):
        order = await rig.buy(COMPANY)
        blue = await rig.invoiced(order)
        rig.book.take_up(blue["number"])
        await rig.refund(order, 9598)
        _, letter = await settled(rig, order, "confirming")
        assert letter["form_state"] == RedFormState.WAITS_FOR_BUYER
        if answer is not None:
            await rig.until(3 * HOUR_S)
            (form,) = rig.book.forms.values()
            getattr(rig.book, answer)(form, by_seller=False)
            found, letter = await settled(rig, order, end, within_s=2 * HOUR_S)
        else:
            await rig.until(71 * HOUR_S)
            assert (await rig.invoice(order))["red_letters"][0]["state"] == "confirming"
            found, letter = await settled(rig, order, end, within_s=2 * HOUR_S)
        assert letter["form_state"] == form_state
        alarms = [alarm for alarm in await rig.admin("alarms") if alarm["kind"] == "red_letter_ended"]
        if end == "issued":
            assert (found["state"], alarms) == ("reversed", [])
        else:
            assert (found["state"], found["number"], len(alarms)) == ("issued", blue["number"], 1)
            assert rig.platform_reds() == []

    InvoiceRig(keys, platform).run(play, until_s=76 * HOUR_S)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.requirement("inv.red-letter-states-are-followed")
@pytest.mark.parametrize("platform", first("nuonuo", "baiwang"))
def test_a_form_that_is_revoked_leaves_the_invoice_valid_and_another_may_follow(keys, platform):
    async def play(rig):
        order = await rig.buy(COMPANY)
        blue = await rig.invoiced(order)
        rig.book.take_up(blue["number"])
        path = f"/admin/invoices/{blue['fapiao_apply_id']}/reversal"
        await rig.call("POST", path, {"client_token": "a", "reason": "01"}, status=202, key=ADMIN_KEY)
        _, letter = await settled(rig, order, "confirming")
        revoke = f"/admin/red-letters/{letter['red_id']}/revocation"
        await rig.call("POST", revoke, status=202, key=ADMIN_KEY)
        found, letter = await settled(rig, order, "revoked")
        assert (found["state"], letter["form_state"]) == ("issued", RedFormState.REVOKED)
        await rig.call("POST", path, {"client_token": "b", "reason": "01"}, status=202, key=ADMIN_KEY)
        await rig.until(10)
        (form,) = [form for form in rig.book.forms.values() if form.state.is_waiting]
        rig.book.confirm(form, by_seller=False)
        await rig.invoiced(order, "reversed", within_s=900)

    InvoiceRig(keys, platform).run(play, until_s=1200)


@pytest.mark.requirement("inv.red-letter-has-no-three-second-limit", "inv.repeated-red-letter-is-one")
@pytest.mark.parametrize("platform", first("nuonuo", "wechat", "baiwang"))
def test_a_red_letter_behind_a_stall_and_a_late_answer_is_no_error(keys, platform):
    late = TaxFault(kind="reply-late", name="late", at_us=5 * SECOND, for_us=30 * SECOND, late_us=40 * SECOND)
    stall = TaxFault(kind="stall", name="slow", at_us=5 * SECOND, for_us=60 * SECOND)

    async def play(rig):
        order = await rig.buy()
        await rig.invoiced(order)
        await rig.until(6)
        await rig.refund(order, 9598)
        _, letter = await settled(rig, order, "issued", within_s=240)
        assert rig.platform_reds() == [(letter["number"], 9598)]
        assert [a["kind"] for a in await rig.admin("alarms")] == []

    rig = InvoiceRig(keys, platform, late, stall)
    rig.run(play)
    assert rig.bureau.fault_report()["late"]["landed"] >= 1


@pytest.mark.requirement("inv.one-blue-invoice-per-sale")
@pytest.mark.parametrize("platform", first("wechat", "nuonuo", "baiwang"))
def test_a_wrong_title_is_put_right_by_a_red_letter_and_a_new_invoice(keys, platform):
    async def play(rig):
        order = await rig.buy(PERSON)
        first = await rig.invoiced(order)
        for _ in range(3):
            await rig.call("POST", f"/orders/{order}/invoice/correction", {"title": COMPANY}, status=202)
        await settled(rig, order, "issued")
        second = await rig.invoiced(order)
        assert second["fapiao_apply_id"] != first["fapiao_apply_id"]
        assert len(rig.platform_blues()) == 2
        assert len(rig.platform_reds()) == 1
        found = await rig.invoices(order)
        assert [one["state"] for one in found] == ["reversed", "issued"]

    InvoiceRig(keys, platform).run(play)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.requirement("inv.red-letter-states-are-followed")
def test_a_reversal_that_failed_is_asked_for_again_until_the_buyer_agrees(keys):
    """WeChat's platform shows no form, only that the reversal failed."""

    async def play(rig):
        order = await rig.buy(COMPANY)
        blue = await rig.invoiced(order)
        mchid = rig.settings.merchant.mchid
        rig.wechat.take_up(mchid, blue["fapiao_apply_id"])
        await rig.refund(order, 9598)
        await rig.until(300)
        assert (await rig.invoice(order))["red_letters"][0]["state"] == "issuing"
        assert rig.platform_reds() == []
        rig.wechat.take_up(mchid, blue["fapiao_apply_id"], agrees=True)
        await rig.invoiced(order, "reversed", within_s=600)
        assert len(rig.platform_reds()) == 1

    InvoiceRig(keys, "wechat").run(play, until_s=1000)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.requirement("rfd.refund-of-invoiced-sale-goes-red")
@pytest.mark.parametrize("platform", first("nuonuo", "wechat"))
def test_a_refund_while_the_title_is_put_right_is_left_out_of_the_new_invoice(keys, platform):
    async def play(rig):
        order = await rig.buy(PERSON)
        await rig.invoiced(order)
        await rig.call("POST", f"/orders/{order}/invoice/correction", {"title": COMPANY}, status=202)
        await rig.refund(order, 1598)
        await settled(rig, order, "issued")
        new = await rig.invoiced(order)
        assert new["amount_fen"] == 8000
        await rig.until(60)
        assert [amount for _, _, amount in rig.platform_blues()] == [9598, 8000]
        assert [amount for _, amount in rig.platform_reds()] == [9598]

    InvoiceRig(keys, platform).run(play)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.requirement("rfd.refund-of-invoiced-sale-goes-red", "inv.merged-invoices-use-each-fen-once")
@pytest.mark.parametrize("platform", first("nuonuo", "wechat", "baiwang"))
def test_a_refund_of_one_of_merged_orders_takes_back_its_line_only(keys, platform):
    async def play(rig):
        orders = [await rig.buy(None, nozzle) for nozzle in (1, 2, 4)]
        wanted = {
            "client_token": "merge",
            "invoices": [{"title": COMPANY, "items": [{"order_id": order} for order in orders]}],
        }
        await rig.call("POST", "/invoices", wanted, status=201)
        await rig.invoiced(orders[0])
        await rig.refund(orders[1], 9598)
        await rig.until(45)
        assert (await rig.order(orders[0]))["invoice"]["state"] == "issued"
        kept = sum(amount for _, _, amount in rig.platform_blues()) - sum(a for _, a in rig.platform_reds())
        assert kept == 2 * 9598
        last = (await rig.invoices(orders[2]))[-1]
        assert last["amount_fen"] - last["red_fen"] == 2 * 9598

    InvoiceRig(keys, platform).run(play)


@pytest.mark.requirement("inv.amounts-are-consistent", "rfd.refund-of-invoiced-sale-goes-red")
def test_points_and_coupons_are_a_discount_and_balance_is_money(keys):
    """95.98 yuan of fuel, of it 3 in points, 10 by a coupon and 25 from the balance: 82.98 are invoiced, over all the litres."""

    async def play(rig):
        funds = {
            "client_token": "g",
            "openid": rig.openid,
            "points": 500,
            "balance_fen": 4000,
            "reason": "opening",
        }
        await rig.call("POST", "/admin/grants", funds, status=201, key=ADMIN_KEY)
        coupon = {
            "coupon_id": "c-1",
            "openid": rig.openid,
            "worth_fen": 1000,
            "expires_us": rig.kernel.unix_us + 86_400 * SECOND,
        }
        await rig.call("POST", "/admin/coupons", coupon, status=201, key=ADMIN_KEY)
        parts = {"points": 300, "coupon_id": "c-1", "balance_fen": 2500}
        order = await rig.buy(COMPANY, parts=parts)
        found = await rig.invoiced(order)
        assert (found["amount_fen"], found["volume_ml"]) == (9598 - 300 - 1000, 12_290)
        # 57.98 yuan came over WeChat: those go back first, then balance. Points that go back were in no invoice.
        await rig.refund(order, 5798)
        await rig.until(30)
        assert (await rig.invoice(order))["red_fen"] == 5798
        await rig.refund(order, 2500)
        await rig.until(30)
        found = await rig.invoice(order)
        assert (found["state"], found["red_fen"]) == ("reversed", 8298)
        await rig.refund(order, 300)
        await rig.until(30)
        assert len((await rig.invoice(order))["red_letters"]) == 2

    InvoiceRig(keys, "nuonuo").run(play)


@pytest.mark.requirement(
    "inv.one-blue-invoice-per-sale", "inv.repeated-red-letter-is-one", "rfd.refund-of-invoiced-sale-goes-red"
)
@pytest.mark.parametrize("platform", first("nuonuo", "wechat", "baiwang"))
@pytest.mark.parametrize("seed", first(*range(6)))
def test_an_instance_killed_at_any_instant_leaves_one_invoice_and_one_letter(keys, platform, seed):
    """Three sales, one of them refunded in part, one for another title; the instance that serves them drops dead meanwhile."""
    rng = random.Random(f"{platform}/{seed}")
    late = TaxFault(kind="reply-late", name="late", late_us=30 * SECOND, probability=0.3)

    async def play(rig):
        async def die(after_s):
            await rig.until(after_s)
            rig.backends[0].kill()

        orders = [await rig.buy() for _ in range(3)]
        dying = asyncio.create_task(die(rng.uniform(0, 1)))
        await rig.until(rng.uniform(0, 1.5))
        for order in orders:
            await rig.invoiced(order, within_s=240)
        await dying
        rig.backends[0].core.outbox.start()
        dying = asyncio.create_task(die(rng.uniform(0, 15)))
        await rig.refund(orders[0], 598)
        await rig.call("POST", f"/orders/{orders[1]}/invoice/correction", {"title": COMPANY}, status=202)
        await dying
        await rig.until(300)
        valid = {}
        for order in orders:
            found = await rig.invoices(order)
            assert [one["state"] for one in found if one["state"] not in {"issued", "reversed"}] == []
            valid[order] = sum(one["amount_fen"] - one["red_fen"] for one in found)
        assert list(valid.values()) == [9000, 9598, 9598]
        blues, reds = rig.platform_blues(), rig.platform_reds()
        assert sum(fen for _, _, fen in blues) - sum(fen for _, fen in reds) == sum(valid.values())
        assert len({serial for serial, _, _ in blues}) == len(blues)
        assert len(reds) == 2

    InvoiceRig(keys, platform, late, instances=2, seed=f"kill/{seed}").run(play, until_s=1200)
