"""A Coriolis meter that stands alone: somebody opens and shuts the flow by hand, for a board's firmware and a laptop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import Body, FastAPI
from pydantic import BaseModel, ConfigDict, Field

from protocols.modbus.maps import CoriolisProfile
from scenarios.world.hands import hands_api
from sim.dispenser import CoriolisMeter, StandingFlow

__all__ = ["StandingMeter", "meter_control"]


class _Flow(BaseModel):
    model_config = ConfigDict(extra="forbid")
    g_per_min: Annotated[int, Field(ge=0, le=1_000_000)]


class _Conditions(BaseModel):
    model_config = ConfigDict(extra="forbid")
    temperature_c: Annotated[float, Field(ge=-273, le=400)] | None = None
    density_kg_per_l: Annotated[float, Field(ge=0, le=20)] | None = None
    drive_gain_percent: Annotated[float, Field(ge=0, le=100)] | None = None


class StandingMeter:
    """A meter and its flow.

    Args:
        profile: its make.
        clock_us: the device's clock.
        unit_id: 1..247.
        baud: of its line.

    Attributes:
        machine: what speaks on the wire.
    """

    def __init__(
        self, profile: CoriolisProfile, clock_us: Callable[[], int], *, unit_id: int = 1, baud: int = 9_600
    ) -> None:
        self.clock_us = clock_us
        self.flow = StandingFlow()
        self.machine = CoriolisMeter(self.flow, profile, unit_id=unit_id, baud=baud)

    def line(self) -> str:
        """One line for a terminal."""
        now_us = self.clock_us()
        flow = self.flow.flow_g_per_min(now_us) / 1_000
        return f"unit {self.machine.unit_id} {flow:.3f} kg/min {self.machine.total_kg(now_us):.2f} kg"


def meter_control(meter: StandingMeter) -> FastAPI:
    """The control API of a meter that stands alone."""
    app = hands_api(
        "Forecourt meter control",
        "The flow by hand, what the meter measures besides, and resets that it does not obey. Loopback only.",
    )

    @app.get("/meter", tags=["meter"])
    async def show() -> dict[str, Any]:
        """What really flows."""
        now_us = meter.clock_us()
        conditions = meter.machine.conditions
        return {
            "profile": meter.machine.profile.name,
            "unit": meter.machine.unit_id,
            "g_per_min": meter.flow.flow_g_per_min(now_us),
            "total_kg": meter.machine.total_kg(now_us),
            "temperature_c": conditions.temperature_c,
            "density_kg_per_l": conditions.density_kg_per_l,
            "drive_gain_percent": conditions.drive_gain_percent,
        }

    @app.post("/meter/flow", status_code=204, tags=["meter"])
    async def flow(act: Annotated[_Flow, Body()]) -> None:
        """So much flows from now on."""
        meter.flow.set(act.g_per_min, meter.clock_us())

    @app.post("/meter/conditions", status_code=204, tags=["meter"])
    async def conditions(act: Annotated[_Conditions, Body()]) -> None:
        """Temperature, density, drive gain; what is left out stays."""
        for name, value in act.model_dump(exclude_none=True).items():
            setattr(meter.machine.conditions, name, value)

    @app.post("/meter/resets/{state}", status_code=204, tags=["meter"])
    async def resets(state: Literal["ignored", "obeyed"]) -> None:
        """Resets are acknowledged and not obeyed from now on, or obeyed again."""
        meter.machine.is_deaf_to_resets = state == "ignored"

    return app
