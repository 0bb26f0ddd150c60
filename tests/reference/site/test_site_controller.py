"""The controller on the simulated dispenser, bus and clock, against a scripted backend."""

from __future__ import annotations

import asyncio
import itertools
import json
import random

import httpx
import pytest

from reference.site import SiteConfig, SiteController
from sim.dispenser import Dispenser, FpState, FuellingPoint, Nozzle, Tank
from sim.dispenser.dart import DartDispenser
from sim.dispenser.modbus import ModbusDispenser
from sim.kernel import VirtualKernel
from sim.wires import VirtualBus

S = 1_000_000
EPOCH_US = 1_790_000_000 * S


class ScriptedBackend(httpx.AsyncBaseTransport):
    """Several instances over one store; may be down, lose replies, or answer late."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.down = set()
        self.lose_replies = 0
        self.sales = {}
        self.sale_posts = 0
        self.live = []
        self.setups = []
        self.commands = []
        self.results = []
        self.hosts = []
        self.news = asyncio.Event()

    def command(self, kind, **fields):
        number = len(self.commands) + 1
        body = {
            "id": number,
            "kind": kind,
            "nozzle": 1,
            "order_id": None,
            "preset_fen": None,
            "preset_ml": None,
        }
        self.commands.append(body | {"sale": None, "receipt": None} | fields)
        self.news.set()
        return number

    async def handle_async_request(self, request):
        await asyncio.sleep(0.020)
        host = request.url.host
        if host in self.down:
            raise httpx.ConnectError("refused")
        self.hosts.append(host)
        status, answer = await self.route(request)
        await asyncio.sleep(0.020)
        if host in self.down:
            raise httpx.ReadError("gone")
        if request.url.path.endswith("/sales") and self.lose_replies:
            self.lose_replies -= 1
            raise httpx.ReadTimeout("no answer")
        return httpx.Response(status, json=answer, request=request)

    async def route(self, request):
        assert request.headers["authorization"] == "Bearer key"
        path = request.url.path.removeprefix("/v1/stations/KM01")
        body = json.loads(request.content) if request.content else None
        if path == "" and request.method == "PUT":
            self.setups.append(body)
            return 200, {}
        if path == "/sales":
            self.sale_posts += 1
            key = body["nozzle"], body["sequence"]
            if key in self.sales and self.sales[key] != body:
                return 409, {"code": "sale_differs"}
            known = key in self.sales
            self.sales[key] = body
            return (200 if known else 201), {"sale_id": f"s{key}", "state": "PAYABLE"}
        if path == "/nozzles/live":
            self.live.append((self.kernel.now_us, body))
            return 204, None
        if path == "/commands":
            after, wait_ms = int(request.url.params["after"]), int(request.url.params["wait_ms"])
            end = asyncio.get_running_loop().time() + wait_ms / 1000
            while True:
                answered = {number for number, _ in self.results}
                found = [c for c in self.commands if c["id"] > after and c["id"] not in answered]
                left = end - asyncio.get_running_loop().time()
                if found or left <= 0:
                    return 200, {"commands": found}
                self.news.clear()
                try:
                    await asyncio.wait_for(self.news.wait(), left)
                except TimeoutError:
                    return 200, {"commands": []}
        if path.endswith("/result"):
            number = int(path.split("/")[2])
            if all(number != known for known, _ in self.results):
                self.results.append((number, body))
            return 204, None
        raise AssertionError(path)


class Plug:
    """The master's end of the bus: the driver in it can be changed, as by a restart of its process."""

    def __init__(self, driver):
        object.__setattr__(self, "driver", driver)

    def change(self, driver):
        driver.on_wake, driver.is_quiet = self.driver.on_wake, self.driver.is_quiet
        object.__setattr__(self, "driver", driver)

    def __getattr__(self, name):
        return getattr(self.driver, name)

    def receive_data(self, data, now_us):  # the bus keeps bound methods, so these are written out
        self.driver.receive_data(data, now_us)

    def data_to_send(self, now_us):
        return self.driver.data_to_send(now_us)

    def next_timer(self):
        return self.driver.next_timer()

    def handle_timer(self, now_us):
        self.driver.handle_timer(now_us)

    def __setattr__(self, name, value):
        setattr(self.driver, name, value)


