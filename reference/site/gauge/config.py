"""How a site's tank gauge is reached, and what its tanks are."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["GaugeConfig", "GaugeTankConfig"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GaugeTankConfig(_Part):
    """One tank.

    ``gauge_tank`` is its number at the gauge (the same as in the station, if left out). Tanks with the same ``group`` are
    joined by a siphon and accounted as one; by default each stands for itself. Below ``pumpable_ml`` nothing can be sold;
    above ``water_limit_um`` nothing may be.
    """

    tank: Annotated[int, Field(ge=1, le=99)]
    gauge_tank: Annotated[int, Field(ge=1, le=16)] | None = None
    grade: Literal["92", "95", "98", "diesel"]
    capacity_ml: Annotated[int, Field(ge=1_000, le=1_000_000_000)]
    group: Annotated[int, Field(ge=1, le=99)] | None = None
    pumpable_ml: Annotated[int, Field(ge=0, le=1_000_000_000)] = 1_000_000
    water_limit_um: Annotated[int, Field(ge=1_000, le=1_000_000)] = 40_000


class GaugeConfig(_Part):
    """The gauge's line and the tanks behind it. At most one of ``tcp`` ("host:port") and ``serial`` (a device)."""

    tcp: Annotated[str, Field(pattern=r"^.+:[0-9]{1,5}$")] | None = None
    serial: str | None = None
    baud: Annotated[int, Field(ge=300, le=115_200)] = 9600
    security_code: Annotated[str, Field(pattern=r"^([\x20-\x7e]{6})?$")] = ""
    units: Literal["ask", "us", "metric", "imperial"] = "ask"
    period_us: Annotated[int, Field(ge=1_000_000, le=60_000_000)] = 30_000_000
    phase_us: Annotated[int, Field(ge=0, le=60_000_000)] = 0
    timeout_us: Annotated[int, Field(ge=100_000, le=30_000_000)] = 3_000_000
    tries: Annotated[int, Field(ge=1, le=5)] = 2
    silent_after: Annotated[int, Field(ge=1, le=10)] = 2
    tanks: Annotated[tuple[GaugeTankConfig, ...], Field(min_length=1, max_length=16)]

    @property
    def units_number(self) -> str | None:
        """The figure of function 517; None when the gauge is to be asked."""
        return {"us": "1", "metric": "2", "imperial": "3"}.get(self.units)

    @model_validator(mode="after")
    def _numbers_differ(self) -> Self:
        if self.tcp is not None and self.serial is not None:
            raise ValueError("a gauge has either tcp or serial, not both")
        for numbers in ([t.tank for t in self.tanks], [t.gauge_tank or t.tank for t in self.tanks]):
            if len(set(numbers)) != len(numbers):
                raise ValueError("two tanks of the gauge have the same number")
        grades: dict[int, str] = {}
        for tank in self.tanks:
            if grades.setdefault(tank.group or tank.tank, tank.grade) != tank.grade:
                raise ValueError(f"group {tank.group} joins tanks of different grades")
        return self
