"""A made-up run that has everything a report can show."""

from __future__ import annotations

import random
from dataclasses import asdict
from functools import cache
from typing import Any

from scenarios.curve import curve
from scenarios.evidence import (
    ClockRun,
    CurveLine,
    FaultLine,
    Floor,
    RunDocument,
    ShiftLine,
    TimelineStep,
    check_lines,
    overall,
    segments,
)
from scenarios.loader import load
from scenarios.oracles import judge
from scenarios.record import FailoverTrial, HarnessLag, RunRecord
from scenarios.verdicts import CheckResult, Clock, Verdict, worst

S = 1_000_000


def samples(clock: Clock) -> dict[str, tuple[int, ...]]:
    rng = random.Random(f"report/{clock}")

    def draw(n: int, median_ms: float, sigma: float) -> tuple[int, ...]:
        return tuple(round(median_ms * 1_000 * rng.lognormvariate(0, sigma)) for _ in range(n))

    return {
        "payment_controlled": draw(3_200, 60, 0.35),
        "payment_end_to_end": draw(3_200, 150, 0.33),
        "invoice_issued": draw(900, 700, 0.4),
        "invoice_answered": draw(900, 90, 0.6),
        "payment_human": draw(3_200, 8_000, 0.4),
    }


def _run(clock: Clock) -> ClockRun:
    record = RunRecord(
        clock=clock,
        ended_us=3_600 * S,
        latencies_us=samples(clock),
        harness=HarnessLag(lags_us=(800,) * 500),
        failovers=tuple(
            FailoverTrial(instance="a", killed_us=n * S, first_acknowledged_us=n * S + 2_100_000, in_flight=4)
            for n in range(12)
        ),
    )
    slugs = [
        "latency.payment-controlled", "latency.payment-end-to-end", "latency.payment-human", "latency.invoice-issued",
        "latency.invoice-answered", "harness.open-loop", "failover.gap",
    ]  # fmt: skip
    results = [
        CheckResult(
            "conservation.litres",
            Verdict.PASS,
            "7,712,340 ml at the meter, in the journal, in the ledger and out of the tanks",
        ),
        CheckResult(
            "conservation.money",
            Verdict.FAIL,
            'sale S<77> of 22,800 fen was billed 45,600 fen on the phone & "twice"',
        ),
        *(judge(record, slug) for slug in slugs),
    ]
    floor = None
    shifts: list[ShiftLine] = []
    faults: list[FaultLine] = []
    if clock == "virtual":
        rng = random.Random("queue")
        length, queue = 0, []
        for step in range(240):
            length = max(0, length + rng.choice((-1, 1, 1) if step < 130 else (-1, -1, 1)))
            queue.append((step * 15 * S, length))
        visit = [
            ("driver", "approach", 0, 19), ("driver", "cap, nozzle", 19, 42), ("driver", "hang up, cap", 101, 114),
            ("driver", "pay", 114, 123), ("driver", "drive off", 123, 138), ("pump", "authorised", 31, 31),
            ("pump", "fuelling", 42, 101), ("backend", "order", 30, 30), ("backend", "sale", 108, 108),
            ("backend", "PAID", 123, 123), ("backend", "invoice", 123.1, 123.9), ("paper", "receipt", 124, 126),
        ]  # fmt: skip
        floor = Floor(
            arrived=240, served=233, balked=7, reneged=0, served_per_hour=233.0, position_us=154 * S, station_us=156 * S,
            paying_share=0.14, longest_queue=max(length for _, length in queue), queue=queue, car=57,
            timeline=[
                TimelineStep(lane=lane, name=name, start_us=int(a * S), end_us=int(b * S)) for lane, name, a, b in visit
            ],
        )  # fmt: skip
        shifts = [
            ShiftLine(
                shift=n, attendant=who, from_us=n * 1_200 * S, until_us=(n + 1) * 1_200 * S, sales=100 + n,
                volume_ml=3_210_450, amount_fen=2_439_942, unpaid_fen=22_800, tests_ml=20_000, taken_fen=2_417_142,
                cash_expected_fen=120_000, cash_counted_fen=None if n == 2 else 119_950, difference_ml=0, corrections=n,
            )
            for n, who in ((1, "王丽"), (2, "<b>Li</b>"))
        ]  # fmt: skip
        faults = [
            FaultLine(
                name="noise on island-1",
                target="wire",
                kind="noise",
                at_us=300 * S,
                healed_us=900 * S,
                landed=412,
            ),
            FaultLine(
                name="kill backend a",
                target="backend",
                kind="kill",
                at_us=2_400 * S,
                healed_us=None,
                landed=0,
            ),
        ]
    return ClockRun(
        clock=clock, duration_us=3_600 * S, trace_sha256="ab" * 32 if clock == "virtual" else None,
        verdict=worst(r.verdict for r in results), checks=check_lines(results), latencies=segments(record.latencies_us),
        faults=faults, floor=floor, shifts=shifts, notes=["Harness delay: p99 0.8 ms."] if clock == "wall" else [],
    )  # fmt: skip


@cache
def _curve() -> tuple[str, list[CurveLine]]:
    scenario = load("kunming-peak").scenario
    asked = scenario.curve
    assert asked is not None
    short = asked.model_copy(
        update={"duration_s": 1_800, "seeds": 2, "warm_up_s": 300, "arrivals_per_hour": (60, 140, 240)}
    )
    lines = []
    for point in curve(scenario.model_copy(update={"curve": short}), 1):
        told = asdict(point.figures)
        kept = {name: told[name] for name in ("served_per_hour", "position_us", "station_us", "paying_share")}
        lines.append(
            CurveLine(mode=point.mode, arrivals_per_hour=point.arrivals_per_hour, seed=point.seed, **kept)
        )
    return scenario.description, lines


def document(**changes: Any) -> RunDocument:
    description, lines = _curve()
    runs = [_run("virtual"), _run("wall")]
    verdict, code = overall(runs)
    fields: dict[str, Any] = {
        "forecourt": "0.1.0", "scenario": "kunming-peak", "scenario_sha256": "0123456789abcdef" * 4,
        "description": description, "seed": "20260306", "started_utc": "2026-03-06T10:00:00Z",
        "replay": "forecourt run kunming-peak --seed 20260306", "verdict": verdict, "exit_code": code, "runs": runs,
        "curve": lines, "environment": {"python": "3.11.7", "processor": "2 cores", "storage": "PostgreSQL 17.10"},
    }  # fmt: skip
    return RunDocument(**{**fields, **changes})
