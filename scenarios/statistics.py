"""Percentile verdicts that know how many samples they stand on.

A percentile of a sample is a guess; what is judged here is its upper confidence bound, an order statistic. No
distribution is assumed: the number of samples below the true q-quantile is binomial(n, q), whatever the latencies look
like (Wilks 1941; Hahn and Meeker, *Statistical Intervals*, 1991, section 5.2). Zero misses prove a quantile at 95 % confidence from
n >= 59 (p95), 299 (p99) and 2,995 (p99.9) samples.

Binomial sums are exact (log space, no normal approximation).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scenarios.verdicts import Verdict

__all__ = [
    "CONFIDENCE",
    "PercentileVerdict",
    "allowed_misses",
    "binomial_cdf",
    "clopper_pearson",
    "duration",
    "judge_percentile",
    "lower_bound",
    "minimum_samples",
    "percentile",
    "upper_bound",
]

CONFIDENCE = 0.95
# Sums over more terms than this would be slow, and no run here has that many samples.
_MAX_SAMPLES = 50_000_000


def _check(n: int, q: float, confidence: float) -> None:
    if not 0 <= n <= _MAX_SAMPLES:
        raise ValueError(f"number of samples must be 0..{_MAX_SAMPLES}, not {n}")
    if not 0.0 < q < 1.0:
        raise ValueError(f"quantile must lie between 0 and 1, not {q}")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")


def _log_term(k: int, n: int, p: float) -> float:
    return (
        math.lgamma(n + 1)
        - math.lgamma(k + 1)
        - math.lgamma(n - k + 1)
        + k * math.log(p)
        + (n - k) * math.log1p(-p)
    )


def binomial_cdf(k: int, n: int, p: float) -> float:
    """P(X <= k) for X ~ binomial(n, p)."""
    if k < 0:
        return 0.0
    if k >= n or p <= 0.0:
        return 1.0
    if p >= 1.0:
        return 0.0
    # Sum the shorter tail, from its largest term outwards until the terms stop mattering.
    if k > n * p:
        return 1.0 - _tail(k + 1, n, p, step=1)
    return min(1.0, _tail(k, n, p, step=-1))


def _tail(start: int, n: int, p: float, *, step: int) -> float:
    term = math.exp(_log_term(start, n, p))
    total = term
    odds = p / (1.0 - p)
    k = start
    while 0 <= k + step <= n:
        term *= (n - k) / (k + 1) * odds if step > 0 else k / (n - k + 1) / odds
        k += step
        total += term
        if term < total * 1e-17:
            break
    return total


def allowed_misses(n: int, q: float, confidence: float = CONFIDENCE) -> int | None:
    """How many of ``n`` samples may exceed a limit while "q-quantile <= limit" still holds at ``confidence``.

    Returns None when even zero misses prove nothing (too few samples).
    """
    _check(n, q, confidence)
    alpha = 1.0 - confidence
    if n == 0 or binomial_cdf(0, n, 1.0 - q) > alpha:
        return None
    low, high = 0, n  # invariant: cdf(low) <= alpha < cdf(high)
    while high - low > 1:
        middle = (low + high) // 2
        if binomial_cdf(middle, n, 1.0 - q) <= alpha:
            low = middle
        else:
            high = middle
    return low


def minimum_samples(q: float, misses: int = 0, confidence: float = CONFIDENCE) -> int:
    """Fewest samples that can prove a q-quantile when ``misses`` of them exceed the limit."""
    _check(1, q, confidence)
    low, high = misses, max(2, 2 * misses)
    while binomial_cdf(misses, high, 1.0 - q) > 1.0 - confidence:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        if binomial_cdf(misses, middle, 1.0 - q) <= 1.0 - confidence:
            high = middle
        else:
            low = middle
    return high


def percentile(ordered: Sequence[int], q: float) -> int:
    """The nearest-rank percentile of samples in ascending order; no interpolation, so it is one of them."""
    _check(len(ordered), q, CONFIDENCE)
    if not ordered:
        raise ValueError("a percentile of no samples does not exist")
    # Rounding guards ceil() against 0.95 * 60 = 57.00000000000001.
    return ordered[max(1, math.ceil(round(q * len(ordered), 9))) - 1]


def upper_bound(ordered: Sequence[int], q: float, confidence: float = CONFIDENCE) -> int | None:
    """Upper confidence bound of the q-quantile of samples in ascending order; None with too few samples."""
    misses = allowed_misses(len(ordered), q, confidence)
    return None if misses is None else ordered[len(ordered) - 1 - misses]


def lower_bound(ordered: Sequence[int], q: float, confidence: float = CONFIDENCE) -> int | None:
    """Lower confidence bound of the q-quantile; None when the sample is too small to have one."""
    mirrored = allowed_misses(len(ordered), 1.0 - q, confidence)
    return None if mirrored is None else ordered[mirrored]


def clopper_pearson(successes: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Exact two-sided interval of a share (Clopper and Pearson 1934), as (lower, upper)."""
    if n <= 0 or not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} is not a share")
    half = (1.0 - confidence) / 2.0

    def solve(target: float, k: int) -> float:
        low, high = 0.0, 1.0  # binomial_cdf falls as p grows
        for _ in range(60):
            middle = (low + high) / 2.0
            if binomial_cdf(k, n, middle) > target:
                low = middle
            else:
                high = middle
        return (low + high) / 2.0

    lower = 0.0 if successes == 0 else solve(1.0 - half, successes - 1)
    upper = 1.0 if successes == n else solve(half, successes)
    return lower, upper


