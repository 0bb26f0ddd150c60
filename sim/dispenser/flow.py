"""The flow of one delivery: how fast fuel runs at a position, and where to look again."""

from __future__ import annotations

from dataclasses import dataclass

from .meter import PULSE_ML, PULSE_UNITS, UNITS_PER_ML, pulses_within_amount
from .nozzle import Nozzle
from .profile import DispenserProfile

__all__ = ["FlowPlan", "RunningDelivery", "plan_flow"]

_FAR_ML = 1_000_000
"""With nothing to stop a flow, look again after 1,000 L: longer than any car drinks."""


@dataclass(slots=True)
class RunningDelivery:
    """The delivery under way: what was fixed when it started, and where its preset ends it.

    Attributes:
        nozzle: the nozzle it runs through.
        price_fen_per_l: fixed for the whole delivery.
        started_us: when it became able to deliver.
        start_units: the meter's position then.
        start_pulses: the meter's whole pulses then.
        target_pulses: pulses of this delivery at which the preset is reached; None without a preset.
        preset_pulses: what the customer asked for; stays when the valve has been told to close on it.
        is_test: the delivery goes into the proving can and back into the tank.
        price_decimals: see the profile.
        slow: the small valve is the only one open, because the delivery is ending.
    """

    nozzle: Nozzle
    price_fen_per_l: int
    started_us: int
    start_units: int
    start_pulses: int
    target_pulses: int | None = None
    preset_pulses: int | None = None
    is_test: bool = False
    price_decimals: int = 2
    slow: bool = False

    def aim(self, preset_ml: int | None, preset_fen: int | None) -> None:
        """Set the target from a preset: never over it, and less than one pulse under it."""
        self.target_pulses = None
        if preset_ml is not None:
            self.target_pulses = preset_ml // PULSE_ML
        elif preset_fen is not None:
            self.target_pulses = pulses_within_amount(preset_fen, self.price_fen_per_l, self.price_decimals)
        if self.target_pulses is not None:
            self.target_pulses -= self.target_pulses % self.nozzle.meter.grain
        self.preset_pulses = self.target_pulses

    def delivered_pulses(self, now_us: int) -> int:
        """Whole pulses of this delivery so far."""
        return self.nozzle.meter.pulses(now_us) - self.start_pulses

    def delivered_ml(self, now_us: int) -> int:
        """Volume of this delivery so far, whole pulses in ml."""
        return self.delivered_pulses(now_us) * PULSE_ML

    def position_of(self, pulses: int) -> int:
        """The meter's position (units) at which this delivery shows ``pulses``."""
        return (self.start_pulses + pulses) * PULSE_UNITS


@dataclass(frozen=True, slots=True)
class FlowPlan:
    """What `plan_flow` found.

    Attributes:
        rate_ml_per_min: the flow from here on; 0 when none.
        stop_units: the position that is never passed, or None.
        boundary_units: the position at which to look again; None when nothing flows.
        shut_off: the nozzle's automatic shut-off has tripped here.
    """

    rate_ml_per_min: int
    stop_units: int | None = None
    boundary_units: int | None = None
    shut_off: bool = False


_STILL = FlowPlan(0)


def plan_flow(
    running: RunningDelivery,
    profile: DispenserProfile,
    *,
    position_units: int,
    trigger_ml_per_min: int,
    first_pulse_wanted: bool,
    shut_off_ml: int | None,
) -> FlowPlan:
    """Plan the flow of ``running`` at a position, with the valve open.

    Slow start, then what the hand and the hydraulics give, then the small valve for the last part before a preset. The
    big valve's closing time needs no place here: its command comes early enough to end the flow on the target.
    """
    if shut_off_ml is not None:
        full = running.position_of(_steps_when_full(running.nozzle, shut_off_ml))
        if position_units >= full:
            return FlowPlan(0, shut_off=True)
    else:
        full = None
    rate = min(trigger_ml_per_min, profile.max_flow_ml_per_min)
    if rate == 0:
        return _STILL
    boundaries = [position_units + _FAR_ML * UNITS_PER_ML]
    slow_start_end = running.start_units + profile.slow_start_ml * UNITS_PER_ML
    if position_units < slow_start_end:
        rate = min(rate, profile.slow_start_ml_per_min)
        boundaries.append(slow_start_end)
    stop = full
    if running.target_pulses is not None:
        target = running.position_of(running.target_pulses)
        if profile.valve_lag_us:
            # The board says "close" here; the valve takes its time, and nothing holds the flow on the spot.
            boundaries.append(target)
        else:
            stop = target if stop is None else min(stop, target)
        rate = _near_target(profile, target, position_units, rate, boundaries)
    elif running.slow:
        rate = min(rate, profile.trickle_ml_per_min if profile.trickle_ml else profile.slow_stop_ml_per_min)
    if stop is not None:
        boundaries.append(stop)
    if first_pulse_wanted:
        boundaries.append(running.position_of(running.nozzle.meter.grain))
    return FlowPlan(rate, stop, min(boundaries))


def _near_target(
    profile: DispenserProfile, target: int, position_units: int, rate: int, boundaries: list[int]
) -> int:
    """The flow before a preset: small valve, then the trickle. Adds where it changes to ``boundaries``."""
    for last_ml, limit in (
        (profile.slow_stop_ml, profile.slow_stop_ml_per_min),
        (profile.trickle_ml, profile.trickle_ml_per_min),
    ):
        begins = target - last_ml * UNITS_PER_ML
        if position_units < begins:
            boundaries.append(begins)
        elif last_ml:
            rate = min(rate, limit)
    return rate


def _steps_when_full(nozzle: Nozzle, shut_off_ml: int) -> int:
    """Display steps at which a car that takes ``shut_off_ml`` is full, rounded up to a whole pulse of the encoder."""
    meter = nozzle.meter
    if meter.error_ppm:
        shut_off_ml = -(-shut_off_ml * (1_000_000 + meter.error_ppm) // 1_000_000)
    return -(-shut_off_ml // (PULSE_ML * meter.grain)) * meter.grain
