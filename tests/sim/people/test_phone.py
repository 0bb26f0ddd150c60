"""Phone and till against a small fake backend on the in-memory network, in virtual time."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .phone_rig import DELIVERED, WHO, Rig, S, plan


def test_order_fuel_pay_and_see_the_invoice(rig: Rig) -> None:
    car = plan()

    def visit():
        assert (yield rig.phones.order(car, WHO, 5))
        rig.kernel.call_later(
            60 * S, lambda: rig.backend.update(state="PAYABLE", volume_ml=20_000, amount_fen=15_200)
        )
        yield rig.kernel.env.timeout(61 * S)
        paid = yield rig.phones.pay(car, WHO, 5, DELIVERED)
        rig.phones.forget(car)
        return paid

    assert rig.run(visit()) is True
    asked = rig.backend.order["asked"]
    assert asked["invoice"] == {
        "title_type": "ORGANIZATION",
        "name": WHO.company,
        "taxpayer_id": WHO.taxpayer_id,
    }
    assert (asked["mode"], asked["nozzle"], asked["preset_fen"]) == ("postpay", 5, None)
    assert [e["state"] for e in rig.told("phone.invoice")] == ["issuing", "issued"]
    tapped, sheet, confirmed, paid = (
        rig.told(f"phone.{k}")[0]["t_us"] for k in ("pay_tapped", "sheet", "confirmed", "paid")
    )
    assert sheet - tapped == 20_000  # one leg there, one back
    assert confirmed - sheet == 8 * S  # the payer
    assert (
        paid - confirmed == 10_000 + 100_000 + 10_000
    )  # leg to the payer desk, its work, the push to the phone
    assert rig.told("phone.trouble") == []


def test_a_pre_paid_order_is_paid_first(rig: Rig) -> None:
    car = plan(prepaid=True, preset_fen=15_200)

    def visit():
        return (yield rig.phones.order(car, WHO, 5))

    assert rig.run(visit()) is True
    assert rig.backend.order["asked"]["mode"] == "prepay"
    assert rig.backend.order["asked"]["preset_fen"] == 15_200
    assert [e["state"] for e in rig.told("phone.state")] == ["CREATED", "PAYING", "PAID", "AUTHORISED"]


def test_a_pre_paid_order_is_paid_once_on_the_screen(rig: Rig) -> None:
    car = plan(prepaid=True, preset_fen=15_200)

    def visit():
        yield rig.phones.order(car, WHO, 5)
        for state in ("FUELLING", "COMPLETED"):
            yield rig.kernel.env.timeout(30 * S)
            rig.backend.update(state=state)
        return (yield rig.phones.pay(car, WHO, 5, DELIVERED))

    assert rig.run(visit()) is True
    assert len(rig.told("phone.paid")) == 1


def test_the_code_at_the_pump_binds_the_unpaid_sale(rig: Rig) -> None:
    rig.backend.unpaid_sale = True
    car = plan(pay_by="scan_after", preset_fen=20_000)

    def visit():
        return (yield rig.phones.pay(car, WHO, 5, DELIVERED))

    assert rig.run(visit()) is True
    assert len(rig.backend.orders) == 1
    assert rig.backend.order["asked"]["preset_fen"] is None  # the fill is over


def test_a_scan_before_the_sale_is_there_is_given_up_and_tried_again(rig: Rig) -> None:
    car = plan(pay_by="scan_after")
    rig.kernel.call_later(2 * S, lambda: setattr(rig.backend, "unpaid_sale", True))

    def visit():
        return (yield rig.phones.pay(car, WHO, 5, DELIVERED))

    assert rig.run(visit()) is True
    assert [order["state"] for order in rig.backend.orders] == ["CANCELLED", "PAID"]


def test_a_sale_that_comes_while_the_driver_looks_is_paid(rig: Rig) -> None:
    rig.kernel.call_later(
        1 * S, lambda: rig.backend.update(state="PAYABLE", volume_ml=20_000, amount_fen=15_200)
    )

    def visit():
        return (yield rig.phones.pay(plan(pay_by="scan_after"), WHO, 5, DELIVERED))

    assert rig.run(visit()) is True
    assert [order["state"] for order in rig.backend.orders] == ["PAID"]
    assert ("POST", "/v1/orders/ord1/cancel") not in rig.backend.seen


def test_an_order_that_took_this_very_fill_is_followed_not_given_up(rig: Rig) -> None:
    """Scanned before the site has reported the end of the fill: the order is FUELLING and cannot be cancelled."""
    rig.backend.refuse_cancel = True
    rig.kernel.call_later(
        30 * S, lambda: rig.backend.update(state="PAYABLE", volume_ml=20_000, amount_fen=15_200)
    )

    def visit():
        return (yield rig.phones.pay(plan(pay_by="scan_after"), WHO, 5, DELIVERED))

    assert rig.run(visit()) is True
    assert [order["state"] for order in rig.backend.orders] == ["PAID"]


def test_a_cancellation_is_not_one_before_the_station_has_answered(rig: Rig) -> None:
    """The station is asked whether fuel has flowed, and answers with the sale: the order is the one of this fill."""
    rig.backend.slow_cancel = True
    rig.kernel.call_later(
        40 * S, lambda: rig.backend.update(state="PAYABLE", volume_ml=20_000, amount_fen=15_200)
    )

    def visit():
        return (yield rig.phones.pay(plan(pay_by="scan_after"), WHO, 5, DELIVERED))

    assert rig.run(visit()) is True
    assert [order["state"] for order in rig.backend.orders] == ["PAID"]
    assert rig.backend.seen.count(("POST", "/v1/orders/ord1/cancel")) == 1


@pytest.mark.parametrize("prepaid", [False, True])
def test_a_driver_who_got_no_fuel_lets_go_of_the_nozzle(rig: Rig, prepaid: bool) -> None:
    car = plan(prepaid=prepaid, preset_fen=15_200 if prepaid else None)

    def visit():
        assert (yield rig.phones.order(car, WHO, 5))
        yield rig.kernel.env.timeout(90 * S)
        if prepaid:
            rig.backend.update(state="PAID")  # not authorised any more
            yield rig.kernel.env.timeout(1 * S)
        rig.phones.give_up(car)
        rig.phones.forget(car)

    rig.run(visit())
    assert rig.backend.order["state"] == "CANCELLED"


def test_a_phone_that_nobody_answers_goes_on_giving_up(rig: Rig) -> None:
    def visit():
        yield rig.phones.order(plan(), WHO, 5)
        rig.backend.fail_next = [503] * 40
        rig.phones.give_up(plan())
        rig.phones.forget(plan())

    rig.run(visit())
    assert rig.backend.order["state"] == "CANCELLED"
    assert rig.backend.seen.count(("POST", "/v1/orders/ord1/cancel")) > 6


def test_what_was_fuelled_is_not_given_up(rig: Rig) -> None:
    def visit():
        yield rig.phones.order(plan(), WHO, 5)
        rig.backend.update(state="PAYABLE", amount_fen=15_200, volume_ml=20_000)
        yield rig.kernel.env.timeout(1 * S)
        rig.phones.give_up(plan())
        rig.phones.give_up(plan(number=2))  # has no phone in hand

    rig.run(visit())
    assert rig.backend.order["state"] == "PAYABLE"


def test_a_retry_goes_to_the_other_instance_with_the_same_token(rig: Rig) -> None:
    def visit():
        return (yield rig.phones.order(plan(), WHO, 5))

    created = rig.backend.create

    async def lose_first(request: Request) -> Response:
        reply = await created(request)
        if len(rig.backend.seen) < 5 and not rig.told("lost"):
            rig.kernel.trace.emit("lost", "test")
            return JSONResponse({"code": "X", "message": "committed, then died"}, 503)
        return reply

    rig.backend.app.routes[4].app = Starlette(routes=[Route("/v1/orders", lose_first, methods=["POST"])])
    assert rig.run(visit()) is True
    hosts = [e["entity"] for e in rig.trace if e["kind"] == "http" and e["path"] == "/v1/orders"]
    assert len(set(hosts)) == 2
    assert len(rig.backend.orders) == 1


def test_a_refused_order_is_told_and_not_repeated(rig: Rig) -> None:
    def visit():
        return (yield rig.phones.order(plan(), WHO, 5))

    async def refuse(request: Request) -> Response:
        rig.backend.seen.append(("POST", "/v1/orders"))
        return JSONResponse({"code": "NOZZLE_BUSY", "message": "someone is fuelling"}, 409)

    rig.backend.app.routes[4].app = Starlette(routes=[Route("/v1/orders", refuse, methods=["POST"])])
    assert rig.run(visit()) is False
    assert rig.backend.seen.count(("POST", "/v1/orders")) == 1
    assert "NOZZLE_BUSY" in rig.told("phone.trouble")[0]["what"]


def test_a_lost_log_in_answer_asks_for_a_new_code(rig: Rig) -> None:
    rig.backend.fail_next = [503]

    def visit():
        return (yield rig.phones.order(plan(), WHO, 5))

    assert rig.run(visit()) is True
    assert rig.backend.codes == [f"js-{WHO.openid}", f"js-{WHO.openid}.1"]


def test_a_phone_whose_stream_is_silent_pulls_the_screen_down(rig: Rig) -> None:
    rig.backend.silent_streams = True
    rig.backend.unpaid_sale = True

    def visit():
        return (yield rig.phones.pay(plan(pay_by="scan_after"), WHO, 5, DELIVERED))

    assert rig.run(visit()) is True
    assert ("GET", "/v1/orders/ord1") in rig.backend.seen


def test_nobody_confirms_and_the_payment_stays_open(rig: Rig) -> None:
    rig.backend.unpaid_sale = True
    rig.backend.paid = lambda: None  # type: ignore[method-assign]

    def visit():
        return (yield rig.phones.pay(plan(pay_by="scan_after"), WHO, 5, DELIVERED))

    assert rig.run(visit()) is False
    assert any("still PAYING" in event["what"] for event in rig.told("phone.trouble"))
    # The driver will pay inside, so the order has let go of the sale.
    assert rig.backend.order["state"] == "CANCELLED"


def test_a_payment_that_shows_only_after_the_driver_gave_up_is_a_payment(rig: Rig) -> None:
    rig.backend.unpaid_sale = True
    rig.backend.paid = lambda: None  # type: ignore[method-assign]
    act = rig.backend.act

    async def too_late(request: Request) -> Response:
        if request.path_params["verb"] == "cancel":
            rig.backend.update(state="PAID", paid_fen=15_200)
            return JSONResponse({"code": "already_paid", "message": "the order is paid"}, 409)
        return await act(request)

    rig.backend.app.routes[7].app = Starlette(
        routes=[Route("/v1/orders/{id}/{verb}", too_late, methods=["POST"])]
    )

    def visit():
        return (yield rig.phones.pay(plan(pay_by="scan_after"), WHO, 5, DELIVERED))

    assert rig.run(visit()) is True


def test_a_driver_who_has_fuelled_on_an_order_waits_minutes_for_the_sum(rig: Rig) -> None:
    """The pump's line is lost at the end of the delivery: the order can only be paid, so there is nothing else to do."""

    def visit():
        yield rig.phones.order(plan(), WHO, 5)
        rig.backend.update(state="FUELLING")
        rig.kernel.call_later(
            200 * S, lambda: rig.backend.update(state="PAYABLE", amount_fen=15_200, volume_ml=20_000)
        )
        return (yield rig.phones.pay(plan(), WHO, 5, DELIVERED))

    assert rig.run(visit()) is True
    assert rig.told("phone.pay_tapped")[0]["t_us"] >= 200 * S


