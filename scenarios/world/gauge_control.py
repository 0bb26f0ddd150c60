"""A tank gauge that stands alone: tanks that somebody fills, drains and wets by hand, for a driver and a laptop."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import Body, FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict, Field

from scenarios.world.hands import hands_api
from sim.dispenser import PULSE_ML, Tank
from sim.gauge import METRIC, GaugeConsole, Probe, ProbeSource, TankSetup, Units
from sim.tanks import Flow, StorageTank, TankerDelivery, TankFarm

__all__ = ["StandingGauge", "gauge_control"]

_CAPACITY_ML = 30_000_000
_Ml = Annotated[int, Field(ge=1, le=100_000_000)]


class _Act(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Delivery(_Act):
    volume_ml: _Ml
    ml_per_min: Annotated[int, Field(ge=1_000, le=100_000_000)] = 500_000
    temperature_mdeg: Annotated[int, Field(ge=-40_000, le=60_000)] = 18_000


class _Draw(_Act):
    volume_ml: _Ml


class _Flow(_Act):
    ml_per_h: Annotated[int, Field(ge=0, le=1_000_000_000)]


class _Probe(_Act):
    state: Literal["good", "out", "stuck"]


class StandingGauge:
    """A console and its tanks, on nobody's forecourt.

    Args:
        grades: a tank for each, numbered from 1.
        clock_us: the device's clock.
        units: of its reports.
        security_code: six characters, or none.

    Attributes:
        farm, console: the tanks, and the console for `sim.gauge.GaugePort`.
        probes: by tank.
    """

    def __init__(
        self,
        grades: Mapping[int, str],
        clock_us: Callable[[], int],
        *,
        units: Units = METRIC,
        security_code: str = "",
    ) -> None:
        self.clock_us = clock_us
        tanks = [
            StorageTank(Tank(number, grade, capacity_ml=_CAPACITY_ML, initial_ml=_CAPACITY_ML // 2))
            for number, grade in grades.items()
        ]
        self.farm = TankFarm(tanks)
        self.probes = {number: Probe() for number in grades}
        begun = datetime.now(UTC).replace(tzinfo=None)
        begun_us = clock_us()
        self.console = GaugeConsole(
            ProbeSource(self.farm, random.Random("gauge/probes"), probes=self.probes),
            {
                tank.tank_id: TankSetup(
                    tank.table.capacity_ml,
                    f"FUEL {tank.tank.grade.upper()}",
                    str(tank.tank_id % 10),
                    diameter_um=tank.table.diameter_um,
                )
                for tank in tanks
            },
            clock=lambda now_us: begun + timedelta(microseconds=now_us - begun_us),
            units=units,
            security_code=security_code,
            headers=("FORECOURT",),
            has_bir=True,
        )

    def line(self) -> str:
        """One line for a terminal."""
        if not self.console.is_powered:
            return "off"
        now_us = self.clock_us()
        shown = []
        for number in self.farm.tanks:
            litres = self.farm.levels(number, now_us).fuel_ml / 1_000
            alarms = self.console.alarms.of_tank(number)
            told = f" alarms {','.join(map(str, alarms))}" if alarms else ""
            shown.append(f"tank {number} {litres:.0f} L{told}")
        return "; ".join(shown)


def gauge_control(gauge: StandingGauge) -> FastAPI:
    """The control API of a gauge that stands alone."""
    app = hands_api(
        "Forecourt gauge control",
        "Tankers, sales, leaks and water by hand, and what is really in the tanks. Loopback only.",
    )

    _show_routes(app, gauge)
    _tank_routes(app, gauge)

    @app.post("/gauge/power-{state}", status_code=204, tags=["gauge"])
    async def power(state: Literal["off", "on"]) -> None:
        """Switch the console's power."""
        if state == "off":
            gauge.console.cut_power()
        else:
            gauge.console.restore_power(gauge.clock_us())

    return app


def _tank_of(gauge: StandingGauge, number: int) -> StorageTank:
    tank = gauge.farm.tanks.get(number)
    if tank is None:
        raise HTTPException(404, f"there is no tank {number}")
    return tank


def _show_routes(app: FastAPI, gauge: StandingGauge) -> None:
    @app.get("/tanks", tags=["tanks"])
    async def tanks() -> list[dict[str, Any]]:
        """What is really in the tanks, and the alarms that the console has on them."""
        now_us = gauge.clock_us()
        shown = []
        for number, tank in gauge.farm.tanks.items():
            levels = gauge.farm.levels(number, now_us)
            shown.append(
                {
                    "tank": number,
                    "grade": tank.tank.grade,
                    "capacity_ml": tank.table.capacity_ml,
                    "fuel_ml": levels.fuel_ml,
                    "water_ml": levels.water_ml,
                    "height_um": levels.height_um,
                    "water_um": levels.water_um,
                    "temperature_mdeg": levels.temperature_mdeg,
                    "alarms": list(gauge.console.alarms.of_tank(number)),
                    "delivery": gauge.console.deliveries[number].in_progress,
                }
            )
        return shown


def _tank_routes(app: FastAPI, gauge: StandingGauge) -> None:
    @app.post("/tanks/{number}/deliver", status_code=204, tags=["tanks"])
    async def deliver(number: int, act: Annotated[_Delivery, Body()]) -> None:
        """A tanker begins to discharge."""
        delivery = TankerDelivery(
            act.volume_ml, act.ml_per_min, gauge.clock_us(), temperature_mdeg=act.temperature_mdeg
        )
        _tank_of(gauge, number).deliver(delivery)

    @app.post("/tanks/{number}/draw", status_code=204, tags=["tanks"])
    async def draw(number: int, act: Annotated[_Draw, Body()]) -> None:
        """The pumps draw, in pulses of 10 ml."""
        _tank_of(gauge, number).tank.draw(act.volume_ml // PULSE_ML)

    @app.post("/tanks/{number}/leak", status_code=204, tags=["tanks"])
    async def leak(number: int, act: Annotated[_Flow, Body()]) -> None:
        """The tank begins to leak, beside what leaks already."""
        _tank_of(gauge, number).leaks.append(Flow(act.ml_per_h, gauge.clock_us()))

    @app.post("/tanks/{number}/water", status_code=204, tags=["tanks"])
    async def water(number: int, act: Annotated[_Flow, Body()]) -> None:
        """Water begins to seep in, beside what does already."""
        _tank_of(gauge, number).water_flows.append(Flow(act.ml_per_h, gauge.clock_us()))

    @app.post("/tanks/{number}/probe", status_code=204, tags=["tanks"])
    async def probe(number: int, act: Annotated[_Probe, Body()]) -> None:
        """The probe goes silent, sticks where it is, or is good again."""
        _tank_of(gauge, number)
        one = gauge.probes[number]
        one.is_out = act.state == "out"
        one.stuck_um = gauge.farm.levels(number, gauge.clock_us()).height_um if act.state == "stuck" else None
