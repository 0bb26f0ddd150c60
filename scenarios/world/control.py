"""The control API of a real world: hands on the nozzles, faults by hand, and a look at what each device knows.

It is the harness's own door, open on loopback only. Amounts are fen, volumes millilitres, times microseconds of the world's clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Protocol

import msgspec
from fastapi import FastAPI, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field

from scenarios.world.equipment import Equipment
from scenarios.world.hands import hands_api
from scenarios.world.printer_control import printer_routes
from scenarios.world.service_control import service_routes
from sim.dispenser import FpEvent, FuellingPoint
from sim.kernel import WallKernel
from sim.printer import Printer
from sim.wires import LineServer, MachineServer, NodeHost

if TYPE_CHECKING:
    from scenarios.world.real import RealWorld

__all__ = ["Controlled", "control_app", "dispenser_control", "printer_control"]

_LONGEST_WAIT_MS: Final = 30_000

Hand = Literal["lift", "squeeze", "release", "hang-up"]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Squeeze(_Body):
    """How hard, and when the customer's tank is full (None: never; the preset or the hand ends it)."""

    flow_ml_per_min: Annotated[int, Field(ge=1, le=200_000)] = 35_000
    full_ml: Annotated[int, Field(ge=10, le=2_000_000)] | None = None


class Backends(_Body):
    """Where callbacks go."""

    urls: Annotated[list[Annotated[str, Field(pattern=r"^https?://")]], Field(max_length=16)]


class Controlled(Protocol):
    """What the control API needs of a world, or of a single device."""

    @property
    def kernel(self) -> WallKernel:
        """The clock."""

    @property
    def equipment(self) -> Equipment:
        """Dispensers and tanks."""

    @property
    def lines(self) -> Mapping[str, LineServer | MachineServer | NodeHost]:
        """Pump lines on TCP, by name."""


class _Watch:
    """Counts what happens at each fuelling point, so that a client can wait for the next thing instead of asking again."""

    def __init__(self, points: dict[int, FuellingPoint]) -> None:
        self.versions = dict.fromkeys(points, 0)
        self._changed = asyncio.Event()
        for point in points.values():
            point.listeners.append(self._heard)

    def _heard(self, event: FpEvent) -> None:
        self.versions[event.fuelling_point] += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def newer(self, number: int, than: int, wait_ms: int) -> None:
        """Wait until the version of a point is above ``than``, at most ``wait_ms``."""
        try:
            async with asyncio.timeout(wait_ms / 1000):
                while self.versions[number] <= than:
                    await self._changed.wait()
        except TimeoutError:
            return


class _Control:
    """What the routes do."""

    def __init__(self, world: Controlled) -> None:
        self.world = world
        self.points = world.equipment.points
        self.watch = _Watch(self.points)
        self.places = {
            nozzle.nozzle_id: (point, logical)
            for point in self.points.values()
            for logical, nozzle in point.nozzles.items()
        }

    @property
    def now_us(self) -> int:
        return self.world.kernel.now_us

    def point(self, number: int) -> FuellingPoint:
        if number not in self.points:
            raise HTTPException(404, f"there is no fuelling point {number}")
        return self.points[number]

    def place(self, nozzle: int) -> tuple[FuellingPoint, int]:
        if nozzle not in self.places:
            raise HTTPException(404, f"there is no nozzle {nozzle}")
        return self.places[nozzle]

    def shown(self, point: FuellingPoint) -> dict[str, Any]:
        now_us = self.now_us
        out = None if point.nozzle_out is None else point.nozzles[point.nozzle_out].nozzle_id
        nozzles = []
        for logical, nozzle in point.nozzles.items():
            volume_ml, amount_fen = point.totals(logical, now_us)
            nozzles.append(
                {
                    "nozzle": nozzle.nozzle_id,
                    "grade": nozzle.grade,
                    "tank": nozzle.tank.tank_id,
                    "price_fen_per_l": nozzle.price_fen_per_l,
                    "total_volume_ml": volume_ml,
                    "total_amount_fen": amount_fen,
                }
            )
        last = point.last_delivery
        return {
            "fuelling_point": point.number,
            "state": point.state.name,
            "nozzle_out": out,
            "flowing": point.flowing,
            "locks": list(point.locks),
            "version": self.watch.versions[point.number],
            **msgspec.structs.asdict(point.reading(now_us)),
            "nozzles": nozzles,
            "last_delivery": None if last is None else asdict(last),
        }

    def act(self, nozzle: int, hand: Hand, squeeze: Squeeze | None) -> dict[str, Any]:
        point, logical = self.place(nozzle)
        now_us = self.now_us
        if hand == "lift":
            done = point.lift(logical, now_us)
        elif point.nozzle_out != logical:
            raise HTTPException(409, f"nozzle {nozzle} hangs in its boot")
        elif hand == "squeeze":
            wanted = squeeze or Squeeze()
            point.set_tank_capacity(wanted.full_ml)
            done = point.squeeze(now_us, wanted.flow_ml_per_min)
        elif hand == "release":
            point.release(now_us)
            done = True
        else:
            done = point.hang_up(now_us)
        return {"done": done, **self.shown(point)}

    def power(self, name: str, *, on: bool) -> None:
        cabinets = [
            c for c in self.world.equipment.cabinets if c.name == name or c.name.startswith(f"{name}-")
        ]
        if not cabinets:
            raise HTTPException(404, f"there is no dispenser {name!r}")
        for cabinet in cabinets:
            if cabinet.dispenser.powered == on:
                continue
            change = cabinet.dispenser.restore_power if on else cabinet.dispenser.cut_power
            change(self.now_us)
            if cabinet.machine.on_wake is not None:
                cabinet.machine.on_wake()

    def line(self, name: str, *, cut: bool) -> None:
        server = self.world.lines.get(name)
        if not isinstance(server, LineServer | NodeHost):
            raise HTTPException(404, f"there is no line {name!r} that could be cut")
        if cut:
            server.cut()
        else:
            server.join()


