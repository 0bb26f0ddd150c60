"""A car walks through its steps; each is told in the trace, and lasts as long as the plan says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sim.people import (
    Car,
    CarPlan,
    PlainHand,
    PlainPhone,
    PlainTill,
    PlainWorld,
    Position,
    StationFloor,
)

S = 1_000_000
PLAN = CarPlan(
    number=1, grade="92", full_ml=30_000, preset_fen=None, preset_ml=None, flow_ml_per_min=30_000, pay_by="card",
    prepaid=False, invoice=None, balk_us=120 * S, renege_us=None, approach_us=20 * S, prepare_us=22 * S,
    hang_up_us=12 * S, drive_off_us=15 * S, walk_in_us=30 * S, walk_back_us=25 * S, cashier_us=28 * S, phone_pay_us=8 * S,
)  # fmt: skip


class Yard:
    def __init__(self, *, positions: int = 1, cashiers: int = 1) -> None:
        self.world = PlainWorld("t")
        self.events: list[dict[str, Any]] = []
        self.world.trace.listen(self.events.append)
        spots = [Position(n, {"92": n}) for n in range(1, positions + 1)]
        self.floor = StationFloor(self.world.env, spots, cashiers=cashiers)
        self.hand: Any = PlainHand(self.world.env, dict.fromkeys(range(1, positions + 1), 760))
        self.phone: Any = PlainPhone(self.world.env)
        self.till: Any = PlainTill(self.world.env)

    def send(self, plan: CarPlan) -> Any:
        car = Car(self.world, self.floor, plan, hand=self.hand, phone=self.phone, till=self.till)
        return self.world.env.process(car.run())

    def steps(self, number: int = 1) -> list[tuple[str, float]]:
        return [(e["kind"][4:], e["t_us"] / S) for e in self.events if e["entity"] == f"car/{number}"]


def test_a_kiosk_visit_step_by_step() -> None:
    yard = Yard()
    process = yard.send(PLAN)
    yard.world.env.run()
    assert process.value == "paid"
    assert yard.steps() == [
        ("arrived", 0), ("position", 0), ("parked", 20), ("lifted", 42), ("authorised", 42), ("filled", 102),
        ("hung_up", 108), ("capped", 114), ("pay_started", 114), ("till_queue", 144), ("till", 144), ("till_done", 172),
        ("pay_ended", 197), ("left", 212),
    ]  # fmt: skip
    hung_up = next(e for e in yard.events if e["kind"] == "car.hung_up")
    assert (hung_up["volume_ml"], hung_up["amount_fen"]) == (30_000, 22_800)


def test_a_phone_visit_does_not_walk() -> None:
    yard = Yard(cashiers=0)
    yard.send(replace(PLAN, pay_by="scan_after"))
    yard.world.env.run()
    assert yard.steps()[-3:] == [("pay_started", 114), ("pay_ended", 122), ("left", 137)]


def test_a_pre_paid_visit_pays_before_the_nozzle_is_lifted() -> None:
    yard = Yard()
    yard.send(replace(PLAN, pay_by="order_first", prepaid=True, preset_fen=7_600))
    yard.world.env.run()
    names = [name for name, _ in yard.steps()]
    assert names.index("pay_ended") < names.index("lifted")
    assert names.count("pay_started") == 1
    hung_up = next(e for e in yard.events if e["kind"] == "car.hung_up")
    assert hung_up["volume_ml"] == 10_000


def test_a_driver_does_not_join_a_queue_that_looks_too_long() -> None:
    yard = Yard()
    yard.send(PLAN)
    second = yard.send(replace(PLAN, number=2, balk_us=1 * S))
    yard.world.env.run()
    assert second.value == "balked"
    assert [name for name, _ in yard.steps(2)] == ["arrived", "balked"]


def test_a_driver_gives_up_waiting() -> None:
    yard = Yard()
    yard.send(PLAN)
    second = yard.send(replace(PLAN, number=2, balk_us=10_000 * S, renege_us=100 * S))
    third = yard.send(replace(PLAN, number=3, balk_us=10_000 * S))
    yard.world.env.run()
    assert second.value == "reneged"
    assert yard.steps(2) == [("arrived", 0), ("queued", 0), ("reneged", 100)]
    assert third.value == "paid"
    assert dict(yard.steps(3))["position"] == 212


def test_the_till_serves_first_come_first_served() -> None:
    yard = Yard(positions=2)
    yard.send(PLAN)
    yard.send(replace(PLAN, number=2, walk_in_us=31 * S))
    yard.world.env.run()
    assert dict(yard.steps(1))["till"] == 144
    assert dict(yard.steps(2))["till_queue"] == 145
    assert dict(yard.steps(2))["till"] == 172


def test_a_pump_that_never_gives_fuel_is_left() -> None:
    yard = Yard()
    yard.hand.authorised = lambda nozzle: yard.world.env.event()
    given_up: list[tuple[int, float]] = []
    yard.phone.give_up = lambda plan: given_up.append((plan.number, yard.world.env.now / S))
    process = yard.send(PLAN)
    yard.world.env.run()
    assert process.value == "refused"
    assert given_up == [(1, 132)]  # at the pump, before the next car can stand there
    assert yard.floor.occupied == 0


def test_an_order_that_is_refused_ends_the_visit() -> None:
    yard = Yard()
    yard.phone.order = lambda plan, who, nozzle: yard.world.env.timeout(0, False)
    process = yard.send(replace(PLAN, pay_by="order_first"))
    yard.world.env.run()
    assert process.value == "refused"
    assert "lifted" not in dict(yard.steps())


@pytest.mark.parametrize(("cashiers", "outcome"), [(1, "paid"), (0, "unpaid")])
def test_a_driver_whose_phone_fails_pays_inside(cashiers: int, outcome: str) -> None:
    yard = Yard(cashiers=cashiers)
    yard.phone.pay = lambda plan, who, nozzle, delivered: yard.world.env.timeout(5 * S, False)
    process = yard.send(replace(PLAN, pay_by="scan_after"))
    yard.world.env.run()
    assert process.value == outcome
    where = [event["where"] for event in yard.events if event["kind"] == "car.pay_started"]
    assert where == ["phone", "kiosk"][: 1 + cashiers]


@pytest.mark.parametrize(
    ("answers", "outcome", "turns"), [([False, True], "paid", 2), ([False] * 9, "unpaid", 3)]
)
def test_a_driver_whose_sale_is_not_there_yet_stands_in_line_again_and_not_for_ever(
    answers: list[bool], outcome: str, turns: int
) -> None:
    yard = Yard()
    left = list(answers)
    yard.till.settle = lambda plan, who, nozzle, delivered: yard.world.env.timeout(S, left.pop(0))
    process = yard.send(PLAN)
    yard.world.env.run()
    assert process.value == outcome
    assert len(answers) - len(left) == turns


@pytest.mark.parametrize(("field", "value"), [("preset_ml", 20_000), ("preset_fen", 15_200)])
def test_a_driver_without_an_order_keeps_to_the_round_figure_by_hand(field: str, value: int) -> None:
    yard = Yard()
    yard.send(replace(PLAN, **{field: value}))
    yard.world.env.run()
    assert next(e for e in yard.events if e["kind"] == "car.hung_up")["volume_ml"] == 20_000
