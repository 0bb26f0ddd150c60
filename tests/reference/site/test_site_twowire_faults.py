"""The Two-Wire driver through cut lines, crashes, power cuts and storms of faults."""

from __future__ import annotations

import random

import pytest

from protocols.twowire import Quirks
from reference.site.pumps.events import (
    LineDown,
    LineUp,
    PointState,
    SaleCaptured,
)
from sim.dispenser import TwoWireQuirks

from .twowire_rig import Rig, S, busy_line

# -- faults ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("fd-link.offline-after-k-missed-polls")
def test_a_cut_line_is_off_line_and_what_happened_meanwhile_is_sold():
    rig = Rig(faults=[{"kind": "down", "at_us": 20 * S, "for_us": 40 * S}])
    rig.run(5)
    rig.fill(25, nozzle=2)  # the line is cut in the middle of it
    rig.run(20)
    assert rig.of(LineDown)
    assert rig.driver.status(1).state is PointState.OFFLINE
    rig.run(60)
    rig.assert_all_sold()
    (sale,) = rig.of(SaleCaptured)
    assert sale.flags == ("recovered",)
    assert len(rig.of(LineUp)) == 2


def test_several_deliveries_behind_the_controllers_back_are_found_by_the_totals():
    rig = Rig(faults=[{"kind": "down", "at_us": 10 * S, "for_us": 90 * S}])
    rig.run(12)
    point = rig.points[0]
    for number in range(2):
        # The attendant authorises at the pump itself.
        rig.at(30 * number, point.authorise)
        rig.at(30 * number + 1, point.lift, 1)
        rig.at(30 * number + 2, lambda now_us: point.squeeze(now_us, 30_000))
        rig.at(30 * number + 17, point.hang_up)
    rig.run(110)
    sold = [(sale.volume_ml, sale.flags) for sale in rig.of(SaleCaptured)]
    first, last = point.journal
    assert sold == [(first.volume_ml, ("reconstructed", "recovered")), (last.volume_ml, ("recovered",))]
    assert sum(sale.amount_fen for sale in rig.of(SaleCaptured)) == first.amount_fen + last.amount_fen


@pytest.mark.requirement("fd-pwr.running-delivery-is-adopted")
def test_a_running_delivery_is_adopted_and_sold_once():
    rig = Rig()
    rig.run(6)
    rig.fill(30, nozzle=2)
    rig.at(15, rig.kill_site)
    rig.run(20)
    assert rig.driver.status(1).state is PointState.FUELLING
    assert rig.driver.status(1).delivering == 12
    before = rig.driver.status(1).amount_fen
    assert before > 0
    rig.run(1)
    assert rig.driver.status(1).amount_fen > before
    rig.run(40)
    rig.assert_all_sold()


@pytest.mark.requirement("fc-sale.one-delivery-one-ledger-sale")
def test_a_controller_killed_at_any_moment_of_the_capture_sells_once():
    """From the hang-up on, every 60 ms: before, between and after the readings that let the pump forget."""
    for step in range(40):
        rig = Rig(nozzles=1, seed=f"kill/{step}")
        rig.run(5)
        rig.fill(6)
        rig.at(9.9 + 0.06 * step, rig.kill_site)
        rig.run(25)
        rig.assert_all_sold()
        assert len(rig.sales()) == 1, step
        rig.kernel.close()


def test_a_sale_that_could_not_be_stored_is_offered_again():
    rig = Rig()
    rig.refuse_to_store = 3
    rig.run(5)
    rig.fill(12)
    rig.run(40)
    assert rig.refuse_to_store == 0
    rig.assert_all_sold()


@pytest.mark.requirement("fd-pwr.interrupted-sale-uploads-once-flagged")
def test_a_power_cut_in_the_middle_of_a_delivery():
    rig = Rig()
    rig.run(5)
    rig.fill(30)
    rig.at(14, rig.dispenser.cut_power)
    rig.at(20, rig.dispenser.restore_power)
    rig.run(60)
    rig.assert_all_sold()
    assert rig.points[0].journal[0].flags == ("power-failure",)
    assert len(rig.sales()) == 1


FAULTS = {
    "drop": {"kind": "drop", "probability": 0.1},
    "flip": {"kind": "flip", "probability": 0.03},
    "cut": {"kind": "cut", "probability": 0.1},
    "duplicate": {"kind": "duplicate", "probability": 0.1, "delay_us": 2_000},
    "noise": {"kind": "noise", "every_us": 400_000, "noise_bytes": 3},
}


@pytest.mark.requirement("fd-link.failure-counter-resets")
@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("seed", ["a", "b"])
def test_line_faults_neither_lose_nor_double_a_sale(kind, seed):
    fault = {"at_us": 8 * S, "for_us": 122 * S, **FAULTS[kind]}
    rig = Rig(4, faults=[fault], seed=seed)
    busy_line(rig, 4)
    rig.run(30)
    assert rig.bus.faults[0].landed > 20
    made = (
        sum(d.volume_ml for p in rig.points for d in p.journal),
        sum(d.amount_fen for p in rig.points for d in p.journal),
    )
    sold = sum(s.volume_ml for s in rig.of(SaleCaptured)), sum(s.amount_fen for s in rig.of(SaleCaptured))
    assert sold == made
    rig.assert_all_sold()


def storm(seed: str) -> Rig:
    """Four pumps, a dozen sales, every kind of fault now and then, a controller that is killed, power that fails."""
    rng = random.Random(f"storm/{seed}")
    faults = []
    for number, kind in enumerate(FAULTS):
        at_us = rng.randrange(8, 100) * S
        faults.append(
            {"name": f"{kind}-{number}", "at_us": at_us, "for_us": rng.randrange(5, 40) * S, **FAULTS[kind]}
        )
    faults.append({"kind": "down", "at_us": rng.randrange(10, 120) * S, "for_us": rng.randrange(1, 12) * S})
    quirks = TwoWireQuirks(
        lagging_totals_us=rng.choice([0, 0, 1_500_000]), line=Quirks(unanswered_polls=rng.choice([0, 0, 1]))
    )
    rig = Rig(4, faults=faults, seed=seed, quirks=quirks)
    rig.preset_fen = rng.choice([None, 6_000])
    for _ in range(rng.randrange(4)):
        rig.at(rng.uniform(8, 150), rig.kill_site)
    busy_line(rig, 4)
    rig.run(60)
    return rig


def assert_storm_is_weathered(seed: str) -> None:
    rig = storm(seed)
    made = [d for point in rig.points for d in point.journal]
    assert made
    for what in ("volume_ml", "amount_fen"):
        sold = sum(getattr(sale, what) for sale in rig.of(SaleCaptured))
        assert sold == sum(getattr(delivery, what) for delivery in made), what
    rig.assert_all_sold()
    rig.kernel.close()


# In the last one 90 ml flow between two statuses that are believed, CALL and PEOT.
@pytest.mark.parametrize("seed", [0, 1, 2, 3, 115])
def test_a_storm_neither_loses_nor_doubles_a_sale(seed):
    assert_storm_is_weathered(str(seed))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_hundred_storms():
    for seed in range(100, 300):
        assert_storm_is_weathered(str(seed))
