"""From a scenario's demand to the simulation's people: units turned, positions laid out."""

from __future__ import annotations

from scenarios.model import Demand, Scenario, StepTime
from sim.people import (
    DemandProfile,
    FillProfile,
    MemberProfile,
    PatienceProfile,
    Position,
    StepProfile,
    Steps,
)

__all__ = ["demand_profile", "positions", "prices_by_nozzle", "start_of_day_us"]

_SECOND_US = 1_000_000


def _step(step: StepTime) -> StepProfile:
    return StepProfile(step.median_ms * 1_000, step.sigma)


def demand_profile(
    demand: Demand, *, arrivals_per_hour: float | None = None, adoption: float | None = None
) -> DemandProfile:
    """The people of a scenario; rate and adoption can be replaced (for a curve, or for the kiosk alone)."""
    fills, steps = demand.fills, demand.steps
    return DemandProfile(
        arrivals_per_hour=arrivals_per_hour or demand.arrivals_per_hour,
        hourly_shape=demand.hourly_shape,
        grade_mix={str(grade): weight for grade, weight in demand.grade_mix.items()},
        fills=FillProfile(
            mean_ml=fills.mean_ml,
            sd_ml=fills.sd_ml,
            min_ml=fills.min_ml,
            max_ml=fills.max_ml,
            flow_ml_per_min_low=fills.flow_ml_per_min_low,
            flow_ml_per_min_high=fills.flow_ml_per_min_high,
            by_amount_share=fills.by_amount_share,
            by_volume_share=fills.by_volume_share,
            amounts_fen=tuple((choice.amount_fen, choice.weight) for choice in fills.by_amount),
            volumes_ml=tuple((choice.volume_ml, choice.weight) for choice in fills.by_volume),
        ),
        adoption=demand.adoption if adoption is None else adoption,
        phone_mix={str(way): weight for way, weight in demand.phone_mix.items()},
        phone_channels={str(way): weight for way, weight in demand.phone_channels.items()},
        kiosk_mix={str(way): weight for way, weight in demand.kiosk_mix.items()},
        invoice_share=demand.invoices.wanted_share,
        organisation_share=demand.invoices.organisation_share,
        members=None if demand.members is None else MemberProfile(**demand.members.model_dump()),
        drive_off_share=demand.drive_off_share,
        prepay_share=demand.prepay.amount_share,
        undelivered_share=demand.prepay.undelivered_share,
        patience=PatienceProfile(
            balk_low_us=demand.patience.balk_wait_s_low * _SECOND_US,
            balk_high_us=demand.patience.balk_wait_s_high * _SECOND_US,
            renege_after_us=demand.patience.renege_after_s * _SECOND_US,
            renege_share_per_min=demand.patience.renege_share_per_min,
        ),
        steps=Steps(
            approach=_step(steps.approach),
            prepare=_step(steps.prepare),
            hang_up=_step(steps.hang_up),
            drive_off=_step(steps.drive_off),
            walk_in=_step(demand.kiosk.walk_in),
            walk_back=_step(demand.kiosk.walk_back),
            cashier=_step(demand.kiosk.cashier),
            cashier_invoice=_step(demand.kiosk.cashier_invoice),
            phone_pay=_step(demand.phone.pay),
        ),
        max_cars=demand.max_cars,
        rushes=tuple((rush.at_s * _SECOND_US, rush.cars, rush.over_s * _SECOND_US) for rush in demand.rushes),
    )


def positions(scenario: Scenario) -> list[Position]:
    """One position for each fuelling point. Of two nozzles with one grade the first is taken."""
    laid_out = []
    for point in scenario.station.fuelling_points():
        nozzles: dict[str, int] = {}
        for nozzle in point.nozzles:
            nozzles.setdefault(nozzle.grade, nozzle.nozzle)
        laid_out.append(Position(point.fuelling_point, nozzles))
    return laid_out


def prices_by_nozzle(scenario: Scenario) -> dict[int, int]:
    """Price of each nozzle, fen per litre."""
    prices = scenario.station.prices_fen_per_l
    return {nozzle.nozzle: prices[nozzle.grade] for _, nozzle in scenario.station.nozzles()}


def start_of_day_us(scenario: Scenario) -> int:
    """Local time of day at which the run starts, microseconds since midnight."""
    start = scenario.station.start_local
    return ((start.hour * 60 + start.minute) * 60 + start.second) * _SECOND_US
