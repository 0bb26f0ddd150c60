from __future__ import annotations

import random

import pytest

from sim.latency import LatencyError, LatencyProfile


def draws(profile: LatencyProfile, count: int = 20_000) -> list[int]:
    rng = random.Random("latency")
    return sorted(profile.draw(rng) for _ in range(count))


def test_a_constant_draws_nothing_from_the_stream():
    rng = random.Random(1)
    before = rng.getstate()
    assert LatencyProfile.constant(700).draw(rng) == 700
    assert rng.getstate() == before


def test_a_uniform_reaches_both_ends():
    values = draws(LatencyProfile.uniform(10, 14))
    assert {*values} == {10, 11, 12, 13, 14}


def test_a_lognormal_has_its_median_and_its_p99():
    values = draws(LatencyProfile.lognormal(80_000, 200_000))
    assert values[10_000] == pytest.approx(80_000, rel=0.02)
    assert values[19_800] == pytest.approx(200_000, rel=0.05)


def test_an_exponential_has_its_mean_and_its_cap():
    assert sum(draws(LatencyProfile.exponential(1_000))) / 20_000 == pytest.approx(1_000, rel=0.03)
    assert max(draws(LatencyProfile.exponential(1_000, max_us=1_500))) == 1_500


def test_draws_are_whole_numbers():
    profiles = [
        LatencyProfile.lognormal(80, 200),
        LatencyProfile.exponential(9),
        LatencyProfile.uniform(1, 2),
    ]
    assert all(type(value) is int for profile in profiles for value in draws(profile, 50))


def test_a_profile_is_read_from_plain_data():
    raw = {"kind": "lognormal", "median_us": 600_000, "p99_us": 1_800_000}
    assert LatencyProfile.from_dict(raw) == LatencyProfile.lognormal(600_000, 1_800_000)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({}, "needs a kind"),
        ({"kind": "normal"}, "latency kind 'normal' is not one of constant, uniform"),
        ({"kind": "constant"}, "a constant latency needs value_us"),
        ({"kind": "constant", "value_us": 1, "mean_us": 2}, "mean_us does not belong to a constant latency"),
        ({"kind": "constant", "value_us": 1.5}, "whole number of microseconds"),
        ({"kind": "uniform", "low_us": 5, "high_us": 4}, "low_us 5 is above high_us 4"),
        ({"kind": "lognormal", "median_us": 5, "p99_us": 4}, "at most p99_us 4"),
        ({"kind": "exponential", "mean": 4}, "no field 'mean'"),
    ],
)
def test_a_bad_profile_says_what_is_wrong(raw, message):
    with pytest.raises(LatencyError, match=message):
        LatencyProfile.from_dict(raw)
