"""Phone and till against a small fake backend on the in-memory network, in virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any, ClassVar

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from sim.kernel import VirtualKernel
from sim.latency import LatencyProfile
from sim.net import Network
from sim.people import (
    ApiClient,
    CarPlan,
    Delivered,
    Kiosk,
    MembersDesk,
    Payers,
    Phones,
    Wallet,
    identity,
)

S = 1_000_000
DELIVERED = Delivered(nozzle=5, sequence=3, volume_ml=20_000, amount_fen=15_200)


def plan(**changes: Any) -> CarPlan:
    fields: dict[str, Any] = {
        "number": 1, "grade": "92", "full_ml": 20_000, "preset_fen": None, "preset_ml": None, "flow_ml_per_min": 30_000,
        "pay_by": "order_first", "prepaid": False, "invoice": "organisation", "balk_us": 0, "renege_us": None,
        "approach_us": 0, "prepare_us": 0, "hang_up_us": 0, "drive_off_us": 0, "walk_in_us": 0, "walk_back_us": 0,
        "cashier_us": 0, "phone_pay_us": 8 * S,
    }  # fmt: skip
    return CarPlan(**{**fields, **changes})


class FakeBackend:
    """Just enough of the API: one order at a time, PAID 100 ms after the payer confirms, an invoice 1 s later."""

    def __init__(self, kernel: VirtualKernel) -> None:
        self.kernel = kernel
        self.order: dict[str, Any] = {}
        self.orders: list[dict[str, Any]] = []
        self.tokens: dict[str, dict[str, Any]] = {}
        self.changed = asyncio.Event()
        self.seen: list[tuple[str, str]] = []
        self.codes: list[str] = []
        self.fail_next: list[int] = []
        self.unpaid_sale = False
        self.settled: list[dict[str, Any]] = []
        self.sales: list[dict[str, Any]] = []
        self.silent_streams = False
        self.refuse_cancel = False
        self.slow_cancel = False
        self.contract = "none"
        self.given: list[dict[str, Any]] = []
        self.loses_gifts = False
        self.held: dict[str, Any] = {"points": 0, "balance_fen": 0, "points_per_fen": 1, "coupons": []}
        self.wishes: list[dict[str, Any]] = []
        self.app = Starlette(
            routes=[
                Route("/v1/sessions", self.log_in, methods=["POST"]),
                Route("/v1/stations/KM01", self.station),
                Route("/v1/stations/KM01/sales", self.list_sales),
                Route("/v1/stations/KM01/sales/{sale}/settle", self.settle, methods=["POST"]),
                Route("/v1/orders", self.create, methods=["POST"]),
                Route("/v1/orders/{id}", self.show),
                Route("/v1/orders/{id}/events", self.events),
                Route("/v1/orders/{id}/{verb}", self.act, methods=["POST"]),
                Route("/v1/me", self.me),
                Route("/v1/me/contract", self.contracts, methods=["GET", "POST"]),
                Route("/v1/admin/{what}", self.give, methods=["POST"]),
            ]
        )
        self.payer = Starlette(
            routes=[
                Route("/payers/{openid}/confirm", self.confirm, methods=["POST"]),
                Route("/payers/{openid}/contracts", self.sign, methods=["POST"]),
            ]
        )

    def note(self, request: Request) -> Response | None:
        self.seen.append((request.method, request.url.path))
        if self.fail_next:
            return JSONResponse({"code": "BUSY", "message": "later"}, self.fail_next.pop(0))
        return None

    async def me(self, request: Request) -> Response:
        return self.note(request) or JSONResponse(self.held)

    async def contracts(self, request: Request) -> Response:
        view = {"contract_code": "C1", "plan_id": 7, "limit_fen": 50_000, "state": self.contract}
        return self.note(request) or JSONResponse(view)

    async def sign(self, request: Request) -> Response:
        wanted = {"out_contract_code": "C1", "plan_id": 7, "limit_fen": 50_000}
        assert await request.json() == wanted
        self.contract = "active"
        return JSONResponse({}, 201)

    async def give(self, request: Request) -> Response:
        body = {**await request.json(), "what": request.path_params["what"]}
        if body not in self.given:
            self.given.append(body)
            if self.loses_gifts:
                return JSONResponse({"code": "BUSY", "message": "done, and not said"}, 503)
        elif body["what"] == "coupons":
            return JSONResponse({"code": "coupon_known", "message": "there is one"}, 409)
        return JSONResponse({}, 201)

    async def log_in(self, request: Request) -> Response:
        self.codes.append((await request.json())["js_code"])
        return self.note(request) or JSONResponse({"token": "T", "openid": "o"})

    async def station(self, request: Request) -> Response:
        return self.note(request) or JSONResponse({"nozzles": []})

    async def create(self, request: Request) -> Response:
        body = await request.json()
        known = self.tokens.get(body["client_token"])
        failed = self.note(request)
        if known is None and not (failed and failed.status_code == 409):
            state = "PAYABLE" if self.unpaid_sale else "CREATED" if body["mode"] == "prepay" else "AUTHORISED"
            known = self.order = {
                "order_id": f"ord{len(self.orders) + 1}", "state": state, "amount_fen": 15_200 if self.unpaid_sale else 0,
                "volume_ml": 0, "paid_fen": 0, "invoice": {"state": "none"}, "updated_us": self.kernel.unix_us, "asked": body,
            }  # fmt: skip
            self.tokens[body["client_token"]] = known
            self.orders.append(known)
        return failed or JSONResponse(known, 201)

    def update(self, **changes: Any) -> None:
        self.order.update(changes, updated_us=self.kernel.unix_us)
        self.changed.set()
        self.changed = asyncio.Event()

    async def show(self, request: Request) -> Response:
        return self.note(request) or JSONResponse(self.order)

    async def events(self, request: Request) -> Response:
        async def stream():
            while True:
                if not self.silent_streams:
                    yield f"event: order\ndata: {json.dumps(self.order)}\n\n".encode()
                try:
                    await asyncio.wait_for(self.changed.wait(), 15)
                except TimeoutError:
                    yield b": still here\n\n"

        return self.note(request) or StreamingResponse(stream(), media_type="text/event-stream")

    async def act(self, request: Request) -> Response:
        failed = self.note(request)
        if failed:
            return failed
        match request.path_params["verb"]:
            case "pay":
                self.wishes.append(await request.json())
                self.update(state="PAYING")
                if (
                    sum(
                        (self.wishes[-1].get("parts") or {}).get(name, 0)
                        for name in ("points", "balance_fen")
                    )
                    == 15_200
                ):
                    self.paid()
                    return JSONResponse({})
                return JSONResponse({"out_trade_no": "N1", "prepay_id": "P1", "pay_sign": {}})
            case "cancel" if self.refuse_cancel:
                return JSONResponse({"code": "fuel_flowing", "message": "fuel has flowed"}, 409)
            case "cancel" if self.slow_cancel:
                pass  # asked the station, which answers when it can
            case "cancel":
                self.update(state="CANCELLED")
        return JSONResponse(self.order)

    async def confirm(self, request: Request) -> Response:
        assert (await request.json())["prepay_id"] == "P1"
        self.kernel.call_later(100_000, self.paid)
        return JSONResponse({"err_msg": "requestPayment:ok"})

    def paid(self) -> None:
        prepaid = self.order["asked"]["mode"] == "prepay"
        self.update(state="PAID", paid_fen=15_200, invoice={"state": "issuing"})
        self.kernel.call_later(1 * S, lambda: self.update(invoice={"state": "issued"}))
        if prepaid:
            self.kernel.call_later(2 * S, lambda: self.update(state="AUTHORISED"))

    async def list_sales(self, request: Request) -> Response:
        return self.note(request) or JSONResponse({"sales": self.sales})

    async def settle(self, request: Request) -> Response:
        self.settled.append({**await request.json(), "sale": request.path_params["sale"]})
        return self.note(request) or JSONResponse({})


class Rig:
    def __init__(self) -> None:
        self.kernel = VirtualKernel("phone", epoch_us=1_772_791_200_000_000)
        self.trace: list[dict[str, Any]] = []
        self.kernel.trace.listen(self.trace.append)
        self.backend = FakeBackend(self.kernel)
        self.network = Network(self.kernel, latency=LatencyProfile.constant(10_000))
        for host in ("backend-a.station", "backend-b.station"):
            self.network.register(host, self.backend.app)
        self.network.register("payer.sim", self.backend.payer)
        self.clients = [self.client(f"backend-{name}.station") for name in "ab"]
        desk = MembersDesk(ApiClient(self.clients, token="admin"))
        self.phones = Phones(self.kernel, self.clients, Payers(self.client("payer.sim")), "KM01", desk=desk)
        self.kiosk = Kiosk(self.kernel, self.clients, station_key="K", station="KM01")

    def client(self, host: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=self.network.transport("phone"), base_url=f"https://{host}")

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.trace if event["kind"] == kind]

    def run(self, generator: Any, until_s: int = 900) -> Any:
        process = self.kernel.process(generator)
        self.kernel.run(until_s * S)
        assert process.triggered, self.trace[-5:]
        return process.value


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.kernel.close()


WHO = identity("phone", 1)


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


def fuelled(rig: Rig, car: CarPlan, *, after: Any = None):
    """Order, fuel for a minute, pay."""
    assert (yield rig.phones.order(car, WHO, 5))

    def ended():
        rig.backend.update(state="PAYABLE", volume_ml=20_000, amount_fen=15_200, payable_fen=15_200)
        if after is not None:
            rig.kernel.call_later(2 * S, after)

    rig.kernel.call_later(60 * S, ended)
    yield rig.kernel.env.timeout(61 * S)
    paid = yield rig.phones.pay(car, WHO, 5, DELIVERED)
    rig.phones.forget(car)
    return paid


BY_CONTRACT = plan(channel="wechatpay-contract")


def test_a_member_signs_once_and_is_debited_without_a_tap(rig: Rig) -> None:
    assert rig.run(fuelled(rig, BY_CONTRACT, after=rig.backend.paid)) is True
    assert rig.backend.contract == "active"
    assert rig.backend.order["asked"]["auto_pay"] is True
    assert (rig.backend.wishes, rig.told("phone.pay_tapped"), rig.told("phone.trouble")) == ([], [], [])


def test_a_debit_that_comes_before_the_driver_looks_is_paid(rig: Rig) -> None:
    rig.kernel.call_later(30 * S, rig.backend.paid)

    def visit():
        assert (yield rig.phones.order(BY_CONTRACT, WHO, 5))
        yield rig.kernel.env.timeout(60 * S)
        return (yield rig.phones.pay(BY_CONTRACT, WHO, 5, DELIVERED))

    assert rig.run(visit(), until_s=100) is True


def test_a_debit_that_fails_is_paid_in_the_cashier(rig: Rig) -> None:
    def failed():
        rig.backend.update(state="PAYABLE", notice="contract_debit_failed")

    assert rig.run(fuelled(rig, BY_CONTRACT, after=failed)) is True
    assert rig.backend.wishes == [{"channel": "wechatpay"}]
    assert [event["what"] for event in rig.told("phone.trouble")] == ["debit of ord1: contract_debit_failed"]


def test_a_member_who_cannot_sign_pays_like_any_other(rig: Rig) -> None:
    async def refuse(_request: Request) -> Response:
        return JSONResponse({"code": "channel_unavailable", "message": "not open"}, 409)

    rig.backend.app.router.routes.insert(0, Route("/v1/me/contract", refuse, methods=["POST"]))
    assert rig.run(fuelled(rig, BY_CONTRACT)) is True
    assert "auto_pay" not in rig.backend.order["asked"]
    assert rig.backend.wishes == [{"channel": "wechatpay"}]


MEMBER = plan(wallet=Wallet(points=300, coupon_fen=1_000, coupon_from_fen=10_000, balance_fen=50_000))


def coupon(coupon_id: str, worth_fen: int, min_fen: int) -> dict[str, Any]:
    return {"coupon_id": coupon_id, "worth_fen": worth_fen, "min_fen": min_fen, "expires_us": 2**60}


def test_a_member_is_given_what_he_holds_once_though_an_answer_is_lost(rig: Rig) -> None:
    def visit():
        assert (yield rig.phones.order(MEMBER, WHO, 5))
        assert (yield rig.phones.order(MEMBER, WHO, 6))

    rig.backend.loses_gifts = True
    rig.run(visit())
    assert [(body["what"], body["openid"]) for body in rig.backend.given] == [
        ("grants", WHO.openid),
        ("coupons", WHO.openid),
    ]
    assert (rig.backend.given[0]["points"], rig.backend.given[0]["balance_fen"]) == (300, 50_000)
    assert rig.told("phone.trouble") == []
    assert (rig.backend.given[1]["worth_fen"], rig.backend.given[1]["min_fen"]) == (1_000, 10_000)


@pytest.mark.parametrize(
    ("held", "parts"),
    [
        ({"points": 300}, {"points": 300, "coupon_id": None, "balance_fen": 0}),
        (
            {"points": 300, "balance_fen": 500, "coupons": [coupon("big", 9_000, 15_201), coupon("c", 1_000, 15_200)]},
            {"points": 300, "coupon_id": "c", "balance_fen": 500},
        ),
        ({"balance_fen": 50_000, "points": 200}, {"points": 200, "coupon_id": None, "balance_fen": 15_000}),
        ({"points": 305, "points_per_fen": 10}, {"points": 300, "coupon_id": None, "balance_fen": 0}),
        ({"points": 9, "points_per_fen": 10}, None),
        ({"coupons": [coupon("c", 20_000, 0)], "points": 50}, {"points": 0, "coupon_id": "c", "balance_fen": 0}),
    ],
)  # fmt: skip
def test_what_a_member_puts_towards_the_bill(
    rig: Rig, held: dict[str, Any], parts: dict[str, Any] | None
) -> None:
    rig.backend.held |= held
    assert rig.run(fuelled(rig, MEMBER)) is True
    assert rig.backend.wishes == [{"channel": "wechatpay", **({} if parts is None else {"parts": parts})}]


def test_who_pays_with_balance_alone_confirms_nothing(rig: Rig) -> None:
    rig.backend.held["balance_fen"] = 15_200
    assert rig.run(fuelled(rig, MEMBER)) is True
    assert (rig.told("phone.sheet"), rig.told("phone.confirmed")) == ([], [])
