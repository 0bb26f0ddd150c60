"""What the kernel costs beside bare SimPy and a bare heap, in one run.

`tox -e bench` runs it; the goal is at least 0.8 of bare SimPy with the trace off. Only ratios are worth quoting.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Generator

import pytest
import simpy

from sim.kernel import Trace, VirtualKernel

pytestmark = pytest.mark.bench

_PROCESSES = 100
_UNTIL_US = 10_000_000


def _periods() -> list[int]:
    return [1000 + 7 * number for number in range(_PROCESSES)]


def _load(env: simpy.Environment) -> None:
    def process(period_us: int) -> Generator[simpy.Event, None, None]:
        while True:
            yield env.timeout(period_us)

    for period_us in _periods():
        env.process(process(period_us))


def _bare_heap() -> None:
    heap = [(period, number, period) for number, period in enumerate(_periods())]
    heapq.heapify(heap)
    ids = itertools.count(len(heap))
    while heap[0][0] < _UNTIL_US:
        due, _, period = heapq.heappop(heap)
        heapq.heappush(heap, (due + period, next(ids), period))


def _bare_simpy() -> None:
    env = simpy.Environment()
    _load(env)
    env.run(until=_UNTIL_US)


def _kernel() -> None:
    kernel = VirtualKernel(1, epoch_us=0, trace=Trace(enabled=False))
    _load(kernel.env)
    kernel.run(_UNTIL_US)
    kernel.close()


@pytest.mark.parametrize("engine", [_bare_heap, _bare_simpy, _kernel], ids=["heap", "simpy", "kernel"])
@pytest.mark.benchmark(group="events, 100 processes")
def test_events_a_second(benchmark: Callable[..., object], engine: Callable[[], None]) -> None:
    """One round is about 770,000 events on each engine."""
    benchmark(engine)
