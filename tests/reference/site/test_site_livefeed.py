"""What the backend is told of the nozzles: what changed, nothing twice, and all of it now and then."""

from __future__ import annotations

from typing import Any

import pytest

from reference.site.livefeed import LiveFeed
from sim.kernel import VirtualKernel

REFRESH_US, GAP_US = 10_000_000, 200_000


class Bench:
    """Two nozzles, and a backend that may be away."""

    def __init__(self) -> None:
        self.kernel = VirtualKernel(1, epoch_us=0)
        self.now: list[dict[str, Any]] = [{"nozzle": 1, "fen": 0}, {"nozzle": 2, "fen": 0}]
        self.posts: list[tuple[int, list[dict[str, Any]]]] = []
        self.is_away = False
        self.takes_us = 0
        self.feed = LiveFeed(lambda: list(self.now), self._post, refresh_us=REFRESH_US, gap_us=GAP_US)
        self.task = self.kernel.loop.create_task(self.feed.run())

    async def _post(self, readings: list[dict[str, Any]]) -> bool:
        self.posts.append((self.kernel.now_us, readings))
        return not self.is_away

    def show(self, nozzle: int, fen: int) -> None:
        self.now[nozzle - 1] = {"nozzle": nozzle, "fen": fen}
        self.feed.changed()

    def at(self, at_us: int, *call: Any) -> None:
        self.kernel.call_later(at_us - self.kernel.now_us, *call)

    def run(self, until_us: int) -> list[tuple[int, list[tuple[int, int]]]]:
        self.kernel.run(until_us=until_us)
        return [(at_us, [(one["nozzle"], one["fen"]) for one in readings]) for at_us, readings in self.posts]


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.task.cancel()
    made.kernel.run(until_us=made.kernel.now_us + 1)


def test_only_what_changed_is_told_and_no_more_often_than_allowed(bench):
    bench.at(1_000_000, bench.show, 1, 5)
    bench.at(1_050_000, bench.show, 1, 6)
    bench.at(1_100_000, bench.show, 2, 7)
    bench.at(1_300_000, bench.feed.changed)  # nothing did
    bench.feed.changed()
    assert bench.run(2_000_000) == [
        (0, [(1, 0), (2, 0)]),
        (1_000_000, [(1, 5)]),
        (1_200_000, [(1, 6), (2, 7)]),
    ]


def test_after_a_while_without_news_all_of_it_is_told(bench):
    bench.at(3_000_000, bench.show, 1, 5)
    bench.feed.changed()
    # The wait begins anew with each change, and after each refresh.
    assert bench.run(24_000_000) == [
        (0, [(1, 0), (2, 0)]),
        (3_000_000, [(1, 5)]),
        (13_200_000, [(1, 5), (2, 0)]),
        (23_400_000, [(1, 5), (2, 0)]),
    ]


def test_a_backend_that_was_away_is_told_everything(bench):
    bench.feed.changed()
    bench.at(900_000, setattr, bench, "is_away", True)
    bench.at(1_000_000, bench.show, 1, 5)
    bench.at(1_100_000, setattr, bench, "is_away", False)
    assert bench.run(5_000_000) == [
        (0, [(1, 0), (2, 0)]),
        (1_000_000, [(1, 5)]),
        (1_200_000, [(1, 5), (2, 0)]),
    ]


def test_nothing_stands_after_its_end(bench):
    bench.feed.changed()
    bench.run(1_000_000)
    bench.task.cancel()
    bench.kernel.run()
    assert bench.kernel.now_us == REFRESH_US + GAP_US  # the cancelled timer is passed over
    assert len(bench.posts) == 1
