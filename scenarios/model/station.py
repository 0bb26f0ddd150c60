"""The station of a scenario: tanks, dispensers, the lines they hang on, prices, printer, people at the till."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, field_validator, model_validator

from scenarios.model.values import Grade, Part

__all__ = ["Dispenser", "FuellingPoint", "Line", "LinePoint", "Nozzle", "Station", "Tank"]


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

    name: Annotated[str, Field(min_length=1, max_length=32)]
    fuelling_points: Annotated[tuple[FuellingPoint, ...], Field(min_length=1, max_length=4)]


class LinePoint(Part):
    """A fuelling point's place on its line: DART address 0x50..0x6F (80..111), or Modbus unit 1..247."""

    fuelling_point: Annotated[int, Field(ge=1, le=64)]
    address: Annotated[int, Field(ge=1, le=247)]


class Line(Part):
    """A pump line: one controller port with the fuelling points that hang on it."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
    protocol: Literal["dart", "modbus"]
    framing: Literal["serial", "tcp"] = "serial"
    """``tcp`` is for Modbus only."""
    baud: Literal[1200, 2400, 4800, 5787, 9600, 19200, 38400, 57600, 115200] = 9600
    poll_period_ms: Annotated[int, Field(ge=50, le=10_000)] = 250
    """Each fuelling point is polled once in this time."""
    points: Annotated[tuple[LinePoint, ...], Field(min_length=1, max_length=32)]

    @model_validator(mode="after")
    def _addresses(self) -> Line:
        seen: dict[int, int] = {}
        for point in self.points:
            if point.address in seen:
                raise ValueError(
                    f"fuelling points {seen[point.address]} and {point.fuelling_point} share address "
                    f"{point.address} on line {self.name!r}"
                )
            seen[point.address] = point.fuelling_point
            if self.protocol == "dart" and not 0x50 <= point.address <= 0x6F:
                raise ValueError(
                    f"DART address {point.address} of fuelling point {point.fuelling_point} is not in 80..111"
                )
        if self.protocol == "dart" and self.framing == "tcp":
            raise ValueError("framing 'tcp' is for Modbus lines; a DART line is serial")
        if self.framing == "tcp" and len(self.points) > 1:
            raise ValueError(
                "a line with framing 'tcp' is one device: give each fuelling point a line of its own"
            )
        return self


class Station(Part):
    """A whole station."""

    id: Annotated[str, Field(pattern=r"^[A-Z0-9]{2,16}$")]
    name: Annotated[str, Field(min_length=1, max_length=64)]
    taxpayer_id: Annotated[str, Field(pattern=r"^[0-9A-HJ-NPQRTUWXY]{15,20}$")] = "91530100KN6T85WYN8"
    time_zone: str = "Asia/Shanghai"
    start_local: datetime
    """Local time at which the run starts, without an offset: ``2026-03-06T18:00:00``."""
    tanks: Annotated[tuple[Tank, ...], Field(min_length=1, max_length=64)]
    dispensers: Annotated[tuple[Dispenser, ...], Field(min_length=1, max_length=64)]
    lines: Annotated[tuple[Line, ...], Field(min_length=1, max_length=64)]
    prices_fen_per_l: Annotated[dict[Grade, Annotated[int, Field(gt=0, le=65_535)]], Field(min_length=1)]
    """Price a litre; the pump wire carries two bytes of 0.01 yuan."""
    printer: Literal["generic-80mm", "generic-58mm"] = "generic-80mm"
    lift_policy: Literal["authorise", "order_required"] = "authorise"
    """What the site does when a nozzle is lifted that no order has asked for."""
    offline_policy: Literal["authorise", "deny"] = "authorise"
    """What the site does with new customers while the backend is away."""
    cashiers: Annotated[int, Field(ge=0, le=32)]

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
        return value

    @model_validator(mode="after")
    def _hangs_together(self) -> Station:
        problems = [*self._nozzle_problems(), *self._line_problems()]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _nozzle_problems(self) -> Iterator[str]:
        tanks = {tank.tank: tank for tank in self.tanks}
        yield from _repeats("tank", (tank.tank for tank in self.tanks))
        yield from _repeats("dispenser", (dispenser.name for dispenser in self.dispensers))
        yield from _repeats("fuelling point", (point.fuelling_point for point in self.fuelling_points()))
        yield from _repeats("nozzle", (nozzle.nozzle for _, nozzle in self.nozzles()))
        for _, nozzle in self.nozzles():
            tank = tanks.get(nozzle.tank)
            if tank is None:
                yield f"nozzle {nozzle.nozzle} draws from tank {nozzle.tank}, but there is no such tank"
            elif tank.grade != nozzle.grade:
                yield f"nozzle {nozzle.nozzle} sells grade {nozzle.grade}, but tank {tank.tank} holds {tank.grade}"
        for grade in sorted({nozzle.grade for _, nozzle in self.nozzles()}):
            if grade not in self.prices_fen_per_l:
                yield f"grade {grade} is sold, but prices_fen_per_l has no price for it"

    def _line_problems(self) -> Iterator[str]:
        yield from _repeats("line", (line.name for line in self.lines))
        wired = Counter(point.fuelling_point for line in self.lines for point in line.points)
        built = {point.fuelling_point for point in self.fuelling_points()}
        for number in sorted(built - wired.keys()):
            yield f"fuelling point {number} hangs on no line"
        for number in sorted(wired.keys() - built):
            yield f"a line names fuelling point {number}, but no dispenser has it"
        for number, times in sorted(wired.items()):
            if times > 1:
                yield f"fuelling point {number} hangs on {times} lines"

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


def _repeats(what: str, values: Iterator[int] | Iterator[str]) -> Iterator[str]:
    for value, times in Counter(values).items():
        if times > 1:
            yield f"{what} {value} is there {times} times"
