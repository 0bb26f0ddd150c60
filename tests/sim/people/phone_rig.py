"""Phones in virtual time before a backend that does as it is told."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
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


WHO = identity("phone", 1)
