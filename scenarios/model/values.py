"""Types that every part of a scenario file shares: frozen models without unknown fields, bounded units, latencies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sim.latency import LatencyProfile

__all__ = [
    "Constant",
    "Exponential",
    "Grade",
    "Impossible",
    "Latency",
    "LogNormal",
    "Part",
    "Place",
    "Share",
    "StepTime",
    "Uniform",
]

Grade = Literal["92", "95", "98", "diesel"]

Share = Annotated[float, Field(ge=0.0, le=1.0)]
"""A dimensionless share, 0..1. Shares are the only floats in a scenario file besides sigmas."""

# An hour is longer than any step or reply worth simulating; a larger number is a slip of units.
_MAX_MS = 3_600_000
_Ms = Annotated[int, Field(ge=0, le=_MAX_MS)]
_PositiveMs = Annotated[int, Field(gt=0, le=_MAX_MS)]


TEXT: Final = r"^[^\x00-\x1f\x7f]*$"
"""One line of text that a terminal, a receipt and the backend can all show."""

Place = tuple[int | str, ...]
"""Keys and indexes from a part down to the value that is wrong."""


class Impossible(ValueError):  # noqa: N818 - it names the station, and reads so where it is raised
    """Values that are right by themselves and wrong together.

    Attributes:
        problems: each with the place where a person would mend it, seen from the part that raises.
    """

    def __init__(self, problems: Iterable[tuple[Place, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(text for _, text in self.problems))


class Part(BaseModel):
    """Base of every mapping in a scenario file: frozen, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Constant(Part):
    """Always the same delay."""

    kind: Literal["constant"]
    value_ms: _Ms

    def profile(self) -> LatencyProfile:
        """The same in the simulation's terms."""
        return LatencyProfile.constant(self.value_ms * 1_000)


class Uniform(Part):
    """Any delay between two limits, equally likely."""

    kind: Literal["uniform"]
    low_ms: _Ms
    high_ms: _Ms

    @model_validator(mode="after")
    def _ordered(self) -> Uniform:
        if self.low_ms > self.high_ms:
            raise ValueError("low_ms is above high_ms")
        return self

    def profile(self) -> LatencyProfile:
        """The same in the simulation's terms."""
        return LatencyProfile.uniform(self.low_ms * 1_000, self.high_ms * 1_000)


class LogNormal(Part):
    """A delay whose logarithm is normal, given by two points of it, as service levels are stated."""

    kind: Literal["lognormal"]
    median_ms: _PositiveMs
    p99_ms: _PositiveMs

    @model_validator(mode="after")
    def _ordered(self) -> LogNormal:
        if self.median_ms > self.p99_ms:
            raise ValueError("median_ms is above p99_ms")
        return self

    def profile(self) -> LatencyProfile:
        """The same in the simulation's terms."""
        return LatencyProfile.lognormal(self.median_ms * 1_000, self.p99_ms * 1_000)


class Exponential(Part):
    """A memoryless delay."""

    kind: Literal["exponential"]
    mean_ms: _PositiveMs

    def profile(self) -> LatencyProfile:
        """The same in the simulation's terms."""
        return LatencyProfile.exponential(self.mean_ms * 1_000)


Latency = Annotated[Constant | Uniform | LogNormal | Exponential, Field(discriminator="kind")]
"""How long a service or a network leg takes."""


class StepTime(Part):
    """How long a person takes for one step: log-normal."""

    median_ms: _PositiveMs
    """Median, milliseconds."""
    sigma: Annotated[float, Field(ge=0.0, le=2.0)] = 0.3
    """Standard deviation of the logarithm."""
