from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest

from sim.people import (
    DemandProfile,
    FillProfile,
    PatienceProfile,
    PeopleError,
    StepProfile,
    Steps,
    arrivals,
    draw_car,
    identity,
    social_credit_code,
)

HOUR_US = 3_600_000_000
STEP = StepProfile(20_000_000, 0.3)
PROFILE = DemandProfile(
    arrivals_per_hour=240,
    hourly_shape=(1.0,) * 24,
    grade_mix={"92": 0.63, "95": 0.37},
    fills=FillProfile(
        mean_ml=32_000, sd_ml=11_000, min_ml=5_000, max_ml=70_000, flow_ml_per_min_low=28_000,
        flow_ml_per_min_high=38_000, by_amount_share=0.2, by_volume_share=0.1,
        amounts_fen=((10_000, 2), (20_000, 3), (30_000, 5)), volumes_ml=((20_000, 1),),
    ),
    adoption=0.85,
    phone_mix={"order_first": 0.5, "scan_after": 0.5},
    kiosk_mix={"card": 0.4, "cash": 0.6},
    invoice_share=0.35,
    organisation_share=0.4,
    prepay_share=0.5,
    undelivered_share=0.5,
    patience=PatienceProfile(balk_low_us=120_000_000, balk_high_us=240_000_000, renege_after_us=360_000_000,
                             renege_share_per_min=0.05),
    steps=Steps(approach=STEP, prepare=STEP, hang_up=STEP, drive_off=STEP, walk_in=STEP, walk_back=STEP,
                cashier=STEP, cashier_invoice=STEP, phone_pay=STEP),
)  # fmt: skip


def come(profile: DemandProfile, seed: str = "s", hours: int = 100, start: int = 0) -> list[tuple[int, int]]:
    return list(arrivals(profile, seed, start_hour_us=start * HOUR_US, duration_us=hours * HOUR_US))


