"""The people of a scenario: how many come and when, what they buy, how they pay, how long they take and wait."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from scenarios.model.values import Grade, Part, Share, StepTime

__all__ = [
    "ByAmount",
    "ByVolume",
    "Demand",
    "Fills",
    "Invoices",
    "KioskSteps",
    "Members",
    "Patience",
    "PhoneSteps",
    "Prepay",
    "Rush",
    "Steps",
]

_Weight = Annotated[float, Field(ge=0.0, le=1_000_000.0)]
_Ml = Annotated[int, Field(gt=0, le=1_000_000)]


class ByAmount(Part):
    """A round sum of money, and how often it is chosen among the sums."""

    amount_fen: Annotated[int, Field(gt=0, le=999_999)]
    weight: _Weight


class ByVolume(Part):
    """A round number of litres, and how often it is chosen among them."""

    volume_ml: _Ml
    weight: _Weight


class Fills(Part):
    """How much a car takes: a truncated normal volume, or a round sum, or round litres."""

    mean_ml: _Ml
    sd_ml: _Ml
    min_ml: _Ml
    max_ml: _Ml
    flow_ml_per_min_low: Annotated[int, Field(gt=0, le=130_000)]
    flow_ml_per_min_high: Annotated[int, Field(gt=0, le=130_000)]
    by_amount_share: Share
    by_volume_share: Share
    by_amount: tuple[ByAmount, ...] = ()
    by_volume: tuple[ByVolume, ...] = ()

    @model_validator(mode="after")
    def _possible(self) -> Fills:
        if not self.min_ml <= self.mean_ml <= self.max_ml:
            raise ValueError("fills need min_ml <= mean_ml <= max_ml")
        if self.flow_ml_per_min_low > self.flow_ml_per_min_high:
            raise ValueError("flow_ml_per_min_low is above flow_ml_per_min_high")
        if self.by_amount_share + self.by_volume_share > 1.0:
            raise ValueError("by_amount_share and by_volume_share together exceed 1")
        if self.by_amount_share > 0 and not any(choice.weight for choice in self.by_amount):
            raise ValueError("by_amount_share is set, but by_amount has no sum with a weight")
        if self.by_volume_share > 0 and not any(choice.weight for choice in self.by_volume):
            raise ValueError("by_volume_share is set, but by_volume has no litres with a weight")
        return self


class Prepay(Part):
    """Paying for a round sum before fuelling."""

    amount_share: Share
    """Of the mini-program orders for a round sum, how many are paid first."""
    undelivered_share: Share
    """Of those, how many cars are full before the sum is reached: the rest is refunded."""


class Invoices(Part):
    """Who wants a fapiao."""

    wanted_share: Share
    organisation_share: Share
    """Of those who want one, how many name a company and its taxpayer number."""


class Members(Part):
    """Who of those that pay on the phone is a member with something to spend; it goes towards what they owe for their fuel.

    Nobody spends it on an order that is paid first, or that is debited by contract. Points and balance are drawn evenly from 1
    to the figure here.
    """

    points_share: Share = 0.0
    points: Annotated[int, Field(ge=1, le=1_000_000)] = 1_000
    """One is worth a fen."""
    coupon_share: Share = 0.0
    coupon_fen: Annotated[int, Field(ge=1, le=1_000_000)] = 1_000
    coupon_from_fen: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    """The least order that the coupon is good for."""
    balance_share: Share = 0.0
    balance_fen: Annotated[int, Field(ge=1, le=10_000_000)] = 10_000

    @model_validator(mode="after")
    def _somebody(self) -> Members:
        if not (self.points_share or self.coupon_share or self.balance_share):
            raise ValueError("members need one of points_share, coupon_share and balance_share above 0")
        return self


class Patience(Part):
    """When a driver does not queue, and when one gives up."""

    balk_wait_s_low: Annotated[int, Field(gt=0, le=86_400)]
    balk_wait_s_high: Annotated[int, Field(gt=0, le=86_400)]
    """A driver drives on if the wait looks longer than a limit drawn between these two."""
    renege_after_s: Annotated[int, Field(ge=0, le=86_400)]
    renege_share_per_min: Share
    """Share of those still waiting after ``renege_after_s`` who leave in each further minute."""

    @model_validator(mode="after")
    def _ordered(self) -> Patience:
        if self.balk_wait_s_low > self.balk_wait_s_high:
            raise ValueError("balk_wait_s_low is above balk_wait_s_high")
        return self


class Steps(Part):
    """What every driver does, whatever the way of paying."""

    approach: StepTime
    prepare: StepTime
    """Open the cap, choose nozzle and grade, be authorised."""
    hang_up: StepTime
    drive_off: StepTime


class KioskSteps(Part):
    """Paying inside."""

    walk_in: StepTime
    walk_back: StepTime
    cashier: StepTime
    cashier_invoice: StepTime
    """On top of ``cashier`` for those who want a fapiao."""


class PhoneSteps(Part):
    """Paying on the phone."""

    pay: StepTime
    """From the amount on the screen to the payer's confirmation, password or face included: human time."""


