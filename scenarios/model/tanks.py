"""Tanks over time: the gauge that watches them, tankers, leaks, water."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from scenarios.model.values import Part

__all__ = ["Gauge", "GaugeOff", "Pause", "TankDelivery", "TankEvent", "TankLeak", "TankWater"]

_TankNumber = Annotated[int, Field(ge=1, le=64)]
_At = Annotated[int, Field(ge=0, le=31 * 86_400)]
_Um = Annotated[int, Field(ge=0, le=100_000)]


class Gauge(Part):
    """An automatic tank gauge (Veeder-Root TLS-350 family) that the site controller reads.

    Its declared error is what noise, resolution and drift make of a reading of the height.
    """

    poll_s: Annotated[int, Field(ge=1, le=60)] = 30
    """How often the site controller reads it."""
    scan_s: Annotated[int, Field(ge=1, le=60)] = 10
    """How often it measures by itself, for its alarms."""
    units: Literal["us", "metric", "imperial"] = "metric"
    security_code: Annotated[str, Field(pattern=r"^([!-~]{6})?$")] = ""
    characters_per_s: Annotated[int, Field(ge=30, le=100_000)] = 960
    """Pace of its line: 960 at 9600 baud."""
    noise_um: _Um = 25
    """A reading of the height is off by up to this, either way, micrometres."""
    resolution_um: Annotated[int, Field(ge=1, le=10_000)] = 10
    drift_um_per_day: Annotated[int, Field(ge=-10_000, le=10_000)] = 0
    temperature_mdeg: Annotated[int, Field(ge=-40_000, le=60_000)] = 18_000
    """Of the fuel at the start, thousandths of a degree Celsius."""
    temperature_drift_mdeg_per_h: Annotated[int, Field(ge=-5_000, le=5_000)] = 0
    pumpable_ml: Annotated[int, Field(ge=0, le=100_000_000)] = 1_000_000
    """Below this a tank cannot be pumped from."""
    water_limit_um: Annotated[int, Field(ge=1_000, le=1_000_000)] = 40_000
    manifolds: Annotated[
        tuple[Annotated[tuple[_TankNumber, ...], Field(min_length=2, max_length=8)], ...], Field(max_length=8)
    ] = ()
    """Tanks that a siphon joins; they are accounted as one."""


class Pause(Part):
    """A tanker stops for a while."""

    after_ml: Annotated[int, Field(ge=1, le=100_000_000)]
    for_s: Annotated[int, Field(ge=1, le=86_400)]


class TankDelivery(Part):
    """A road tanker discharges into a tank."""

    kind: Literal["delivery"]
    tank: _TankNumber
    at_s: _At
    volume_ml: Annotated[int, Field(ge=1_000, le=100_000_000)]
    ml_per_min: Annotated[int, Field(ge=10_000, le=3_000_000)] = 500_000
    pauses: Annotated[tuple[Pause, ...], Field(max_length=16)] = ()
    temperature_mdeg: Annotated[int, Field(ge=-40_000, le=60_000)] = 18_000

    @model_validator(mode="after")
    def _pauses_within(self) -> TankDelivery:
        for pause in self.pauses:
            if pause.after_ml >= self.volume_ml:
                raise ValueError(
                    f"a pause after {pause.after_ml} ml lies beyond the delivery of {self.volume_ml} ml"
                )
        return self


class TankLeak(Part):
    """Fuel leaves a tank without being sold."""

    kind: Literal["leak"]
    tank: _TankNumber
    at_s: _At
    for_s: Annotated[int, Field(ge=1, le=31 * 86_400)] | None = None
    ml_per_h: Annotated[int, Field(ge=1, le=1_000_000_000)]


class TankWater(Part):
    """Water gets into a tank."""

    kind: Literal["water"]
    tank: _TankNumber
    at_s: _At
    for_s: Annotated[int, Field(ge=1, le=31 * 86_400)] | None = None
    ml_per_h: Annotated[int, Field(ge=1, le=1_000_000_000)]


class GaugeOff(Part):
    """The gauge has no power for a while."""

    kind: Literal["gauge_off"]
    at_s: _At
    for_s: Annotated[int, Field(ge=1, le=31 * 86_400)]


TankEvent = Annotated[TankDelivery | TankLeak | TankWater | GaugeOff, Field(discriminator="kind")]
"""What happens to the tanks beside sales."""