def test_arrivals_are_a_poisson_process_of_the_asked_rate() -> None:
    times = [at for _, at in come(PROFILE)]
    assert len(times) == pytest.approx(24_000, abs=4 * math.sqrt(24_000))
    assert times == sorted(times)
    assert all(isinstance(at, int) for at in times)
    # Index of dispersion of the counts in 6-minute bins: 1 for Poisson; 1000 bins give a standard error of 0.045.
    bins = Counter(at // (HOUR_US // 10) for at in times)
    counts = [bins[i] for i in range(1_000)]
    mean = sum(counts) / 1_000
    assert sum((c - mean) ** 2 for c in counts) / 999 / mean == pytest.approx(1.0, abs=0.18)


def test_thinning_follows_the_hours_of_the_day() -> None:
    shape = tuple(2.0 if hour == 8 else 1.0 if hour < 12 else 0.0 for hour in range(24))
    bins = Counter(
        (at // HOUR_US + 6) % 24 for _, at in come(replace(PROFILE, hourly_shape=shape), hours=2_400, start=6)
    )
    assert bins[8] == pytest.approx(24_000, rel=0.03)
    assert bins[3] == pytest.approx(12_000, rel=0.03)
    assert bins[13] == 0


def test_a_rush_comes_beside_the_others_and_moves_none() -> None:
    calm = come(PROFILE, hours=2)
    rushed = come(replace(PROFILE, rushes=((3_600_000_000, 5, 40_000_000), (60, 1, 0))), hours=2)
    extra = [car for car in rushed if car not in calm]
    assert [car for car in rushed if car in calm] == calm
    assert [at for _, at in extra] == [60, *(3_600_000_000 + 10_000_000 * place for place in range(5))]
    assert len({number for number, _ in rushed}) == len(rushed)
    assert [at for _, at in rushed] == sorted(at for _, at in rushed)


def test_another_shape_takes_cars_away_but_moves_none() -> None:
    full = dict(come(PROFILE, hours=10))
    thinned = dict(come(replace(PROFILE, hourly_shape=(1.0, 0.5) * 12), hours=10))
    assert 0 < len(thinned) < len(full)
    assert thinned.items() <= full.items()


def test_another_rate_stretches_the_same_pattern() -> None:
    fast = come(PROFILE, hours=10)
    slow = come(replace(PROFILE, arrivals_per_hour=120), hours=20)
    for (number, at), (same, twice) in zip(fast[:500], slow[:500], strict=True):
        assert number == same
        assert twice == pytest.approx(2 * at, abs=2 * number)


def test_max_cars_ends_the_arrivals() -> None:
    assert len(come(replace(PROFILE, max_cars=20))) == 20


def test_same_seed_same_car_other_seed_other_car() -> None:
    assert draw_car(PROFILE, "s", 7) == draw_car(PROFILE, "s", 7)
    assert draw_car(PROFILE, "s", 7) != draw_car(PROFILE, "t", 7)
    assert identity("s", 7) == identity("s", 7)
    assert identity("s", 7) != identity("s", 8)
    assert identity("s", 7) == identity("s", 7)  # drawing another in between changes nothing


def test_changing_one_parameter_leaves_all_other_draws() -> None:
    other = replace(PROFILE, adoption=0.0, invoice_share=1.0)
    for number in range(200):
        one, two = draw_car(PROFILE, "s", number), draw_car(other, "s", number)
        for name in (
            "grade",
            "flow_ml_per_min",
            "balk_us",
            "approach_us",
            "prepare_us",
            "drive_off_us",
            "renege_us",
            "walk_in_us",
        ):
            assert getattr(one, name) == getattr(two, name)
        assert (one.preset_fen, one.preset_ml) == (two.preset_fen, two.preset_ml)


def test_shares_and_bounds_of_the_plans() -> None:
    plans = [draw_car(PROFILE, "shares", n) for n in range(4_000)]
    share = Counter(p.grade for p in plans)["92"] / 4_000
    assert share == pytest.approx(0.63, abs=0.03)
    assert sum(p.on_phone for p in plans) / 4_000 == pytest.approx(0.85, abs=0.03)
    assert sum(p.preset_fen is not None for p in plans) / 4_000 == pytest.approx(0.2, abs=0.03)
    assert sum(p.invoice is not None for p in plans) / 4_000 == pytest.approx(0.35, abs=0.03)
    assert all(5_000 <= p.full_ml <= 70_000 and p.full_ml % 10 == 0 for p in plans)
    assert all(28_000 <= p.flow_ml_per_min <= 38_000 for p in plans)
    plain = [p.full_ml for p in plans if p.preset_fen is None and p.preset_ml is None]
    assert sum(plain) / len(plain) == pytest.approx(
        32_200, rel=0.03
    )  # truncation at 5 and 70 L lifts 32 L a little


def test_pre_payment_is_for_round_sums_ordered_first_and_some_tanks_are_full_early() -> None:
    plans = [draw_car(PROFILE, "prepay", n) for n in range(4_000)]
    prepaid = [p for p in plans if p.prepaid]
    assert prepaid
    assert all(p.pay_by == "order_first" and p.preset_fen is not None for p in prepaid)
    short = [p for p in prepaid if p.wanted_ml(800) < p.preset_fen * 1_000 // 800 - 10]
    assert 0.3 < len(short) / len(prepaid) < 0.7


def test_wanted_volume_never_costs_more_than_the_sum() -> None:
    for number in range(500):
        plan = draw_car(PROFILE, "sum", number)
        if plan.preset_fen is not None:
            assert (plan.wanted_ml(812) * 812 + 500) // 1_000 <= plan.preset_fen


def test_people_have_well_formed_names_plates_and_tax_numbers() -> None:
    import random

    alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    for number in range(50):
        who = identity("s", number)
        assert who.name
        assert who.company
        assert len(who.openid) == 28
        assert who.plate.startswith("云A·")
        code = who.taxpayer_id
        assert len(code) == 18
        # GB 32100-2015: the weighted sum with the check character is a multiple of 31.
        assert (
            sum(alphabet.index(c) * pow(3, i, 31) for i, c in enumerate(code[:17])) + alphabet.index(code[17])
        ) % 31 == 0
    assert social_credit_code(random.Random(1)) == social_credit_code(random.Random(1))


@pytest.mark.parametrize(
    "wrong",
    [
        {"hourly_shape": (0.0,) * 24},
        {"hourly_shape": (1.0,)},
        {"arrivals_per_hour": 0},
        {"grade_mix": {"92": 0}},
    ],
)
def test_profiles_nobody_can_be_drawn_from_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(PeopleError, match=next(iter(wrong))):
        replace(PROFILE, **wrong)
