"""What a site tells of its tanks."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from reference.backend.live import Count
from reference.backend.private_numbers import CleanStruct

__all__ = ["TankPost", "TanksPost"]

_Tank = Annotated[int, Meta(ge=1, le=9999)]
_Grade = Annotated[str, Meta(pattern=r"^[A-Za-z0-9+_-]{1,16}$")]
_Ml = Annotated[int, Meta(ge=0, le=1_000_000_000)]
_Um = Annotated[int, Meta(ge=0, le=100_000_000)]


class TankPost(CleanStruct, forbid_unknown_fields=True):
    """One tank as its gauge told it; null where it told nothing.

    ``drawn_ml`` is what its nozzles have drawn since the site began to count, running deliveries included, at the moment of
    the reading; ``series`` names the nozzles that were counted; ``certain`` is false while one of them cannot be asked.
    ``group`` is the same for tanks that a siphon joins.
    """

    tank: _Tank
    grade: _Grade
    group: _Tank
    capacity_ml: Annotated[int, Meta(ge=1, le=1_000_000_000)]
    pumpable_ml: _Ml
    water_limit_um: _Um
    volume_ml: _Ml | None
    corrected_ml: _Ml | None
    height_um: _Um | None
    water_um: _Um | None
    temperature_mdeg: Annotated[int, Meta(ge=-100_000, le=200_000)] | None
    alarms: Annotated[list[Annotated[int, Meta(ge=1, le=99)]], Meta(max_length=99)]
    drawn_ml: Count
    series: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,32}$")]
    certain: bool = True


class TanksPost(CleanStruct, forbid_unknown_fields=True):
    """One round of readings of a station's gauge. ``at_us`` is the site's Unix time of the reading."""

    at_us: Count
    tanks: Annotated[list[TankPost], Meta(min_length=1, max_length=64)]