def duration(value_us: int) -> str:
    """Microseconds for a person: three significant digits at least, the unit that fits."""
    if value_us < 1_000:
        return f"{value_us} µs"
    if value_us < 1_000_000:
        return f"{value_us / 1e3:.{1 if value_us < 100_000 else 0}f} ms"
    return f"{value_us / 1e6:.{2 if value_us < 100_000_000 else 0}f} s"


@dataclass(frozen=True, slots=True)
class PercentileVerdict:
    """The answer to "is the q-quantile within the limit".

    Attributes:
        verdict: PASS, FAIL or INCONCLUSIVE.
        samples, misses: how many samples, and how many of them exceeded the limit.
        observed: nearest-rank percentile, None without samples.
        bound: upper confidence bound that was judged, None with too few samples.
        message: one sentence.
    """

    verdict: Verdict
    samples: int
    misses: int
    observed: int | None
    bound: int | None
    message: str


def judge_percentile(
    samples: Sequence[int], q: float, limit: int, *, confidence: float = CONFIDENCE
) -> PercentileVerdict:
    """Judge "q-quantile <= limit"; samples and limit in microseconds.

    PASS when the upper bound lies within the limit. FAIL when the observed percentile lies beyond it and the sample
    is large enough to pass at all, or when even the *lower* bound lies beyond it. INCONCLUSIVE otherwise: more samples could decide.
    """
    ordered = sorted(samples)
    n = len(ordered)
    misses = sum(1 for value in ordered if value > limit)
    name = f"p{q * 100:g}"
    if n == 0:
        return PercentileVerdict(Verdict.INCONCLUSIVE, 0, 0, None, None, f"{name}: no samples")
    observed = percentile(ordered, q)
    bound = upper_bound(ordered, q, confidence)
    floor = lower_bound(ordered, q, confidence)
    shown = f"{name} {duration(observed)} (limit {duration(limit)}), {misses:,} of {n:,} beyond"
    if bound is not None and bound <= limit:
        verdict, message = Verdict.PASS, f"{shown}; at most {duration(bound)} at {confidence:.0%} confidence"
    elif floor is not None and floor > limit:
        verdict = Verdict.FAIL
        message = f"{shown}; at least {duration(floor)} at {confidence:.0%} confidence"
    elif bound is None:
        need = minimum_samples(q, misses, confidence)
        verdict, message = Verdict.INCONCLUSIVE, f"{shown}; too few samples: {need:,} are needed"
    elif observed > limit:
        verdict, message = (
            Verdict.FAIL,
            f"{shown}; may be up to {duration(bound)} at {confidence:.0%} confidence",
        )
    else:
        need = minimum_samples(q, misses, confidence)
        verdict = Verdict.INCONCLUSIVE
        message = f"{shown}; not proved at {confidence:.0%} confidence: {need:,} samples are needed"
    return PercentileVerdict(verdict, n, misses, observed, bound, message)
