"""A pump whose clock is wrong: its own time is kept beside the site's, and a person is told."""

from __future__ import annotations

import pytest

from reference.site.controller import SKEW_MOST_US
from reference.site.pumps.events import SaleCaptured
from reference.site.pumps.witness import Witness

from .aaff_rig import EPOCH_US, Rig, S
from .site_world import EPOCH_US as EPOCH_US_OF_WORLD
from .site_world import World


def sell(rig: Rig, seconds: int = 20) -> None:
    rig.point.lift(1, rig.now_us)
    rig.run(3)
    rig.point.squeeze(rig.now_us, 30_000)
    rig.run(seconds)
    rig.point.hang_up(rig.now_us)
    rig.run(5)


@pytest.mark.requirement("clk.skew-alarms")
@pytest.mark.parametrize("off_s", [-600, -10, -5, -1, 0, 1, 5, 10, 600])
def test_how_far_the_pumps_clock_is_off(off_s: int) -> None:
    rig = Rig(master={"clock_us": lambda: EPOCH_US - off_s * S + rig.now_us})
    rig.run(2)
    sell(rig)
    (sale,) = rig.journal
    ended_us = EPOCH_US + rig.point.journal[-1].ended_us
    assert sale.pump_ended_us == ended_us // S * S, "its own clock, in whole seconds"
    if abs(off_s) <= 1:
        assert abs(sale.skew_us) <= SKEW_MOST_US
    else:
        assert abs(sale.skew_us) > SKEW_MOST_US
        assert (sale.skew_us > 0) is (off_s > 0)
        assert abs(sale.skew_us - off_s * S) < 4 * S


@pytest.mark.requirement("clk.skew-alarms")
@pytest.mark.parametrize(("skew_us", "told"), [(0, 0), (2 * S, 0), (-3 * S, 1), (601 * S, 1)])
def test_the_controller_flags_the_sale_tells_a_person_and_keeps_both_times(skew_us: int, told: int) -> None:
    world = World(protocol="dart")
    world.run(2)
    now_us = world.kernel.now_us
    pump_us = world.kernel.unix_us + skew_us
    world.site.drivers[0].listener(
        SaleCaptured(
            fuelling_point=1, nozzle=1, volume_ml=10_000, amount_fen=7_500, price_fen_per_l=750, end_total_volume_ml=10_000,
            end_total_amount_fen=7_500, started_us=now_us - S, ended_us=now_us, flags=("recovered",),
            witness=Witness(10_000, 7_500), at_us=now_us, pump_ended_us=pump_us, skew_us=skew_us,
        )
    )  # fmt: skip
    world.run(2)
    (sale,) = world.backend.sales.values()
    assert (sale["pump_ended_us"], sale["ended_us"]) == (pump_us, EPOCH_US_OF_WORLD + now_us)
    assert sale["flags"] == ["recovered", *(["clock_skew"] * told)]
    assert sum("the clock of fuelling point 1 is" in text for text in world.site.alarms) == told
    world.close()
