from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenarios.statistics import (
    allowed_misses,
    binomial_cdf,
    clopper_pearson,
    judge_percentile,
    lower_bound,
    minimum_samples,
    percentile,
    upper_bound,
)
from scenarios.verdicts import Verdict


@pytest.mark.requirement("perf.order-statistic-verdict")
@pytest.mark.parametrize(
    ("q", "misses", "n"),
    [
        (0.95, 0, 59),
        (0.99, 0, 299),
        (0.999, 0, 2_995),
        (0.95, 1, 93),
        (0.99, 1, 473),
        (0.999, 1, 4_742),
        (0.95, 2, 124),
        (0.99, 2, 628),
        (0.95, 5, 208),
        (0.99, 5, 1_049),
        (0.999, 5, 10_511),
        (0.95, 10, 336),
        (0.99, 10, 1_693),
        (0.999, 10, 16_959),
    ],
)
def test_sample_sizes_are_exact(q: float, misses: int, n: int) -> None:
    assert minimum_samples(q, misses) == n
    assert allowed_misses(n, q) == misses
    fewer = allowed_misses(n - 1, q)
    assert fewer == (misses - 1 if misses else None)


@given(st.integers(1, 120), st.floats(0.01, 0.99), st.integers(0, 120))
def test_binomial_cdf_against_the_plain_sum(n: int, p: float, k: int) -> None:
    plain = sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(min(k, n) + 1))
    assert binomial_cdf(k, n, p) == pytest.approx(min(plain, 1.0), abs=1e-10)


def test_clopper_pearson_against_published_values() -> None:
    # 0 of 20: upper 1 - 0.025**(1/20); 10 of 20 as printed in standard tables.
    assert clopper_pearson(0, 20) == pytest.approx((0.0, 0.16843), abs=1e-5)
    assert clopper_pearson(10, 20) == pytest.approx((0.27196, 0.72804), abs=1e-5)
    assert clopper_pearson(20, 20)[1] == 1.0


def test_nearest_rank_percentile_does_not_slip_on_float_products() -> None:
    assert percentile(list(range(1, 61)), 0.95) == 57
    assert percentile([7], 0.99) == 7
    with pytest.raises(ValueError, match="no samples"):
        percentile([], 0.5)


def test_the_bound_covers_the_true_quantile_as_often_as_it_says() -> None:
    rng = random.Random("coverage")
    true_p95 = 950_000
    covered = 0
    for _ in range(400):
        ordered = sorted(rng.randrange(1_000_000) for _ in range(150))
        bound = upper_bound(ordered, 0.95)
        assert bound is not None
        covered += bound >= true_p95
    assert covered / 400 >= 0.93  # 95 % nominal; two standard errors of 400 trials below


def test_lower_bound_mirrors_the_upper_bound() -> None:
    ordered = list(range(1, 101))
    upper = upper_bound(ordered, 0.5)
    lower = lower_bound(ordered, 0.5)
    assert upper is not None
    assert lower is not None
    assert lower + upper == 101


class TestJudgePercentile:
    @pytest.mark.requirement("perf.order-statistic-verdict")
    def test_pass_needs_the_bound_within_the_limit(self) -> None:
        assert judge_percentile([100] * 299, 0.99, 300).verdict is Verdict.PASS

    @pytest.mark.requirement("perf.order-statistic-verdict")
    def test_one_sample_too_few_is_inconclusive_and_says_how_many(self) -> None:
        answer = judge_percentile([100] * 298, 0.99, 300)
        assert answer.verdict is Verdict.INCONCLUSIVE
        assert "299 are needed" in answer.message

    def test_no_samples_is_inconclusive(self) -> None:
        assert judge_percentile([], 0.99, 300).verdict is Verdict.INCONCLUSIVE

    def test_a_clear_excess_fails_even_with_few_samples(self) -> None:
        assert judge_percentile([900] * 200, 0.95, 300).verdict is Verdict.FAIL

    def test_observed_beyond_the_limit_fails(self) -> None:
        assert judge_percentile([100] * 980 + [900] * 20, 0.99, 300).verdict is Verdict.FAIL

    def test_within_but_not_proved_is_inconclusive(self) -> None:
        answer = judge_percentile([100] * 394 + [900] * 3, 0.99, 300)
        assert answer.observed == 100
        assert answer.verdict is Verdict.INCONCLUSIVE
        assert answer.misses == 3

    def test_a_value_on_the_limit_is_no_miss(self) -> None:
        assert judge_percentile([300] * 59, 0.95, 300).verdict is Verdict.PASS


@pytest.mark.parametrize(("n", "q", "confidence"), [(-1, 0.5, 0.95), (5, 0.0, 0.95), (5, 0.5, 1.0)])
def test_bad_arguments_are_refused(n: int, q: float, confidence: float) -> None:
    with pytest.raises(ValueError, match="must"):
        allowed_misses(n, q, confidence)
