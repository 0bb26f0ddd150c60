"""The station of a scenario: tanks, dispensers, the lines they hang on, prices, printer, people at the till."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, WithJsonSchema, field_validator, model_validator

from scenarios.model.make import Make
from scenarios.model.tanks import Gauge
from scenarios.model.values import TEXT, Grade, Impossible, Part, Place

__all__ = ["Dispenser", "FuellingPoint", "Line", "LinePoint", "Nozzle", "Station", "Tank"]

_ADDRESSES = {
    "dart": ("DART address", 0x50, 0x6F),
    "ifsf": ("IFSF database", 0x21, 0x24),
    "twowire": ("Two-Wire pump", 1, 16),
    "aaff": ("AA FF gun", 1, 32),
}
_AAFF_BAUDS = frozenset({4800, 9600, 19200, 38400})


class Tank(Part):
    """An underground tank."""

    tank: Annotated[int, Field(ge=1, le=64)]
    grade: Grade
    capacity_ml: Annotated[int, Field(gt=0, le=100_000_000)]
    stock_ml: Annotated[int, Field(ge=0, le=100_000_000)]

    @model_validator(mode="after")
    def _fits(self) -> Tank:
        if self.stock_ml > self.capacity_ml:
            raise ValueError(
                f"tank {self.tank} holds {self.stock_ml} ml, more than its capacity of {self.capacity_ml} ml"
            )
        return self


class Nozzle(Part):
    """One hose end. ``nozzle`` is its number, unique in the station."""

    nozzle: Annotated[int, Field(ge=1, le=256)]
    grade: Grade
    tank: Annotated[int, Field(ge=1, le=64)]


class FuellingPoint(Part):
    """One side of a dispenser: a single delivery at a time, up to eight nozzles."""

    fuelling_point: Annotated[int, Field(ge=1, le=64)]
    nozzles: Annotated[tuple[Nozzle, ...], Field(min_length=1, max_length=8)]


class Dispenser(Part):
    """One cabinet."""

    name: Annotated[str, Field(min_length=1, max_length=32, pattern=TEXT)]
    fuelling_points: Annotated[tuple[FuellingPoint, ...], Field(min_length=1, max_length=4)]
    make: Make | None = None
    """What this make declares about itself; left out, an ordinary one."""


class LinePoint(Part):
    """A fuelling point's place on its line.

    DART address 0x50..0x6F (80..111), Modbus unit 1..247, Two-Wire pump 1..16, AA FF gun
    1..32, IFSF database 0x21..0x24 (33..36).
    """

    fuelling_point: Annotated[int, Field(ge=1, le=64)]
    address: Annotated[int, Field(ge=1, le=247)]


class Line(Part):
    """A pump line: one controller port with the fuelling points that hang on it."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
    protocol: Literal["dart", "modbus", "ifsf", "twowire", "aaff"]
    framing: Literal["serial", "tcp"] = "serial"
    """``tcp`` is for Modbus, and the only one for IFSF."""
    baud: Literal[1200, 2400, 4800, 5787, 9600, 19200, 38400, 57600, 115200] = 9600
    digits: Literal[6, 8] = 6
    """Digits of the pumps' displays; Two-Wire only."""
    echo: bool = False
    """The line's converter gives the controller its own bytes back; Two-Wire only."""
    poll_period_ms: Annotated[int, Field(ge=50, le=10_000)] = 250
    """Each fuelling point is polled once in this time."""
    points: Annotated[tuple[LinePoint, ...], Field(min_length=1, max_length=32)]

    @model_validator(mode="after")
    def _usual_pace(self) -> Line:
        """AA FF lines run at 38400 baud and are polled every 0.8 s unless the file says otherwise."""
        if self.protocol == "aaff":
            for name, usual in (("baud", 38_400), ("poll_period_ms", 800)):
                if name not in self.model_fields_set:
                    object.__setattr__(self, name, usual)  # frozen from here on
        return self

    @model_validator(mode="after")
    def _addresses(self) -> Line:
        seen: dict[int, int] = {}
        problems: list[tuple[Place, str]] = []
        for index, point in enumerate(self.points):
            place = ("points", index, "address")
            if point.address in seen:
                problem = (
                    f"fuelling points {seen[point.address]} and {point.fuelling_point} share address "
                    f"{point.address} on line {self.name!r}"
                )
                problems.append((place, problem))
            seen[point.address] = point.fuelling_point
            what, first, last = _ADDRESSES.get(self.protocol, ("", 1, 247))
            if not first <= point.address <= last:
                problem = f"{what} {point.address} of fuelling point {point.fuelling_point} is not in {first}..{last}"
                problems.append((place, problem))
        if self.protocol == "ifsf" and self.framing != "tcp":
            problems.append((("framing",), "an IFSF line is a network: give framing 'tcp'"))
        if self.protocol == "aaff" and self.baud not in _AAFF_BAUDS:
            problems.append((("baud",), f"an AA FF line has 4800 to 38400 baud, not {self.baud}"))
        if self.protocol not in {"modbus", "ifsf"} and self.framing == "tcp":
            name = {"dart": "a DART", "twowire": "a Two-Wire", "aaff": "an AA FF"}[self.protocol]
            problems.append((("framing",), f"framing 'tcp' is for Modbus lines; {name} line is serial"))
        if self.protocol != "twowire":
            problems += [
                ((name,), f"{name} is for Two-Wire lines")
                for name in ("digits", "echo")
                # Not "was it given": a dumped scenario, as the processes of a measured run read it, gives everything.
                if getattr(self, name) != type(self).model_fields[name].default
            ]
        if self.protocol == "modbus" and self.framing == "tcp" and len(self.points) > 1:
            problem = "a line with framing 'tcp' is one device: give each fuelling point a line of its own"
            problems.append((("framing",), problem))
        if problems:
            raise Impossible(problems)
        return self