def control_app(world: RealWorld) -> FastAPI:
    """The control API of a world; see its ``/docs``."""
    control = _Control(world)
    app = _application("world")
    service_routes(app, control.world.equipment, lambda: control.now_us)
    _hand_routes(app, control)
    _line_routes(app, control)

    @app.get("/lines", tags=["lines"])
    async def lines() -> dict[str, str]:
        """Where each line is reached."""
        return dict(world.endpoints.lines)

    printer_routes(app, lambda: world.printer, lambda: world.kernel.now_us)
    _service_routes(app, world)
    return app


def dispenser_control(device: Controlled) -> FastAPI:
    """The control API of a dispenser that stands alone."""
    control = _Control(device)
    app = _application("dispenser")
    service_routes(app, control.world.equipment, lambda: control.now_us)
    _hand_routes(app, control)
    _line_routes(app, control)
    return app


def printer_control(printer: Printer, clock_us: Callable[[], int]) -> FastAPI:
    """The control API of a printer that stands alone. ``clock_us`` is the printer's clock."""
    app = _application("printer")
    printer_routes(app, lambda: printer, clock_us)
    return app


def _application(what: str) -> FastAPI:
    return hands_api(
        f"Forecourt {what} control",
        "Hands on the nozzles, faults by hand, and what each device knows. Loopback only.",
    )


def _hand_routes(app: FastAPI, control: _Control) -> None:
    @app.get("/points", tags=["dispensers"])
    async def points() -> list[dict[str, Any]]:
        """All fuelling points: state, display, totalisers, last delivery."""
        return [control.shown(point) for point in control.points.values()]

    @app.get("/points/{number}", tags=["dispensers"])
    async def point(
        number: int,
        after: Annotated[int, Query(ge=-1)] = -1,
        wait_ms: Annotated[int, Query(ge=0, le=_LONGEST_WAIT_MS)] = 0,
    ) -> dict[str, Any]:
        """One fuelling point. With ``after`` (a ``version`` seen before) and ``wait_ms`` it waits for the next change."""
        found = control.point(number)
        if wait_ms:
            await control.watch.newer(number, after, wait_ms)
        return control.shown(found)

    @app.post("/nozzles/{nozzle}/{hand}", tags=["dispensers"])
    async def act(nozzle: int, hand: Hand, squeeze: Squeeze | None = None) -> dict[str, Any]:
        """Lift, squeeze, release or hang up. ``done`` says whether it had an effect; the point's new state follows."""
        return control.act(nozzle, hand, squeeze)

    @app.get("/deliveries", tags=["dispensers"])
    async def deliveries() -> list[dict[str, Any]]:
        """Every delivery in the dispensers' own journals."""
        return [asdict(delivery) for point in control.points.values() for delivery in point.journal]

    @app.get("/tanks", tags=["dispensers"])
    async def tanks() -> list[dict[str, Any]]:
        """What each tank has given out, by its own pulse counter."""
        control.world.equipment.settle(control.now_us)
        return [
            {"tank": number, "grade": tank.grade, "drawn_ml": tank.drawn_ml}
            for number, tank in control.world.equipment.tanks.items()
        ]


def _line_routes(app: FastAPI, control: _Control) -> None:
    @app.post("/dispensers/{name}/power-{to}", status_code=204, tags=["dispensers"])
    async def power(name: str, to: Literal["off", "on"]) -> None:
        """Cut or restore a dispenser's mains."""
        control.power(name, on=to == "on")

    @app.post("/lines/{name}/{act}", status_code=204, tags=["lines"])
    async def line(name: str, act: Literal["cut", "join"]) -> None:
        """Cut a pump line, or join it again."""
        control.line(name, cut=act == "cut")


def _service_routes(app: FastAPI, world: RealWorld) -> None:
    @app.get("/instants", tags=["gateway"])
    async def instants() -> dict[str, Any]:
        """When prepay calls came and callbacks went, by out_trade_no; microseconds of CLOCK_MONOTONIC."""
        return {"payments": world.instants.shown()}

    @app.get("/backends", tags=["gateway"])
    async def backends() -> Backends:
        """Where callbacks go."""
        return Backends(urls=list(world.backends))

    @app.put("/backends", tags=["gateway"])
    async def set_backends(body: Backends) -> Backends:
        """Send callbacks to these backends from now on."""
        world.set_backends(body.urls)
        return body

    @app.get("/lag", tags=["world"])
    async def lag() -> dict[str, Any]:
        """How late the world's own events ran: the harness's delay, microseconds."""
        lags = sorted(world.kernel.lag_us)
        return {
            "events": len(lags),
            "p99_us": lags[len(lags) * 99 // 100] if lags else None,
            "maximum_us": lags[-1] if lags else None,
        }

    app.mount("/wechatpay", world.services.gateway.control_app)
