"""What happens to a station in the course of a virtual run beside its customers.

Dispensers lose their mains, the paper ends, instances of the backend die, prices change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from scenarios.model import PriceChange
from scenarios.world.equipment import Cabinet
from scenarios.world.faults import PlannedFault

if TYPE_CHECKING:
    from scenarios.world.virtual import Instance, VirtualWorld

__all__ = ["schedule_station_events"]


class _Mains:
    """The mains of one dispenser; windows of several faults may overlap."""

    def __init__(self, cabinets: tuple[Cabinet, ...], clock_us: Callable[[], int]) -> None:
        self._cabinets = cabinets
        self._clock_us = clock_us
        self._cuts = 0

    def cut(self) -> bool:
        """Cut the mains; False if they were cut already."""
        self._cuts += 1
        if self._cuts == 1:
            self._each(lambda cabinet: cabinet.dispenser.cut_power(self._clock_us()))
        return self._cuts == 1

    def restore(self) -> None:
        """One reason less to be without mains."""
        self._cuts -= 1
        if not self._cuts:
            self._each(lambda cabinet: cabinet.dispenser.restore_power(self._clock_us()))

    def _each(self, act: Callable[[Cabinet], None]) -> None:
        for cabinet in self._cabinets:
            act(cabinet)
            if cabinet.machine.on_wake is not None:
                cabinet.machine.on_wake()


def schedule_station_events(world: VirtualWorld) -> None:
    """Put those faults of the plan that are acts, and the scenario's price changes, on the run's clock."""
    troubles: Counter[str] = Counter()
    for planned, trouble in world.plan.printer():
        _schedule_printer_fault(world, planned, trouble.kind, troubles)
    for planned, kill in world.plan.kills():
        _schedule_kill(world, planned, world.instances[ord(kill.instance) - ord("a")])
    mains: dict[str, _Mains] = {}
    for planned, fault in world.plan.dispensers():
        if fault.dispenser not in mains:
            # A dispenser whose sides hang on several lines is several cabinets with one name, or with numbers behind it.
            mine = tuple(
                cabinet
                for cabinet in world.equipment.cabinets
                if cabinet.name == fault.dispenser or cabinet.name.startswith(f"{fault.dispenser}-")
            )
            mains[fault.dispenser] = _Mains(mine, lambda: world.kernel.now_us)
        _schedule_cut(world, planned, mains[fault.dispenser])
    for change in world.scenario.price_changes:
        world.kernel.call_at(change.at_s * 1_000_000, _change_prices, world, change)
    rotations = iter(world.keys.platform.certificates[1:])
    for turn in world.scenario.key_changes:
        serial = next(rotations).serial if turn.kind == "rotate_certificate" else ""
        world.kernel.call_at(turn.at_s * 1_000_000, _change_keys, world, serial)


def _schedule_printer_fault(
    world: VirtualWorld, planned: PlannedFault, kind: str, troubles: Counter[str]
) -> None:
    """``troubles`` counts the faults of each kind that are active: the last of them to heal ends the trouble."""
    kernel, printer = world.kernel, world.printer

    def mended(now_us: int) -> None:
        printer.repair(now_us)
        printer.power_off(now_us)
        if not troubles["power_off"]:
            printer.power_on(now_us)

    acts: dict[str, tuple[Callable[[int], None], Callable[[int], None]]] = {
        "paper_out": (printer.paper_out, lambda now_us: printer.load_paper(None, now_us)),
        "cover_open": (printer.open_cover, printer.close_cover),
        "power_off": (printer.power_off, printer.power_on),
        "cutter_jam": (printer.jam_cutter, printer.clear_jam),
        "overheat": (
            lambda now_us: printer.overheat((planned.healed_us or now_us) - now_us, now_us),
            lambda _now_us: None,
        ),
        "break_down": (printer.break_down, mended),
    }
    begin, end = acts[kind]
    held = [0]

    def strike() -> None:
        kernel.trace.emit("printer.fault", "printer", fault=planned.name)
        troubles[kind] += 1
        begin(kernel.now_us)

    def heal() -> None:
        # It has landed if a receipt had to wait for this.
        held[0] = len(world.site.printer) if world.site.printer is not None else 0
        kernel.trace.emit("printer.healed", "printer", fault=planned.name)
        troubles[kind] -= 1
        if not troubles[kind]:
            end(kernel.now_us)

    kernel.call_at(planned.at_us, strike)
    kernel.call_at(planned.healed_us or planned.at_us, heal)
    planned.landed = lambda: held[0]


def _schedule_kill(world: VirtualWorld, planned: PlannedFault, instance: Instance) -> None:
    landed = [0]

    def kill() -> None:
        landed[0] += world.kill(instance)

    world.kernel.call_at(planned.at_us, kill)
    if planned.healed_us is not None:
        world.kernel.call_at(planned.healed_us, world.revive, instance)
    planned.landed = lambda: landed[0]


def _schedule_cut(world: VirtualWorld, planned: PlannedFault, mains: _Mains) -> None:
    landed = [0]

    def cut() -> None:
        landed[0] += mains.cut()
        world.kernel.trace.emit("dispenser.power_off", planned.name)

    def restore() -> None:
        mains.restore()
        world.kernel.trace.emit("dispenser.power_on", planned.name)

    world.kernel.call_at(planned.at_us, cut)
    world.kernel.call_at(planned.healed_us or planned.at_us, restore)
    planned.landed = lambda: landed[0]


def _change_keys(world: VirtualWorld, serial: str) -> None:
    """Another certificate, or without a serial the first day of the public key."""
    gateway = world.services.gateway
    if serial:
        gateway.rotate(serial)
        world.kernel.trace.emit("wechatpay.certificate", gateway.entity, what="rotated")
    else:
        gateway.switch_over.begin(world.kernel.unix_us)
        world.kernel.trace.emit("wechatpay.public-key", gateway.entity, what="switch-over begun")


def _change_prices(world: VirtualWorld, change: PriceChange) -> None:
    wanted = change.prices_fen_per_l
    world.kernel.trace.emit("prices.changed", world.scenario.station.id, prices_fen_per_l=dict(wanted))
    world.site.set_prices(
        {
            nozzle.nozzle: wanted[nozzle.grade]
            for _, nozzle in world.scenario.station.nozzles()
            if nozzle.grade in wanted
        }
    )
