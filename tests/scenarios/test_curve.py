"""The plain floor model reproduces the calibration of the founding claims, within the spread over seeds."""

from __future__ import annotations

import pytest

from scenarios.curve import curve, plain_run
from scenarios.loader import load
from scenarios.timings import FloorFigures

PEAK = load("kunming-peak").scenario


def run(mode: str, rate: int, seed: str = "1") -> FloorFigures:
    return plain_run(PEAK, seed, mode=mode, arrivals_per_hour=rate, duration_s=18_000, warm_up_s=900)


def test_at_240_cars_an_hour_the_till_is_the_bottleneck() -> None:
    kiosk, phone = run("kiosk", 240), run("mini_program", 240)
    assert kiosk.paying_share == pytest.approx(0.635, abs=0.03)
    assert phone.paying_share == pytest.approx(0.15, abs=0.03)
    assert kiosk.position_us == pytest.approx(360e6, rel=0.06)
    assert phone.position_us == pytest.approx(154e6, rel=0.05)
    assert kiosk.served_per_hour == pytest.approx(160, rel=0.05)
    assert kiosk.station_us is not None
    assert phone.station_us is not None
    assert 0.60 < 1 - phone.station_us / kiosk.station_us < 0.70
    assert 1.4 < phone.served_per_hour / kiosk.served_per_hour < 1.75
    assert kiosk.balked > 100
    assert kiosk.arrived == phone.arrived  # the same cars came


def test_at_100_cars_an_hour_the_claims_do_not_hold_and_the_curve_says_so() -> None:
    kiosk, phone = run("kiosk", 100), run("mini_program", 100)
    assert phone.served_per_hour / kiosk.served_per_hour < 1.1
    assert kiosk.paying_share is not None
    assert kiosk.paying_share < 0.55


def test_the_same_seed_gives_the_same_figures() -> None:
    assert run("kiosk", 180) == run("kiosk", 180)
    assert run("kiosk", 180) != run("kiosk", 180, seed="2")


def test_a_curve_visits_each_rate_in_both_modes_for_each_seed() -> None:
    asked = PEAK.curve.model_copy(update={"arrivals_per_hour": (60, 100), "duration_s": 1_800, "seeds": 2})
    points = list(curve(PEAK.model_copy(update={"curve": asked}), 5))
    assert [(p.arrivals_per_hour, p.mode) for p in points[::2]] == [
        (60, "kiosk"), (60, "mini_program"), (100, "kiosk"), (100, "mini_program"),
    ]  # fmt: skip
    assert list(curve(PEAK.model_copy(update={"curve": None}), 5)) == []