class Station(Part):
    """A whole station."""

    id: Annotated[str, Field(pattern=r"^[A-Z0-9]{2,12}$")]
    name: Annotated[str, Field(min_length=1, max_length=64, pattern=TEXT)]
    taxpayer_id: Annotated[str, Field(pattern=r"^[0-9A-HJ-NPQRTUWXY]{15,20}$")] = "91530100KN6T85WYN8"
    time_zone: str = "Asia/Shanghai"
    start_local: Annotated[
        datetime,
        # A local time has no offset, which the format "date-time" of JSON Schema demands.
        WithJsonSchema(
            {
                "type": "string",
                "pattern": r"^20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9](:[0-5][0-9])?$",
            }
        ),
    ]
    """Local time at which the run starts, without an offset: ``2026-03-06T18:00:00``."""
    tanks: Annotated[tuple[Tank, ...], Field(min_length=1, max_length=64)]
    dispensers: Annotated[tuple[Dispenser, ...], Field(min_length=1, max_length=64)]
    lines: Annotated[tuple[Line, ...], Field(min_length=1, max_length=32)]
    prices_fen_per_l: Annotated[dict[Grade, Annotated[int, Field(gt=0, le=9_999)]], Field(min_length=1)]
    """Price a litre; pumps show and carry four digits of 0.01 yuan."""
    printer: Literal["generic-80mm", "generic-58mm"] = "generic-80mm"
    lift_policy: Literal["authorise", "order_required"] = "authorise"
    """What the site does when a nozzle is lifted that no order has asked for."""
    offline_policy: Literal["authorise", "deny"] = "authorise"
    """What the site does with new customers while the backend is away."""
    cashiers: Annotated[int, Field(ge=0, le=32)]
    gauge: Gauge | None = None
    """The tank gauge; a station without one knows its stock from nobody."""

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError(f"no such time zone: {value!r} (for example 'Asia/Shanghai')")
        return value

    @field_validator("start_local")
    @classmethod
    def _no_offset(cls, value: datetime) -> datetime:
        if value.tzinfo is not None:
            raise ValueError("start_local is local time: leave the offset out, time_zone tells it")
        if not 2000 <= value.year <= 2099 or value.microsecond:
            raise ValueError("start_local is a second of the years 2000 to 2099")
        return value

    @model_validator(mode="after")
    def _hangs_together(self) -> Station:
        problems = [*self._nozzle_problems(), *self._line_problems(), *self._gauge_problems()]
        if problems:
            raise Impossible(problems)
        return self

    def _gauge_problems(self) -> Iterator[tuple[Place, str]]:
        if self.gauge is None:
            return
        grades = {tank.tank: tank.grade for tank in self.tanks}
        if len(self.tanks) > 16 or max(grades) > 16:
            yield ("gauge",), "a gauge has tanks 1 to 16"
        if any(line.name == "gauge" for line in self.lines):
            yield ("gauge",), "the gauge's own line is called 'gauge': give the pump line another name"
        joined: set[int] = set()
        for number, group in enumerate(self.gauge.manifolds):
            place = ("gauge", "manifolds", number)
            if not grades.keys() >= set(group):
                yield place, f"a manifold joins tanks {list(group)}, and one of them does not exist"
            elif len({grades[tank] for tank in group}) > 1:
                yield place, f"a manifold joins tanks {list(group)}, which hold different grades"
            if joined & set(group) or len(set(group)) < len(group):
                yield place, f"a manifold joins tanks {list(group)}, and one of them is joined already"
            joined |= set(group)

    def _nozzle_problems(self) -> Iterator[tuple[Place, str]]:
        tanks = {tank.tank: tank for tank in self.tanks}
        points = list(_numbered_points(self.dispensers))
        nozzles = [
            ((*place, "nozzles", number), nozzle)
            for place, point in points
            for number, nozzle in enumerate(point.nozzles)
        ]
        yield from _repeats("tank", ((("tanks", i), tank.tank) for i, tank in enumerate(self.tanks)))
        yield from _repeats("dispenser", ((("dispensers", i), d.name) for i, d in enumerate(self.dispensers)))
        yield from _repeats("fuelling point", ((place, point.fuelling_point) for place, point in points))
        yield from _repeats("nozzle", ((place, nozzle.nozzle) for place, nozzle in nozzles))
        for place, nozzle in nozzles:
            tank = tanks.get(nozzle.tank)
            if tank is None:
                problem = f"nozzle {nozzle.nozzle} draws from tank {nozzle.tank}, but there is no such tank"
                yield (*place, "tank"), problem
            elif tank.grade != nozzle.grade:
                problem = f"nozzle {nozzle.nozzle} sells grade {nozzle.grade}, but tank {tank.tank} holds {tank.grade}"
                yield (*place, "grade"), problem
        for grade in sorted({nozzle.grade for _, nozzle in nozzles}):
            if grade not in self.prices_fen_per_l:
                yield (
                    ("prices_fen_per_l",),
                    f"grade {grade} is sold, but prices_fen_per_l has no price for it",
                )

    def _line_problems(self) -> Iterator[tuple[Place, str]]:
        yield from _repeats("line", ((("lines", i), line.name) for i, line in enumerate(self.lines)))
        built = {point.fuelling_point: place for place, point in _numbered_points(self.dispensers)}
        sides = {point.fuelling_point: point for point in self.fuelling_points()}
        wired: set[int] = set()
        for number, line in enumerate(self.lines):
            for index, point in enumerate(line.points):
                place, wanted = ("lines", number, "points", index), point.fuelling_point
                if wanted not in built:
                    yield place, f"a line names fuelling point {wanted}, but no dispenser has it"
                elif wanted in wired:
                    yield place, f"fuelling point {wanted} hangs on a line already"
                elif line.protocol == "aaff" and len(sides[wanted].nozzles) > 1:
                    yield place, f"an AA FF gun is one nozzle; fuelling point {wanted} has several"
                wired.add(wanted)
            cabinets = {built[one.fuelling_point][1] for one in line.points if one.fuelling_point in built}
            if line.protocol == "ifsf" and len(cabinets) > 1:
                yield ("lines", number, "points"), "an IFSF line is one dispenser, not several"
        for wanted, where in sorted(built.items()):
            if wanted not in wired:
                yield where, f"fuelling point {wanted} hangs on no line"

    def fuelling_points(self) -> Iterator[FuellingPoint]:
        """All fuelling points, in the order of the file."""
        for dispenser in self.dispensers:
            yield from dispenser.fuelling_points

    def nozzles(self) -> Iterator[tuple[FuellingPoint, Nozzle]]:
        """All nozzles with their fuelling points, in the order of the file."""
        for point in self.fuelling_points():
            for nozzle in point.nozzles:
                yield point, nozzle

    @property
    def epoch_us(self) -> int:
        """Unix time at which the run starts, microseconds."""
        return int(self.start_local.replace(tzinfo=ZoneInfo(self.time_zone)).timestamp()) * 1_000_000


def _numbered_points(dispensers: tuple[Dispenser, ...]) -> Iterator[tuple[Place, FuellingPoint]]:
    for number, dispenser in enumerate(dispensers):
        for index, point in enumerate(dispenser.fuelling_points):
            yield ("dispensers", number, "fuelling_points", index), point


def _repeats(what: str, values: Iterable[tuple[Place, int | str]]) -> Iterator[tuple[Place, str]]:
    seen: set[int | str] = set()
    for place, value in values:
        if value in seen:
            yield place, f"{what} {value} is there twice"
        seen.add(value)
