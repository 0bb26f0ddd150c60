"""How long a leg of a network or a service takes: a few named distributions that give whole microseconds."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, cast, get_args

__all__ = ["LatencyError", "LatencyKind", "LatencyProfile"]

LatencyKind = Literal["constant", "uniform", "lognormal", "exponential"]

_Z99: Final = 2.3263478740408408
"""The standard normal's 99 % point: it turns a median and a p99 into a log-normal's sigma."""

_NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "constant": ("value_us",),
    "uniform": ("low_us", "high_us"),
    "lognormal": ("median_us", "p99_us"),
    "exponential": ("mean_us",),
}
_FIGURES: Final = ("value_us", "low_us", "high_us", "median_us", "p99_us", "mean_us", "max_us")


class LatencyError(ValueError):
    """A latency profile that cannot be drawn from; the message names the field."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencyProfile:
    """A distribution of delays.

    Attributes:
        kind: ``constant`` (value_us), ``uniform`` (low_us to high_us, both included), ``lognormal`` (median_us and
            p99_us) or ``exponential`` (mean_us).
        max_us: no draw is longer than this; None leaves the tail open.

    Raises:
        LatencyError: a field is missing, does not belong to the kind, or contradicts another.
    """

    kind: LatencyKind
    value_us: int | None = None
    low_us: int | None = None
    high_us: int | None = None
    median_us: int | None = None
    p99_us: int | None = None
    mean_us: int | None = None
    max_us: int | None = None
    _sigma: float = field(default=0.0, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.kind not in get_args(LatencyKind):
            raise LatencyError(f"latency kind {self.kind!r} is not one of {', '.join(get_args(LatencyKind))}")
        needs = _NEEDS[self.kind]
        for name in _FIGURES:
            value = getattr(self, name)
            if value is None:
                if name in needs:
                    raise LatencyError(f"a {self.kind} latency needs {name}")
                continue
            if name not in needs and name != "max_us":
                raise LatencyError(f"{name} does not belong to a {self.kind} latency")
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise LatencyError(f"{name} must be a whole number of microseconds from 0 up, not {value!r}")
        if self.kind == "uniform" and cast(int, self.low_us) > cast(int, self.high_us):
            raise LatencyError(f"low_us {self.low_us} is above high_us {self.high_us}")
        if self.kind == "lognormal" and not 0 < cast(int, self.median_us) <= cast(int, self.p99_us):
            raise LatencyError(f"median_us {self.median_us} must be above 0 and at most p99_us {self.p99_us}")
        if self.kind == "lognormal":
            ratio = cast(int, self.p99_us) / cast(int, self.median_us)
            object.__setattr__(self, "_sigma", math.log(ratio) / _Z99)

    @classmethod
    def constant(cls, value_us: int) -> LatencyProfile:
        """Always the same delay."""
        return cls(kind="constant", value_us=value_us)

    @classmethod
    def uniform(cls, low_us: int, high_us: int) -> LatencyProfile:
        """Each whole microsecond from low to high is equally likely."""
        return cls(kind="uniform", low_us=low_us, high_us=high_us)

    @classmethod
    def lognormal(cls, median_us: int, p99_us: int, *, max_us: int | None = None) -> LatencyProfile:
        """Half the draws are below the median, 99 % below ``p99_us``."""
        return cls(kind="lognormal", median_us=median_us, p99_us=p99_us, max_us=max_us)

    @classmethod
    def exponential(cls, mean_us: int, *, max_us: int | None = None) -> LatencyProfile:
        """Memoryless, with this mean."""
        return cls(kind="exponential", mean_us=mean_us, max_us=max_us)

    @classmethod
    def from_dict(cls, raw: Mapping[str, object]) -> LatencyProfile:
        """Read ``{"kind": "lognormal", "median_us": 80000, "p99_us": 200000}`` and the like.

        Raises:
            LatencyError: an unknown field or kind, or a bad value.
        """
        known = {"kind", *_FIGURES}
        for name in raw:
            if name not in known:
                raise LatencyError(
                    f"a latency profile has no field {name!r}; it has {', '.join(sorted(known))}"
                )
        if "kind" not in raw:
            raise LatencyError(f"a latency profile needs a kind: one of {', '.join(get_args(LatencyKind))}")
        return cls(**raw)  # type: ignore[arg-type]  # __post_init__ checks each value

    def draw(self, rng: random.Random) -> int:
        """One delay in microseconds. A constant profile draws nothing from the stream."""
        if self.median_us is not None:  # log-normal, as most are: no call more than it needs
            drawn_us = round(self.median_us * math.exp(self._sigma * rng.gauss(0.0, 1.0)))
        elif self.kind == "constant":
            drawn_us = cast(int, self.value_us)
        elif self.kind == "uniform":
            drawn_us = rng.randint(cast(int, self.low_us), cast(int, self.high_us))
        else:
            drawn_us = round(-math.log(1.0 - rng.random()) * cast(int, self.mean_us))
        return drawn_us if self.max_us is None else min(drawn_us, self.max_us)
