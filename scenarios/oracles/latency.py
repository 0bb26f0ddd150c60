"""Latency and failover verdicts: percentiles by their bound, answers and gaps by their maximum."""

from __future__ import annotations

from collections.abc import Mapping

from scenarios.oracles.answer import Oracle, answer, nothing_seen
from scenarios.record import RunRecord
from scenarios.statistics import duration, judge_percentile, percentile
from scenarios.verdicts import CheckResult, Figure, Verdict, worst

__all__ = ["failover_gap", "human_time", "invoice_answered", "no_lost_write", "open_loop", "percentiles"]

_QUANTILES = {"p95_us": 0.95, "p99_us": 0.99, "p999_us": 0.999, "lag_p99_us": 0.99}


def percentiles(slug: str, segment: str) -> Oracle:
    """An oracle that judges each percentile among the limits of ``slug`` on one latency segment."""

    def oracle(record: RunRecord, limits: Mapping[str, int]) -> CheckResult:
        samples = record.latencies_us.get(segment, ())
        if not samples:
            return nothing_seen(slug, record, f"no {segment} sample")
        answers = {name: judge_percentile(samples, _QUANTILES[name], limit) for name, limit in limits.items()}
        figures: dict[str, Figure] = {"samples": len(samples), "maximum_us": max(samples)}
        for name, judged in answers.items():
            figures[name] = judged.observed
            figures[name.replace("_us", "_bound_us")] = judged.bound
            figures[name.replace("_us", "_limit_us")] = limits[name]
            figures[name.replace("_us", "_misses")] = judged.misses
        message = ". ".join(judged.message for judged in answers.values())
        return CheckResult(slug, worst(j.verdict for j in answers.values()), message, figures, record.clock)

    return oracle


def human_time(record: RunRecord, _limits: Mapping[str, int]) -> CheckResult:
    """Shown, never judged."""
    slug = "latency.payment-human"
    samples = sorted(record.latencies_us.get("payment_human", ()))
    if not samples:
        return CheckResult(
            slug, Verdict.NOT_APPLICABLE, "no payer confirmed anything", {"samples": 0}, record.clock
        )
    median, p95 = percentile(samples, 0.5), percentile(samples, 0.95)
    message = f"median {median / 1e6:.1f} s, p95 {p95 / 1e6:.1f} s over {len(samples):,} payers; not judged"
    return CheckResult(
        slug,
        Verdict.INFO,
        message,
        {"samples": len(samples), "median_us": median, "p95_us": p95},
        record.clock,
    )


def invoice_answered(record: RunRecord, limits: Mapping[str, int]) -> CheckResult:
    """Every payer answered within the maximum."""
    slug = "latency.invoice-answered"
    samples = record.latencies_us.get("invoice_answered", ())
    if not samples:
        return nothing_seen(slug, record, "no payer waited for an invoice answer")
    limit = limits["maximum_us"]
    late = [value for value in samples if value > limit]
    figures = {
        "samples": len(samples),
        "maximum_us": max(samples),
        "maximum_limit_us": limit,
        "late": len(late),
    }
    problems = (
        [
            f"{len(late)} of {len(samples):,} answers took longer than {duration(limit)}, up to {duration(max(late))}"
        ]
        if late
        else []
    )
    when = f"slowest {duration(max(samples))}" if max(samples) else "by the very message that said PAID"
    return answer(slug, record, problems, f"all {len(samples):,} answered, {when}", figures)


def failover_gap(record: RunRecord, limits: Mapping[str, int]) -> CheckResult:
    """The longest gap from kill to first acknowledged write, over enough trials with work in flight."""
    slug = "failover.gap"
    if not record.failovers:
        return nothing_seen(slug, record, "no instance was killed")
    limit = limits["maximum_us"]
    # A kill while nothing was in flight tests nothing.
    trials = [trial for trial in record.failovers if trial.in_flight > 0]
    problems: list[str] = []
    gaps: list[int] = []
    for number, trial in enumerate(trials, 1):
        if trial.first_acknowledged_us is not None:
            gaps.append(trial.first_acknowledged_us - trial.killed_us)
            if gaps[-1] > limit:
                problems.append(f"trial {number} (instance {trial.instance}) took {duration(gaps[-1])}")
        elif trial.gave_up_us is None or trial.gave_up_us - trial.killed_us > limit:
            problems.append(f"trial {number} (instance {trial.instance}) never saw a write acknowledged")
    figures: dict[str, Figure] = {
        "trials": len(trials),
        "trials_needed": limits["trials"],
        "idle_trials": len(record.failovers) - len(trials),
        "maximum_us": max(gaps, default=None),
        "maximum_limit_us": limit,
    }
    if not problems and len(gaps) < limits["trials"]:
        message = f"{len(gaps)} usable trials, {limits['trials']} are needed"
        return CheckResult(slug, Verdict.INCONCLUSIVE, message, figures, record.clock)
    return answer(
        slug,
        record,
        problems,
        f"longest gap {duration(max(gaps, default=0))} over {len(gaps)} trials",
        figures,
    )


def no_lost_write(record: RunRecord, _limits: Mapping[str, int]) -> CheckResult:
    """Each acknowledged write was found afterwards."""
    slug = "failover.no-lost-write"
    if not record.writes:
        return nothing_seen(slug, record, "no write was acknowledged")
    if not record.failovers:
        return nothing_seen(slug, record, "no instance was killed")
    lost = [
        f"write {write.key}, acknowledged at {write.acknowledged_us} us, is gone"
        for write in record.writes
        if not write.found
    ]
    figures = {"acknowledged": len(record.writes), "lost": len(lost), "kills": len(record.failovers)}
    good = f"all {len(record.writes):,} acknowledged writes found after {len(record.failovers)} kills"
    return answer(slug, record, lost, good, figures)


def open_loop(record: RunRecord, limits: Mapping[str, int]) -> CheckResult:
    """INCONCLUSIVE when the harness was late or dropped arrivals; never the system's fault."""
    slug = "harness.open-loop"
    if record.clock == "virtual":
        message = "in virtual time every arrival starts when it was meant to"
        return CheckResult(slug, Verdict.NOT_APPLICABLE, message, {}, record.clock)
    if record.harness is None or not record.harness.lags_us:
        return nothing_seen(slug, record, "the load generator recorded no lag")
    lags = sorted(record.harness.lags_us)
    observed, limit, dropped = percentile(lags, 0.99), limits["lag_p99_us"], record.harness.dropped
    figures = {"arrivals": len(lags), "lag_p99_us": observed, "lag_maximum_us": lags[-1], "dropped": dropped}
    late = observed > limit or dropped > 0
    message = f"own delay p99 {duration(observed)} (limit {duration(limit)}), largest {duration(lags[-1])}, {dropped} arrivals dropped"
    return CheckResult(slug, Verdict.INCONCLUSIVE if late else Verdict.PASS, message, figures, record.clock)