class World:
    def __init__(self, *, protocol="dart", points=2, seed="site", journal=":memory:", skip=False, **site):
        self.kernel = VirtualKernel(seed, epoch_us=EPOCH_US)
        self.tank = Tank(1, "92")
        self.points = [
            FuellingPoint(
                k + 1,
                [Nozzle(logical=1, nozzle_id=k + 1, grade="92", tank=self.tank, price_fen_per_l=750)],
            )
            for k in range(points)
        ]
        dispenser = Dispenser(self.points)
        addresses = [0x50 + k if protocol == "dart" else 1 for k in range(points)]
        if protocol == "dart":
            self.pump = DartDispenser(dispenser, dict(zip(addresses, self.points, strict=True)))
        else:
            self.pump = ModbusDispenser(dispenser, 1, framing="rtu", baud=19_200)
        self.backend = ScriptedBackend(self.kernel)
        self.bus = VirtualBus(self.kernel, "line", baud=19_200, skip_idle_polls=skip)
        self.bus.attach(self.pump, name="pump", addresses=sorted(set(addresses)))
        self.config = SiteConfig.model_validate(
            {
                "station": "KM01",
                "lines": [
                    {
                        "protocol": protocol,
                        "framing": "rtu",
                        "baud": 19_200,
                        "fuelling_points": [
                            {
                                "fuelling_point": k + 1,
                                "address": addresses[k],
                                "block": k + 1,
                                "nozzles": [{"nozzle": k + 1, "grade": "92", "price_fen_per_l": 750}],
                            }
                            for k in range(points)
                        ],
                    }
                ],
            }
            | site
        )
        self.site = SiteController(
            self.config,
            clock_us=lambda: self.kernel.unix_us,
            http_transport=self.backend,
            journal_path=journal,
            base_urls=["https://backend-a.station", "https://backend-b.station"],
            station_key="key",
        )
        self.plug = Plug(self.site.drivers[0])
        lead_us = self.bus.burst_us(3 if protocol == "dart" else 8)
        self.bus.attach(self.plug, name="site", master=True, poll_lead_us=lead_us)
        self.kernel.task(self.site.start())

    def run(self, seconds):
        self.kernel.run(until_us=self.kernel.now_us + round(seconds * S))

    def at(self, seconds, act, *args):
        self.kernel.call_at(round(seconds * S), act, *args)

    def fill(self, at_s, *, point=0, seconds=20):
        it = self.points[point]
        self.at(at_s, lambda: it.lift(1, self.kernel.now_us))
        self.at(at_s + 4, lambda: it.squeeze(self.kernel.now_us, 33_000))
        self.at(at_s + 4 + seconds, lambda: it.hang_up(self.kernel.now_us))

    def truth(self):
        return sorted(
            (d.nozzle_id, d.volume_ml, d.amount_fen, d.end_total_volume_ml)
            for point in self.points
            for d in point.journal
            if d.volume_ml
        )

    def ledger(self):
        return sorted(
            (s["nozzle"], s["volume_ml"], s["amount_fen"], s["end_total_volume_ml"])
            for s in self.backend.sales.values()
        )

    def close(self):
        self.kernel.task(self.site.stop())
        self.run(1)
        self.kernel.close()


