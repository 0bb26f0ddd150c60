"""`VirtualEnvironment` beside a bare `simpy.Environment`: the same programs, the same order, the same times."""

from __future__ import annotations

from collections.abc import Callable, Generator
from itertools import pairwise
from typing import Any

import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from sim.kernel.base import Cancellable
from sim.kernel.environment import Call, VirtualEnvironment

Log = list[tuple[int, str]]
Start = Callable[[Any, Any, Log], Callable[[int | None], None]]

_PROGRAM = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from(["call", "process", "cancel", "chain", "again"])),
    max_size=30,
)
_STOPS = st.lists(st.integers(1, 80), max_size=6).map(lambda stops: sorted(set(stops)))


def _build(env: Any, kind: type[Cancellable], program: list[tuple[int, str]], log: Log) -> None:
    def note(what: str) -> None:
        log.append((env.now, what))

    def process(number: int, delay: int) -> Generator[simpy.Event, None, None]:
        yield env.timeout(delay)
        note(f"process {number}")
        kind(env, delay, note, (f"called by {number}",))
        yield env.timeout(0)
        note(f"process {number} over")

    def chain(number: int, delay: int, left: int) -> None:
        note(f"chain {number} {left}")
        if left:
            kind(env, delay, chain, (number, delay, left - 1))

    for number, (delay, what) in enumerate(program):
        match what:
            case "call":
                kind(env, delay, note, (f"call {number}",))
            case "process":
                env.process(process(number, delay))
            case "cancel":
                victim = kind(env, delay, note, (f"never {number}",))
                kind(env, delay // 2, victim.cancel)
            case "chain":
                kind(env, delay, chain, (number, delay, 3))
            case _:
                again: list[Cancellable] = []

                def twice(number: int = number, delay: int = delay, again: list[Cancellable] = again) -> None:
                    note(f"first {number}")
                    again[0].again(delay, lambda: note(f"again {number}"))

                again.append(kind(env, delay, twice))


@given(_PROGRAM, _STOPS)
def test_the_order_and_the_times_are_simpys(program: list[tuple[int, str]], stops: list[int]) -> None:
    """Calls, processes, cancelled and repeated calls, in one go or in pieces that end anywhere."""
    expected: Log = []
    bare = simpy.Environment(initial_time=0)
    _build(bare, Cancellable, program, expected)
    got: Log = []
    ours = VirtualEnvironment()
    _build(ours, Call, program, got)
    for stop in stops:
        bare.run(until=stop)
        ours.advance(stop)
        assert got == expected
        assert ours.now == bare.now == stop
    bare.run()
    ours.advance(None)
    assert got == expected
    assert all(before[0] <= after[0] for before, after in pairwise(got))


def test_what_is_due_at_the_end_itself_waits() -> None:
    """As with simpy's ``run(until=...)``: whoever goes on finds it."""
    env = VirtualEnvironment()
    heard: list[int] = []
    Call(env, 5, heard.append, (5,))
    env.advance(5)
    assert (heard, env.now) == ([], 5)
    env.advance(6)
    assert (heard, env.now) == ([5], 6)


def test_simpy_itself_can_step_through_calls() -> None:
    """The end of a run uses SimPy's own steps; a call that was stepped through can be asked for again."""
    env = VirtualEnvironment()
    heard: list[int] = []
    call = Call(env, 5, heard.append, (1,))
    env.step()
    assert (heard, env.now) == ([1], 5)
    call.again(3, lambda: heard.append(2))
    env.step()
    assert (heard, env.now) == ([1, 2], 8)


def test_a_failure_ends_the_run_where_it_happened() -> None:
    """The time stands at the failure, and what comes later is still there."""
    env = VirtualEnvironment()
    heard: list[int] = []

    def fail() -> None:
        raise RuntimeError("a device broke")

    Call(env, 5, fail)
    Call(env, 9, heard.append, (9,))
    with pytest.raises(RuntimeError, match="a device broke"):
        env.advance(20)
    assert env.now == 5
    env.advance(20)
    assert heard == [9]


def test_a_failed_event_that_nobody_took_is_raised() -> None:
    """As SimPy does."""
    env = VirtualEnvironment()
    env.event().fail(ValueError("nobody waits for this"))
    with pytest.raises(ValueError, match="nobody waits"):
        env.advance(None)


def test_nobody_can_wait_for_a_call() -> None:
    """A process that yields one is told so at once, and does not change what other calls do."""
    env = VirtualEnvironment()
    call = Call(env, 5, lambda: None)

    def process() -> Generator[Any, None, None]:
        yield call

    env.process(process())
    with pytest.raises((AttributeError, RuntimeError, TypeError)):
        env.advance(None)
