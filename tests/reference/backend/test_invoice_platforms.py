"""Each tax platform from the payment to the invoice and back, against the simulators, in virtual time."""

from __future__ import annotations

import pytest
from starlette.responses import Response

from sim.taxplatform import TaxFault
from sim.wechatpay import GatewayFault, generate_merchant, generate_platform

from .invoice_rig import COMPANY, EPOCH_US, PLATFORMS, SECOND, InvoiceRig


def first(*values):
    """The first in each run of the tests, the others in the long one."""
    marks = (pytest.mark.slow, pytest.mark.timeout(120))
    return [values[0], *(pytest.param(value, marks=marks) for value in values[1:])]


@pytest.fixture(scope="module")
def keys():
    platform = generate_platform(valid_from_unix_s=EPOCH_US // 1_000_000 - 86_400)
    return platform, generate_merchant(platform)


@pytest.mark.requirement("inv.issued-and-pushed-in-three-seconds", "inv.fuel-quantity-equals-sale")
@pytest.mark.parametrize("platform", PLATFORMS)
def test_paid_and_issued_within_three_seconds(keys, platform):
    async def play(rig):
        order = await rig.buy(COMPANY)
        paid_us = rig.kernel.now_us
        found = await rig.invoiced(order, within_s=3)
        assert rig.kernel.now_us - paid_us < 3 * SECOND
        assert rig.platform_blues() == [(found["fapiao_apply_id"], found["number"], 9598)]
        assert (found["platform"], found["amount_fen"], found["volume_ml"]) == (platform, 9598, 12_290)
        assert found["net_fen"] + found["tax_fen"] == 9598
        assert (await rig.order(order))["invoice"]["state"] == "issued"

    InvoiceRig(keys, platform).run(play)


def accepted(rig):
    """When orders reached a platform, µs."""
    return [event["t_us"] for event in rig.events if event["kind"] == "fapiao.accepted"]


@pytest.mark.requirement("inv.lost-login-pauses-the-queue", "inv.answered-while-issuing")
@pytest.mark.parametrize("kind", first("login-lost", "face-check"))
def test_a_lost_login_pauses_the_queue_and_everything_is_issued_when_it_is_back(keys, kind):
    lost = TaxFault(kind=kind, name="gone", at_us=2 * SECOND, for_us=300 * SECOND)

    async def play(rig):
        await rig.until(3)
        orders = [await rig.buy()]
        await rig.until(
            20
        )  # the first is accepted and not issued: the service asks why, and stops handing in
        handed_in = len(accepted(rig))
        orders += [await rig.buy(COMPANY) for _ in range(9)]
        assert [(await rig.order(order))["invoice"]["state"] for order in orders] == ["issuing"] * 10
        await rig.until(60)
        assert len(accepted(rig)) == handed_in == 1
        assert {(await rig.invoice(order))["waits"] for order in orders} <= {"login", "face"}
        (hold,) = await rig.admin("tax-holds")
        assert hold["why"] == ("login" if kind == "login-lost" else "face")
        alarms = [alarm for alarm in await rig.admin("alarms") if alarm["kind"] == "invoice_waits"]
        assert len(alarms) == 1
        for order in orders:
            await rig.invoiced(order, within_s=400)
        assert len(rig.platform_blues()) == 10
        released = accepted(rig)[1:]
        assert min(b - a for a, b in zip(released, released[3:], strict=False)) >= SECOND, (
            "more than 5 a second"
        )
        assert await rig.admin("tax-holds") == []

    rig = InvoiceRig(keys, "nuonuo", lost, tax={"release_per_s": 3})
    rig.run(play)
    assert rig.bureau.fault_report()["gone"]["landed"] >= 1


@pytest.mark.requirement("inv.fuel-quantity-equals-sale")
@pytest.mark.parametrize("platform", first("wechat", "nuonuo", "baiwang"))
def test_over_the_stock_is_refused_queued_and_issued_when_there_is_more(keys, platform):
    async def play(rig):
        rig.shorten_stock(20)
        orders = [await rig.buy() for _ in range(3)]
        await rig.invoiced(orders[0])
        await rig.until(40)
        waiting = [(await rig.invoice(order))["waits"] for order in orders]
        assert waiting == [None, "stock", "stock"]
        assert len(rig.platform_blues()) == 1, "20 litres are one invoice over 12.29"
        assert len([a for a in await rig.admin("alarms") if a["kind"] == "invoice_waits"]) == 1
        rig.shorten_stock(1000)
        for order in orders:
            assert (await rig.invoiced(order, within_s=400))["waits"] is None
        assert len(rig.platform_blues()) == 3

    InvoiceRig(keys, platform).run(play)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.requirement("inv.fuel-quantity-equals-sale", "inv.one-blue-invoice-per-sale")
def test_when_an_application_may_not_be_tried_again_the_invoice_waits_under_a_new_number(keys):
    """WeChat's platform gives an application four tries; the stock comes back after three hours."""

    async def play(rig):
        rig.shorten_stock(1)
        order = await rig.buy()
        await rig.until(3 * 3600)
        (row,) = await rig.admin("invoices")
        assert (row["state"], row["waits"]) == ("issuing", "stock")
        assert len(rig.wechat.applications) > 1
        assert row["fapiao_apply_id"] in {number for _, number in rig.wechat.applications}
        rig.shorten_stock(1000)
        found = await rig.invoiced(order, within_s=900)
        assert len(rig.platform_blues()) == 1
        assert rig.platform_blues()[0][0] == found["fapiao_apply_id"]
        tries = [len(application.fapiaos) for application in rig.wechat.applications.values()]
        assert max(tries) <= 4

    InvoiceRig(keys, "wechat").run(play, until_s=6 * 3600)


@pytest.mark.requirement("inv.answered-while-issuing", "inv.one-blue-invoice-per-sale")
@pytest.mark.parametrize("platform", first("baiwang", "wechat", "nuonuo"))
@pytest.mark.parametrize("stall_s", first(600, 1, 30))
def test_a_stalled_platform_shows_issuing_at_once_and_the_invoice_later(keys, platform, stall_s):
    stall = TaxFault(kind="stall", name="slow", at_us=SECOND // 2, for_us=stall_s * SECOND)

    async def play(rig):
        order = await rig.buy()
        asked_us = rig.kernel.now_us
        assert (await rig.order(order))["invoice"]["state"] == "issuing"
        assert rig.kernel.now_us - asked_us < 3 * SECOND
        await rig.invoiced(order, within_s=stall_s + 120)
        assert len(rig.platform_blues()) == 1

    rig = InvoiceRig(keys, platform, stall)
    rig.run(play, until_s=stall_s + 200)
    assert rig.bureau.fault_report()["slow"]["landed"] == 1


@pytest.mark.requirement("inv.one-blue-invoice-per-sale", "inv.existing-order-leads-to-query")
@pytest.mark.parametrize("platform", first("nuonuo", "wechat", "baiwang"))
def test_answers_that_come_late_are_time_outs_and_no_second_invoices(keys, platform):
    late = TaxFault(kind="reply-late", name="late", late_us=60 * SECOND, limit=2)

    async def play(rig):
        orders = [await rig.buy() for _ in range(2)]
        for order in orders:
            await rig.invoiced(order)
        serials = [serial for serial, _, _ in rig.platform_blues()]
        assert len(set(serials)) == len(serials) == 2

    rig = InvoiceRig(keys, platform, late)
    rig.run(play)
    assert rig.bureau.fault_report()["late"]["landed"] == 2


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.requirement("inv.one-blue-invoice-per-sale")
def test_an_invoice_that_cannot_be_sealed_is_an_invoice_and_sealed_again(keys):
    unsealed = TaxFault(kind="seal", name="unsealed", limit=1)

    async def play(rig):
        order = await rig.buy()
        found = await rig.invoiced(order)
        await rig.until(5)
        assert rig.platform_blues() == [(found["fapiao_apply_id"], found["number"], 9598)]
        (order_there,) = rig.nuonuo.orders.of("91530100MA6K00001X")
        assert order_there.status.name == "ISSUED"

    InvoiceRig(keys, "nuonuo", unsealed).run(play)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_nuonuo_is_asked_for_one_token_a_day_by_all_instances(keys):
    """The token endpoint answers 50 calls in 30 days, however many instances there are."""

    async def play(rig):
        for _ in range(4):
            await rig.invoiced(await rig.buy())
            await rig.until(9 * 3600)
        tokens = [event for event in rig.events if event.get("path") == "/accessToken"]
        assert len([event for event in tokens if event["kind"] == "http"]) == 2

    InvoiceRig(keys, "nuonuo", instances=2).run(play, until_s=48 * 3600)


@pytest.mark.requirement("inv.invoice-never-delays-leaving")
def test_payments_take_as_long_with_the_tax_platform_down_as_with_it_up(keys):
    """No callback arrives, so each payment needs one of the same hands that would wait for the tax platform."""
    down = TaxFault(kind="accept-stall", name="down", at_us=SECOND, for_us=3600 * SECOND)

    def durations(*faults):
        async def play(rig):
            taken = []
            await rig.until(2)
            for _ in range(8):
                began_us = rig.kernel.now_us
                await rig.buy()
                taken.append(rig.kernel.now_us - began_us)
            return taken

        silent = GatewayFault(kind="callback-lost", name="silent", events=("TRANSACTION.SUCCESS",))
        rig = InvoiceRig(
            keys,
            "wechat",
            *faults,
            gateway_faults=[silent],
            workers=2,
            query_schedule_s=(2, 2, 5),
            tax={"calls_at_once": 1},
        )
        return rig.run(play), rig

    up, _ = durations()
    slow, rig = durations(down)
    assert rig.bureau.fault_report()["down"]["landed"] >= 3
    # The network's delays are drawn in the order of the calls, so single payments differ; their worst must not.
    assert max(slow) <= max(up) + 200_000
    assert sum(slow) <= sum(up) * 1.05


@pytest.mark.requirement("inv.invoice-never-delays-leaving")
def test_trouble_on_the_invoice_pages_of_the_payment_host_slows_no_payment(keys):
    """A host that answers 5xx is asked more slowly; here only its invoice pages have trouble."""

    async def play(rig):
        taken = []
        for _ in range(6):
            began_us = rig.kernel.now_us
            await rig.buy()
            taken.append(rig.kernel.now_us - began_us)
        return taken

    def durations(broken):
        rig = InvoiceRig(keys, "wechat")
        healthy = rig.gateway.app

        async def front(scope, receive, send):
            if broken and scope["type"] == "http" and "fapiao" in scope["path"]:
                await Response(b"", 502)(scope, receive, send)
            else:
                await healthy(scope, receive, send)

        rig.network.register("api.mch.weixin.qq.com", front)
        return rig.run(play)

    assert max(durations(broken=True)) <= max(durations(broken=False)) + 100_000
