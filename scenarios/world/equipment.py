"""From the scenario's station to simulated iron: tanks, fuelling points, dispensers on their lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from protocols.twowire import EIGHT_DIGITS, SIX_DIGITS
from scenarios.model import Line, Make, Station
from sim.dispenser import (
    AaFfDispenser,
    DartDispenser,
    Dispenser,
    DispenserProfile,
    FuellingPoint,
    IfsfDispenser,
    ModbusDispenser,
    Nozzle,
    Tank,
    TwoWireDispenser,
)

__all__ = ["Cabinet", "Equipment", "build_equipment"]


@dataclass(frozen=True, slots=True)
class Cabinet:
    """One dispenser as it hangs on one line: the model, and the personality that is a machine on the wire.

    ``addresses`` are the line addresses it answers to.
    """

    name: str
    line: str
    dispenser: Dispenser
    machine: AaFfDispenser | DartDispenser | IfsfDispenser | ModbusDispenser | TwoWireDispenser
    addresses: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Equipment:
    """All iron of a station, by its numbers in the scenario file."""

    tanks: dict[int, Tank]
    points: dict[int, FuellingPoint]
    cabinets: tuple[Cabinet, ...]

    def on_line(self, line: str) -> tuple[Cabinet, ...]:
        """The cabinets that hang on a line."""
        return tuple(cabinet for cabinet in self.cabinets if cabinet.line == line)

    def settle(self, now_us: int) -> None:
        """Book what has flowed so far on the tanks."""
        for cabinet in self.cabinets:
            cabinet.dispenser.settle(now_us)


def build_equipment(station: Station) -> Equipment:
    """Build tanks and dispensers. A cabinet whose sides hang on two lines becomes one machine on each.

    Prices are set as a dispenser that has been running would have them; the site controller reads them back and
    corrects what differs.
    """
    tanks = {
        tank.tank: Tank(tank.tank, tank.grade, capacity_ml=tank.capacity_ml, initial_ml=tank.stock_ml)
        for tank in station.tanks
    }
    profiles = {
        point.fuelling_point: _profile(dispenser.make)
        for dispenser in station.dispensers
        for point in dispenser.fuelling_points
    }
    points: dict[int, FuellingPoint] = {}
    for point in station.fuelling_points():
        nozzles = [
            Nozzle(
                logical=logical,
                nozzle_id=nozzle.nozzle,
                grade=nozzle.grade,
                tank=tanks[nozzle.tank],
                price_fen_per_l=station.prices_fen_per_l[nozzle.grade],
            )
            for logical, nozzle in enumerate(point.nozzles, start=1)
        ]
        points[point.fuelling_point] = FuellingPoint(
            point.fuelling_point, nozzles, profile=profiles[point.fuelling_point]
        )
    cabinets = []
    for line in station.lines:
        places = {place.fuelling_point: place.address for place in line.points}
        for dispenser in station.dispensers:
            mine = [p.fuelling_point for p in dispenser.fuelling_points if p.fuelling_point in places]
            if mine:
                cabinets.extend(
                    _cabinets(
                        dispenser.name,
                        line,
                        {places[n]: points[n] for n in mine},
                        station.epoch_us,
                        hold_up_us=dispenser.make.hold_up_us if dispenser.make is not None else 0,
                    )
                )
    return Equipment(tanks, points, tuple(cabinets))


def _profile(make: Make | None) -> DispenserProfile:
    """The declared figures of a make; what it leaves out is as always."""
    return DispenserProfile(
        **({} if make is None else make.model_dump(exclude={"hold_up_us"}, exclude_none=True))
    )


def _cabinets(
    name: str, line: Line, at: dict[int, FuellingPoint], epoch_us: int, *, hold_up_us: int
) -> list[Cabinet]:
    if line.protocol == "dart":
        dispenser = Dispenser(at.values(), hold_up_us=hold_up_us)
        return [Cabinet(name, line.name, dispenser, DartDispenser(dispenser, at), tuple(at))]
    if line.protocol == "twowire":
        dispenser = Dispenser(at.values(), hold_up_us=hold_up_us)
        model = SIX_DIGITS if line.digits == 6 else EIGHT_DIGITS
        head = TwoWireDispenser(dispenser, at, model=model, echo=line.echo)
        return [Cabinet(name, line.name, dispenser, head, tuple(at))]
    if line.protocol == "ifsf":
        # One line is one node; the address is the fuelling point's database in it.
        dispenser = Dispenser(at.values(), hold_up_us=hold_up_us)
        places = {address - 0x20: point.number for address, point in at.items()}
        return [Cabinet(name, line.name, dispenser, IfsfDispenser(dispenser, places=places), tuple(at))]
    if line.protocol == "aaff":
        dispenser = Dispenser(at.values(), hold_up_us=hold_up_us)
        guns = AaFfDispenser(dispenser, at, epoch_us=epoch_us)
        return [Cabinet(name, line.name, dispenser, guns, tuple(at))]
    # One Modbus unit a fuelling point: its block is the first of the unit.
    framing: Literal["tcp", "rtu"] = "tcp" if line.framing == "tcp" else "rtu"
    cabinets = []
    for unit, point in at.items():
        dispenser = Dispenser([point], hold_up_us=hold_up_us)
        machine = ModbusDispenser(dispenser, unit, framing=framing, baud=line.baud)
        cabinets.append(Cabinet(f"{name}-{point.number}", line.name, dispenser, machine, (unit,)))
    return cabinets
