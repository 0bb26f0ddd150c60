"""The DART driver when the link is lost, and when it is started anew."""

from __future__ import annotations

import random

import pytest

from protocols.dart import FilledReport, PumpStatus
from reference.site.pumps.events import (
    LineDown,
    LineUp,
    LiveAmount,
    PointState,
)

from .dart_rig import Rig


@pytest.mark.requirement("fd-link.offline-after-k-missed-polls", "fd-link.failure-counter-resets")
@pytest.mark.parametrize("flaps", [1, 20])
def test_offline_after_exactly_k_missed_polls_each_time(fake, flaps):
    rig = Rig(fake, missed_polls_offline=5)
    rig.run(5)
    for flap in range(flaps):
        rig.line.drop_polls = 4
        rig.run(3)
        assert len(rig.of(LineDown)) == flap, "four lost polls are not off-line"
        rig.line.drop_polls = 5
        before_us = rig.line.now_us
        rig.run(5)
        downs = rig.of(LineDown)
        assert len(downs) == flap + 1
        # five polls, one period apart, and the patience with the fifth
        assert 4 * 250_000 <= downs[-1].at_us - before_us <= 5 * 250_000 + 60_000
        assert len(rig.of(LineUp)) == flap + 2


@pytest.mark.requirement("fd-link.reads-before-commands-after-recovery")
def test_after_a_lost_link_the_first_frames_read(fake):
    rig = Rig(fake)
    rig.run(5)
    rig.fill(1000)
    rig.line.cut = True
    rig.run(5)
    rig.pump.commands.clear()
    rig.line.cut = False
    rig.pump.lift()
    rig.run(5)
    first_command = next(
        i for i, c in enumerate(rig.pump.commands) if c in ("RESET", "CD2", "AUTHORISE", "CD5")
    )
    reads = rig.pump.commands[:first_command]
    assert reads[0] == "RETURN_STATUS"
    assert "RETURN_FILLING" in reads
    assert reads.count("CD101") == 4, "both totals of both nozzles"
    assert len(rig.sales()) == 1


@pytest.mark.requirement(
    "fd-link.reads-before-commands-after-recovery", "fc-sale.one-delivery-one-ledger-sale"
)
def test_a_sale_that_ends_while_the_link_is_lost_is_captured_once(fake):
    rig = Rig(fake)
    rig.run(5)
    rig.pump.lift()
    rig.run(4)
    rig.pump.flow(500)
    rig.run(1)
    rig.line.cut = True
    rig.pump.flow(700)
    rig.pump.hang_up()
    rig.run(8)
    assert rig.driver.status(1).state is PointState.OFFLINE
    rig.line.cut = False
    rig.run(8)
    assert rig.sales() == [(11, 12_000, 9_000, ("recovered",))]
    rig.fill(300)
    assert [s[1] for s in rig.sales()] == [12_000, 3_000]


@pytest.mark.requirement("fd-met.live-values-grow-and-end-at-sale")
def test_figures_never_fall_while_the_link_is_lost_and_read_again(fake):
    rig = Rig(fake)
    rig.run(5)
    rig.pump.lift()
    rig.run(4)
    shown = []

    def watch(seconds):
        for _ in range(10 * seconds):
            rig.run(0.1)
            status = rig.driver.status(1)
            shown.append((status.delivering, status.volume_ml))

    rig.pump.flow(500)
    watch(2)
    rig.line.cut = True
    rig.pump.flow(300)
    watch(6)
    assert rig.driver.status(1).state is PointState.OFFLINE
    rig.line.cut = False
    watch(6)  # read before command: for a while nothing but the status is known
    rig.pump.flow(200)
    watch(2)
    begun = [one for one in shown if one[0] is not None]
    assert shown[-len(begun) :] == begun, "a delivery that has begun stays one"
    assert {nozzle for nozzle, _ in begun} == {11}
    assert [volume_ml for _, volume_ml in begun] == sorted(volume_ml for _, volume_ml in begun)
    assert begun[-1] == (11, 10_000)


