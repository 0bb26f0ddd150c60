"""Handover at the site: readings of one moment, deliveries that straddle it, restarts, a backend that is away."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from reference.site import SiteConfig, SiteController
from reference.site.pumps.events import PointState
from reference.site.shifts import SEAL_AFTER_US
from sim.dispenser import Dispenser, FuellingPoint, Nozzle, Tank
from sim.dispenser.dart import DartDispenser
from sim.kernel import VirtualKernel
from sim.wires import VirtualBus

S = 1_000_000
EPOCH_US = 1_790_000_000 * S


class Backend(httpx.AsyncBaseTransport):
    """Takes everything, once it is there; keeps the order of what it took."""

    def __init__(self) -> None:
        self.away = False
        self.refuse_shifts = 0
        self.log: list[tuple[str, dict[str, Any]]] = []
        self.commands: list[dict[str, Any]] = []
        self.results: list[dict[str, Any]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.02)
        if self.away:
            raise httpx.ConnectError("away")
        path = request.url.path.removeprefix("/v1/stations/KM01")
        body = json.loads(request.content) if request.content else {}
        if path == "/commands":
            await asyncio.sleep(0.5)
            return httpx.Response(200, json={"commands": self.commands[len(self.results) :]}, request=request)
        if path.endswith("/result"):
            self.results.append(body)
            return httpx.Response(204, request=request)
        if path == "/shifts" and self.refuse_shifts:
            self.refuse_shifts -= 1
            return httpx.Response(404, json={"code": "unknown_station"}, request=request)
        self.log.append((path, body))
        return httpx.Response(201, json={}, request=request)

    def handovers(self) -> list[dict[str, Any]]:
        return [body for path, body in self.log if path == "/shifts"]

    def sales(self) -> list[dict[str, Any]]:
        return [body for path, body in self.log if path == "/sales"]


class Site:
    """Two DART nozzles, 92 at 7.50."""

    def __init__(self, journal: str = ":memory:") -> None:
        self.kernel = VirtualKernel("shifts", epoch_us=EPOCH_US)
        tank = Tank(1, "92")
        self.points = [
            FuellingPoint(n, [Nozzle(logical=1, nozzle_id=n, grade="92", tank=tank, price_fen_per_l=750)])
            for n in (1, 2)
        ]
        self.dispenser = Dispenser(self.points)
        pump = DartDispenser(self.dispenser, {0x50: self.points[0], 0x51: self.points[1]})
        self.backend = Backend()
        self.bus = VirtualBus(self.kernel, "line", baud=19_200)
        self.bus.attach(pump, name="pump", addresses=[0x50, 0x51])
        points = [
            {
                "fuelling_point": n,
                "address": 0x4F + n,
                "nozzles": [{"nozzle": n, "grade": "92", "price_fen_per_l": 750, "tank": 1}],
            }
            for n in (1, 2)
        ]
        lines = [{"protocol": "dart", "baud": 19_200, "fuelling_points": points}]
        self.config = SiteConfig.model_validate({"station": "KM01", "lines": lines})
        self.journal = journal
        self.site = self.controller()
        self.bus.attach(self.site.drivers[0], name="site", master=True, poll_lead_us=self.bus.burst_us(3))
        self.kernel.task(self.site.start())

    def controller(self) -> SiteController:
        return SiteController(
            self.config,
            clock_us=lambda: self.kernel.unix_us,
            http_transport=self.backend,
            journal_path=self.journal,
            base_urls=["https://backend.station"],
            station_key="key",
        )

    def run(self, seconds: float) -> None:
        self.kernel.run(until_us=self.kernel.now_us + round(seconds * S))

    def start(self, nozzle: int) -> None:
        point = self.points[nozzle - 1]
        point.lift(1, self.kernel.now_us)
        self.run(4)
        point.squeeze(self.kernel.now_us, 30_000)

    def stop(self, nozzle: int) -> None:
        self.points[nozzle - 1].hang_up(self.kernel.now_us)

    def fill(self, nozzle: int, seconds: int = 20) -> None:
        self.start(nozzle)
        self.run(seconds)
        self.stop(nozzle)
        self.run(4)

    def total(self, nozzle: int) -> tuple[int, int]:
        held = self.points[nozzle - 1].nozzles[1]
        return held.total_volume_ml, held.total_amount_fen

    def close(self) -> None:
        self.kernel.task(self.site.stop())
        self.run(1)
        self.kernel.close()


@pytest.fixture
def site():
    made: list[Site] = []

    def make(*arguments: Any) -> Site:
        made.append(Site(*arguments))
        made[-1].run(3)
        return made[-1]

    yield make
    for each in made:
        each.close()


def told(handover: dict[str, Any], nozzle: int) -> tuple[int, int, int]:
    row = handover["nozzles"][nozzle - 1]
    return row["sequence"], row["volume_ml"], row["amount_fen"]


@pytest.mark.requirement("shift.crossing-delivery-in-one-shift")
def test_readings_are_those_of_the_moment_and_a_running_delivery_is_in_the_next(site):
    s = site()
    assert s.site.shifts.hand_over("A") == 1
    s.fill(1)
    s.start(2)
    s.run(10)
    before = s.total(1)
    at_us = s.kernel.unix_us
    assert s.site.shifts.hand_over("B", cash_counted_fen=5) == 2
    s.run(2)
    s.stop(2)
    s.fill(1)
    s.run(30)
    first, second = s.backend.handovers()
    assert told(first, 1) == (0, 0, 0)
    assert second["at_us"] == at_us
    assert (second["number"], second["attendant"], second["cash_counted_fen"]) == (2, "B", 5)
    assert told(second, 1) == (1, *before)
    assert told(second, 2) == (0, 0, 0)
    running = second["nozzles"][1]["running_ml"]
    assert 4_000 < running < s.total(2)[0]
    assert not second["nozzles"][0]["offline"]


def test_a_delivery_that_ended_just_before_is_in_the_readings(site):
    s = site()
    s.site.shifts.hand_over("A")
    s.run(15)
    s.start(1)
    s.run(10)
    s.stop(1)
    while s.site.driver_of[1].status(1).state is PointState.FUELLING:
        s.run(0.002)
    assert not s.site.journal.all_sales(), "heard of, but its totals are not read yet"
    s.site.shifts.hand_over("B")
    s.run(20)
    (sale,) = s.backend.sales()
    second = s.backend.handovers()[1]
    assert sale["ended_us"] <= second["at_us"]
    assert told(second, 1) == (1, *s.total(1))
    assert second["nozzles"][0]["running_ml"] == 0


@pytest.mark.requirement("shift.close-is-atomic")
def test_a_pump_that_is_away_is_flagged_and_its_last_reading_stands(site):
    s = site()
    s.fill(1)
    reading = s.total(1)
    s.dispenser.cut_power(s.kernel.now_us)
    s.run(10)
    s.site.shifts.hand_over("A")
    s.run(15)
    (handover,) = s.backend.handovers()
    assert told(handover, 1) == (1, *reading)
    assert [row["offline"] for row in handover["nozzles"]] == [True, True]


@pytest.mark.requirement("shift.close-is-atomic")
def test_sales_go_before_the_handover_that_contains_them(site):
    s = site()
    s.site.shifts.hand_over("A")
    s.run(15)
    s.backend.away = True
    for _ in range(3):
        s.fill(1, 5)
    s.site.shifts.hand_over("B")
    s.fill(2, 5)
    s.run(60)
    assert len(s.backend.handovers()) == 1
    s.backend.away = False
    s.backend.refuse_shifts = 2  # a backend that has forgotten the station
    s.run(60)
    paths = [path for path, body in s.backend.log if path == "/sales" or body.get("number") == 2]
    assert paths == ["/sales"] * 4 + ["/shifts"] or paths == ["/sales"] * 3 + ["/shifts", "/sales"]
    assert told(s.backend.handovers()[1], 1)[0] == 3


@pytest.mark.parametrize("after_s", [0.0, 5.0, SEAL_AFTER_US / S + 0.01, 12.0])
@pytest.mark.requirement("shift.close-is-atomic")
def test_a_killed_site_hands_over_once(site, tmp_path, after_s):
    s = site(str(tmp_path / "site.sqlite3"))
    s.site.shifts.hand_over("A")
    s.run(15)
    s.fill(1)
    s.site.shifts.hand_over("B")
    if after_s:
        s.run(after_s)
    else:
        s.backend.away = True
    for task in asyncio.all_tasks(s.kernel.loop):
        if task.get_name().startswith("site-"):
            task.cancel()
    s.run(1)
    s.backend.away = False
    s.site.journal.close()
    s.site = s.controller()
    s.kernel.task(s.site.start())
    s.run(30)
    second = [one for one in s.backend.handovers() if one["number"] == 2]
    assert second
    assert all(one == second[0] for one in second), "the same bytes at every try"
    assert told(second[0], 1) == (1, *s.total(1))
    assert s.site.shifts.open_shift == 2


def test_the_backends_word_is_obeyed_once(site):
    s = site()
    asked = {"closes": 0, "attendant": "A", "cash_counted_fen": None}
    for number in (1, 2):
        known = {"id": number, "kind": "handover", "nozzle": 0, "order_id": None, "shift": asked}
        s.backend.commands.append(known)
    wrong = {"id": 3, "kind": "handover", "nozzle": 0, "order_id": None, "shift": {**asked, "closes": 7}}
    s.backend.commands.append(wrong)
    s.run(30)
    assert [result["ok"] for result in s.backend.results] == [True, True, False]
    assert [one["number"] for one in s.backend.handovers()] == [1]


def test_a_first_reading_that_comes_after_the_moment_counts_back():
    s = Site()
    s.site.shifts.hand_over("A")  # before any pump was read
    s.fill(1)
    s.run(10)
    assert told(s.backend.handovers()[0], 1) == (0, 0, 0)
    s.close()
