"""The tanks of a scenario with their gauge, and what its site controller hears of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from scenarios.model import GaugeOff, Scenario, Station, TankDelivery, TankLeak, TankWater
from scenarios.record import BookedDelivery, TankerWitness, TankWitness
from sim.dispenser import Tank
from sim.gauge import UNITS, GaugeConsole, GaugePort, Probe, ProbeSource, TankSetup
from sim.kernel import Kernel
from sim.tanks import Flow, StorageTank, TankerDelivery, TankFarm

__all__ = ["GaugedTanks", "build_gauge", "tank_witnesses"]

_S: Final = 1_000_000
_UNITS: Final = {"us": 1, "metric": 2, "imperial": 3}
_LABELS: Final = {"92": "GASOLINE 92", "95": "GASOLINE 95", "98": "GASOLINE 98", "diesel": "DIESEL 0"}


@dataclass(frozen=True, slots=True)
class GaugedTanks:
    """A station's tanks and the console that watches them.

    ``port`` is the machine at the far end of the site controller's gauge line.
    """

    farm: TankFarm
    console: GaugeConsole
    port: GaugePort
    error_um: int

    def error_ml(self, tank: int, fuel_ml: int) -> int:
        """The declared error of one reading at a volume, ml."""
        table = self.farm.tanks[tank].table
        height_um = table.height_um(fuel_ml)
        return table.volume_ml(height_um + self.error_um) - table.volume_ml(height_um - self.error_um)


def build_gauge(
    kernel: Kernel, scenario: Scenario, tanks: dict[int, Tank], settle: Callable[[int], None]
) -> GaugedTanks | None:
    """Put shapes, tankers, leaks and a gauge to the tanks that the dispensers draw from; None without a gauge.

    Args:
        kernel: the clock.
        scenario: with ``station.gauge`` and ``tank_events``.
        tanks: the book-keeping, by number.
        settle: books what the pumps have drawn by an instant.
    """
    gauge = scenario.station.gauge
    if gauge is None:
        return None
    storage = [
        StorageTank(
            tanks[tank.tank],
            deliveries=_deliveries(scenario, tank.tank),
            leaks=_flows(scenario, tank.tank, TankLeak),
            water_flows=_flows(scenario, tank.tank, TankWater),
            temperature_mdeg=gauge.temperature_mdeg,
            drift_mdeg_per_h=gauge.temperature_drift_mdeg_per_h,
        )
        for tank in scenario.station.tanks
    ]
    farm = TankFarm(storage, manifolds=gauge.manifolds, settle=settle)
    probes = {
        number: Probe(
            drift_um_per_day=gauge.drift_um_per_day,
            noise_um=gauge.noise_um,
            resolution_um=gauge.resolution_um,
        )
        for number in farm.tanks
    }
    console = GaugeConsole(
        ProbeSource(farm, kernel.streams.get("gauge", "probes"), probes=probes),
        {
            number: TankSetup(
                tank.tank.capacity_ml,
                _LABELS[tank.tank.grade],
                str(number % 10),
                diameter_um=tank.table.diameter_um,
                expansion_ppm_per_deg=tank.expansion_ppm_per_deg,
                high_water_um=gauge.water_limit_um,
                water_warning_um=gauge.water_limit_um * 5 // 8,
                low_ml=gauge.pumpable_ml,
            )
            for number, tank in farm.tanks.items()
        },
        clock=_local_clock(scenario.station),
        units=UNITS[_UNITS[gauge.units]],
        security_code=gauge.security_code,
        headers=(scenario.station.id,),
        scan_us=gauge.scan_s * _S,
    )

    def told(tank: int, kind: int, is_active: bool) -> None:
        kernel.trace.emit("gauge.alarm", "gauge", tank=tank, number=kind, active=is_active)

    console.on_alarm = told
    days = (scenario.demand.duration_s + scenario.settle_s) // 86_400 + 1
    error_um = gauge.noise_um + gauge.resolution_um + abs(gauge.drift_um_per_day) * days
    port = GaugePort(console, characters_per_s=gauge.characters_per_s)
    for event in scenario.tank_events:
        if isinstance(event, GaugeOff):
            kernel.call_at(event.at_s * _S, console.cut_power)
            kernel.call_at((event.at_s + event.for_s) * _S, _restore, kernel, console, port)
    return GaugedTanks(farm, console, port, error_um)


def _restore(kernel: Kernel, console: GaugeConsole, port: GaugePort) -> None:
    console.restore_power(kernel.now_us)
    if port.on_wake is not None:
        port.on_wake()


def _local_clock(station: Station) -> Callable[[int], datetime]:
    return lambda now_us: station.start_local + timedelta(microseconds=now_us)


def _deliveries(scenario: Scenario, tank: int) -> list[TankerDelivery]:
    return [
        TankerDelivery(
            event.volume_ml,
            event.ml_per_min,
            event.at_s * _S,
            tuple((pause.after_ml, pause.for_s * _S) for pause in event.pauses),
            event.temperature_mdeg,
        )
        for event in scenario.tank_events
        if isinstance(event, TankDelivery) and event.tank == tank
    ]


def _flows(scenario: Scenario, tank: int, kind: type[TankLeak | TankWater]) -> list[Flow]:
    return [
        Flow(
            event.ml_per_h, event.at_s * _S, None if event.for_s is None else (event.at_s + event.for_s) * _S
        )
        for event in scenario.tank_events
        if isinstance(event, kind) and event.tank == tank
    ]


def tank_witnesses(
    gauged: GaugedTanks, epoch_us: int, book: list[dict[str, Any]], shown: list[dict[str, Any]]
) -> tuple[tuple[TankWitness, ...], tuple[TankerWitness, ...], tuple[BookedDelivery, ...]]:
    """What the tanks did, and what the backend made of its gauge's readings.

    Args:
        gauged: the tanks.
        epoch_us: unix time of the run's beginning.
        book: rows of the backend's stock book.
        shown: rows of the backend's tanks.
    """
    opening = {row["grp"]: row for row in book if row["kind"] == "opening"}
    groups: dict[int, list[dict[str, Any]]] = {}
    for row in shown:
        groups.setdefault(row["grp"], []).append(row)
    witnesses = []
    for group, rows in groups.items():
        if group not in opening or any(row["volume_ml"] is None for row in rows):
            continue
        from_us = opening[group]["started_us"] - epoch_us
        until_us = min(row["volume_at_us"] for row in rows) - epoch_us
        tanks = [gauged.farm.tanks[row["tank"]] for row in rows]
        witnesses.append(
            TankWitness(
                group=group,
                tanks=tuple(tank.tank_id for tank in tanks),
                from_us=from_us,
                until_us=until_us,
                opening_ml=opening[group]["volume_ml"],
                closing_ml=sum(row["volume_ml"] for row in rows),
                received_ml=sum(tank.received_ml(until_us) - tank.received_ml(from_us) for tank in tanks),
                leaked_ml=sum(tank.leaked_ml(until_us) - tank.leaked_ml(from_us) for tank in tanks),
                expanded_ml=sum(tank.expansion_ml for tank in tanks),
                error_ml=sum(
                    gauged.error_ml(tank.tank_id, row["volume_ml"])
                    + gauged.error_ml(tank.tank_id, tank.tank.initial_ml)
                    for tank, row in zip(tanks, rows, strict=True)
                ),
            )
        )
    tankers = tuple(
        TankerWitness(
            group=min(gauged.farm.group(number)),
            volume_ml=delivery.volume_ml,
            started_us=delivery.start_us,
            ended_us=delivery.end_us,
        )
        for number, tank in gauged.farm.tanks.items()
        for delivery in tank.deliveries
    )
    booked = tuple(
        BookedDelivery(
            entry_key=row["entry_key"],
            group=row["grp"],
            site_delivery=row["site_delivery"] or "",
            volume_ml=row["volume_ml"],
            started_us=row["started_us"] - epoch_us,
            ended_us=row["ended_us"] - epoch_us,
        )
        for row in book
        if row["kind"] == "delivery"
    )
    return tuple(witnesses), tankers, booked
