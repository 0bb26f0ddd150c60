"""From a run's figures to what a reader sees: percentiles, exact counts, and why the run may prove nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.load.figures import LIMITS_US, SEGMENTS, LoadFigures
from bench.load.plan import LoadPlan
from scenarios.statistics import allowed_misses

__all__ = ["LAG_LIMIT_US", "doubts", "summarise", "write_hdr"]

LAG_LIMIT_US = 10_000
"""A harness whose own p99 delay is above this measures itself."""

_VALUE_UNITS_PER_MS = 1000.0


def doubts(figures: LoadFigures, *, is_complete: bool = True, cpu_warning: bool = False) -> list[str]:
    """Why this run proves nothing about the backend; empty if it may be judged."""
    found = []
    if not is_complete:
        found.append("the run ended before every arrival had an outcome")
    if figures.dropped:
        found.append(f"{figures.dropped} arrivals were dropped at the cap of payments in flight")
    lag_us = figures.percentiles("schedule_lag")["p99"]
    if lag_us > LAG_LIMIT_US:
        found.append(f"the harness itself was late: p99 {lag_us} µs, limit {LAG_LIMIT_US} µs")
    if cpu_warning:
        found.append("a worker used more than 90 % of its processor")
    if allowed_misses(figures.completed + figures.failed, 0.95) is None:
        found.append(
            f"{figures.completed + figures.failed} payments are too few for a p95 at 95 % confidence (59)"
        )
    return found


def summarise(plan: LoadPlan, result: Mapping[str, Any], *, is_closed: bool = False) -> dict[str, Any]:
    """The summary of a run, as JSON values.

    Args:
        plan: what was to be done.
        result: what the Locust process wrote.
        is_closed: the closed loop, of which only Locust's own numbers exist.
    """
    told: dict[str, Any] = {
        "loop": "closed" if is_closed else "open",
        "host": plan.host,
        "schedule": {
            "digest": plan.schedule.digest,
            "arrivals": len(plan.schedule.arrivals),
            "duration_us": plan.schedule.duration_us,
            "workers": plan.workers,
        },
        "locust": dict(result["locust"]),
    }
    if is_closed:
        return told | {"inconclusive": ["a closed loop leaves out every start that a stall has put off"]}
    figures = LoadFigures()
    figures.add(result["figures"])
    return told | {
        "completed": figures.completed,
        "failed": figures.failed,
        "dropped": figures.dropped,
        "errors": dict(sorted(figures.errors.items())),
        # A payment that never came is beyond every limit.
        **{f"over_{limit_us // 1000}_ms": figures.over[limit_us] + figures.failed for limit_us in LIMITS_US},
        "longest_us": figures.longest_us,
        **{f"{name}_us": figures.percentiles(name) for name in SEGMENTS},
        "last_us": figures.last_us,
        "per_s": round(figures.completed * 1e6 / figures.last_us, 1) if figures.last_us else 0.0,
        "inconclusive": doubts(figures, is_complete=result["is_complete"], cpu_warning=result["cpu_warning"]),
    }


def write_hdr(folder: Path, result: Mapping[str, Any]) -> list[Path]:
    """Write each segment's percentile distribution (HdrHistogram's ``.hgrm`` text, milliseconds) and its encoded form.

    Returns:
        The files written: ``<segment>.hgrm`` and ``<segment>.hdr`` (V2 compressed, base64, microseconds).
    """
    figures = LoadFigures()
    figures.add(result["figures"])
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, histogram in figures.histograms.items():
        text, encoded = folder / f"{name}.hgrm", folder / f"{name}.hdr"
        with text.open("wb") as sink:
            histogram.output_percentile_distribution(sink, _VALUE_UNITS_PER_MS)
        encoded.write_bytes(histogram.encode() + b"\n")
        written += [text, encoded]
    (folder / "counts.json").write_text(
        json.dumps({"over": {str(k): v for k, v in figures.over.items()}, "failed": figures.failed}) + "\n",
        encoding="utf-8",
    )
    return [*written, folder / "counts.json"]
