"""A site controller on simulated dispensers, a bus and a clock, with a backend that does what it is told."""

from __future__ import annotations

import asyncio
import json

import httpx

from reference.site import SiteConfig, SiteController
from sim.dispenser import Dispenser, FuellingPoint, Nozzle, Tank
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


class Mortal(httpx.AsyncBaseTransport):
    """The network of one process: once that is dead, nothing more leaves it."""

    def __init__(self, backend: ScriptedBackend) -> None:
        self.backend = backend
        self.dead = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.dead:
            raise httpx.ConnectError("this process is dead")
        response = await self.backend.handle_async_request(request)
        if self.dead:
            raise httpx.ReadError("this process is dead")
        return response


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
