"""Random hands and random controllers: whatever they do, the invariants of a meter hold."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sim.dispenser import (
    STATE_TABLE,
    DeliveryEnded,
    Dispenser,
    DispenserProfile,
    FlowStarted,
    FpEvent,
    FpState,
    FuellingPoint,
    Nozzle,
    StateChanged,
    Tank,
    amount_fen,
)

pytestmark = pytest.mark.requirement(
    "fd-state.only-listed-transitions",
    "fd-state.no-flow-outside-fuelling",
    "fd-met.totals-equal-sum-of-sales",
)

LEGAL = {
    (rule_.state, rule_.trigger, rule_.target)
    for rules in STATE_TABLE.values()
    for rule_ in rules
    if rule_.state != rule_.target
}


class DispenserWalk(RuleBasedStateMachine):
    @initialize(
        zero_sales=st.sampled_from(["drop", "journal"]),
        starts_open=st.booleans(),
        iron=st.sampled_from(
            [
                {},
                {"nv_write_us": 200},
                {"valve_lag_us": 150_000, "trickle_ml": 30},
                {"price_while_busy": "next", "price_pause_us": 5_000_000},
                {"nv_write_us": 400, "valve_lag_us": 90_000, "price_while_busy": "next", "mmq_ml": 500},
            ]
        ),
    )
    def build(self, zero_sales: str, starts_open: bool, iron: dict[str, object]) -> None:
        self.iron = iron
        self.cuts = 0
        self.tanks = [Tank(1, "92"), Tank(2, "95")]
        profile = DispenserProfile(
            zero_sales=zero_sales,  # type: ignore[arg-type]
            starts_open=starts_open,
            authorisation_ttl_us=20_000_000,
            no_flow_timeout_us=10_000_000,
            **iron,  # type: ignore[arg-type]
        )
        self.dispenser = Dispenser(
            FuellingPoint(
                number,
                [
                    Nozzle(
                        logical=1,
                        nozzle_id=number * 2 - 1,
                        grade="92",
                        tank=self.tanks[0],
                        price_fen_per_l=760,
                    ),
                    Nozzle(
                        logical=2, nozzle_id=number * 2, grade="95", tank=self.tanks[1], price_fen_per_l=812
                    ),
                ],
                profile=profile,
            )
            for number in (1, 2)
        )
        self.now_us = 0
        self.events: list[FpEvent] = []
        self.sales: dict[int, list[DeliveryEnded]] = {1: [], 2: []}
        self.granted = {1: 0, 2: 0}
        self.started = {1: 0, 2: 0}
        self.totals = dict.fromkeys(range(1, 5), (0, 0))
        for point in self.dispenser.fuelling_points.values():
            point.listeners.append(self.listen)

    def listen(self, event: FpEvent) -> None:
        if self.events:
            last = [one for one in self.events if one.fuelling_point == event.fuelling_point]
            assert not last or event.at_us >= last[-1].at_us
        self.events.append(event)
        if isinstance(event, StateChanged):
            assert (event.old, event.trigger, event.new) in LEGAL
            if event.new is FpState.STARTED and event.old is FpState.AUTHORISED:
                self.started[event.fuelling_point] += 1
                assert self.started[event.fuelling_point] <= self.granted[event.fuelling_point]
        elif isinstance(event, FlowStarted):
            assert self.started[event.fuelling_point] >= 1
        elif isinstance(event, DeliveryEnded):
            self.sales[event.fuelling_point].append(event)

    def point(self, number: int) -> FuellingPoint:
        return self.dispenser.fuelling_points[number]

    @rule(by_us=st.one_of(st.integers(0, 500_000), st.integers(0, 30_000_000)))
    def wait(self, by_us: int) -> None:
        self.now_us += by_us

    @rule(by_us=st.integers(0, 30_000_000))
    def wait_served(self, by_us: int) -> None:
        self.now_us += by_us
        self.dispenser.handle_timer(self.now_us)

    @rule(number=st.sampled_from([1, 2]), logical=st.sampled_from([1, 2]))
    def lift(self, number: int, logical: int) -> None:
        self.point(number).lift(logical, self.now_us)

    @rule(number=st.sampled_from([1, 2]), flow=st.integers(1, 60_000))
    def squeeze(self, number: int, flow: int) -> None:
        flowing = self.point(number).squeeze(self.now_us, flow)
        assert not flowing or self.point(number).state in {FpState.STARTED, FpState.FUELLING}

    @rule(number=st.sampled_from([1, 2]))
    def release(self, number: int) -> None:
        self.point(number).release(self.now_us)

    @rule(number=st.sampled_from([1, 2]))
    def hang_up(self, number: int) -> None:
        self.point(number).hang_up(self.now_us)
        assert not self.point(number).allowed_nozzles or self.point(number).nozzle_out is None
        assert not self.point(number).flowing

    @rule(number=st.sampled_from([1, 2]), volume_ml=st.one_of(st.none(), st.integers(0, 20_000)))
    def car_takes(self, number: int, volume_ml: int | None) -> None:
        self.point(number).set_tank_capacity(volume_ml)

    @rule(
        number=st.sampled_from([1, 2]),
        allowed=st.one_of(st.none(), st.sets(st.integers(0, 3))),
        preset=st.sampled_from([{}, {"preset_ml": 1_000}, {"preset_fen": 3_000}, {"preset_fen": 9}]),
    )
    def authorise(self, number: int, allowed: set[int] | None, preset: dict[str, int]) -> None:
        point = self.point(number)
        # Counted before, because the listener hears of the start during the call.
        self.granted[number] += 1
        if not point.authorise(self.now_us, allowed_nozzles=allowed, **preset):
            self.granted[number] -= 1

    @rule(
        number=st.sampled_from([1, 2]),
        preset=st.sampled_from([{}, {"preset_ml": 500}, {"preset_fen": 2_000}]),
    )
    def set_preset(self, number: int, preset: dict[str, int]) -> None:
        self.point(number).set_preset(self.now_us, **preset)

    @rule(
        number=st.sampled_from([1, 2]),
        command=st.sampled_from(["open", "close", "terminate", "suspend", "resume", "reset"]),
    )
    def command(self, number: int, command: str) -> None:
        getattr(self.point(number), command)(self.now_us)

    @rule(number=st.sampled_from([1, 2]), logical=st.integers(0, 3), price=st.integers(-1, 10_001))
    def set_price(self, number: int, logical: int, price: int) -> None:
        self.point(number).set_price(self.now_us, logical, price)

    @precondition(lambda self: len(self.events) > 5)
    @rule()
    def power_dip(self) -> None:
        self.cuts += 1
        self.dispenser.cut_power(self.now_us)
        self.now_us += 1_000
        self.dispenser.restore_power(self.now_us)

    @rule(number=st.sampled_from([1, 2]), role=st.sampled_from(["manager", "cashier"]))
    def emergency(self, number: int, role: str) -> None:
        self.point(number).emergency_stop(self.now_us)
        self.now_us += 100_000
        assert not self.point(number).authorise(self.now_us)
        assert self.point(number).reset_emergency(self.now_us, role) == (role == "manager")
        self.point(number).reset_emergency(self.now_us, "manager")

    @rule(number=st.sampled_from([1, 2]), locked=st.booleans())
    def lock(self, number: int, locked: bool) -> None:
        (self.point(number).lock if locked else self.point(number).unlock)(self.now_us)

    @invariant()
    def meters_totals_tanks_and_records_agree(self) -> None:
        if not hasattr(self, "dispenser"):
            return
        self.dispenser.settle(self.now_us)
        drawn = {1: 0, 2: 0}
        for number, point in self.dispenser.fuelling_points.items():
            sales = [event.delivery for event in self.sales[number]]
            assert list(point.journal) == sales
            assert [sale.sequence for sale in sales] == list(range(1, len(sales) + 1))
            assert point.flowing <= (
                point.state in {FpState.STARTED, FpState.FUELLING} and point.nozzle_out is not None
            )
            for logical, nozzle in point.nozzles.items():
                own = [sale for sale in sales if sale.logical_nozzle == logical]
                assert nozzle.total_volume_ml == sum(sale.volume_ml for sale in own)
                assert nozzle.total_amount_fen == sum(sale.amount_fen for sale in own)
                totals = point.totals(logical, self.now_us)
                # A pulse that was just being written when the power failed had been shown, and is gone.
                lost = self.iron.get("nv_write_us", 0) != 0
                assert totals[0] >= self.totals[nozzle.nozzle_id][0] - 10 * lost
                assert totals[1] >= self.totals[nozzle.nozzle_id][1] - 110 * lost
                self.totals[nozzle.nozzle_id] = totals
                drawn[nozzle.tank.tank_id] += totals[0]
            for sale in sales:
                assert sale.amount_fen == amount_fen(sale.volume_ml, sale.price_fen_per_l)
        for tank in self.tanks:
            # Both points may have a pulse on its way into the memory at each cut.
            most = 2 * self.cuts if "nv_write_us" in self.iron else 0
            assert 0 <= tank.drawn_ml - drawn[tank.tank_id] <= 10 * most


TestDispenserWalk = DispenserWalk.TestCase
TestDispenserWalk.settings = settings(max_examples=40, stateful_step_count=60, deadline=None)
