"""What is known about the people of a run, in the simulation's own terms: integer microseconds, millilitres and fen."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

__all__ = [
    "DemandProfile",
    "FillProfile",
    "MemberProfile",
    "PatienceProfile",
    "PeopleError",
    "StepProfile",
    "Steps",
]

HOUR_US = 3_600_000_000


class PeopleError(ValueError):
    """A profile that no people can be drawn from; the message names the field."""


@dataclass(frozen=True, slots=True)
class StepProfile:
    """How long a person takes for one step: log-normal with this median (µs) and sigma of the logarithm."""

    median_us: int
    sigma: float

    def draw(self, rng: random.Random) -> int:
        """One duration, whole microseconds."""
        return round(self.median_us * math.exp(self.sigma * rng.gauss(0.0, 1.0)))


@dataclass(frozen=True, slots=True, kw_only=True)
class FillProfile:
    """How much a car takes. Weights are relative; shares are of all cars."""

    mean_ml: int
    sd_ml: int
    min_ml: int
    max_ml: int
    flow_ml_per_min_low: int
    flow_ml_per_min_high: int
    by_amount_share: float = 0.0
    by_volume_share: float = 0.0
    amounts_fen: tuple[tuple[int, float], ...] = ()
    volumes_ml: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PatienceProfile:
    """When a driver does not queue (µs of expected wait), and when one gives up."""

    balk_low_us: int
    balk_high_us: int
    renege_after_us: int
    renege_share_per_min: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Durations of what people do."""

    approach: StepProfile
    prepare: StepProfile
    hang_up: StepProfile
    drive_off: StepProfile
    walk_in: StepProfile
    walk_back: StepProfile
    cashier: StepProfile
    cashier_invoice: StepProfile
    phone_pay: StepProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberProfile:
    """Shares of the drivers who pay on the phone that hold points, a coupon, balance; and how much of it.

    Points and balance are drawn evenly from 1 to the figure here.
    """

    points_share: float = 0.0
    points: int = 1
    coupon_share: float = 0.0
    coupon_fen: int = 1
    coupon_from_fen: int = 0
    balance_share: float = 0.0
    balance_fen: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandProfile:
    """Who comes, when and for what.

    Attributes:
        arrivals_per_hour: mean arrivals in the busiest hour of the shape.
        hourly_shape: 24 weights by local hour.
        grade_mix, phone_mix, kiosk_mix, phone_channels: relative weights; the last by the backend's name of the channel.
        adoption: share that pays on the phone.
        invoice_share: share that wants a fapiao; organisation_share: of those, how many name a company.
        drive_off_share: of those who have neither paid ahead nor a contract, how many leave without paying.
        prepay_share: of phone orders for a round sum, how many are paid first; undelivered_share: of those, how
            many cars are full before the sum is reached.
        max_cars: no more arrivals than this, or None.
        rushes: cars beside these: instant of the first, how many, and how long until the last, microseconds.
        members: who holds points, coupons and balance; None: nobody.
    """

    arrivals_per_hour: float
    hourly_shape: tuple[float, ...]
    grade_mix: Mapping[str, float]
    fills: FillProfile
    adoption: float
    phone_mix: Mapping[str, float]
    kiosk_mix: Mapping[str, float]
    invoice_share: float
    organisation_share: float
    patience: PatienceProfile
    steps: Steps
    phone_channels: Mapping[str, float] = field(default_factory=lambda: {"wechatpay": 1.0})
    drive_off_share: float = 0.0
    prepay_share: float = 0.0
    undelivered_share: float = 0.0
    max_cars: int | None = None
    rushes: tuple[tuple[int, int, int], ...] = ()
    members: MemberProfile | None = None

    def __post_init__(self) -> None:
        if len(self.hourly_shape) != 24 or min(self.hourly_shape) < 0 or not any(self.hourly_shape):
            raise PeopleError("hourly_shape needs 24 weights, not negative and not all 0")
        if not 0 < self.arrivals_per_hour < math.inf:
            raise PeopleError(f"arrivals_per_hour must be above 0, not {self.arrivals_per_hour}")
        for name in ("grade_mix", "phone_mix", "kiosk_mix", "phone_channels"):
            weights: Mapping[str, float] = getattr(self, name)
            if not weights or min(weights.values()) < 0 or not any(weights.values()):
                raise PeopleError(f"{name} needs a weight above 0")

    def at_constant_rate(self) -> DemandProfile:
        """The same people at the busiest hour's rate round the clock, without rushes and without a limit on their number."""
        return replace(self, hourly_shape=(1.0,) * 24, max_cars=None, rushes=())