class TestKiosk:
    SALE: ClassVar = {"sale_id": "s9", "nozzle": 5, "volume_ml": 20_000, "amount_fen": 15_200}

    def settle(self, rig: Rig, **changes: Any) -> bool:
        def visit():
            return (yield rig.kiosk.settle(plan(pay_by="card", **changes), WHO, 5, DELIVERED))

        return bool(rig.run(visit()))

    def test_the_sale_of_this_delivery_is_settled(self, rig: Rig) -> None:
        rig.backend.sales = [{**self.SALE, "sale_id": "s8", "volume_ml": 19_990}, self.SALE]
        assert self.settle(rig, invoice="individual") is True
        (settled,) = rig.backend.settled
        assert settled == {
            "sale": "s9", "client_token": "till-s9", "tender": "card", "amount_fen": 15_200,
            "invoice": {"title_type": "INDIVIDUAL", "name": WHO.name, "taxpayer_id": None},
        }  # fmt: skip

    def test_the_cashier_looks_again_until_the_sale_has_arrived(self, rig: Rig) -> None:
        rig.kernel.call_later(7 * S, lambda: rig.backend.sales.append(self.SALE))
        assert self.settle(rig, invoice=None) is True
        assert rig.told("kiosk.trouble")
        assert rig.backend.settled[0]["invoice"] is None

    def test_after_a_while_the_driver_is_sent_away(self, rig: Rig) -> None:
        assert self.settle(rig) is False
        assert rig.backend.settled == []


def test_two_runs_with_one_seed_are_the_same() -> None:
    hashes = []
    for _ in range(2):
        rig = Rig()
        rig.backend.unpaid_sale = True

        def visit(rig: Rig = rig):
            return (yield rig.phones.pay(plan(pay_by="scan_after"), WHO, 5, DELIVERED))

        rig.run(visit())
        hashes.append(rig.kernel.trace.hexdigest())
        rig.kernel.close()
    assert hashes[0] == hashes[1]