@pytest.fixture(params=["dart", "modbus"])
def world(request):
    made = []

    def make(**settings):
        made.append(World(protocol=request.param, **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_policy_sale_reaches_the_backend_with_the_pumps_own_figures(world):
    w = world()
    w.fill(5)
    w.fill(6, point=1)
    w.run(40)
    assert len(w.truth()) == 2
    assert w.ledger() == w.truth()
    sale = w.backend.sales[1, 1]
    assert sale["order_id"] is None
    assert sale["flags"] == []
    assert EPOCH_US + 5 * S < sale["started_us"] < EPOCH_US + 11 * S
    assert EPOCH_US + 29 * S <= sale["ended_us"] < EPOCH_US + 30 * S
    assert w.backend.setups[0]["nozzles"][0] == {
        "nozzle": 1, "fuelling_point": 1, "grade": "92", "price_fen_per_l": 750, "tank": 1,
    }  # fmt: skip
    assert w.tank.drawn_ml == sum(row[1] for row in w.truth())


def test_live_amounts_are_at_most_a_second_old_and_not_sent_more_than_twice_a_second(world):
    w = world()
    w.fill(5)
    w.run(40)
    fuelling = [
        (at_us, n["volume_ml"])
        for at_us, body in w.backend.live
        for n in body["nozzles"]
        if n["state"] == "FUELLING"
    ]
    gaps = [b[0] - a[0] for a, b in itertools.pairwise(fuelling)]
    assert len(fuelling) > 30
    assert min(gaps) >= 500_000
    assert max(gaps) <= 1_000_000
    assert [v for _, v in fuelling] == sorted(v for _, v in fuelling)
    idle_before = [at_us for at_us, _ in w.backend.live if at_us < 5 * S]
    assert len(idle_before) <= 3


@pytest.mark.requirement("fd-auth.sale-names-authoriser-and-order")
def test_an_order_waits_for_the_lift_and_its_preset_and_number_go_with_it(world):
    w = world(lift_policy="order_required")
    w.fill(5)  # nobody ordered: no fuel
    w.run(32)
    assert w.truth() == []
    number = w.backend.command("authorise", order_id="o1", preset_fen=10_000)
    w.run(2)
    assert w.backend.results == [(number, {"ok": True, "reason": "held"})]
    w.fill(40, seconds=40)
    w.run(70)
    assert w.ledger() == w.truth()
    sale = w.backend.sales[1, 1]
    assert sale["order_id"] == "o1"
    assert abs(sale["amount_fen"] - 10_000) <= 8
    w.fill(110)  # the order is spent
    w.run(40)
    assert len(w.backend.sales) == 1


@pytest.mark.requirement("fd-link.reads-before-commands-after-recovery")
@pytest.mark.parametrize("deaf_at_ms", range(0, 1_500, 125))
def test_an_authorisation_whose_answer_is_lost_is_unknown_and_its_sale_is_the_order_s(world, deaf_at_ms):
    """The pump obeys and the controller does not hear it: what the pump does afterwards tells, not the silence."""
    w = world(points=1)
    driver = w.plug.driver
    hear = driver.receive_data
    deaf = []

    def receive_data(data, now_us):
        if not deaf:
            hear(data, now_us)

    driver.receive_data = receive_data
    w.at(2, lambda: w.backend.command("authorise", nozzle=1, order_id="o1", preset_fen=6_000))
    w.at(5 + deaf_at_ms / 1000, deaf.append, True)
    w.at(9 + deaf_at_ms / 1000, deaf.clear)
    w.fill(5, seconds=25)
    w.run(60)
    (sale,) = w.backend.sales.values()
    (delivered,) = w.points[0].journal
    assert (sale["order_id"], sale["amount_fen"]) == ("o1", delivered.amount_fen)
    assert w.site.held == {}
    w.fill(62, seconds=10)
    w.run(40)
    assert [one["order_id"] for one in w.backend.sales.values()] == ["o1", None]


@pytest.mark.requirement("fc-sale.one-delivery-one-ledger-sale")
def test_a_delivery_whose_authorisation_runs_out_while_the_line_is_lost_is_still_the_order_s(world):
    """The time to begin is over, but it had begun: nobody can see that while the line is lost."""
    w = world(points=1, authorisation_ttl_us=20 * S)
    driver = w.plug.driver
    hear = driver.receive_data
    deaf = []

    def receive_data(data, now_us):
        if not deaf:
            hear(data, now_us)

    driver.receive_data = receive_data
    w.at(2, lambda: w.backend.command("authorise", nozzle=1, order_id="o1"))
    w.fill(5, seconds=25)
    w.at(15, deaf.append, True)
    w.at(45, deaf.clear)
    w.run(60)
    (sale,) = w.backend.sales.values()
    assert sale["order_id"] == "o1"
    assert w.site.held == {}


def test_a_claim_that_runs_out_while_the_line_is_lost_does_not_hold_the_nozzle_for_ever(world):
    w = world(points=1, authorisation_ttl_us=20 * S)
    driver = w.plug.driver
    hear = driver.receive_data
    deaf = []

    def receive_data(data, now_us):
        if not deaf:
            hear(data, now_us)

    driver.receive_data = receive_data
    w.at(2, lambda: w.backend.command("authorise", nozzle=1, order_id="o1"))
    w.at(10, deaf.append, True)
    w.at(45, deaf.clear)
    w.run(60)
    assert w.site.held == {}
    w.backend.command("authorise", nozzle=1, order_id="o2")
    w.fill(65, seconds=10)
    w.run(40)
    assert [sale["order_id"] for sale in w.backend.sales.values()] == ["o2"]


@pytest.mark.requirement("fd-link.reads-before-commands-after-recovery")
def test_an_authorisation_in_doubt_whose_order_has_gone_is_stopped(world):
    w = world(points=1, offline_policy="deny", lift_policy="order_required")
    driver = w.plug.driver
    hear = driver.receive_data
    deaf = [True]

    def receive_data(data, now_us):
        # From the moment in which the pump obeys, nothing is heard of it.
        if not (deaf and w.points[0].state is FpState.STARTED):
            hear(data, now_us)

    driver.receive_data = receive_data
    w.at(2, lambda: w.backend.command("authorise", nozzle=1, order_id="o1"))
    w.at(5, lambda: w.points[0].lift(1, w.kernel.now_us))
    w.run(8)
    assert w.points[0].state is FpState.STARTED
    w.backend.command("cancel", nozzle=1, order_id="o1")
    w.run(2)
    assert dict(w.backend.results)[2]["ok"]
    deaf.clear()
    w.run(10)
    assert w.points[0].state not in {FpState.AUTHORISED, FpState.STARTED}
    assert w.site.held == {}
    assert w.backend.sales == {}


def test_an_order_that_comes_after_the_lift_starts_the_pump(world):
    w = world(lift_policy="order_required")
    w.run(2)
    w.at(5, lambda: w.points[0].lift(1, w.kernel.now_us))
    w.at(7, lambda: w.backend.command("authorise", order_id="o1"))
    w.at(12, lambda: w.points[0].squeeze(w.kernel.now_us, 30_000))
    w.at(20, lambda: w.points[0].hang_up(w.kernel.now_us))
    w.run(28)
    assert w.backend.sales[1, 1]["order_id"] == "o1"


@pytest.mark.requirement("fd-auth.one-live-authorisation", "fd-auth.one-order-per-delivery")
def test_two_orders_never_share_a_nozzle(world):
    w = world(lift_policy="order_required")
    w.run(3)
    w.backend.command("authorise", order_id="o1")
    w.backend.command("authorise", order_id="o2")
    w.backend.command("authorise", order_id="o3", nozzle=99)
    w.run(2)
    assert [(n, r["ok"]) for n, r in w.backend.results] == [(1, True), (2, False), (3, False)]


@pytest.mark.requirement("fc-sale.cancel-after-flow-is-refused")
def test_cancel_before_and_after_fuel(world):
    w = world(lift_policy="order_required")
    w.run(3)
    w.backend.command("authorise", order_id="o1")
    w.run(1)
    w.points[0].lift(1, w.kernel.now_us)
    w.run(4)
    assert w.site.snapshot()["fuelling_points"][0]["state"] == "STARTED"
    w.backend.command("cancel", order_id="o1")
    w.run(4)
    assert w.backend.results[1] == (2, {"ok": True, "reason": "cancelled"})
    assert not w.points[0].squeeze(w.kernel.now_us, 30_000), "no fuel after a cancellation"
    w.points[0].hang_up(w.kernel.now_us)
    w.run(2)
    w.backend.command("authorise", order_id="o2")
    w.run(1)
    w.points[0].lift(1, w.kernel.now_us)
    w.run(4)
    assert w.points[0].squeeze(w.kernel.now_us, 30_000)
    w.run(5)
    w.backend.command("cancel", order_id="o2")
    w.run(2)
    assert w.backend.results[-1] == (4, {"ok": False, "reason": "fuel_flowed"})
    w.points[0].hang_up(w.kernel.now_us)
    w.run(5)
    assert [s["order_id"] for s in w.backend.sales.values()] == ["o2"]


@pytest.mark.requirement("fd-auth.authorisation-expires")
def test_an_authorisation_ends_by_itself(world):
    w = world(authorisation_ttl_us=20 * S)
    w.run(3)
    w.points[0].lift(1, w.kernel.now_us)
    w.run(15)
    assert w.site.snapshot()["fuelling_points"][0]["state"] == "STARTED"
    w.run(10)
    assert not w.points[0].squeeze(w.kernel.now_us, 30_000)
    w.points[0].hang_up(w.kernel.now_us)
    w.fill(40)
    w.run(40)
    assert w.ledger() == w.truth()
    assert len(w.truth()) == 1


@pytest.mark.requirement("clk.durations-use-monotonic-clock")
@pytest.mark.parametrize("step_s", [3_600, -3_600, 86_400, -86_400])
@pytest.mark.parametrize("stepped", ["while it waits", "while it fills"])
def test_setting_the_time_of_day_neither_ends_nor_prolongs_an_authorisation(world, step_s, stepped):
    w = world(authorisation_ttl_us=20 * S)
    site, clock_us = w.site, w.site.clock_us

    def set_the_clock() -> None:
        site.clock_us = lambda: clock_us() + step_s * S

    w.run(3)
    w.backend.command("authorise", order_id="o1")
    w.run(1)
    if stepped == "while it waits":
        set_the_clock()
        w.run(10)
    w.points[0].lift(1, w.kernel.now_us)
    w.run(3)
    assert w.points[0].squeeze(w.kernel.now_us, 30_000)
    set_the_clock()
    w.run(25)
    assert w.points[0].flowing
    w.points[0].hang_up(w.kernel.now_us)
    w.run(10)
    assert [sale["order_id"] for sale in w.backend.sales.values()] == ["o1"]
    w.points[0].lift(1, w.kernel.now_us)  # what nobody begins ends after its own 20 s, as ever
    w.run(15)
    assert site.snapshot()["fuelling_points"][0]["state"] == "STARTED"
    w.run(10)
    assert not w.points[0].squeeze(w.kernel.now_us, 30_000)


@pytest.mark.requirement("clk.backward-step-keeps-order", "clk.durations-use-monotonic-clock")
@pytest.mark.parametrize("step_s", [-600, 600])
def test_setting_the_time_of_day_reorders_and_doubles_no_sale(world, step_s):
    w = world()
    clock_us = w.site.clock_us
    for number in range(4):
        w.fill(5 + 50 * number)
        w.run(50)
        if number == 1:
            w.site.clock_us = lambda: clock_us() + step_s * S
    w.run(20)
    assert w.ledger() == w.truth()
    assert [key for key in w.backend.sales if key[0] == 1] == [(1, number) for number in range(1, 5)]
    lasted = [sale["ended_us"] - sale["started_us"] for sale in w.backend.sales.values()]
    assert max(lasted) - min(lasted) < 2 * S, "a duration has nothing to do with the time of day"


@pytest.mark.requirement("fc-sale.one-owner-at-a-time")
@pytest.mark.parametrize("early_ms", range(-100, 700, 50))
def test_an_authorisation_that_ends_while_the_sale_is_being_read_still_owns_it(world, early_ms):
    w = world(authorisation_ttl_us=20 * S)
    w.run(3)
    w.backend.command("authorise", order_id="o1")
    w.run(1)
    expires_us = w.site.held[1].expires_us - w.kernel.epoch_us
    w.points[0].lift(1, w.kernel.now_us)
    w.run(3)
    assert w.points[0].squeeze(w.kernel.now_us, 30_000)
    w.kernel.call_at(expires_us - early_ms * 1_000, lambda: w.points[0].hang_up(w.kernel.now_us))
    w.run(25)
    assert [sale["order_id"] for sale in w.backend.sales.values()] == ["o1"]
    assert w.site.held == {}


@pytest.mark.requirement("fd-state.status-runs-without-backend")
@pytest.mark.requirement("ha.day-without-network-resyncs", "fd-pwr.buffered-sales-upload-in-order")
@pytest.mark.parametrize(("policy", "sales"), [("authorise", 3), ("deny", 0)])
def test_while_the_backend_is_away_the_policy_decides_and_everything_is_sent_afterwards(world, policy, sales):
    w = world(offline_policy=policy)
    w.backend.down = {"backend-a.station", "backend-b.station"}
    for k in range(3):
        w.fill(5 + 40 * k)
    w.run(130)
    assert len(w.truth()) == sales
    assert w.backend.sales == {}
    assert w.site.snapshot()["unsent_sales"] == sales
    w.backend.down = set()
    w.run(12)
    assert w.ledger() == w.truth()
    assert w.site.snapshot()["unsent_sales"] == 0
    assert [key[1] for key in w.backend.sales] == list(range(1, sales + 1)), "oldest first"


@pytest.mark.requirement("fd-state.status-runs-without-backend")
def test_instances_that_refuse_at_once_are_asked_with_growing_pauses(world):
    class Refusing(httpx.AsyncBaseTransport):
        asked = 0

        async def handle_async_request(self, request):
            self.asked += 1
            raise httpx.ConnectError("refused", request=request)

    w = world()
    w.run(3)
    w.kernel.task(w.site.stop())
    w.run(1)
    refusing = Refusing()
    w.site = SiteController(
        w.config,
        clock_us=lambda: w.kernel.unix_us,
        http_transport=refusing,
        journal_path=":memory:",
        base_urls=["https://backend-a.station", "https://backend-b.station"],
        station_key="key",
    )
    w.kernel.task(w.site.start())
    w.run(10)
    first = refusing.asked
    assert 10 < first < 200
    w.run(60)
    assert refusing.asked - first < 400, "live readings twice a second, the rest every five seconds"


@pytest.mark.requirement("fc-sale.repeated-upload-is-one-row", "fc-sale.lossy-transport-converges")
def test_lost_replies_lead_to_the_same_key_again_on_the_other_instance(world):
    w = world()
    w.backend.lose_replies = 7
    w.fill(5)
    w.run(60)
    assert w.ledger() == w.truth()
    assert w.backend.sale_posts == 8
    assert {"backend-a.station", "backend-b.station"} <= set(w.backend.hosts)


@pytest.mark.requirement("ha.first-write-within-fifteen-seconds")
def test_the_other_instance_takes_over_within_seconds(world):
    w = world()
    w.run(5)
    w.backend.down = {"backend-a.station"}
    number = w.backend.command("authorise", order_id="o1")
    w.run(13)
    assert w.backend.results[0][0] == number
    assert w.site.snapshot()["backend_up"]


@pytest.mark.requirement("fc-sale.changed-content-is-refused")
def test_another_content_under_the_same_key_is_kept_for_a_person_and_blocks_nothing(world):
    w = world()
    w.backend.sales[1, 1] = {"other": "content"}
    w.fill(5)
    w.fill(45)
    w.run(90)
    assert w.backend.sales[1, 1] == {"other": "content"}
    assert w.backend.sales[1, 2]["volume_ml"] == w.truth()[1][1]
    assert w.site.snapshot()["refused_sales"] == 1
    assert len(w.site.journal.all_sales()) == 2


def test_commands_that_make_no_sense_are_refused_not_obeyed(world):
    w = world()
    w.run(3)
    w.backend.command("explode")
    w.backend.command("authorise", order_id="o1", preset_fen=-5)
    w.backend.command("settled", sale=None)
    w.backend.command("print", receipt={})
    w.run(2)
    assert [r["ok"] for _, r in w.backend.results] == [False] * 4


def test_price_change_reaches_pump_and_backend(world):
    w = world()
    w.fill(3, seconds=5)
    w.run(20)
    w.site.set_prices({1: 799, 2: 801})
    w.run(4)
    assert [point.nozzles[1].price_fen_per_l for point in w.points] == [799, 801]
    # A DART pump names a nozzle's price once the nozzle was used; only what it read back is told.
    told = [799, 750] if w.config.lines[0].protocol == "dart" else [799, 801]
    assert [n["price_fen_per_l"] for n in w.backend.setups[-1]["nozzles"]] == told
    w.fill(30, point=1, seconds=5)
    w.run(30)
    assert [n["price_fen_per_l"] for n in w.backend.setups[-1]["nozzles"]] == [799, 801]
    assert w.backend.sales[2, 1]["price_fen_per_l"] == 801


@pytest.mark.parametrize("seed", range(3))
def test_skipping_idle_polls_changes_no_sale_and_no_time(world, seed):
    def run(skip):
        w = world(skip=skip, seed=f"skip{seed}")
        rng = random.Random(seed)
        at_s = 3.0
        for _ in range(5):
            at_s += rng.uniform(0, 60)
            w.fill(at_s, point=0, seconds=rng.uniform(0, 60))
            w.fill(at_s + rng.uniform(0, 9), point=1, seconds=rng.uniform(0, 60))
            at_s += 75
        w.run(at_s + 80)
        return w

    full, skipped = run(False), run(True)
    assert full.backend.sales == skipped.backend.sales
    assert full.ledger() == full.truth()
    assert len(full.ledger()) >= 8
    assert [b for b in full.backend.live if b[1]["nozzles"]] == [
        b for b in skipped.backend.live if b[1]["nozzles"]
    ]


@pytest.mark.requirement("fd-state.fast-nozzle-cycle-keeps-deliveries-apart")
@pytest.mark.parametrize("gap_us", [20_000, 100_000, 400_000])
def test_a_nozzle_hung_up_and_lifted_again_at_once_makes_two_sales(world, gap_us):
    w = world()
    w.fill(5, seconds=10)
    point = w.points[0]
    w.at(19 + gap_us / S, lambda: point.lift(1, w.kernel.now_us))
    w.at(27, lambda: point.squeeze(w.kernel.now_us, 33_000))
    w.at(40, lambda: point.hang_up(w.kernel.now_us))
    w.run(50)
    assert len(w.truth()) == 2
    assert w.ledger() == w.truth()


@pytest.mark.requirement("fd-pwr.running-delivery-is-adopted", "fd-state.restart-rebuilds-state")
def test_a_new_controller_adopts_what_runs_and_sells_it_once(world, tmp_path):
    w = world(journal=str(tmp_path / "site.sqlite3"))
    w.fill(5)
    w.fill(45)
    w.run(52)
    old = w.site
    w.kernel.task(old.stop())
    w.run(0.5)
    w.site = SiteController(
        w.config,
        clock_us=lambda: w.kernel.unix_us,
        http_transport=w.backend,
        journal_path=str(tmp_path / "site.sqlite3"),
        base_urls=["https://backend-a.station"],
        station_key="key",
    )
    w.plug.change(w.site.drivers[0])
    w.kernel.task(w.site.start())
    w.run(40)
    assert w.ledger() == w.truth()
    assert len(w.truth()) == 2
