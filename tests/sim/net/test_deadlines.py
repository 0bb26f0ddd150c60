"""One timer for many who wait: each is asked in time, and those who are done cost nothing more."""

from __future__ import annotations

import pytest

from sim.kernel import VirtualKernel
from sim.net.deadlines import Deadlines


class Waits:
    """Waits until an instant, which may be put off."""

    def __init__(self, until_us: int) -> None:
        self.until_us = until_us
        self.is_over = False
        self.asked_us: list[int] = []

    def expire(self, now_us: int) -> int | None:
        self.asked_us.append(now_us)
        return self.until_us if self.until_us > now_us else None


@pytest.fixture
def kernel():
    return VirtualKernel(1, epoch_us=0)


@pytest.fixture
def deadlines(kernel):
    return Deadlines(kernel.loop, lambda: kernel.now_us)


def test_each_is_asked_at_its_time_whatever_the_order(kernel, deadlines):
    waits = [Waits(at) for at in (5_000_000, 1_000_000, 3_000_000, 3_000_000)]
    for one in waits:
        deadlines.add(one.until_us, one)
    kernel.run()
    assert [one.asked_us for one in waits] == [[5_000_000], [1_000_000], [3_000_000], [3_000_000]]


def test_who_puts_it_off_is_asked_again(kernel, deadlines):
    one = Waits(1_000_000)
    deadlines.add(one.until_us, one)
    one.until_us = 2_500_000
    kernel.run()
    assert one.asked_us == [1_000_000, 2_500_000]


def test_who_is_done_is_neither_asked_nor_waited_for(kernel, deadlines):
    waits = [Waits(at * 1_000_000) for at in range(1, 100)]
    for one in waits:
        deadlines.add(one.until_us, one)
    for one in waits[:-1]:
        one.is_over = True
    kernel.run()
    assert [one.asked_us for one in waits if one.asked_us] == [[99_000_000]]
    assert next(kernel.env._eid) < 10  # events of the kernel: not one for each


def test_an_earlier_one_is_not_kept_waiting_by_the_timer_that_stands(kernel, deadlines):
    late, early = Waits(60_000_000), Waits(2_000_000)
    deadlines.add(late.until_us, late)
    kernel.run(until_us=1_000_000)
    deadlines.add(early.until_us, early)
    late.is_over = True
    kernel.run()
    assert early.asked_us == [2_000_000]