@pytest.mark.requirement("fd-met.live-values-grow-and-end-at-sale")
def test_a_smaller_figure_of_the_same_delivery_is_not_shown_and_the_next_one_starts_from_nothing(fake):
    rig = Rig(fake)
    rig.run(5)
    rig.pump.lift()
    rig.run(4)
    rig.pump.flow(500)
    rig.run(1)
    rig.pump.report(FilledReport(volume_units=499, amount_units=3742))  # an old block, told once more
    rig.run(1)
    assert rig.driver.status(1).volume_ml == 5_000
    assert [event.volume_ml for event in rig.of(LiveAmount)] == [5_000]
    rig.pump.hang_up()
    rig.run(4)
    assert rig.driver.status(1).volume_ml == 0
    rig.pump.lift()
    rig.run(4)
    rig.pump.flow(30)
    rig.run(1)
    assert (rig.driver.status(1).delivering, rig.driver.status(1).volume_ml) == (11, 300)
    assert [sale[1] for sale in rig.sales()] == [5_000]


@pytest.mark.requirement("fd-pwr.partial-sale-is-reconstructed")
def test_a_delivery_that_was_never_seen_is_reconstructed_from_the_totaliser(fake):
    rig = Rig(fake)
    rig.run(5)
    rig.line.cut = True
    rig.run(5)
    # Two deliveries by other means while nobody listened: only the second is on the display.
    rig.pump.count(1500, 11_250)
    rig.pump.count(400, 3_000)
    rig.pump.volume, rig.pump.amount = 400, 3_000
    rig.line.cut = False
    rig.run(12)
    assert rig.sales() == [
        (11, 15_000, 11_250, ("reconstructed", "recovered")),
        (11, 4_000, 3_000, ("recovered",)),
    ]
    rig.run(5)
    assert len(rig.sales()) == 2


def test_a_delivery_found_running_at_a_restart_is_adopted(fake):
    rig = Rig(fake)
    rig.run(5)
    rig.pump.lift()
    rig.run(4)
    rig.pump.flow(800)
    rig.run(1)
    again = Rig(fake, memory=rig.memory, pumps=rig.pumps)
    again.run(3)
    assert again.driver.status(1).state is PointState.FUELLING
    again.pump.flow(200)
    again.pump.hang_up()
    again.run(5)
    assert again.sales() == [(11, 10_000, 7_500, ())]
    # without any memory (a new controller) the running delivery is still one sale
    rig.pump.lift()
    again.run(4)
    again.pump.flow(100)
    fresh = Rig(fake, pumps=rig.pumps)
    fresh.run(3)
    fresh.pump.hang_up()
    fresh.run(5)
    assert fresh.sales() == [(11, 1_000, 750, ("adopted",))]


def test_restarts_at_any_moment_capture_each_delivery_once(fake):
    rng = random.Random("restarts")
    memory, sold = {}, []
    pump = fake.Pump()
    rig = Rig(fake, memory=memory, pumps=[pump])
    rig.run(5)
    for _ in range(40):
        pulses = rng.randrange(100, 5000)
        steps = [
            lambda: pump.lift(rng.choice((1, 2))),
            lambda pulses=pulses: pump.flow(pulses),
            pump.hang_up,
        ]
        for step in steps:
            while (
                step is not pump.hang_up
                and step is not steps[0]
                and pump.status
                not in (
                    PumpStatus.AUTHORISED,
                    PumpStatus.FILLING,
                )
            ):
                rig.run(0.5)
            step()
            rig.run(rng.uniform(0, 3))
            if rng.random() < 0.5:
                sold += rig.sales()
                rig = Rig(fake, memory=memory, pumps=[pump])
                pump.side.restart()
        rig.run(8)
    sold += rig.sales()
    assert [(nozzle - 10, ml // 10, fen) for nozzle, ml, fen, _ in sold] == pump.truth
    assert len(pump.truth) == 40
