"""The control API behind the dispenser's door."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from scenarios.world.equipment import Cabinet, Equipment
from scenarios.world.service_control import service_routes
from sim.dispenser import DartDispenser, Dispenser, FpState, FuellingPoint, Nozzle, Tank

S = 1_000_000


class Yard:
    """Two cabinets with one point each, a clock that is set by hand, and a client of the API."""

    def __init__(self) -> None:
        self.now_us = 0
        self.points = {}
        cabinets = []
        tank = Tank(1, "92")
        for number in (1, 2):
            nozzle = Nozzle(logical=1, nozzle_id=10 + number, grade="92", tank=tank, price_fen_per_l=760)
            point = self.points[number] = FuellingPoint(number, [nozzle])
            dispenser = Dispenser([point])
            machine = DartDispenser(dispenser, {0x50 + number: point})
            cabinets.append(Cabinet(f"d{number}", "line", dispenser, machine, (0x50 + number,)))
        self.app = FastAPI()
        service_routes(self.app, Equipment({1: tank}, self.points, tuple(cabinets)), lambda: self.now_us)

    def call(self, method: str, path: str, status: int = 200, **options: Any) -> Any:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://control") as client:
                return await client.request(method, path, **options)

        reply = asyncio.run(ask())
        assert reply.status_code == status, reply.text
        return reply.json() if reply.content else None

    def start(self, number: int) -> None:
        point = self.points[number]
        point.lift(1, self.now_us)
        assert point.authorise(self.now_us), point.refusal
        point.squeeze(self.now_us, 30_000)

    def sell(self, number: int) -> None:
        self.start(number)
        self.now_us += 3 * S
        self.points[number].hang_up(self.now_us)


@pytest.fixture
def yard() -> Yard:
    return Yard()


@pytest.mark.requirement("fd-safe.emergency-stop-works-alone", "fd-safe.restart-needs-deliberate-reset")
@pytest.mark.parametrize(
    ("path", "stopped"), [("/emergency-stop", {1, 2}), ("/dispensers/d1/emergency-stop", {1})]
)
def test_the_buttons_stop_what_they_stand_for(yard: Yard, path: str, stopped: set[int]) -> None:
    yard.start(1)
    yard.start(2)
    yard.now_us = 5 * S
    yard.call("POST", path, 204)
    yard.now_us = 6 * S
    for number, point in yard.points.items():
        point.handle_timer(yard.now_us)
        assert point.flowing == (number not in stopped)
    assert yard.call("POST", "/dispensers/d1/emergency-reset", json={"role": "cashier"}) == {"done": False}
    assert yard.call("GET", "/points/1/service")["latched"]
    assert yard.call("POST", "/dispensers/d1/emergency-reset", json={"role": "manager"}) == {"done": True}
    assert yard.points[1].state is not FpState.INOPERATIVE
    yard.call("POST", "/dispensers/d9/emergency-stop", 404)


@pytest.mark.requirement("fd-safe.lock-blocks-and-explains")
def test_a_lock_is_seen_with_its_reason_and_taken_away(yard: Yard) -> None:
    assert yard.call("POST", "/points/1/lock")["locks"] == ["self-service"]
    assert not yard.points[1].authorise(0)
    assert yard.call("GET", "/points/1/service")["refusal"] == "locked: self-service"
    assert yard.call("POST", "/points/1/unlock")["done"]
    assert yard.call("POST", "/points/1/lock", json={"reason": "night"})["locks"] == ["night"]
    assert not yard.call("POST", "/points/1/unlock")["done"]
    yard.call("POST", "/points/7/lock", 404)


@pytest.mark.requirement("fd-safe.tampering-locks-the-pump", "fd-safe.seal-events-are-chained")
def test_tampering_by_hand_locks_and_the_regulator_clears_it(yard: Yard) -> None:
    yard.call("POST", "/nozzles/11/calibrate", json={"error_ppm": 7_000})
    for _ in range(5):
        yard.sell(1)
    shown = yard.call("GET", "/points/1/service")
    assert shown["locks"] == ["tampering"]
    assert [entry["what"] for entry in shown["seal_log"]][-1] == "locked"
    assert yard.call("POST", "/points/1/initialise", json={"role": "regulator"})["locks"] == []
    assert not yard.call("POST", "/points/2/parameter", json={"name": "k-factor", "value": 7})["done"]
    yard.call("POST", "/points/2/initialise", json={"role": "regulator"})
    yard.call("POST", "/points/2/seal-open", json={"role": "regulator"})
    assert yard.call("POST", "/points/2/parameter", json={"name": "k-factor", "value": 7})["done"]
    yard.call("POST", "/points/2/seal-close", json={"role": "regulator"})
    yard.call("POST", "/points/2/part", json={"part": "encoder", "serial": "X1"})
    for _ in range(3):
        yard.sell(2)
    assert yard.call("GET", "/points/2/service")["locks"] == ["swapped-parts"]
    yard.call("POST", "/points/2/part", 422, json={"part": "hose", "serial": "X1"})
    yard.call("POST", "/nozzles/99/calibrate", 404, json={"error_ppm": 0})


@pytest.mark.requirement("fd-met.test-deliveries-are-flagged", "fd-safe.nozzle-drop-stops-flow")
def test_testing_and_a_torn_hose(yard: Yard) -> None:
    assert yard.call("POST", "/points/1/test-on")["testing"]
    yard.sell(1)
    assert yard.points[1].journal[-1].flags == ("test",)
    assert not yard.call("POST", "/points/1/test-off")["testing"]
    yard.start(1)
    yard.now_us += 3 * S
    assert yard.call("POST", "/points/1/breakaway")["locks"] == ["breakaway"]
    yard.points[1].handle_timer(yard.now_us + S)
    assert yard.points[1].journal[-1].flags == ("breakaway",)
