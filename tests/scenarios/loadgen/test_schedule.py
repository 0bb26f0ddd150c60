from __future__ import annotations

import pytest

from scenarios.loadgen.schedule import draw_schedule


def test_schedule_is_a_function_of_the_seed():
    first = draw_schedule(7, per_s=20, duration_s=60, stations=3)
    assert first.digest == draw_schedule(7, per_s=20, duration_s=60, stations=3).digest
    assert first.digest != draw_schedule(8, per_s=20, duration_s=60, stations=3).digest
    assert 1_000 < len(first.arrivals) < 1_400
    times = [arrival.intended_us for arrival in first.arrivals]
    assert times == sorted(times)
    assert times[-1] < 60_000_000
    assert {arrival.station for arrival in first.arrivals} == {0, 1, 2}


def test_more_stations_do_not_move_the_arrivals():
    one, many = (draw_schedule(7, per_s=20, duration_s=10, stations=n) for n in (1, 50))
    assert [a.intended_us for a in one.arrivals] == [a.intended_us for a in many.arrivals]


@pytest.mark.parametrize("bad", [{"per_s": 0}, {"per_s": 1e9}, {"duration_s": 0}, {"stations": 0}])
def test_senseless_values_are_refused(bad):
    with pytest.raises(ValueError, match=r"must lie in|at least one"):
        draw_schedule(1, **{"per_s": 1, "duration_s": 1, "stations": 1, **bad})
