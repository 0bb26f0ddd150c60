"""A Two-Wire delivery that begins and ends between two statuses the driver believes is sold, once, to whoever asked for it."""

from __future__ import annotations

import pytest

from reference.site.pumps.events import Authorised, AuthoriseRefused, DeliveryVoid, SaleCaptured
from sim.dispenser import TwoWireQuirks

from .twowire_rig import Rig, S


def a_litre_unheard(deaf_from_s: float, *, lagging_us: int, device_is_deaf: bool = False) -> Rig:
    """Lifted at 5 s, fuel from 6.5 to 8.5 s; what the pump says is lost from some time on until 9.5 s, too short for a lost link."""
    deaf = {"kind": "drop", "at_us": round(deaf_from_s * S), "for_us": round((9.5 - deaf_from_s) * S)}
    rig = Rig(
        nozzles=1,
        seed=f"unheard/{deaf_from_s}",
        faults=[deaf | ({"sender": "site"} if device_is_deaf else {"sender": "pumps"})],
        quirks=TwoWireQuirks(lagging_totals_us=lagging_us),
        missed_polls_offline=10,
        period_us=500_000,
    )
    rig.run(5)
    rig.fill(2, wait=1.5)
    rig.run(40)
    return rig


@pytest.mark.requirement("fc-sale.one-delivery-one-ledger-sale")
@pytest.mark.parametrize("lagging_us", [0, 1_500_000])
def test_fuel_that_flowed_while_nobody_heard_is_sold_to_whoever_asked(lagging_us):
    unseen = 0
    for step in (*range(16), *range(16, 240, 16)):
        rig = a_litre_unheard(5.0 + 0.02 * step, lagging_us=lagging_us)
        made = [d for d in rig.points[0].journal if d.volume_ml]
        rig.assert_all_sold()
        assert len(rig.of(Authorised)) == len(made), step
        assert rig.of(DeliveryVoid) == [], step
        if made:
            assert rig.of(AuthoriseRefused) == [], step
            unseen += rig.of(Authorised)[0].at_us > 9.5 * S
            assert rig.of(SaleCaptured)[0].volume_ml == made[0].volume_ml
        rig.kernel.close()
    assert unseen > 3, "cases in which neither authorisation nor flow was heard"


def test_a_pump_that_heard_nothing_sells_nothing():
    for step in range(24):
        rig = a_litre_unheard(5.0 + 0.05 * step, lagging_us=0, device_is_deaf=True)
        rig.assert_all_sold()
        rig.kernel.close()
