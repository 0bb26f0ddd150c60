from __future__ import annotations

import json
import random

import pytest
from hdrh.histogram import HdrHistogram

from bench.load import LoadFigures, LoadPlan, doubts, summarise
from bench.load.summary import LAG_LIMIT_US, write_hdr
from scenarios.loadgen.schedule import draw_schedule

PLAN = LoadPlan(
    schedule=draw_schedule(1, per_s=20, duration_s=10, stations=1),
    run="r",
    host="http://127.0.0.1:1",
    payer_url="http://127.0.0.1:1",
    stations=1,
)


def measured(values_us, lag_us=500):
    figures = LoadFigures()
    for value_us in values_us:
        figures.arrivals += 1
        figures.lag(lag_us)
        figures.paid(response_us=value_us, service_us=value_us // 2, at_us=figures.arrivals * 1_000)
    return figures


def result_of(figures, **changes):
    locust = {"count": 1, "p50_ms": 1}
    return {
        "figures": figures.to_report(),
        "is_complete": True,
        "cpu_warning": False,
        "locust": locust,
        **changes,
    }


def test_reports_of_many_workers_add_up_to_what_one_would_have_measured():
    rng = random.Random("figures")
    values = [round(rng.lognormvariate(11, 1)) for _ in range(3_000)]
    whole, merged = measured(values), LoadFigures()
    whole.fail("refused")
    whole.last_us = 1_000_000
    for worker in range(3):
        part = measured(values[worker::3])
        if worker == 1:
            part.fail("refused")
        assert part.last_us == 1_000_000
        # Through JSON, as between processes.
        merged.add(json.loads(json.dumps(part.to_report())))
    assert merged.to_report() == whole.to_report()
    assert merged.percentiles("response") == whole.percentiles("response")
    assert merged.percentiles("response")["count"] == 3_000


def test_percentiles_are_those_of_the_samples_to_three_digits():
    values = list(range(1_000, 1_001_000, 1_000))
    found = measured(values).percentiles("response")
    for name, share in {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p999": 0.999}.items():
        exact = values[round(share * len(values)) - 1]
        assert abs(found[name] - exact) <= exact / 1_000


def test_counts_above_a_limit_are_exact_where_a_histogram_cannot_be():
    figures = measured([299_999, 300_000, 300_001, 3_000_000, 3_000_001])
    assert figures.over == {300_000: 3, 3_000_000: 1}
    assert figures.histograms["response"].values_are_equivalent(300_000, 300_001)


def test_kinds_of_errors_are_bounded():
    figures = LoadFigures()
    for number in range(50):
        figures.fail(f"reason {number}")
    assert figures.failed == 50
    assert len(figures.errors) == 21
    other = LoadFigures()
    other.fail("yet another")
    figures.add(other.to_report())
    assert figures.failed == 51
    assert figures.errors["other"] == 31


def test_a_clean_run_may_be_judged():
    assert doubts(measured([1_000] * 59)) == []


@pytest.mark.parametrize(
    ("figures", "changes", "word"),
    [
        (measured([1_000] * 58), {}, "too few"),
        (measured([1_000] * 100, lag_us=2 * LAG_LIMIT_US), {}, "late"),
        (measured([1_000] * 100), {"is_complete": False}, "outcome"),
        (measured([1_000] * 100), {"cpu_warning": True}, "processor"),
    ],
    ids=["samples", "lag", "incomplete", "cpu"],
)
def test_what_makes_a_run_prove_nothing(figures, changes, word):
    (reason,) = doubts(figures, **changes)
    assert word in reason
    assert summarise(PLAN, result_of(figures, **changes))["inconclusive"] == [reason]


def test_a_drop_makes_a_run_prove_nothing():
    figures = measured([1_000] * 100)
    figures.dropped = 1
    (reason,) = doubts(figures)
    assert "dropped" in reason


def test_a_payment_that_never_came_is_beyond_every_limit():
    figures = measured([1_000, 400_000])
    figures.fail("still PAYING after 30 s")
    summary = summarise(PLAN, result_of(figures))
    assert (summary["over_300_ms"], summary["over_3000_ms"]) == (2, 1)
    assert (summary["completed"], summary["failed"]) == (2, 1)
    assert summary["schedule"]["digest"] == PLAN.schedule.digest


def test_a_closed_loop_is_never_conclusive_and_says_so():
    summary = summarise(PLAN, result_of(LoadFigures()), is_closed=True)
    assert summary["loop"] == "closed"
    assert summary["inconclusive"]
    assert "response_us" not in summary


def test_hdr_files_read_back(tmp_path):
    figures = measured([1_000, 2_000, 400_000])
    written = write_hdr(tmp_path / "hdr", result_of(figures))
    assert {path.name for path in written} == {
        *(f"{name}.{end}" for name in ("response", "service", "schedule_lag") for end in ("hgrm", "hdr")),
        "counts.json",
    }
    back = HdrHistogram.decode((tmp_path / "hdr" / "response.hdr").read_bytes().strip())
    assert back.get_total_count() == 3
    assert "Percentile" in (tmp_path / "hdr" / "response.hgrm").read_text()
    assert json.loads((tmp_path / "hdr" / "counts.json").read_text())["over"] == {"300000": 1, "3000000": 0}
