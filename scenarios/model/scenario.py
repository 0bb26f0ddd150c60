"""The scenario as a whole, and the rules that hold across its parts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from scenarios.checks import REGISTRY, suggest
from scenarios.model.demand import Demand
from scenarios.model.hosts import http_routes
from scenarios.model.key_changes import KeyChange
from scenarios.model.services import (
    BackendKill,
    BackendSetup,
    DispenserFault,
    Fault,
    GatewayFault,
    HttpFault,
    LoudspeakerFault,
    Services,
    Swarm,
    WireFault,
)
from scenarios.model.shifts import ShiftChange, TestDelivery
from scenarios.model.station import Station
from scenarios.model.tanks import GaugeOff, TankEvent
from scenarios.model.values import Grade, Impossible, Part, Place

__all__ = ["Check", "Curve", "PriceChange", "Scenario", "Wall"]


_MOST = 31 * 86_400 * 1_000_000
"""The longest run in microseconds; no limit of a check need be larger."""


class Check(Part):
    """A check that judges the run, with limits where they differ from the check's own."""

    check: str
    limits: dict[str, Annotated[int, Field(ge=0, le=_MOST)]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known(self) -> Check:
        found = REGISTRY.get(self.check)
        if found is None:
            problem = f"no such check: {self.check!r}{suggest(self.check, REGISTRY)}"
            raise Impossible([(("check",), problem)])
        known = ", ".join(sorted(found.limits)) or "none"
        problems = [
            (("limits", name), f"check {self.check!r} has no limit {name!r} (it has: {known})")
            for name in self.limits
            if name not in found.limits
        ]
        if problems:
            raise Impossible(problems)
        return self


class Wall(Part):
    """What is measured on real sockets and real processes after the virtual run."""

    duration_s: Annotated[int, Field(ge=1, le=86_400)] = 60
    payments_per_s: Annotated[int, Field(ge=1, le=10_000)] = 20
    stations: Annotated[int, Field(ge=1, le=30_000)] = 1
    failover_trials: Annotated[int, Field(ge=0, le=1_000)] = 20
    failover_load_per_s: Annotated[int, Field(ge=1, le=10_000)] = 20


class Curve(Part):
    """Arrival rates at which kiosk and mini-program are compared: a curve, not one flattering point."""

    arrivals_per_hour: Annotated[
        tuple[Annotated[int, Field(gt=0, le=10_000)], ...], Field(min_length=2, max_length=64)
    ]
    duration_s: Annotated[int, Field(ge=600, le=7 * 86_400)] = 18_000
    seeds: Annotated[int, Field(ge=1, le=101)] = 3
    warm_up_s: Annotated[int, Field(ge=0, le=86_400)] = 900

    @field_validator("arrivals_per_hour")
    @classmethod
    def _rising(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if list(value) != sorted(set(value)):
            raise ValueError("the arrival rates of a curve must rise")
        return value

    @model_validator(mode="after")
    def _lasts_beyond_its_warm_up(self) -> Curve:
        if self.warm_up_s >= self.duration_s:
            problem = f"warm_up_s ({self.warm_up_s}) leaves nothing of duration_s ({self.duration_s})"
            raise Impossible([(("warm_up_s",), problem)])
        return self


class PriceChange(Part):
    """New unit prices, given to the site controller at an instant; a delivery that runs keeps its own."""

    at_s: Annotated[int, Field(ge=0, le=31 * 86_400)]
    prices_fen_per_l: Annotated[dict[Grade, Annotated[int, Field(gt=0, le=9_999)]], Field(min_length=1)]


class Scenario(Part):
    """A scenario file, checked."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    description: Annotated[
        str, Field(min_length=1, max_length=4_000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$")
    ]
    station: Station
    demand: Demand
    services: Services
    backend: BackendSetup = BackendSetup()
    faults: Annotated[tuple[Fault, ...], Field(max_length=1_000)] = ()
    swarm: Swarm | None = None
    tank_events: Annotated[tuple[TankEvent, ...], Field(max_length=1_000)] = ()
    """Tankers, leaks, water, a gauge without power; only for a station with a gauge."""
    price_changes: Annotated[tuple[PriceChange, ...], Field(max_length=1_000)] = ()
    """Unit prices over time; the station's own hold until the first."""
    key_changes: Annotated[tuple[KeyChange, ...], Field(max_length=20)] = ()
    """What the payment gateway signs with, over time; only in virtual time."""
    shift_changes: Annotated[tuple[ShiftChange, ...], Field(max_length=1_000)] = ()
    """Handovers; the first opens the first shift."""
    test_deliveries: Annotated[tuple[TestDelivery, ...], Field(max_length=1_000)] = ()
    """Deliveries whose fuel goes back into its tank."""
    settle_s: Annotated[int, Field(ge=0, le=86_400)] = 300
    """How long the run goes on after the last arrival and the last fault, for everything to settle."""
    idle_polls: Literal["both", "left_out"] = "both"
    """``both``: the virtual run is played with every poll and again without those that change nothing, and the two are
    compared. ``left_out``: only the latter, for runs of days."""
    replications: Annotated[int, Field(ge=0, le=1_000)] = 0
    """More virtual runs with seeds derived from the run's: their latencies are pooled, and each must be as safe."""
    checks: Annotated[tuple[Check, ...], Field(min_length=1)]
    wall: Wall | None = None
    curve: Curve | None = None

    @model_validator(mode="after")
    def _hangs_together(self) -> Scenario:
        problems = [
            *self._demand_problems(),
            *self._fault_problems(),
            *self._voice_problems(),
            *self._tank_problems(),
            *self._price_problems(),
            *self._key_problems(),
            *self._staff_problems(),
        ]
        if problems:
            raise Impossible(problems)
        return self

    def _demand_problems(self) -> Iterator[tuple[Place, str]]:
        sold = {nozzle.grade for _, nozzle in self.station.nozzles()}
        for grade, weight in sorted(self.demand.grade_mix.items()):
            if weight and grade not in sold:
                yield (
                    ("demand", "grade_mix", grade),
                    f"demand.grade_mix asks for grade {grade}, but no nozzle sells it",
                )
        if self.demand.adoption < 1.0 and self.station.cashiers == 0:
            yield (
                ("station", "cashiers"),
                "some drivers pay at the kiosk (adoption is below 1), but station.cashiers is 0",
            )
        if self.wall is not None and set(self.demand.channels()) > {"wechatpay"}:
            others = ", ".join(name for name in self.demand.channels() if name != "wechatpay")
            yield (
                ("wall",),
                f"drivers pay over {others}, which the world of a measurement does not have; leave out the wall part",
            )
        if self.wall is not None and self.demand.members is not None:
            problem = "some drivers are members, which the world of a measurement does not know; leave out the wall part"
            yield ("wall",), problem
        if self.wall is not None and self.services.tax_platform != "wechat":
            problem = f"invoices go over {self.services.tax_platform}, which the world of a measurement does not have"
            yield ("wall",), f"{problem}; leave out the wall part"
        slugs = [check.check for check in self.checks]
        for number, slug in enumerate(slugs):
            if slug in slugs[:number]:
                yield ("checks", number), f"check {slug!r} is listed twice"
            if slug == "money.reconciled" and self.backend.reconcile_at_s is None:
                problem = "judges a reconciliation, but there is none: give backend.reconcile_at_s"
                yield ("checks", number), f"check {slug!r} {problem}"
            if slug == "harness.idle-polls" and self.idle_polls == "left_out":
                problem = "compares two runs, but idle_polls is 'left_out': there is only one"
                yield ("checks", number), f"check {slug!r} {problem}"

    def _fault_problems(self) -> Iterator[tuple[Place, str]]:
        lines = {line.name for line in self.station.lines}
        known = set(lines) | ({"gauge"} if self.station.gauge is not None else set())
        cabinets = {dispenser.name for dispenser in self.station.dispensers}
        yield from self._kill_problems()
        for number, fault in enumerate(self.faults):
            if isinstance(fault, WireFault) and fault.line not in known:
                yield (
                    ("faults", number, "line"),
                    f"faults[{number}] names line {fault.line!r}, which the station does not have{suggest(fault.line, known)}",
                )
            if isinstance(fault, WireFault) and fault.line in lines:
                for where, problem in self._aim_problems(fault):
                    yield ("faults", number, where), f"faults[{number}]: {problem}"
            if isinstance(fault, DispenserFault) and fault.dispenser not in cabinets:
                problem = f"names dispenser {fault.dispenser!r}, which the station does not have"
                yield (
                    ("faults", number, "dispenser"),
                    f"faults[{number}] {problem}{suggest(fault.dispenser, cabinets)}",
                )
            if isinstance(fault, GatewayFault):
                for where, problem in self._gateway_problems(fault):
                    yield ("faults", number, where), f"faults[{number}] {problem}"
            if isinstance(fault, HttpFault):
                for where, problem in self._route_problems(fault):
                    yield ("faults", number, where), f"faults[{number}] {problem}"
            if fault.last_at_s >= self.demand.duration_s + self.settle_s:
                again = "" if fault.repeat is None else "for the last time "
                yield (
                    ("faults", number, "at_s" if fault.repeat is None else "repeat"),
                    f"faults[{number}] sets in {again}at {fault.last_at_s} s, after the run has ended",
                )

    def _kill_problems(self) -> Iterator[tuple[Place, str]]:
        instances = {chr(ord("a") + i) for i in range(self.backend.instances)}
        gone: set[str] = set()
        for number, fault in enumerate(self.faults):
            if not isinstance(fault, BackendKill):
                continue
            if fault.instance not in instances:
                there = ", ".join(sorted(instances))
                yield (
                    ("faults", number, "instance"),
                    f"faults[{number}] kills backend {fault.instance!r}, but there is only {there}",
                )
            elif fault.for_s == 0 and fault.instance not in gone:
                gone.add(fault.instance)
                if gone == instances:
                    problem = (
                        "kills the last backend for good: nobody is left to say what was sold; give for_s"
                    )
                    yield ("faults", number, "for_s"), f"faults[{number}] {problem}"

    def _voice_problems(self) -> Iterator[tuple[Place, str]]:
        box = self.services.loudspeaker
        if box is None and self.swarm is not None and "loudspeaker" in self.swarm.targets:
            problem = "the swarm strikes a loudspeaker, but services.loudspeaker is not there"
            yield ("swarm", "targets"), problem
        for number, fault in enumerate(self.faults):
            if not isinstance(fault, LoudspeakerFault):
                continue
            if box is None:
                problem = "strikes a loudspeaker, but services.loudspeaker is not there"
                yield ("faults", number, "target"), f"faults[{number}] {problem}"
            elif fault.kind == ("refused" if box.is_mqtt else "ack_lost"):
                problem = f"never strikes: a loudspeaker of the kind {box.kind!r} has no {fault.kind!r}"
                yield ("faults", number, "kind"), f"faults[{number}] {problem}"

    def _gateway_problems(self, fault: GatewayFault) -> Iterator[tuple[str, str]]:
        """What could never land."""
        if fault.kind.startswith("bill_") and self.backend.reconcile_at_s is None:
            yield "kind", "spoils a bill, but nobody fetches one: give backend.reconcile_at_s"
        if fault.kind == "debit_failed" and "wechatpay-contract" not in self.demand.channels():
            yield "kind", "fails a debit, but nobody pays by contract (demand.phone_channels)"

    def _route_problems(self, fault: HttpFault) -> Iterator[tuple[str, str]]:
        """Names that nobody has here, and hosts that a client never calls."""
        box = self.services.loudspeaker
        unionpay = any(name.startswith("unionpay") for name in self.demand.channels())
        speakers = box is not None and not box.is_mqtt
        routes = http_routes(
            self.backend.instances, speakers=speakers, unionpay=unionpay, tax=self.services.tax_platform
        )
        hosts = sorted({host for called in routes.values() for host in called})
        if fault.client not in routes:
            there = f"{suggest(fault.client, routes)} (there are: {', '.join(routes)})"
            yield "client", f"names client {fault.client!r}, which nobody here is called{there}"
        if fault.host not in hosts:
            there = f"{suggest(fault.host, hosts)} (there are: {', '.join(hosts)})"
            yield "host", f"names host {fault.host!r}, which nobody here is called{there}"
        elif fault.client in routes and fault.host not in routes[fault.client]:
            called = ", ".join(routes[fault.client])
            yield "host", f"never strikes: {fault.client} does not call {fault.host}; it calls {called}"

    def _aim_problems(self, fault: WireFault) -> Iterator[tuple[str, str]]:
        """Parts and addresses that the messages of a line do not have."""
        line = next((line for line in self.station.lines if line.name == fault.line), None)
        if line is not None and fault.part == "checksum" and line.framing == "tcp":
            yield "part", f"a {line.protocol} message over TCP has no checksum of its own"
        if line is None and fault.part != "any":
            yield "part", f"line {fault.line!r} is not a pump line; part has to be 'any' there"
        if line is None and fault.kind == "wrong_address":
            yield "kind", f"line {fault.line!r} is not a pump line; its answers carry no address"

    def _price_problems(self) -> Iterator[tuple[Place, str]]:
        for number, change in enumerate(self.price_changes):
            for grade in sorted(set(change.prices_fen_per_l) - set(self.station.prices_fen_per_l)):
                yield (
                    ("price_changes", number, "prices_fen_per_l", grade),
                    f"price_changes[{number}] prices grade {grade}, which the station does not sell",
                )
            if number and change.at_s <= self.price_changes[number - 1].at_s:
                yield ("price_changes", number, "at_s"), "price_changes are in the order of their times"
            if change.at_s >= self.demand.duration_s + self.settle_s:
                yield (
                    ("price_changes", number, "at_s"),
                    f"price_changes[{number}] comes at {change.at_s} s, after the run has ended",
                )

    def _key_problems(self) -> Iterator[tuple[Place, str]]:
        for number, change in enumerate(self.key_changes):
            place = ("key_changes", number, "at_s")
            if number and change.at_s <= self.key_changes[number - 1].at_s:
                yield place, "key_changes are in the order of their times"
            if change.at_s >= self.demand.duration_s + self.settle_s:
                yield place, f"key_changes[{number}] comes at {change.at_s} s, after the run has ended"
        if sum(change.kind == "switch_to_public_key" for change in self.key_changes) > 1:
            yield ("key_changes",), "key_changes switches to the public key twice"

    def _staff_problems(self) -> Iterator[tuple[Place, str]]:
        last_s = self.demand.duration_s + self.settle_s
        nozzles = {nozzle.nozzle for _, nozzle in self.station.nozzles()}
        for number, change in enumerate(self.shift_changes):
            place = ("shift_changes", number, "at_s")
            if number and change.at_s <= self.shift_changes[number - 1].at_s:
                yield place, "shift_changes are in the order of their times"
            if change.at_s >= last_s:
                yield place, f"shift_changes[{number}] comes at {change.at_s} s, after the run has ended"
        if self.test_deliveries and self.station.lift_policy != "authorise":
            problem = "test_deliveries need the lift_policy 'authorise': nobody orders them"
            yield ("test_deliveries",), problem
        for number, test in enumerate(self.test_deliveries):
            if test.nozzle not in nozzles:
                problem = f"names nozzle {test.nozzle}, which the station does not have"
                yield ("test_deliveries", number, "nozzle"), f"test_deliveries[{number}] {problem}"
            if test.at_s >= last_s:
                problem = f"comes at {test.at_s} s, after the run has ended"
                yield ("test_deliveries", number, "at_s"), f"test_deliveries[{number}] {problem}"

    def _tank_problems(self) -> Iterator[tuple[Place, str]]:
        if self.tank_events and self.station.gauge is None:
            yield ("tank_events",), "tank_events need a station.gauge, which would tell of them"
        tanks = {tank.tank for tank in self.station.tanks}
        for number, event in enumerate(self.tank_events):
            if not isinstance(event, GaugeOff) and event.tank not in tanks:
                yield (
                    ("tank_events", number, "tank"),
                    f"tank_events[{number}] names tank {event.tank}, which the station does not have",
                )
            if event.at_s >= self.demand.duration_s + self.settle_s:
                yield (
                    ("tank_events", number, "at_s"),
                    f"tank_events[{number}] sets in at {event.at_s} s, after the run has ended",
                )
