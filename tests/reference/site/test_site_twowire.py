"""The Two-Wire driver and the simulated dispenser on a modelled line: sales, presets, prices."""

from __future__ import annotations

import pytest

from protocols.twowire import Status
from reference.site.pumps.events import (
    Authorised,
    DeliveryVoid,
    LineUp,
    LiveAmount,
    PointState,
    PriceSet,
    SaleCaptured,
    TotalsRead,
)

from .twowire_rig import Rig


def test_a_full_sale_in_order():
    rig = Rig()
    rig.run(5)
    assert len(rig.of(LineUp)) == 1
    assert {e.nozzle for e in rig.of(TotalsRead)} == {11, 12}
    rig.fill(20, nozzle=2)
    rig.run(40)
    story = [type(e).__name__ for e in rig.events]
    start = story.index("NozzleLifted")
    story = [name for name in story[start:] if name not in {"StateChanged", "LiveAmount", "TotalsRead"}]
    assert story == ["NozzleLifted", "Authorised", "NozzleReturned", "SaleCaptured"]
    (sale,) = rig.of(SaleCaptured)
    delivery = rig.points[0].last_delivery
    assert (sale.nozzle, sale.volume_ml, sale.amount_fen) == (12, delivery.volume_ml, delivery.amount_fen)
    assert (sale.price_fen_per_l, sale.flags) == (780, ())
    assert sale.end_total_volume_ml == delivery.end_total_volume_ml
    assert sale.started_us < sale.ended_us <= sale.at_us
    amounts = [e.amount_fen for e in rig.of(LiveAmount)]
    assert amounts == sorted(set(amounts))
    assert len(amounts) > 40
    assert amounts[-1] <= sale.amount_fen
    assert rig.device.head(1).held is None
    assert rig.driver.status(1).state is PointState.IDLE


def test_a_single_nozzle_needs_no_query():
    rig = Rig(nozzles=1)
    rig.run(5)
    rig.fill(10)
    rig.run(25)
    rig.assert_all_sold()
    assert len(rig.sales()) == 1
    assert not [frame for frame in rig.capture if b"\xfe\xe0\xe1\xe0" in frame.data]


@pytest.mark.parametrize(("preset_fen", "preset_ml"), [(5_000, None), (None, 8_000)])
def test_presets_end_the_delivery_and_do_not_stay(preset_fen, preset_ml):
    rig = Rig()
    rig.preset_fen, rig.preset_ml = preset_fen, preset_ml
    rig.run(5)
    rig.fill(40)
    rig.run(60)
    rig.preset_fen = rig.preset_ml = None
    rig.fill(40)
    rig.run(60)
    rig.assert_all_sold()
    first, second = rig.of(SaleCaptured)
    if preset_fen is not None:
        assert preset_fen - 8 < first.amount_fen <= preset_fen
    else:
        assert first.volume_ml == preset_ml
    assert second.volume_ml > 15_000


def test_a_preset_that_was_not_used_does_not_limit_the_next_sale():
    rig = Rig()
    rig.preset_fen = 2_000
    rig.run(5)
    rig.at(0, rig.points[0].lift, 1)
    rig.at(4, rig.points[0].hang_up)
    rig.run(10)
    assert len(rig.of(DeliveryVoid)) == 1
    assert rig.sales() == []
    rig.preset_fen = None
    rig.fill(30)
    rig.run(50)
    rig.assert_all_sold()
    assert rig.of(SaleCaptured)[0].amount_fen > 2_000


@pytest.mark.requirement("fd-state.return-before-flow-makes-no-sale")
def test_a_lift_hung_up_at_once_is_no_sale():
    rig = Rig()
    rig.run(5)
    for _ in range(6):
        rig.at(0, rig.points[0].lift, 1)
        rig.at(0.7, rig.points[0].hang_up)
        rig.run(5)
    assert rig.sales() == []
    assert rig.driver.status(1).state is PointState.IDLE
    rig.fill(10)
    rig.run(25)
    rig.assert_all_sold()


def test_a_preset_too_long_for_the_display_is_refused():
    rig = Rig()
    rig.policy = False
    rig.run(5)
    rig.at(0, rig.points[0].lift, 1)
    rig.run(3)
    assert not rig.driver.authorise(1, 11, preset_ml=1_000_000)
    assert not rig.driver.authorise(1, 11, preset_fen=1_000_000)
    assert not rig.driver.authorise(1, 99)
    assert rig.driver.authorise(1, 11, preset_ml=999_990)
    rig.run(3)
    assert len(rig.of(Authorised)) == 1


def test_stop_ends_the_sale():
    rig = Rig()
    rig.run(5)
    rig.fill(30)
    rig.run(12)
    assert rig.driver.status(1).state is PointState.FUELLING
    assert rig.driver.stop(1)
    rig.run(3)
    assert rig.device.head(1).status(0) is Status.STOPPED
    assert rig.driver.status(1).state is PointState.SUSPENDED_FUELLING
    rig.run(40)
    rig.assert_all_sold()
    assert rig.points[0].last_delivery.flags == ("terminated",)


def test_stop_takes_back_an_authorisation():
    rig = Rig()
    rig.run(5)
    rig.at(0, rig.points[0].lift, 2)
    rig.run(4)
    assert rig.driver.status(1).state is PointState.STARTED
    assert rig.driver.stop(1)
    rig.run(3)
    assert rig.device.head(1).status(0) is Status.IDLE
    assert len(rig.of(DeliveryVoid)) == 1
    assert rig.sales() == []


@pytest.mark.requirement("fd-price.price-holds-for-a-delivery")
def test_prices_are_corrected_read_back_and_hold_for_a_delivery():
    rig = Rig(device_price=700)
    rig.run(12)
    assert [(e.nozzle, e.price_fen_per_l, e.confirmed) for e in rig.of(PriceSet)] == [
        (11, 770, True),
        (12, 780, True),
    ]
    rig.fill(20)
    rig.run(10)
    assert rig.driver.set_prices(1, {11: 801})
    rig.run(40)
    rig.fill(10)
    rig.run(40)
    rig.assert_all_sold()
    assert [sale.price_fen_per_l for sale in rig.of(SaleCaptured)] == [770, 801]
    assert rig.of(PriceSet)[-1].price_fen_per_l == 801


def test_a_price_that_the_pump_does_not_take_is_reported():
    rig = Rig()
    rig.run(8)
    rig.points[0].set_price = lambda *args: False
    rig.driver.set_prices(1, {12: 900})
    rig.run(60)
    assert [(e.nozzle, e.price_fen_per_l, e.confirmed) for e in rig.of(PriceSet)] == [(12, 780, False)]
