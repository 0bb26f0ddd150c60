from __future__ import annotations

import pytest

from scenarios.checks import REGISTRY, UnknownCheckError, explain
from scenarios.oracles import ORACLES, judge
from scenarios.record import RunRecord


def test_each_check_has_an_oracle_and_each_oracle_a_check() -> None:
    assert list(ORACLES) == list(REGISTRY)


def test_explain_tells_keyword_paragraph_and_limits() -> None:
    text = explain("latency.payment-controlled")
    assert text.startswith("latency.payment-controlled (MUST)")
    assert "p99_us = 300,000" in text
    assert max(map(len, text.splitlines())) <= 100


def test_explain_of_an_unknown_check_suggests() -> None:
    with pytest.raises(UnknownCheckError, match=r"did you mean .*'failover.gap'"):
        explain("failover.gaps")
    with pytest.raises(UnknownCheckError):
        judge(RunRecord(clock="virtual", ended_us=0), "nothing.like-it")


def test_the_targets_are_the_published_ones() -> None:
    assert dict(REGISTRY["latency.payment-controlled"].limits) == {"p99_us": 300_000, "p999_us": 1_000_000}
    assert dict(REGISTRY["latency.payment-end-to-end"].limits) == {"p95_us": 300_000, "p99_us": 500_000}
    assert dict(REGISTRY["latency.invoice-issued"].limits) == {"p99_us": 3_000_000}
    assert dict(REGISTRY["latency.invoice-answered"].limits) == {"maximum_us": 3_000_000}
    assert dict(REGISTRY["failover.gap"].limits) == {"maximum_us": 15_000_000, "trials": 20}
