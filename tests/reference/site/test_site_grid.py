"""The slot grid of a polled line: whole rounds at once are the same slots as one after the other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reference.site.pumps.grid import SlotGrid


@given(
    st.integers(1, 5),
    st.integers(5, 400),
    st.integers(0, 300),
    st.lists(st.integers(-50, 900), min_size=1, max_size=6),
)
def test_slots_until_an_instant_are_those_used_one_by_one(
    count: int, period_us: int, phase_us: int, steps: list[int]
) -> None:
    """Any instants, also ones that lie before the next slot; the last start of each address, and the cursor."""
    at_once = SlotGrid(count, period_us, phase_us)
    one_by_one = SlotGrid(count, period_us, phase_us)
    until_us = 0
    for step_us in steps:
        until_us = max(0, until_us + step_us)
        last_us = [-1] * count
        ahead = at_once.slots_until(until_us)
        used: list[tuple[int, int]] = []
        while one_by_one.next_us is not None and one_by_one.next_us <= until_us:
            last_us[one_by_one.next_index] = one_by_one.next_us
            used.append((one_by_one.next_us, one_by_one.next_index))
            one_by_one.use()
        assert ahead == used
        assert at_once.use_until(until_us) == last_us
        assert (at_once.next_index, at_once.next_us) == (one_by_one.next_index, one_by_one.next_us)
        # What is parked and taken in again goes on from the same place.
        at_once.resume(until_us)
        one_by_one.resume(until_us)
        assert (at_once.next_index, at_once.next_us) == (one_by_one.next_index, one_by_one.next_us)


@given(st.integers(1, 5), st.integers(5, 400), st.integers(0, 300), st.integers(0, 5_000))
def test_the_first_slot_from_an_instant_on(count: int, period_us: int, phase_us: int, ahead_us: int) -> None:
    """Looking ahead moves nothing."""
    grid = SlotGrid(count, period_us, phase_us)
    from_us = phase_us + ahead_us
    found_us = grid.slot_from(from_us)
    assert grid.next_us == phase_us
    while grid.next_us is not None and grid.next_us < from_us:
        grid.use()
    assert found_us == grid.next_us