class Rush(Part):
    """Cars that come one upon another, beside those of the rate: a convoy, a shift's end, the last minutes at the old price."""

    at_s: Annotated[int, Field(ge=0, le=31 * 86_400)]
    cars: Annotated[int, Field(ge=1, le=1_000)]
    over_s: Annotated[int, Field(ge=0, le=3_600)] = 60
    """The last of them comes so long after the first; those between at equal distances."""


class Demand(Part):
    """The people who come."""

    arrivals_per_hour: Annotated[float, Field(gt=0.0, le=100_000.0)]
    """In the busiest hour of ``hourly_shape``; the other hours in proportion."""
    hourly_shape: Annotated[tuple[_Weight, ...], Field(min_length=24, max_length=24)]
    """Weight of each local hour 0..23."""
    duration_s: Annotated[int, Field(gt=0, le=31 * 86_400)]
    max_cars: Annotated[int, Field(gt=0, le=10_000_000)] | None = None
    """Stop after so many arrivals, however long the run. The cars of ``rushes`` are not counted."""
    rushes: Annotated[tuple[Rush, ...], Field(max_length=1_000)] = ()
    grade_mix: Annotated[dict[Grade, _Weight], Field(min_length=1)]
    fills: Fills
    adoption: Share
    """Share of the drivers who pay on the phone."""
    phone_mix: dict[Literal["order_first", "scan_after"], _Weight]
    """Mini-program order before fuelling, or the code at the pump scanned afterwards."""
    phone_channels: dict[
        Literal["wechatpay", "unionpay-qr", "unionpay-jump", "wechatpay-contract"], _Weight
    ] = Field(default={"wechatpay": 1.0})
    """Of those, how: in WeChat's cashier, by a UnionPay code that their page shows, in UnionPay's mini-program, or debited by the
    contract that they have signed. A debit needs an order before fuelling: others who chose it pay in WeChat's cashier."""
    members: Members | None = None
    kiosk_mix: dict[Literal["card", "cash", "fuel_card", "wechatpay-code", "unionpay-code"], _Weight]
    """Inside: the last two let the attendant scan the code on their phone."""
    drive_off_share: Share = 0.0
    """Of the drivers who have not paid ahead and have no contract, how many leave with the fuel without paying."""
    prepay: Prepay
    invoices: Invoices
    patience: Patience
    steps: Steps
    kiosk: KioskSteps
    phone: PhoneSteps

    @field_validator("hourly_shape")
    @classmethod
    def _some_hour(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not any(value):
            raise ValueError("every hour of hourly_shape is 0: nobody would ever come")
        return value

    @model_validator(mode="after")
    def _rushes_in_time(self) -> Self:
        for number, rush in enumerate(self.rushes):
            if rush.at_s + rush.over_s >= self.duration_s:
                raise ValueError(
                    f"rushes.{number} goes on until {rush.at_s + rush.over_s} s, and arrivals end at {self.duration_s} s"
                )
        return self

    def channels(self) -> tuple[str, ...]:
        """Names of the backend's payment channels that somebody uses, in the order of the alphabet."""
        phone = {name for name, weight in self.phone_channels.items() if weight} if self.adoption else set()
        inside = {name for name, weight in self.kiosk_mix.items() if weight and name.endswith("-code")}
        return tuple(sorted({*phone, *(inside if self.adoption < 1.0 else set())}))

    @field_validator("grade_mix", "phone_mix", "kiosk_mix", "phone_channels")
    @classmethod
    def _some_weight(cls, value: dict[str, float]) -> dict[str, float]:
        if not math.fsum(value.values()) > 0:
            raise ValueError("all weights are 0: there would be no demand")
        return value
