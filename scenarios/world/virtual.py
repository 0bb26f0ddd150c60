"""The whole chain in virtual time: iron, wires, site controller, backends, services and people in one kernel."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import httpx

from protocols.escpos import read_receipt
from protocols.modbus import rtu_silence_us
from reference.backend import Backend, BackendSettings, SqliteDatabase, create_backend
from reference.site import SiteController
from scenarios.demand import demand_profile, positions, start_of_day_us
from scenarios.model import Line, Scenario
from scenarios.world.equipment import Equipment, build_equipment
from scenarios.world.faults import CONTROLLER, FaultPlan, PlannedFault, frames_on, plan_faults
from scenarios.world.keys import RunKeys
from scenarios.world.services import SimulatedServices, build_services
from scenarios.world.station_events import schedule_station_events
from scenarios.world.tanks import build_gauge
from scenarios.world.translate import latency_profile, site_config
from scenarios.world.witness import Witness
from sim.kernel import Trace, VirtualKernel
from sim.latency import LatencyProfile
from sim.net import Balancer, Network
from sim.people import Crowd, DispenserHand, Kiosk, Phones, StationFloor
from sim.printer import CHINESE_58MM, CHINESE_80MM, Printer
from sim.wires import Capture, VirtualBus, VirtualLink, VirtualNodes

__all__ = ["GATEWAY_HOST", "VirtualWorld", "WorldOptions"]

GATEWAY_HOST: Final = "api.mch.weixin.qq.com"
_PLATFORM_HOST: Final = "api.weixin.qq.com"
_PAYER_HOST: Final = "payer.sim"
_CALLBACK_HOST: Final = "backend.station"

_POLL_CHARACTERS: Final = {"dart": 3, "modbus": 8, "twowire": 1, "aaff": 25}
"""Characters of an idle poll: address, POLL, SF on DART; a read request on Modbus RTU; one byte on Two-Wire."""

_BITS_PER_CHARACTER: Final = {"dart": 11, "modbus": 10, "twowire": 10, "aaff": 10}
"""DART is 8O1, the Modbus lines here are 8N1, and so are Two-Wire lines that are no current loops."""

_CURRENT_LOOP_BAUD: Final = 5787
"""A Two-Wire line at this speed is 8E1."""

_MODBUS_PORT: Final = 502
_PRINTER_PORT: Final = 9100
"""Ports that these devices listen on in the field; captures name them."""

_PRINTER_BYTES_PER_S: Final = 1_000_000
"""A 10 Mbit/s receipt printer board."""

_WARM_UP_US: Final = 1_000_000
"""Controller and backend find each other before the first car may come."""

_STEP_US: Final = 60_000_000
_OVERTIME_STEPS: Final = 120
"""How many minutes after the last arrival the last car may still be there: two hours end any queue."""


def _bits_per_character(line: Line) -> int:
    if line.protocol == "twowire" and line.baud == _CURRENT_LOOP_BAUD:
        return 11
    return _BITS_PER_CHARACTER[line.protocol]


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
class _Instance:
    """A backend instance and the name it is reached by."""

    name: str
    host: str
    backend: Backend
    landed: int = 0
    down: int = 0
    """How many faults keep it dead now: two windows may overlap."""


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
        self._receipts_held: dict[str, int] = {}
        self._database = SqliteDatabase()
        self.network = self._build_network()
        self.equipment: Equipment = build_equipment(scenario.station)
        self.gauge = build_gauge(self.kernel, scenario, self.equipment.tanks, self.equipment.settle)
        self.services: SimulatedServices = self._build_services()
        self.instances = [self._build_instance(chr(ord("a") + i)) for i in range(scenario.backend.instances)]
        self.site = self._build_site()
        self.printer = Printer(CHINESE_80MM if scenario.station.printer == "generic-80mm" else CHINESE_58MM)
        self._wire()
        self.crowd = self._build_crowd()
        self.witness = Witness()
        self.kernel.trace.listen(self.witness)
        self.site.on_command = self.witness.hear_commands(self.site.on_command, lambda: self.kernel.now_us)  # type: ignore[method-assign]
        self.ended_us = 0
        self._schedule_faults()
        schedule_station_events(self)

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
            network.set_latency(name, GATEWAY_HOST, gateway)
            network.set_latency(name, _PLATFORM_HOST, gateway)
        network.set_latency("gateway", _CALLBACK_HOST, gateway)
        # What the payer's own app needs belongs to the gateway's stated share.
        network.set_latency("phone", _PAYER_HOST, none)
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
            notify_client=self.client("gateway", _CALLBACK_HOST),
            notify_url=f"https://{_CALLBACK_HOST}",
        )
        gateway = services.gateway
        self.network.register(GATEWAY_HOST, gateway.app)
        self.network.register(_PLATFORM_HOST, gateway.jscode_app)
        self.network.register(_PAYER_HOST, gateway.payer_app)
        targets = [f"https://{name}.station" for name in self._instance_names()]
        self.network.register(_CALLBACK_HOST, Balancer(targets, self.client("balancer", _CALLBACK_HOST)))
        return services

    def _build_instance(self, letter: str) -> _Instance:
        name = f"backend-{letter}"
        instance = _Instance(name, f"{name}.station", self._new_backend(name, life=0))
        processing = latency_profile(self.scenario.services.backend_processing)
        self.network.register(instance.host, instance.backend.app, processing=processing)
        return instance

    def _new_backend(self, name: str, life: int) -> Backend:
        settings = BackendSettings(
            station_keys={self.scenario.station.id: self._secret("station")},
            admin_key=self.keys.admin_key,
            service_secret=self._secret("service"),
            notify_url=f"https://{_CALLBACK_HOST}",
        ).with_merchant(self.keys.merchant.credentials)
        return create_backend(
            settings,
            database=self._database,
            clock_us=lambda: self.kernel.unix_us,
            rng=self.kernel.streams.get(name, f"identifiers/{life}"),
            http=self.network.transport,
            instance=name,
        )

    def _secret(self, purpose: str) -> str:
        """A secret whose effect shows (both enter each out_trade_no): it follows from the seed and guards nothing here."""
        return hashlib.sha256(f"{self.seed}/secret/{purpose}".encode()).hexdigest()

    def _build_site(self) -> SiteController:
        return SiteController(
            site_config(self.scenario.station),
            clock_us=lambda: self.kernel.unix_us,
            http_transport=self.network.transport("site"),
            base_urls=[f"https://{name}.station" for name in self._instance_names()],
            station_key=self._secret("station"),
        )

    def _capture(self, wire: str) -> Capture | None:
        if not self.options.captures:
            return None
        self.captures.append(Capture(wire))
        return self.captures[-1]

    def _wire(self) -> None:
        for line, driver in zip(self.scenario.station.lines, self.site.drivers, strict=True):
            if line.protocol == "ifsf":
                self._wire_nodes(line, driver)
            elif line.framing == "tcp":
                self._wire_tcp(line, driver)
            else:
                self._wire_bus(line, driver)
        if self.site.printer is not None:
            VirtualLink(
                self.kernel,
                "printer",
                self.site.printer,
                self.printer,
                latency_us=500,
                bytes_per_s=_PRINTER_BYTES_PER_S,
                capture=self._capture("printer"),
                names=(CONTROLLER, "printer"),
                redial_us=2_000_000,
                tcp_port=_PRINTER_PORT,
            )

        if self.gauge is not None and self.site.gauge is not None:
            link = VirtualLink(
                self.kernel,
                "gauge",
                self.site.gauge.reader,
                self.gauge.port,
                latency_us=2_000,
                faults=self.plan.wire("gauge"),
                capture=self._capture("gauge"),
                names=("site", "gauge"),
                redial_us=5_000_000,
            )
            self.plan.attach(link.faults)

    def _wire_bus(self, line: Line, driver: Any) -> None:
        bus = VirtualBus(
            self.kernel,
            line.name,
            baud=line.baud,
            bits_per_char=_bits_per_character(line),
            echo=line.echo,
            faults=self.plan.wire(line.name, frames_on(line)),
            capture=self._capture(line.name),
            skip_idle_polls=self.options.skip_idle_polls,
        )
        self.plan.attach(bus.faults)
        lead_us = bus.burst_us(_POLL_CHARACTERS[line.protocol])
        if line.protocol == "modbus":
            lead_us += rtu_silence_us(line.baud)  # a unit answers when it has heard the end of the frame
        bus.attach(driver, name=CONTROLLER, master=True, poll_lead_us=lead_us)
        for cabinet in self.equipment.on_line(line.name):
            bus.attach(cabinet.machine, name=cabinet.name, addresses=cabinet.addresses)

    def _wire_tcp(self, line: Line, driver: Any) -> None:
        (cabinet,) = self.equipment.on_line(line.name)
        link = VirtualLink(
            self.kernel,
            line.name,
            driver,
            cabinet.machine,
            latency_us=500,
            faults=self.plan.wire(line.name, frames_on(line)),
            capture=self._capture(line.name),
            names=(CONTROLLER, cabinet.name),
            redial_us=2_000_000,
            tcp_port=_MODBUS_PORT,
        )
        self.plan.attach(link.faults)

    def _wire_nodes(self, line: Line, driver: Any) -> None:
        (cabinet,) = self.equipment.on_line(line.name)
        machine: Any = cabinet.machine
        nodes = VirtualNodes(
            self.kernel,
            line.name,
            driver,
            machine,
            latency_us=500,
            faults=self.plan.wire(line.name, frames_on(line)),
            capture=self._capture(line.name),
            names=(CONTROLLER, cabinet.name),
        )
        self.plan.attach(nodes.faults)

    def _build_crowd(self) -> Crowd:
        station, demand = self.scenario.station, self.scenario.demand
        hosts = [f"{name}.station" for name in self._instance_names()]
        floor = StationFloor(self.kernel.env, positions(self.scenario), cashiers=station.cashiers)
        till = None
        if station.cashiers:
            kiosk = [self.client("kiosk", host) for host in hosts]
            till = Kiosk(self.kernel, kiosk, station_key=self._secret("station"), station=station.id)
        return Crowd(
            self.kernel,
            floor,
            demand_profile(demand),
            hand=DispenserHand(self.kernel, self.equipment.points.values()),
            phone=Phones(
                self.kernel,
                [self.client("phone", host) for host in hosts],
                self.client("phone", _PAYER_HOST),
                station.id,
            ),
            till=till,
            start_hour_us=start_of_day_us(self.scenario),
            duration_us=demand.duration_s * 1_000_000,
        )

    # --- faults that are acts, not properties of a wire ----------------------------------------------------------

    def _schedule_faults(self) -> None:
        printer = self.printer
        acts: dict[str, tuple[Callable[[int], None], Callable[[int], None]]] = {
            "paper_out": (printer.paper_out, lambda now_us: printer.load_paper(None, now_us)),
            "cover_open": (printer.open_cover, printer.close_cover),
            "power_off": (printer.power_off, printer.power_on),
        }
        for planned, fault in self.plan.printer():
            begin, heal = acts[fault.kind]
            self.kernel.call_at(planned.at_us, self._break_printer, planned, begin)
            self.kernel.call_at(planned.healed_us or planned.at_us, self._heal_printer, planned, heal)
            planned.landed = lambda name=planned.name: self._receipts_held.get(name, 0)  # type: ignore[misc]
        for planned, kill in self.plan.kills():
            instance = self.instances[ord(kill.instance) - ord("a")]
            self.kernel.call_at(planned.at_us, self._kill, instance)
            if planned.healed_us is not None:
                self.kernel.call_at(planned.healed_us, self._revive, instance)
            planned.landed = lambda instance=instance: instance.landed  # type: ignore[misc]

    def _break_printer(self, planned: PlannedFault, act: Callable[[int], None]) -> None:
        self.kernel.trace.emit("printer.fault", "printer", fault=planned.name)
        act(self.kernel.now_us)

    def _heal_printer(self, planned: PlannedFault, act: Callable[[int], None]) -> None:
        # It has landed if a receipt had to wait for this.
        self._receipts_held[planned.name] = len(self.site.printer) if self.site.printer is not None else 0
        self.kernel.trace.emit("printer.healed", "printer", fault=planned.name)
        act(self.kernel.now_us)

    def _kill(self, instance: _Instance) -> None:
        instance.down += 1
        if instance.down > 1:
            return
        instance.landed += 1
        self.network.kill(instance.host)
        instance.backend.kill()

    def _revive(self, instance: _Instance) -> None:
        instance.down -= 1
        if instance.down:
            return
        instance.backend = self._new_backend(instance.name, life=instance.landed)
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

    def read_admin(self, table: str) -> list[dict[str, Any]]:
        """All rows of a table of the backend's admin API, read over HTTP as anyone's oracle would.

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
                    params={"after": after, "limit": 1000},
                    headers={"Authorization": f"Bearer {self.keys.admin_key}"},
                )
                reply.raise_for_status()
                page = reply.json()
                rows.extend(page["rows"])
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
