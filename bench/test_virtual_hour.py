"""The virtual hour of ``kunming-peak``: CPU seconds with every poll frame, and with idle polls left out.

Beside them stands bare SimPy with as many events, measured in the same process right after, because seconds of a machine
that also does other things mean little: the ratio is what one event of the whole chain costs beside an empty one.
Run it with ``-s`` to see the table; the figures are also in ``--benchmark-json`` under ``extra_info``.
"""

# ruff: noqa: S101, T201 - a test that shows a table

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import pytest
import simpy

from scenarios.loader import load
from scenarios.world.keys import run_keys
from scenarios.world.virtual import VirtualWorld, WorldOptions

pytestmark = pytest.mark.bench

_PROCESSES = 100


@dataclass(frozen=True, slots=True)
class _Hour:
    """One run: CPU seconds, events on the heap, virtual seconds (the hour and what follows it), and what was sold.

    ``hour_cpu_s`` is the CPU time of the hour itself, in which cars arrive.
    """

    cpu_s: float
    hour_cpu_s: float
    events: int
    virtual_s: int
    sales: list[dict[str, Any]]
    trace_hash: str


def _virtual_hour(*, skip: bool) -> _Hour:
    scenario = load("kunming-peak").scenario
    # With every poll on the wire each burst is recorded as well, as `forecourt run` does it.
    options = WorldOptions(skip_idle_polls=skip, captures=not skip)
    world = VirtualWorld(scenario, 1, keys=run_keys(), options=options)
    try:
        started = time.process_time()
        hour_cpu_s = 0.0

        def look(_share: float) -> None:
            nonlocal hour_cpu_s
            if not hour_cpu_s and world.kernel.now_us >= scenario.demand.duration_s * 1_000_000:
                hour_cpu_s = time.process_time() - started

        world.run(on_progress=look)
        cpu_s = time.process_time() - started
        # SimPy numbers what it schedules; the next number is how many there were.
        events = next(world.kernel.env._eid)
        virtual_s = world.kernel.now_us // 1_000_000
        return _Hour(
            cpu_s, hour_cpu_s, events, virtual_s, world.read_admin("sales"), world.kernel.trace.hexdigest()
        )
    finally:
        world.close()


def _bare_simpy_s(events: int) -> float:
    """CPU seconds of bare SimPy for so many time-outs, by a hundred processes at once."""
    env = simpy.Environment()

    def process(period_us: int) -> Generator[simpy.Event, None, None]:
        for _ in range(events // _PROCESSES):
            yield env.timeout(period_us)

    for number in range(_PROCESSES):
        env.process(process(1000 + 7 * number))
    started = time.process_time()
    env.run()
    return time.process_time() - started


@pytest.mark.benchmark(group="virtual hour")
def test_virtual_hour(benchmark: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The skipped run sells what the full run sells, at the same times; what both cost is recorded, not judged."""
    full: _Hour = benchmark.pedantic(_virtual_hour, kwargs={"skip": False}, rounds=1, iterations=1)
    skipped = _virtual_hour(skip=True)
    rows = []
    for name, hour in (("every poll", full), ("idle polls skipped", skipped)):
        bare_s = _bare_simpy_s(hour.events)
        benchmark.extra_info[name] = {
            "cpu_s": round(hour.cpu_s, 2),
            "hour_cpu_s": round(hour.hour_cpu_s, 2),
            "events": hour.events,
            "bare_simpy_s": round(bare_s, 2),
            "times_real_time": round(hour.virtual_s / hour.cpu_s),
        }
        rows.append(
            f"{name:<20} {hour.cpu_s:6.2f} s CPU ({hour.hour_cpu_s:.2f} s the hour)  {hour.events:>9,} events  {hour.cpu_s / bare_s:5.1f} x bare SimPy  "
            f"{hour.virtual_s / hour.cpu_s:5.0f} x real time"
        )
    with capsys.disabled():
        print("\n" + "\n".join(rows))
    assert len(full.sales) > 200
    assert skipped.sales == full.sales
    assert skipped.trace_hash == full.trace_hash
    assert skipped.events < full.events
