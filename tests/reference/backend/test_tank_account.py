"""A tank's account alone: any mixture of sales, deliveries, pauses and noise against what really happened."""

from __future__ import annotations

import random

import msgspec
import pytest

from reference.backend.tanks.account import Account, Booked, GroupReading, Limits, advance

S = 1_000_000
HOUR = 3_600 * S
L = 1_000


class Site:
    """What happens, told to an account through a noisy gauge; the account goes through JSON at each step, as it is stored."""

    def __init__(self, litres: int = 15_000, seed: str = "site") -> None:
        self.rng = random.Random(seed)
        self.account = Account()
        self.limits = Limits()
        self.at_us = 0
        self.volume_ml = litres * L
        self.drawn_ml = 0
        self.booked: list[Booked] = []
        self.alarms: list[str] = []
        self.noise_ml = 1_000

    def step(
        self,
        seconds: int = 30,
        *,
        sold_ml: int = 0,
        leaked_ml: int = 0,
        got_ml: int = 0,
        shown_ml: int | None = None,
    ) -> None:
        """Time passes. ``shown_ml`` is what the meters say of a sale, if that is not what left the tank."""
        self.at_us += seconds * S
        self.volume_ml += got_ml - sold_ml - leaked_ml
        self.drawn_ml += sold_ml if shown_ml is None else shown_ml
        noise_ml = self.rng.randint(-self.noise_ml, self.noise_ml)
        found = advance(
            self.account, GroupReading(self.at_us, self.volume_ml + noise_ml, self.drawn_ml, "a"), self.limits
        )
        self.account = msgspec.json.decode(msgspec.json.encode(self.account), type=Account)
        self.booked += [found.booked] if found.booked else []
        self.alarms += [kind for kind, _ in found.alarms]


@pytest.mark.requirement("tank.delivery-detected-while-selling", "tank.delivery-booked-once")
@pytest.mark.parametrize("seed", range(40))
def test_deliveries_of_any_size_and_rate_are_booked_once_within_one_per_cent(seed: int) -> None:
    site = Site(litres=4_000, seed=f"deliveries/{seed}")
    rng = random.Random(f"draw/{seed}")
    pumps = rng.randint(0, 8)
    whole_ml = rng.randint(5_000, 22_000) * L
    rate_ml_per_min = rng.randint(300, 800) * L
    period_s = rng.choice([10, 30, 60])
    pauses = sorted(rng.sample(range(1, 100), rng.randint(0, 3)))

    def sold() -> int:
        return sum(rng.choice([0, 0, 600]) * period_s for _ in range(pumps))

    for _ in range(600 // period_s):
        site.step(period_s, sold_ml=sold())
    got_ml, first = 0, rng.randint(1, period_s)
    while got_ml < whole_ml:
        seconds, first = (first, 0) if first else (period_s, 0)
        now_ml = min(rate_ml_per_min * seconds // 60, whole_ml - got_ml)
        if pauses and got_ml * 100 // whole_ml >= pauses[0]:
            pauses.pop(0)
            for _ in range(rng.randint(60, 540) // period_s):
                site.step(period_s, sold_ml=sold())
        got_ml += now_ml
        site.step(period_s, sold_ml=sold(), got_ml=now_ml)
    for _ in range(1_800 // period_s):
        site.step(period_s, sold_ml=sold())
    (booked,) = site.booked
    assert abs(booked.volume_ml - whole_ml) <= whole_ml // 100
    assert site.alarms == []


@pytest.mark.requirement("tank.sudden-drop-alarms")
@pytest.mark.parametrize(("ml_per_h", "within_h"), [(100_000, 1), (50_000, 2), (20_000, 3), (10_000, 10)])
def test_a_leak_is_found_while_pumps_sell(ml_per_h: int, within_h: int) -> None:
    site = Site()
    for turn in range(within_h * 120):
        site.step(sold_ml=turn % 3 * 5_000, leaked_ml=ml_per_h // 120)
    assert site.alarms.count("tank_loss") == 1


@pytest.mark.requirement("tank.sudden-drop-alarms")
def test_what_heat_takes_and_noise_pretends_is_no_loss() -> None:
    site = Site()
    for turn in range(24 * 120):
        site.step(sold_ml=turn % 3 * 2_000, leaked_ml=1_000 // 120)
        site.volume_ml = max(site.volume_ml, 5_000 * L)  # it is never empty
        if site.volume_ml == 5_000 * L:
            break
    assert site.alarms == []


@pytest.mark.requirement("tank.slow-drift-shows")
def test_a_meter_that_gives_too_much_shows_within_days() -> None:
    site = Site(litres=20_000)
    for hour in range(4 * 24):
        site.step(3_600, sold_ml=251 * L, shown_ml=250 * L)  # 0.4 per cent too much
        if site.volume_ml < 5_000 * L:
            for _ in range(30):
                site.step(60, got_ml=500 * L)
            for _ in range(14):
                site.step(60)
        assert hour > 24 or not site.alarms, "the first day is too short to tell"
    assert site.alarms == ["tank_drift"]
    assert site.account.variance_ml == pytest.approx(-96 * L, abs=6 * L)
    assert len(site.account.days) >= 4
    assert sum(day.variance_ml for day in site.account.days) == site.account.variance_ml
    assert len(site.booked) == 1


def test_a_reading_that_is_not_newer_changes_nothing() -> None:
    site = Site()
    site.step()
    site.step()
    before = msgspec.json.encode(site.account)
    assert advance(site.account, GroupReading(site.at_us, 1, 2, "a"), site.limits) == (None, ())
    assert msgspec.json.encode(site.account) == before
