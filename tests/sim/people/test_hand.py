"""The hand on the real dispenser model, with a controller that authorises what is lifted."""

from __future__ import annotations

from typing import Any

import pytest

from sim.dispenser import FpState, FuellingPoint, Nozzle, Tank
from sim.kernel import VirtualKernel
from sim.people import Delivered, DispenserHand

S = 1_000_000


class Pump:
    """One fuelling point whose timers run on the kernel."""

    def __init__(self, *, authorise_after_us: int | None = 500_000, preset_ml: int | None = None) -> None:
        self.kernel = VirtualKernel("hand", epoch_us=0)
        tank = Tank(1, "92")
        self.point = FuellingPoint(
            1, [Nozzle(logical=1, nozzle_id=7, grade="92", tank=tank, price_fen_per_l=760)]
        )
        self.point.open(0)
        self._timer: Any = None
        self.point.on_change = self.arm
        self.hand = DispenserHand(self.kernel, [self.point], touched=lambda number: self.arm())
        self.authorise_after_us = authorise_after_us
        self.preset_ml = preset_ml
        self.log: list[Any] = []

    def arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        due = self.point.next_timer()
        self._timer = None if due is None else self.kernel.call_at(due, self.fire)

    def fire(self) -> None:
        self.point.handle_timer(self.kernel.now_us)
        self.arm()

    def authorise(self) -> None:
        assert self.point.authorise(self.kernel.now_us, allowed_nozzles={1}, preset_ml=self.preset_ml)

    def visit(self, *, full_ml: int, give_up: bool = False):
        allowed = self.hand.authorised(7)
        assert self.hand.lift(7)
        if self.authorise_after_us is not None:
            self.kernel.call_later(self.authorise_after_us, self.authorise)
        if not give_up:
            yield allowed
            self.log.append(("authorised", self.kernel.now_us))
            yield self.hand.fill(7, flow_ml_per_min=30_000, full_ml=full_ml, wanted_ml=full_ml)
            self.log.append(("stopped", self.kernel.now_us))
        yield self.kernel.env.timeout(5 * S)
        delivered = yield self.hand.hang_up(7)
        self.log.append(delivered)

    def close(self) -> None:
        self.kernel.close()

    def run(self, **how: Any) -> list[Any]:
        self.kernel.process(self.visit(**how))
        self.kernel.run(600 * S)
        return self.log


@pytest.fixture
def make():
    pumps: list[Pump] = []

    def build(**how: Any) -> Pump:
        pumps.append(Pump(**how))
        return pumps[-1]

    yield build
    for pump in pumps:
        pump.close()


def test_a_full_tank_stops_the_flow_and_the_driver_reads_the_sale(make) -> None:
    pump = make()
    authorised, stopped, delivered = pump.run(full_ml=20_000)
    assert authorised == ("authorised", 500_000)
    assert 40 * S < stopped[1] < 50 * S
    assert delivered == Delivered(nozzle=7, sequence=1, volume_ml=20_000, amount_fen=15_200)
    assert pump.point.state is FpState.IDLE


def test_a_preset_stops_the_flow_before_the_tank_is_full(make) -> None:
    pump = make(preset_ml=10_000)
    _, _, delivered = pump.run(full_ml=60_000)
    assert delivered.volume_ml == 10_000


def test_once_it_has_stopped_nobody_squeezes_any_more(make) -> None:
    pump = make(preset_ml=10_000)
    # The mains fail for a second while the full tank's nozzle is still out, and the controller authorises it anew.
    pump.kernel.call_later(28 * S, lambda: pump.point.fail(pump.kernel.now_us, "power-failure"))
    pump.kernel.call_later(29 * S, lambda: pump.point.recover(pump.kernel.now_us))
    pump.kernel.call_later(29 * S + 1, pump.authorise)
    pump.run(full_ml=60_000)
    _, stopped_us = pump.log[1]
    assert stopped_us < 28 * S < 30 * S < stopped_us + 5 * S, "it has stopped, and is not hung up yet"
    assert [record.volume_ml for record in pump.point.journal if record.volume_ml] == [10_000]


def test_a_driver_who_never_gets_fuel_hangs_up_with_nothing(make) -> None:
    assert make(authorise_after_us=None).run(full_ml=1_000, give_up=True) == [None]


def test_an_emergency_stop_ends_the_wait(make) -> None:
    pump = make()
    pump.kernel.call_later(20 * S, lambda: pump.point.terminate(pump.kernel.now_us))
    _, stopped, delivered = pump.run(full_ml=50_000)
    assert 20 * S <= stopped[1] < 22 * S
    assert 0 < delivered.volume_ml < 50_000
    assert delivered == pump.log[-1]


def test_two_visits_in_a_row_do_not_mix(make) -> None:
    pump = make()
    pump.run(full_ml=20_000)
    pump.kernel.process(pump.visit(full_ml=10_000))
    pump.kernel.run(1_200 * S)
    first, second = pump.log[2], pump.log[5]
    assert (first.sequence, second.sequence) == (1, 2)
    assert second.volume_ml == 10_000


def test_the_price_is_the_pump_s(make) -> None:
    assert make().hand.price_fen_per_l(7) == 760
    with pytest.raises(KeyError):
        make().hand.lift(8)


def test_deliveries_go_by_the_count_of_their_nozzle_not_of_the_fuelling_point(make) -> None:
    pump = make()
    pump.point.nozzles[1].count = 4  # the nozzle's count and the fuelling point's sequence are two things
    delivered = pump.run(full_ml=10_000)[-1]
    assert delivered.sequence == 5
    assert pump.point.journal[-1].sequence == 1
