"""The part of the control API behind the dispenser's door: emergency stop, locks, seals, tests, tampering."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict, Field

from scenarios.world.equipment import Equipment
from sim.dispenser import Dispenser, FuellingPoint

__all__ = ["service_routes"]

Name = Annotated[str, Field(min_length=1, max_length=64)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Person(_Body):
    """Who does it: ``manager`` or ``maintainer`` reset an emergency stop, ``regulator`` takes tamper locks away."""

    role: Name


class Lock(_Body):
    """Why."""

    reason: Name = "self-service"


class Calibration(_Body):
    """How much more than it lets through the meter indicates."""

    error_ppm: Annotated[int, Field(ge=-100_000, le=100_000)]


class Parameter(_Body):
    """A metering parameter."""

    name: Name
    value: int


class Part(_Body):
    """A part with its serial number."""

    part: Literal["main-board", "encoder", "meter"]
    serial: Name


class _Service:
    """What the routes do."""

    def __init__(self, equipment: Equipment, clock_us: Callable[[], int]) -> None:
        self.equipment = equipment
        self.clock_us = clock_us

    def point(self, number: int) -> FuellingPoint:
        if number not in self.equipment.points:
            raise HTTPException(404, f"there is no fuelling point {number}")
        return self.equipment.points[number]

    def place(self, nozzle: int) -> tuple[FuellingPoint, int]:
        for point in self.equipment.points.values():
            for logical, one in point.nozzles.items():
                if one.nozzle_id == nozzle:
                    return point, logical
        raise HTTPException(404, f"there is no nozzle {nozzle}")

    def dispensers(self, name: str) -> Iterator[Dispenser]:
        found = [c for c in self.equipment.cabinets if c.name == name or c.name.startswith(f"{name}-")]
        if not found:
            raise HTTPException(404, f"there is no dispenser {name!r}")
        return (cabinet.dispenser for cabinet in found)

    def shown(self, point: FuellingPoint) -> dict[str, Any]:
        return {
            "fuelling_point": point.number,
            "state": point.state.name,
            "powered": point.is_powered,
            "locks": list(point.locks),
            "latched": point.is_latched,
            "refusal": point.refusal,
            "testing": point.is_testing,
            "serials": point.serials,
            "waiting_records": len(point.unacknowledged),
            "repaired_copies": point.store.repaired,
            "lost_records": point.store.lost,
            "seal_log": [asdict(entry) for entry in point.seal_log],
        }


def service_routes(app: FastAPI, equipment: Equipment, clock_us: Callable[[], int]) -> None:
    """Add the routes. They have to come before those that take any word behind a nozzle's number."""
    service = _Service(equipment, clock_us)
    _emergency_routes(app, service)
    _lock_routes(app, service)
    _seal_routes(app, service)


def _emergency_routes(app: FastAPI, service: _Service) -> None:
    @app.post("/emergency-stop", status_code=204, tags=["service"])
    async def stop_all() -> None:
        """The station's button: all flow stops, and nothing starts again by itself."""
        for cabinet in service.equipment.cabinets:
            cabinet.dispenser.emergency_stop(service.clock_us())

    @app.post("/dispensers/{name}/emergency-stop", status_code=204, tags=["service"])
    async def stop(name: str) -> None:
        """The button on one dispenser."""
        for dispenser in service.dispensers(name):
            dispenser.emergency_stop(service.clock_us())

    @app.post("/dispensers/{name}/emergency-reset", tags=["service"])
    async def reset(name: str, person: Person) -> dict[str, bool]:
        """Back into service, by a person with the right to; ``done`` says whether."""
        done = [d.reset_emergency(service.clock_us(), person.role) for d in service.dispensers(name)]
        return {"done": all(done)}

    @app.post("/points/{number}/breakaway", tags=["service"])
    async def breakaway(number: int) -> dict[str, Any]:
        """A car drove away with the nozzle: the hose is torn off."""
        point = service.point(number)
        return {"done": point.break_away(service.clock_us()), **service.shown(point)}


def _lock_routes(app: FastAPI, service: _Service) -> None:
    @app.get("/points/{number}/service", tags=["service"])
    async def look(number: int) -> dict[str, Any]:
        """Locks with their reasons, seals, parts, the board's memory."""
        return service.shown(service.point(number))

    @app.post("/points/{number}/lock", tags=["service"])
    async def lock(number: int, why: Lock | None = None) -> dict[str, Any]:
        """Refuse to authorise from now on; what runs goes on to its end."""
        point = service.point(number)
        return {"done": point.lock(service.clock_us(), (why or Lock()).reason), **service.shown(point)}

    @app.post("/points/{number}/unlock", tags=["service"])
    async def unlock(number: int, why: Lock | None = None) -> dict[str, Any]:
        """Take a lock of the station away."""
        point = service.point(number)
        return {"done": point.unlock(service.clock_us(), (why or Lock()).reason), **service.shown(point)}

    @app.post("/points/{number}/test-{to}", tags=["service"])
    async def test(number: int, to: Literal["on", "off"]) -> dict[str, Any]:
        """Deliveries go into the proving can and back into the tank."""
        point = service.point(number)
        return {"done": point.set_test(service.clock_us(), to == "on"), **service.shown(point)}


def _seal_routes(app: FastAPI, service: _Service) -> None:
    @app.post("/points/{number}/seal-{to}", tags=["service"])
    async def seal(number: int, to: Literal["open", "close"], person: Person) -> dict[str, Any]:
        """Break the seal of the metering parameters, or put a new one on."""
        point = service.point(number)
        act = point.open_seal if to == "open" else point.close_seal
        act(service.clock_us(), person.role)
        return {"done": True, **service.shown(point)}

    @app.post("/points/{number}/parameter", tags=["service"])
    async def parameter(number: int, change: Parameter) -> dict[str, Any]:
        """Change a metering parameter. Behind a seal that is tampering, and locks at once."""
        point = service.point(number)
        done = point.change_parameter(service.clock_us(), change.name, change.value)
        return {"done": done, **service.shown(point)}

    @app.post("/points/{number}/part", tags=["service"])
    async def part(number: int, new: Part) -> dict[str, Any]:
        """Put in another part; without the regulator the point locks after a few deliveries."""
        point = service.point(number)
        point.swap_part(service.clock_us(), new.part, new.serial)
        return {"done": True, **service.shown(point)}

    @app.post("/points/{number}/initialise", tags=["service"])
    async def initialise(number: int, person: Person) -> dict[str, Any]:
        """The regulator accepts the point as it is."""
        point = service.point(number)
        return {"done": point.initialise(service.clock_us(), person.role), **service.shown(point)}

    @app.post("/nozzles/{nozzle}/calibrate", tags=["service"])
    async def calibrate(nozzle: int, to: Calibration) -> dict[str, Any]:
        """Change what the encoder's pulses are worth; behind a seal the pump notices it after five deliveries."""
        point, logical = service.place(nozzle)
        point.calibrate(service.clock_us(), logical, to.error_ppm)
        return {"done": True, **service.shown(point)}
