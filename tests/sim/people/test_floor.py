from __future__ import annotations

import math
import random

import pytest
import simpy

from sim.people import Position, StationFloor


def erlang_c_wait(arrivals_per_s: float, mean_service_s: float, servers: int) -> float:
    """Mean wait in the queue of M/M/c (Erlang 1917)."""
    load = arrivals_per_s * mean_service_s
    below = sum(load**k / math.factorial(k) for k in range(servers))
    full = load**servers / math.factorial(servers) * servers / (servers - load)
    return full / (below + full) * mean_service_s / (servers - load)


@pytest.mark.parametrize(("servers", "load"), [(1, 0.6), (2, 1.6), (4, 3.2)])
@pytest.mark.parametrize("what", ["positions", "cashiers"])
def test_waiting_times_agree_with_erlang_c(servers: int, load: float, what: str) -> None:
    env = simpy.Environment(initial_time=0)
    rng = random.Random(f"erlang/{what}/{servers}")
    floor = StationFloor(env, [Position(n, {"92": n}) for n in range(1, servers + 1)], cashiers=servers)
    mean_us = 60_000_000
    waits: list[int] = []

    def car():
        came = env.now
        service_us = round(rng.expovariate(1 / mean_us))
        if what == "positions":
            ticket = floor.enter("92")
            yield ticket.granted
            waits.append(env.now - came)
            yield env.timeout(service_us)
            floor.leave(ticket, occupied_us=service_us)
        else:
            with floor.cashiers.request() as turn:
                yield turn
                waits.append(env.now - came)
                yield env.timeout(service_us)

    def street():
        for _ in range(40_000):
            yield env.timeout(round(rng.expovariate(load / mean_us)))
            env.process(car())

    env.process(street())
    env.run()
    assert len(waits) == 40_000
    expected_us = erlang_c_wait(load / mean_us * 1e6, mean_us / 1e6, servers) * 1e6
    assert sum(waits[2_000:]) / len(waits[2_000:]) == pytest.approx(expected_us, rel=0.12)
    assert all(isinstance(wait, int) for wait in waits)


def floor_of(*grades: set[str], cashiers: int = 1) -> tuple[simpy.Environment, StationFloor]:
    env = simpy.Environment(initial_time=0)
    spots = [
        Position(n, {grade: n * 10 + i for i, grade in enumerate(sorted(have))})
        for n, have in enumerate(grades, 1)
    ]
    return env, StationFloor(env, spots, cashiers=cashiers)


def test_a_car_gets_a_position_that_has_its_grade() -> None:
    _, floor = floor_of({"92"}, {"92", "diesel"})
    ticket = floor.enter("diesel")
    assert ticket.position is not None
    assert ticket.position.fuelling_point == 2
    assert floor.enter("diesel").position is None


def test_common_grades_leave_the_rare_ones_free() -> None:
    _, floor = floor_of({"92", "98"}, {"92", "95"}, {"92", "95"})
    first = floor.enter("92")
    assert first.position is not None
    assert first.position.fuelling_point == 2


def test_first_come_first_served_among_those_who_can_be_served() -> None:
    env, floor = floor_of({"92"}, {"diesel"})
    holder, diesel = floor.enter("92"), floor.enter("diesel")
    waits_diesel, waits_92, later_92 = floor.enter("diesel"), floor.enter("92"), floor.enter("92")
    assert floor.queue_length == 3
    floor.leave(holder, occupied_us=1)
    assert waits_92.position is not None
    assert waits_diesel.position is None
    assert later_92.position is None
    floor.leave(diesel, occupied_us=1)
    assert waits_diesel.position is not None
    assert floor.occupied == 2
    env.run()


def test_giving_up_leaves_the_queue_and_a_granted_place_must_be_released() -> None:
    _, floor = floor_of({"92"})
    holder, waiting = floor.enter("92"), floor.enter("92")
    assert floor.give_up(waiting)
    assert floor.queue_length == 0
    assert not floor.give_up(holder)
    floor.leave(holder, occupied_us=1)
    with pytest.raises(ValueError, match="does not stand"):
        floor.leave(holder, occupied_us=1)


def test_expected_wait_grows_with_the_queue_and_learns_from_what_is_seen() -> None:
    _, floor = floor_of({"92"}, {"92"})
    assert floor.expected_wait_us("92") == 0
    tickets = [floor.enter("92"), floor.enter("92")]
    alone = floor.expected_wait_us("92")
    floor.enter("92")
    assert floor.expected_wait_us("92") == 2 * alone
    floor.leave(tickets[0], occupied_us=2 * 240_000_000)
    assert floor.expected_wait_us("92") > alone


def test_a_grade_nobody_has_is_an_error() -> None:
    _, floor = floor_of({"92"})
    with pytest.raises(ValueError, match="no position of this station has grade 98"):
        floor.enter("98")


def test_a_reserved_position_goes_to_staff_before_all_who_wait() -> None:
    env, floor = floor_of({"92"})
    first, second = floor.enter("92"), floor.enter("92")
    staff = [floor.reserve(1), floor.reserve(1)]
    assert [ticket.position for ticket in staff] == [None, None]
    before_us = floor.expected_wait_us("92")
    floor.leave(first, occupied_us=240_000_000)
    assert staff[0].granted.triggered
    floor.hand_back(staff[0])
    assert staff[1].granted.triggered
    assert second.position is None
    floor.hand_back(staff[1])
    assert second.position is not None
    assert floor.expected_wait_us("92") <= before_us, "drivers do not learn their stops from staff"
    env.run()


def test_a_free_position_is_reserved_at_once_and_an_unknown_one_is_an_error() -> None:
    _, floor = floor_of({"92"}, {"95"})
    assert floor.reserve(2).position is not None
    assert floor.enter("95").position is None
    with pytest.raises(ValueError, match="no position 3"):
        floor.reserve(3)
