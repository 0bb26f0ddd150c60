"""What the gap of a kill is, and that neither a quick survivor nor a lucky write can hide an outage."""

from __future__ import annotations

import pytest

from scenarios.loadgen.payments import Write
from scenarios.measured.failover import Kill, failover_gap, failover_trial
from scenarios.oracles import judge
from scenarios.record import RunRecord
from scenarios.verdicts import Verdict

KILLED = 10_000_000
KILL = Kill("backend-a", KILLED, in_flight=3, restarted_us=KILLED + 3_000_000, ended_us=KILLED + 4_000_000)


def write(sent_ms, acked_ms, *, first_ms=None, kind="sale"):
    first_us = KILLED + 1000 * (sent_ms if first_ms is None else first_ms)
    return Write(kind, f"{sent_ms}", first_us, KILLED + 1000 * sent_ms, KILLED + 1000 * acked_ms)


def steady(until_ms=4000):
    return [write(at, at + 10) for at in range(40, until_ms - 40, 50)]


def test_first_write_sent_after_the_kill():
    gap = failover_gap(KILL, [write(-20, -5), *steady()])
    assert gap.first_us == 50_000
    assert gap.gap_us == max(50_000, gap.silence_us)


def test_a_write_sent_before_the_kill_proves_nothing_about_after():
    gap = failover_gap(KILL, [write(-20, 1), *[w for w in steady() if w.sent_us > KILLED + 900_000]])
    assert gap.first_us == 950_000


def test_a_silence_later_in_the_trial_is_the_gap():
    quiet = [w for w in steady() if not 500_000 < w.acked_us - KILLED < 2_500_000]
    gap = failover_gap(KILL, quiet)
    assert gap.first_us == 50_000
    assert gap.silence_us == 2_000_000
    assert gap.gap_us == 2_000_000


def test_silence_up_to_the_end_of_the_trial_counts():
    gap = failover_gap(KILL, steady(until_ms=1000))
    assert gap.gap_us == KILL.ended_us - max(w.acked_us for w in steady(until_ms=1000))


def test_slowest_single_write_is_shown_beside_it():
    unlucky = write(2_900, 2_950, first_ms=-30)
    gap = failover_gap(KILL, [*steady(), unlucky])
    assert gap.slowest_us == 2_950_000
    assert gap.gap_us < 200_000


def test_being_shown_paid_is_no_acknowledged_write():
    gap = failover_gap(KILL, [write(30, 30, kind="paid")])
    assert gap.gap_us is None


def test_no_write_at_all_gives_up_and_fails_once_beyond_the_limit():
    kill = Kill("backend-a", KILLED, in_flight=1, restarted_us=KILLED, ended_us=KILLED + 16_000_000)
    trial = failover_trial(kill, failover_gap(kill, []), epoch_us=KILLED)
    assert (trial.killed_us, trial.first_acknowledged_us, trial.gave_up_us) == (0, None, 16_000_000)
    result = judge(RunRecord(clock="wall", ended_us=1, failovers=(trial,)), "failover.gap", {"trials": 1})
    assert result.verdict is Verdict.FAIL


@pytest.mark.parametrize(("silence_ms", "verdict"), [(14_900, Verdict.PASS), (15_100, Verdict.FAIL)])
def test_the_oracle_judges_the_longest_silence(silence_ms, verdict):
    kill = Kill("b", KILLED, in_flight=1, restarted_us=KILLED, ended_us=KILLED + (silence_ms + 60) * 1000)
    gap = failover_gap(kill, [write(10, 50), write(silence_ms, silence_ms + 50)])
    record = RunRecord(clock="wall", ended_us=1, failovers=(failover_trial(kill, gap),))
    assert judge(record, "failover.gap", {"trials": 1}).verdict is verdict
