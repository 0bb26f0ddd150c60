from __future__ import annotations

import pytest

from sim.faults import NEVER_US, Fault, FaultError, arm_faults
from sim.kernel import Streams


def arm(*specs, seed="faults"):
    return arm_faults(specs, Streams(seed), "wire/line")


def test_a_fault_strikes_only_inside_its_window():
    (fault,) = arm(Fault(kind="drop", at_us=100, for_us=50))
    assert [now_us for now_us in range(90, 160) if fault.strikes(now_us)] == list(range(100, 150))
    assert fault.is_active(95, lead_us=5)
    assert not fault.is_active(94, lead_us=5)


def test_without_an_end_it_strikes_to_the_end_of_the_run():
    (fault,) = arm(Fault(kind="drop"))
    assert fault.spec.end_us == NEVER_US
    assert fault.strikes(1 << 50)


def test_a_limit_ends_it():
    (fault,) = arm(Fault(kind="drop", limit=2))
    for now_us in range(10):
        if fault.strikes(now_us):
            fault.land()
    assert fault.landed == 2
    assert not fault.is_active(11)


def test_a_probability_is_kept_and_repeats_with_the_seed():
    def play(seed, *others):
        fault, *_ = arm(Fault(kind="drop", probability=0.2), *others, seed=seed)
        return [now_us for now_us in range(2_000) if fault.strikes(now_us)]

    first = play(1)
    assert 330 < len(first) < 470
    assert play(1) == first
    assert play(2) != first
    assert play(1, Fault(kind="drop", probability=0.5)) == first, "another fault draws from its own stream"


def test_unnamed_faults_of_one_kind_are_numbered():
    assert [fault.name for fault in arm(Fault(kind="drop"), Fault(kind="flip"), Fault(kind="drop"))] == [
        "drop",
        "flip",
        "drop-2",
    ]


def test_a_name_is_used_once():
    with pytest.raises(FaultError, match="wire/line: two faults are called 'x'"):
        arm(Fault(kind="drop", name="x"), Fault(kind="flip", name="x"))
