"""When work is due under faults that come and go."""

from __future__ import annotations

import pytest

from scenarios.oracles.liveness import Calm

WINDOWS = [(100, 200), (250, 300), (1_000, 1_100), (50, None)]


@pytest.mark.parametrize(
    ("since", "due"),
    [
        (0, 50),  # over before the first
        (60, 250),  # the first comes within its time; after it, it is calm for just long enough
        (150, 250),
        (210, 350),
        (300, 350),  # at the very end of one
        (301, 351),
        (951, 1_150),
        (1_050, 1_150),
        (2_000, 2_050),
    ],
)
def test_due_is_the_first_instant_after_enough_time_without_a_fault(since: int, due: int) -> None:
    assert Calm(WINDOWS, 50).due_us(since) == due


def test_a_gap_that_is_too_short_is_none() -> None:
    assert Calm(WINDOWS, 60).due_us(60) == 360
