"""What every injected fault has in common: when it may strike, how often, and a count of how often it did.

A fault is data (a frozen dataclass that a scenario file can hold). An `ArmedFault` is that data put to work in one
place, with its own random stream and its own count, so that a run can tell whether a fault ever hit anything: a run
whose faults never landed proves nothing.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Generic, Self, TypeVar

from sim.kernel import Streams

__all__ = ["NEVER_US", "ArmedFault", "Fault", "FaultError", "arm_faults", "need_int", "need_one_of"]

NEVER_US: Final = 1 << 62
"""An instant after every run."""


class FaultError(ValueError):
    """A fault that cannot be put to work; the message names the fault and the field."""


def need_int(owner: str, name: str, value: object, minimum: int) -> None:
    """Check one whole-number field of a fault.

    Raises:
        FaultError: not a whole number, or below the minimum.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise FaultError(f"{owner}: {name} must be a whole number from {minimum} up, not {value!r}")


def need_one_of(owner: str, name: str, value: object, allowed: Iterable[str]) -> None:
    """Check one field of a fault that takes a word.

    Raises:
        FaultError: another word, or none.
    """
    words = [str(word) for word in allowed]
    if value not in words:
        raise FaultError(f"{owner}: {name} must be one of {', '.join(words)}, not {value!r}")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """When a fault may strike. Subclasses say what it does.

    Attributes:
        kind: what it does; the subclass lists the kinds.
        name: how traces and reports call it; empty takes the kind. Names are unique in one place.
        at_us: first instant at which it may strike.
        for_us: how long it may strike from then on; None means to the end of the run.
        probability: chance of striking each time it could, in (0, 1].
        limit: it strikes at most this often; None means as often as it can.

    Raises:
        FaultError: a field is out of range.
    """

    kind: str
    name: str = ""
    at_us: int = 0
    for_us: int | None = None
    probability: float = 1.0
    limit: int | None = None

    def __post_init__(self) -> None:
        need_int(self.label, "at_us", self.at_us, 0)
        if self.for_us is not None:
            need_int(self.label, "for_us", self.for_us, 1)
        if self.limit is not None:
            need_int(self.label, "limit", self.limit, 1)
        if not isinstance(self.probability, int | float) or not 0 < self.probability <= 1:
            raise FaultError(
                f"{self.label}: probability must be above 0 and at most 1, not {self.probability!r}"
            )

    @property
    def label(self) -> str:
        """The name, or the kind where no name was given."""
        return self.name or self.kind

    @property
    def end_us(self) -> int:
        """The first instant at which it can no longer strike."""
        return NEVER_US if self.for_us is None else self.at_us + self.for_us

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """Read a fault from plain data, such as an entry of a scenario file.

        Raises:
            FaultError: an unknown field or kind, or a value out of range.
        """
        known = [field.name for field in fields(cls)]
        for name in raw:
            if name not in known:
                raise FaultError(f"{cls.__name__} has no field {name!r}; it has {', '.join(known)}")
        if "kind" not in raw:
            raise FaultError(f"{cls.__name__} needs a kind")
        return cls(**raw)


FaultT = TypeVar("FaultT", bound=Fault)


class ArmedFault(Generic[FaultT]):
    """One fault at work in one place.

    Attributes:
        spec: the fault.
        name: its name in this place.
        landed: how often it has hit something so far.
        rng: its own random stream, so that adding another fault shifts none of its draws.
    """

    __slots__ = ("_at_us", "_end_us", "_limit", "_probability", "landed", "name", "rng", "spec")

    def __init__(self, spec: FaultT, name: str, rng: random.Random) -> None:
        self.spec = spec
        self.name = name
        self.rng = rng
        self.landed = 0
        self._at_us = spec.at_us
        self._end_us = spec.end_us
        self._limit = NEVER_US if spec.limit is None else spec.limit
        self._probability = spec.probability

    def is_active(self, now_us: int, lead_us: int = 0) -> bool:
        """Whether it may still strike at this instant (or within ``lead_us`` from it)."""
        return self._at_us - lead_us <= now_us < self._end_us and self.landed < self._limit

    def strikes(self, now_us: int) -> bool:
        """Draw whether it strikes now. The caller counts with `land` once it has hit something."""
        return self.is_active(now_us) and (self._probability >= 1 or self.rng.random() < self._probability)

    def land(self) -> None:
        """Count one hit."""
        self.landed += 1


def arm_faults(specs: Iterable[FaultT], streams: Streams, entity: str) -> tuple[ArmedFault[FaultT], ...]:
    """Put faults to work in one place, each with the stream ``{entity}`` / ``fault/{name}``.

    Raises:
        FaultError: two faults of the place have the same name.
    """
    armed: dict[str, ArmedFault[FaultT]] = {}
    unnamed: dict[str, int] = {}
    for spec in specs:
        name = spec.name
        if not name:
            unnamed[spec.kind] = number = unnamed.get(spec.kind, 0) + 1
            name = spec.kind if number == 1 else f"{spec.kind}-{number}"
        if name in armed:
            raise FaultError(f"{entity}: two faults are called {name!r}; give each its own name")
        armed[name] = ArmedFault(spec, name, streams.get(entity, f"fault/{name}"))
    return tuple(armed.values())
