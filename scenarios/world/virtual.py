"""The whole chain in virtual time: iron, wires, site controller, backends, services and people in one kernel."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import httpx

from protocols.escpos import read_receipt
from reference.backend import Backend, BackendSettings, SqliteDatabase, create_backend
from reference.site import SiteController
from scenarios.demand import demand_profile, positions, start_of_day_us
from scenarios.model import Scenario
from scenarios.model.hosts import UNIONPAY, UNIONPAY_ACQUIRER, UNIONPAY_FILES, UNIONPAY_PAYER
from scenarios.world.equipment import Equipment, build_equipment
from scenarios.world.faults import FaultPlan, plan_faults
from scenarios.world.keys import RunKeys
from scenarios.world.members import build_desk
from scenarios.world.services import SimulatedServices, build_services
from scenarios.world.staff import Staff
from scenarios.world.station_events import schedule_station_events
from scenarios.world.tanks import build_gauge
from scenarios.world.taxation import build_tax_house, tax_settings
from scenarios.world.translate import latency_profile, site_config
from scenarios.world.unionpay import (
    build_unionpay,
    channel_settings,
    unionpay_hosts,
    uses_unionpay,
    with_unionpay,
)
from scenarios.world.voice import build_voice
from scenarios.world.wiring import connect
from scenarios.world.witness import Witness
from sim.kernel import Trace, VirtualKernel
from sim.latency import LatencyProfile
from sim.net import Balancer, Network
from sim.people import ApiClient, Crowd, DispenserHand, Kiosk, Payers, Phones, StationFloor
from sim.printer import CHINESE_58MM, CHINESE_80MM, Printer
from sim.unionpay import UnionPayGateway
from sim.wires import Capture

__all__ = ["GATEWAY_HOST", "Instance", "VirtualWorld", "WorldOptions"]

GATEWAY_HOST: Final = "api.mch.weixin.qq.com"
_PLATFORM_HOST: Final = "api.weixin.qq.com"
_PAYER_HOST: Final = "payer.sim"
_CALLBACK_HOST: Final = "backend.station"

_WARM_UP_US: Final = 1_000_000
"""Controller and backend find each other before the first car may come."""

_STEP_US: Final = 60_000_000
_OVERTIME_STEPS: Final = 120
"""How many minutes after the last arrival the last car may still be there: two hours end any queue."""


@dataclass(frozen=True, slots=True)
class WorldOptions:
    """How a virtual run is done; none of it changes what happens in it.

    Attributes:
        skip_idle_polls: leave out polls that change nothing.
        captures: record every burst on every wire.
    """

    skip_idle_polls: bool = False
    captures: bool = False


@dataclass(slots=True)
class Instance:
    """A backend instance and the name it is reached by.

    Attributes:
        deaths: how many times a fault killed it.
        down: how many faults keep it dead now: two windows may overlap.
    """

    name: str
    host: str
    backend: Backend
    deaths: int = 0
    down: int = 0


class VirtualWorld:
    """A scenario put together in virtual time. Build, `run`, read, `close`.

    Args:
        scenario: what to build.
        seed: the run's seed.
        keys: key material; nothing of it reaches the trace.
        trace: where events go.
        options: see `WorldOptions`.

    Attributes:
        kernel, network, equipment, site, services, printer, crowd, plan: the parts.
        gauge: the tanks with their gauge; None if the station has none.
        voice: its loudspeaker; None if it has none.
        captures: one for each wire, when asked for.
    """

    def __init__(
        self,
        scenario: Scenario,
        seed: str | int,
        *,
        keys: RunKeys,
        trace: Trace | None = None,
        options: WorldOptions | None = None,
    ) -> None:
        self.scenario = scenario
        self.seed = str(seed)
        self.keys = keys
        self.options = options or WorldOptions()
        self.kernel = VirtualKernel(seed, epoch_us=scenario.station.epoch_us, trace=trace)
        self.plan: FaultPlan = plan_faults(scenario, seed)
        self.captures: list[Capture] = []
        self._database = SqliteDatabase()
        self.network = self._build_network()
        self.equipment: Equipment = build_equipment(scenario.station)
        self.gauge = build_gauge(self.kernel, scenario, self.equipment.tanks, self.equipment.settle)
        self.services: SimulatedServices = self._build_services()
        bureau = self.services.tax.bureau
        self.tax_house = build_tax_house(scenario, bureau, self.network, secret=self._secret("tax"))
        self.voice = build_voice(self.kernel, scenario, self.plan, self.network)
        self.instances = [self._build_instance(chr(ord("a") + i)) for i in range(scenario.backend.instances)]
        self.site = self._build_site()
        self.printer = Printer(CHINESE_80MM if scenario.station.printer == "generic-80mm" else CHINESE_58MM)
        connect(self)
        self.crowd = self._build_crowd()
        self.witness = Witness()
        self.kernel.trace.listen(self.witness)
        self.site.on_command = self.witness.hear_commands(self.site.on_command, lambda: self.kernel.now_us)  # type: ignore[method-assign]
        self.ended_us = 0
        schedule_station_events(self)
        self.staff = Staff(self)

    # --- building ---------------------------------------------------------------------------------------------

    def _build_network(self) -> Network:
        legs = self.scenario.services.network
        network = Network(self.kernel, faults=self.plan.http())
        self.plan.attach(network.faults)
        near, none = latency_profile(legs.station_backend), LatencyProfile.constant(0)
        phone, gateway = latency_profile(legs.phone_backend), latency_profile(legs.backend_gateway)
        for name in self._instance_names():
            host = f"{name}.station"
            network.set_latency("site", host, near)
            network.set_latency("kiosk", host, near)
            network.set_latency("phone", host, phone)
            network.set_latency("balancer", host, none)
            network.set_latency("oracle", host, none)
            network.set_latency("operator", host, near)
            network.set_latency(name, GATEWAY_HOST, gateway)
            network.set_latency(name, _PLATFORM_HOST, gateway)
        network.set_latency("gateway", _CALLBACK_HOST, gateway)
        # What the payer's own app needs belongs to the gateway's stated share.
        network.set_latency("phone", _PAYER_HOST, none)
        if uses_unionpay(self.scenario):
            for name in self._instance_names():
                network.set_latency(name, UNIONPAY, gateway)
                network.set_latency(name, UNIONPAY_ACQUIRER, gateway)
                network.set_latency(name, UNIONPAY_FILES, gateway)
            network.set_latency("unionpay", _CALLBACK_HOST, gateway)
            network.set_latency("phone", UNIONPAY_PAYER, none)
        return network

    def _instance_names(self) -> list[str]:
        return [f"backend-{chr(ord('a') + i)}" for i in range(self.scenario.backend.instances)]

    def client(self, name: str, host: str, **more: Any) -> httpx.AsyncClient:
        """An HTTP client of the world's network. It holds no connection, so nothing is left open."""
        transport = self.network.transport(name)
        return httpx.AsyncClient(transport=transport, base_url=f"https://{host}", trust_env=False, **more)

    def _build_services(self) -> SimulatedServices:
        services = build_services(
            self.kernel,
            self.scenario.station,
            self.scenario.services,
            self.plan,
            self.keys,
            notify_client=self.network.client("gateway"),
            notify_url=f"https://{_CALLBACK_HOST}",
        )
        gateway = services.gateway
        self.network.register(GATEWAY_HOST, gateway.app)
        self.network.register(_PLATFORM_HOST, gateway.jscode_app)
        self.network.register(_PAYER_HOST, gateway.payer_app)
        targets = [f"https://{name}.station" for name in self._instance_names()]
        self.unionpay: UnionPayGateway | None = None
        if uses_unionpay(self.scenario):
            notify = self.client("unionpay", _CALLBACK_HOST)
            self.unionpay = build_unionpay(self.kernel, self.scenario.services, self.plan, notify)
            for host, app in unionpay_hosts(self.unionpay).items():
                self.network.register(host, app)
        self.network.register(_CALLBACK_HOST, Balancer(targets, self.network.client("balancer")))
        return services

    def _build_instance(self, letter: str) -> Instance:
        name = f"backend-{letter}"
        instance = Instance(name, f"{name}.station", self._new_backend(name, life=0))
        processing = latency_profile(self.scenario.services.backend_processing)
        self.network.register(instance.host, instance.backend.app, processing=processing)
        return instance

    def _new_backend(self, name: str, life: int) -> Backend:
        settings = BackendSettings(
            station_keys={self.scenario.station.id: self._secret("station")},
            admin_key=self.keys.admin_key,
            service_secret=self._secret("service"),
            notify_url=f"https://{_CALLBACK_HOST}",
            reconcile_at_s=self.scenario.backend.reconcile_at_s,
            loudspeakers={} if self.voice is None else {self.scenario.station.id: self.voice.settings},
            **tax_settings(self.tax_house),
            **channel_settings(self.scenario),
        ).with_merchant(self.keys.merchant.credentials)
        if self.unionpay is not None:
            settings = with_unionpay(settings)
        return create_backend(
            settings,
            database=self._database,
            clock_us=lambda: self.kernel.unix_us,
            rng=self.kernel.streams.get(name, f"identifiers/{life}"),
            http=self.network.transport,
            instance=name,
            voice=None if self.voice is None else self.voice.publisher(name),
        )

    def _secret(self, purpose: str) -> str:
        """A secret whose effect shows (both enter each out_trade_no): it follows from the seed and guards nothing here."""
        return hashlib.sha256(f"{self.seed}/secret/{purpose}".encode()).hexdigest()

    @property
    def station_key(self) -> str:
        """What the station shows the backend."""
        return self._secret("station")

    def _build_site(self) -> SiteController:
        return SiteController(
            site_config(self.scenario.station),
            clock_us=lambda: self.kernel.unix_us,
            http_transport=self.network.transport("site"),
            base_urls=[f"https://{name}.station" for name in self._instance_names()],
            station_key=self._secret("station"),
        )

    def _build_crowd(self) -> Crowd:
        station, demand = self.scenario.station, self.scenario.demand
        hosts = [f"{name}.station" for name in self._instance_names()]
        floor = self.floor = StationFloor(
            self.kernel.env, positions(self.scenario), cashiers=station.cashiers
        )
        hand = self.hand = DispenserHand(self.kernel, self.equipment.points.values())
        union = None if self.unionpay is None else self.network.client("phone", UNIONPAY_PAYER)
        payers = Payers(self.network.client("phone", _PAYER_HOST), union)
        till = None
        if station.cashiers:
            kiosk = [self.network.client("kiosk", host) for host in hosts]
            key = self._secret("station")
            till = Kiosk(self.kernel, kiosk, station_key=key, station=station.id, payers=payers)
        self.desk = build_desk(scenario=self.scenario, network=self.network, admin_key=self.keys.admin_key)
        return Crowd(
            self.kernel,
            floor,
            demand_profile(demand),
            hand=hand,
            phone=Phones(
                self.kernel,
                [self.network.client("phone", host) for host in hosts],
                payers,
                station.id,
                desk=self.desk,
            ),
            till=till,
            start_hour_us=start_of_day_us(self.scenario),
            duration_us=demand.duration_s * 1_000_000,
        )

    def till(self) -> ApiClient:
        """The cashiers' way to the backend, for what no driver asks of them."""
        hosts = [f"{name}.station" for name in self._instance_names()]
        return ApiClient(
            [self.network.client("kiosk", host) for host in hosts], token=self._secret("station")
        )

    def kill(self, instance: Instance) -> bool:
        """An instance dies; False if another fault keeps it dead already."""
        instance.down += 1
        if instance.down > 1:
            return False
        instance.deaths += 1
        self.network.kill(instance.host)
        instance.backend.kill()
        return True

    def revive(self, instance: Instance) -> None:
        """One reason less for it to be dead."""
        instance.down -= 1
        if instance.down:
            return
        instance.backend = self._new_backend(instance.name, life=instance.deaths)
        self.network.restore(instance.host, instance.backend.app)
        self.kernel.spawn(instance.backend.start(), f"start {instance.name}")

    # --- running --------------------------------------------------------------------------------------------------

    def run(self, *, on_progress: Callable[[float], None] | None = None) -> None:
        """Run the scenario: arrivals, the last cars, then ``settle_s`` for everything to settle.

        Args:
            on_progress: called now and then with the share of the run that is over, 0..1.

        Raises:
            KernelError: a service of the harness crashed.
        """
        kernel, scenario = self.kernel, self.scenario
        self.kernel.spawn(self._start(), "start")
        kernel.run(_WARM_UP_US)
        self.crowd.start()
        arrivals_us = scenario.demand.duration_s * 1_000_000
        last_fault_us = max((planned.healed_us or planned.at_us for planned in self.plan.faults), default=0)
        staff_s = [change.at_s for change in scenario.shift_changes]
        staff_s += [test.at_s for test in scenario.test_deliveries]
        last_fault_us = max(last_fault_us, 1_000_000 * max(staff_s, default=0))
        settle_us = scenario.settle_s * 1_000_000
        total_us = max(arrivals_us, last_fault_us) + settle_us
        steps = 0
        while not self.crowd.done.triggered and steps < arrivals_us // _STEP_US + _OVERTIME_STEPS:
            kernel.run(kernel.now_us + _STEP_US)
            steps += 1
            if on_progress is not None:
                on_progress(min(0.99, kernel.now_us / total_us))
        end_us = max(kernel.now_us, last_fault_us) + settle_us
        while kernel.now_us < end_us:
            kernel.run(min(end_us, kernel.now_us + _STEP_US))
            if on_progress is not None:
                on_progress(min(0.99, kernel.now_us / total_us))
        self.ended_us = kernel.now_us
        self.equipment.settle(kernel.now_us)
        if on_progress is not None:
            on_progress(1.0)

    async def _start(self) -> None:
        for instance in self.instances:
            await instance.backend.start()
        await self.site.start()

    def read_admin(self, table: str, *, field: str = "rows", **params: str) -> list[dict[str, Any]]:
        """All rows (``field`` of each page) of a table of the backend's admin API, read over HTTP as anyone's oracle would.

        Raises:
            KernelError: no instance answered.
        """
        rows: list[dict[str, Any]] = []
        finished: list[bool] = []

        async def read() -> None:
            alive = [i for i in self.instances if not self.network.is_down(i.host)]
            client = self.client("oracle", alive[0].host)
            after: int | None = 0
            while after is not None:
                reply = await client.get(
                    f"/v1/admin/{table}",
                    params={"after": after, "limit": 1000, **params},
                    headers={"Authorization": f"Bearer {self.keys.admin_key}"},
                )
                reply.raise_for_status()
                page = reply.json()
                rows.extend(page[field])
                after = page["next"]
            finished.append(True)

        was_enabled, self.kernel.trace.enabled = self.kernel.trace.enabled, False
        self.kernel.spawn(read(), f"read {table}")
        while not finished:
            self.kernel.run(self.kernel.now_us + 1_000_000)
        self.kernel.trace.enabled = was_enabled
        return rows

    def receipts_us(self) -> dict[tuple[int, int], int]:
        """(nozzle, sequence) of each receipt on paper -> when its cut was done."""
        printed: dict[tuple[int, int], int] = {}
        for paper in self.printer.receipts:
            facts = read_receipt(paper.text)
            if facts.nozzle is not None and facts.sequence is not None:
                printed.setdefault((facts.nozzle, facts.sequence), paper.ended_us)
        return printed

    def close(self) -> None:
        """Stop everything; the trace has ended before."""
        self.kernel.close()
        self.site.journal.close()
