"""A two-wire dispenser under hands, commands and time at random: its status changes as the table says."""

from __future__ import annotations

import random

import pytest

from protocols.twowire import status_changes

from .twowire_bench import NOZZLE_QUERY, Bench, money_preset, volume_preset

# -- random walk ------------------------------------------------------------------------------------------------------


def happen(bench: Bench, rng: random.Random) -> None:
    """One thing: a hand, a command, time."""
    ask, point = bench.asker, bench.point
    happening = rng.randrange(12)
    if happening == 0:
        point.lift(rng.randint(1, 3), bench.later(0.01))
    elif happening == 1:
        point.squeeze(bench.later(0.01), rng.randint(5_000, 45_000))
    elif happening == 2:
        point.release(bench.later(0.01))
    elif happening == 3:
        point.hang_up(bench.later(0.01))
    elif happening == 4:
        bench.later(rng.choice([0.001, 0.1, 1, 5, 60, 200]))
    elif happening in {5, 6}:
        ask.say(1)
    elif happening == 7 and rng.random() < 0.4:
        ask.raw(b"\xfc" if rng.random() < 0.3 else b"\x31")
    elif happening == 8:
        ask.say(rng.choice([4, 4, 5, 6]))
    elif happening == 9:
        ask.say(2)
        ask.raw(rng.choice([money_preset(3_000), volume_preset(500), volume_preset(0), NOZZLE_QUERY]))
    elif happening == 10 and rng.random() < 0.05:
        bench.dispenser.cut_power(bench.later(0.01))
        assert ask.status() is None
        bench.dispenser.restore_power(bench.later(rng.choice([0.5, 20])))


def walk(make_point, seed: str, steps: int) -> set[tuple[int, int]]:
    """Hands, commands and time at random; every change of the status that a controller sees is one of the table."""
    rng = random.Random(f"twowire/{seed}")
    bench = Bench(make_point, prices=(760, 812, 850))
    ask, point = bench.asker, bench.point
    allowed = {(int(before), int(after)) for before, after in status_changes()}
    # The first pulse just before something else happens: 9 comes and goes between two looks.
    allowed |= {(8, after) for before, after in allowed if before == 9}
    ask.pause_us = 1
    seen: set[tuple[int, int]] = set()
    before = ask.status()
    for _ in range(steps):
        happen(bench, rng)
        after = ask.status() or ask.status()  # after a data error look again
        assert after
        if after != before:
            seen.add((before, after))
            assert (before, after) in allowed, (before, after)
        assert point.flowing <= (after in {8, 9})
        if after in {10, 11}:
            ask.say(1)
            assert ask.status() == after  # held until it is read
        before = after
    return seen


def test_a_walk_stays_in_the_table(make_point):
    seen = walk(make_point, "short", 4_000)
    assert {(6, 7), (7, 8), (8, 9), (9, 10), (10, 6), (9, 12), (12, 10), (8, 6), (6, 8)} <= seen


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_walk_of_a_hundred_thousand_steps(make_point):
    walk(make_point, "long", 100_000)
